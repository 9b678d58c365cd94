"""A small lab for tests of the data plane's Python side: two nodes, four pods, one service."""

from __future__ import annotations

from netsim.dataplane.rows import (
    EndpointRow,
    LabRow,
    NodeRow,
    PathRow,
    PeerRow,
    PodRow,
    ServiceRow,
    Tables,
    pack_endpoints,
)

MTU = 1450
UNDERLAY = 0xC0A80800  # 192.168.8.0
PODS = 0x0AF40000  # 10.244.0.0
SERVICE = 0x0A600001  # 10.96.0.1


def node(number: int) -> NodeRow:
    base = PODS + (number << 8)
    return NodeRow(
        name=f"n{number}",
        uid=number,
        address=UNDERLAY + number,
        pod_cidr=base,
        pod_len=24,
        cni_addr=base + 1,
        tunnel_addr=base,
        cluster_cidr=PODS,
        cluster_len=16,
        backend="vxlan",
        vtep_mac=bytes([2, 0, 0, 0, 0, number]),
        vni=1,
        port=8472,
        mtu=MTU,
        flows_max=4096,
    )


def pod(node: int, number: int) -> PodRow:
    name = f"default/p{node}{number}"
    return PodRow(name, f"n{node}", PODS + (node << 8) + 1 + number, MTU, f"pod/{name}")


def peer(number: int) -> PeerRow:
    row = node(number)
    return PeerRow(row.name, row.address, row.port, row.vtep_mac, True)


def path(number: int) -> PathRow:
    row = node(number)
    return PathRow(row.pod_cidr, row.pod_len, row.name)


def service(*endpoints: PodRow, affinity_s: int = 0) -> ServiceRow:
    packed = pack_endpoints(EndpointRow(p.addr, 8080) for p in endpoints)
    return ServiceRow(SERVICE, 80, 6, 7, "default/web:http", affinity_s, packed)


def whole(nodes: int = 2, pods: int = 2) -> Tables:
    """Every node with `pods` pods; the service is served by the last node's."""
    numbers = range(1, nodes + 1)
    rows = [pod(n, i) for n in numbers for i in range(1, pods + 1)]
    web = service(*[row for row in rows if row.node == f"n{nodes}"])
    return Tables(
        LabRow(((0x0A600000, 12),), "fabric"),
        {f"n{n}": node(n) for n in numbers},
        {row.name: row for row in rows},
        {web.key: web},
        tuple(peer(n) for n in numbers),
        tuple(path(n) for n in numbers),
    )
