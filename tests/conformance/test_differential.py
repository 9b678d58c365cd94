"""The same first packets through Linux, which has loaded the rules that we render, and through us.

Endpoints reached, sources that they see, refusals and silence must be the same, for random Services
and set-ups of the proxy. What is not compared is in docs/services.md.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings

from netsim.api.addresses import Cidr, format_address
from netsim.api.fields import Json
from netsim.api.proxy_modes import PROXY_MODES
from netsim.dataplane.rows import ProxyRow, ServiceRow
from tests.conformance.emulated import NODE as NAME
from tests.conformance.emulated import number, objects_of, rows_of
from tests.conformance.first_packets import (
    SCTP_PROTO,
    Ends,
    ends_of,
    is_refusal,
    packet,
)
from tests.conformance.random_services import proxies, services
from tests.conformance.sides import CNI, LOCAL, NODE, PODS, InMemory, Kernel, Side

pytestmark = pytest.mark.linux
LOCALHOST = "127.0.0.1"
SOURCES = (
    ("pod", PODS[0]),  # may be an endpoint
    ("pod", PODS[3]),
    ("node", NODE),
    ("flannel.1", "10.201.0.9"),
    ("eth0", "203.0.113.2"),
    ("eth0", "203.0.113.130"),  # not in all ranges
)
MANY, FEW = 48, 3  # connections: one of three endpoints is missed once in a hundred million
SYN_ACK = 0x12


class Flow(NamedTuple):
    """Connections from one client."""

    where: str
    src: str
    dst: str
    port: int
    protocol: int


@dataclass
class Seen:
    """What became of them: `goes`, `refused` or `nothing`; sources by endpoint."""

    verdict: str = "goes"
    sources: dict[str, set[str]] = field(default_factory=dict)


def differs_from_iptables(flow: Flow, row: ServiceRow, proxy: ProxyRow) -> bool:
    """Where policy Local drops at all of a node's addresses (docs/fidelity.md)."""
    ranges = [Cidr(*each) for each in proxy.node_port_ranges] or [Cidr(0, 0)]
    served = any(each.contains(number(flow.dst)) for each in ranges)
    served = served and (flow.dst != LOCALHOST or proxy.localhost_node_ports)
    if flow.dst in (*LOCAL, LOCALHOST) and not served:
        return row.external_local and not row.usable(NAME, local=True) and bool(row.usable(NAME))
    return False


def differs_from_nftables(flow: Flow, row: ServiceRow, proxy: ProxyRow) -> bool:
    """Nowhere, as far as is known."""
    del flow, row, proxy
    return False


class Mode(NamedTuple):
    """A mode of kube-proxy; `differs`: known differences, we refuse and Linux does not answer."""

    name: str
    how: str
    differs: Callable[[Flow, ServiceRow, ProxyRow], bool]

    def proxy(self, asked: ProxyRow) -> ProxyRow:
        """What is asked for, as the mode does it."""
        does = PROXY_MODES[self.name]
        primary = ((number(NODE), 32),) if does.node_port_addresses else ()
        return ProxyRow(
            asked.detector,
            asked.masquerade_all,
            asked.localhost_node_ports and does.localhost_node_ports,
            asked.node_port_ranges or primary,
            refused_at=does.refused_at,
            affinity_clients=does.affinity_clients,
            affinity_evicts=does.affinity_evicts,
            refuses_own=does.refuses_own,
            ranges_first=does.ranges_first,
            drops_rest=does.drops_rest,
        )


MODES = (
    Mode("iptables", "iptables-save", differs_from_iptables),
    Mode("nftables", "nft", differs_from_nftables),
)


def flows(row: ServiceRow) -> Iterator[Flow]:
    """To every way in from everywhere, and to where there is none."""
    address = format_address(row.addr)
    to = [(address, row.port), (address, 81), ("172.30.9.9", row.port)]
    for front in row.frontends:
        if front.addr:
            to.append((format_address(front.addr), front.port))
        else:
            to += [(NODE, front.port), (CNI, front.port)]
            yield Flow("node", LOCALHOST, LOCALHOST, front.port, row.proto)
    for dst, port in to:
        for where, src in SOURCES:
            yield Flow(where, src, dst, port, row.proto)


