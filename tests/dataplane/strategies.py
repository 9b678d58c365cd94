"""Strategies for rows and tables, valid and small, so that examples collide and shrink well."""

from __future__ import annotations

from hypothesis import strategies as st

from netsim.dataplane.rows import (
    EndpointRow,
    LabRow,
    NodeRow,
    PathRow,
    PeerRow,
    PodRow,
    ProxyRow,
    RelayRow,
    ServiceRow,
    Tables,
    pack_endpoints,
)

NODES = ("n1", "n2", "n3")
addresses = st.integers(0, 2**32 - 1)
ports = st.integers(1, 65535)

labs = st.none() | st.builds(
    LabRow,
    st.sampled_from([((0x0A600000, 12),), ((0x0A600000, 12), (0x0A4D0000, 24))]),
    st.sampled_from(["udp", "fabric"]),
)


@st.composite
def node_rows(draw: st.DrawFn, name: str) -> NodeRow:
    number = NODES.index(name) + 1
    base = 0x0AF40000 + (number << 8)
    return NodeRow(
        name,
        number,
        0xC0A80000 + number,
        base,
        24,
        base + 1,
        base,
        0x0AF40000,
        16,
        draw(st.sampled_from(["vxlan", "udp"])),
        bytes([2, 0, 0, 0, 0, number]),
        1,
        8472,
        draw(st.sampled_from([1450, 1400])),
        1000,
        ProxyRow(relays=draw(st.booleans())),
    )


@st.composite
def pod_rows(draw: st.DrawFn, name: str) -> PodRow:
    node = draw(st.sampled_from(NODES))
    addr = 0x0AF40002 + ((NODES.index(node) + 1) << 8) + draw(st.integers(0, 5))
    return PodRow(name, node, addr, 1450, f"pod/{name}")


@st.composite
def service_rows(draw: st.DrawFn, number: int) -> ServiceRow:
    endpoints = draw(st.lists(st.builds(EndpointRow, addresses, ports), max_size=4, unique=True))
    relay = RelayRow(draw(ports), tuple(endpoints[:1])) if draw(st.booleans()) else None
    return ServiceRow(
        0x0A600000 + number // 2,
        80 + number % 2,
        6,
        number + 1,
        f"default/s{number}",
        draw(st.sampled_from([0, 10800])),
        pack_endpoints(sorted(endpoints)),
        relay=relay,
    )


@st.composite
def tables(draw: st.DrawFn) -> Tables:
    """Any tables; pods may stand on nodes that are not there."""
    nodes = {n: draw(node_rows(n)) for n in draw(st.sets(st.sampled_from(NODES)))}
    pods = {n: draw(pod_rows(n)) for n in draw(st.sets(st.sampled_from(["d/a", "d/b", "d/c"])))}
    services = [draw(service_rows(i)) for i in draw(st.sets(st.integers(0, 5)))]
    peers = tuple(
        PeerRow(n, 0xC0A80001 + NODES.index(n), 8472, bytes(6), True)
        for n in draw(st.lists(st.sampled_from(NODES), unique=True))
    )
    paths = tuple(
        PathRow(0x0AF40000 + ((NODES.index(p.name) + 1) << 8), 24, p.name)
        for p in peers
        if draw(st.booleans())
    )
    return Tables(draw(labs), nodes, pods, {row.key: row for row in services}, peers, paths)