class Driver:
    """Sends flows through one side, and looks after affinity: a client stays where it is."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self._homes: dict[tuple[int, str], str] = {}

    def drive(self, flow: Flow, row: ServiceRow, sports: Iterator[int]) -> Seen:
        """Connections until all endpoints are seen, at most MANY; the same client every time."""
        seen = Seen()
        for _ in range(FEW if row.affinity_s else MANY):
            ends = Ends(flow.src, flow.dst, next(sports), flow.port, flow.protocol)
            out = self._side.send(flow.where, packet(ends))
            assert len(out) <= 1, f"{flow}: {[ends_of(data) for data in out]}"
            seen.verdict = verdict(ends, out)
            if seen.verdict != "goes":
                return seen
            got = ends_of(out[0])
            endpoint = f"{got.dst}:{got.dport}"
            seen.sources.setdefault(endpoint, set()).add(got.src)
            if row.affinity_s:
                self._check_affinity(flow, row, endpoint)
            elif len(seen.sources) == len(row.endpoints):
                break
        if flow.where != "node" and flow.protocol != SCTP_PROTO and got.dst in PODS:
            answer = self._side.send("pod", packet(got.back, SYN_ACK))
            assert [ends_of(data) for data in answer] == [ends.back], flow
        return seen

    def _check_affinity(self, flow: Flow, row: ServiceRow, endpoint: str) -> None:
        """By every way in, where policy Local does not keep it from some (P-33)."""
        way = "" if not (row.internal_local or row.external_local) else f" {flow.dst}"
        home = self._homes.setdefault((row.id, flow.src + way), endpoint)
        assert endpoint == home, f"{flow}: was with {home}"


def verdict(sent: Ends, out: list[bytes]) -> str:
    """A packet that comes out as it went in meets the node's own stack, or leaves unanswered."""
    if not out:
        return "nothing"
    got = ends_of(out[0])
    if is_refusal(out[0]):
        return "refused"
    if (got.dst, got.dport) == (sent.dst, sent.dport):
        return "refused" if got.dst in (*LOCAL, LOCALHOST) else "nothing"
    return "goes"


def agree(ours: Seen, linux: Seen, sticky: bool) -> bool:
    """With affinity each side chooses for itself: what both have seen must agree."""
    if not sticky:
        return ours == linux
    both = ours.sources.keys() & linux.sources.keys()
    return ours.verdict == linux.verdict and all(
        ours.sources[endpoint] == linux.sources[endpoint] for endpoint in both
    )


NUMBER = itertools.count(1)


def compare(kernel: Kernel, mode: Mode, given_services: list[Json], proxy: ProxyRow) -> None:
    """Names are new every time: the kernel keeps lists of clients by the names of chains."""
    prefix = f"e{next(NUMBER)}"
    named = [{**each, "name": f"{prefix}-{each['name']}"} for each in given_services]
    rows = rows_of(objects_of(named))
    ours = InMemory()
    try:
        for side in (ours, kernel):
            side.load(rows, proxy)
        drivers = [Driver(ours), Driver(kernel)]
        sports = itertools.cycle(range(1024, 60000))
        for row in rows.values():
            for flow in flows(row):
                mine, linux = (driver.drive(flow, row, sports) for driver in drivers)
                if mode.differs(flow, row, proxy):
                    assert (mine.verdict, linux.verdict) == ("refused", "nothing"), flow
                else:
                    assert agree(mine, linux, bool(row.affinity_s)), (flow, row, mine, linux)
    finally:
        ours.close()


@pytest.fixture(scope="module", params=MODES, ids=lambda mode: mode.name)
def peer(request: pytest.FixtureRequest) -> Iterator[tuple[Kernel, Mode]]:
    mode: Mode = request.param
    kernel = Kernel(mode.how)
    yield kernel, mode
    kernel.close()


@given(services(), proxies())
@settings(max_examples=30, suppress_health_check=list(HealthCheck))
def test_random_services(
    peer: tuple[Kernel, Mode], given_services: list[Json], proxy: ProxyRow
) -> None:
    kernel, mode = peer
    compare(kernel, mode, given_services, mode.proxy(proxy))
