"""The binding: rows reach the engine as they were meant, results come back, bad rows are named."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.packet import Raw

from netsim.dataplane import _core
from netsim.dataplane._core import Engine
from netsim.dataplane.records import FlowFilter, FlowKey, Meta, PeerRecord, RouteRecord, TraceFilter
from netsim.dataplane.resolve import local_routes
from netsim.dataplane.rows import NodeRow, ServiceKey, ServiceRow
from tests.dataplane.lab import MTU, SERVICE, node, pod, service

POD1, POD2 = pod(1, 1), pod(1, 2)
S = 1_000_000_000


def dotted(addr: int) -> str:
    return socket.inet_ntoa(addr.to_bytes(4))


class OneNode:
    """A stepped engine with a node, two pods and the stack, all in memory."""

    def __init__(self) -> None:
        self.engine = Engine(seed=1)
        self.node = self.engine.node_add(node(1))
        self.stack = self.engine.iface_queue(self.node, "stack", "cni0", mtu=MTU)
        self.pods = [
            self.engine.iface_queue(self.node, "pod", p.name, mtu=MTU, addr=p.addr)
            for p in (POD1, POD2)
        ]
        addresses = dict(zip([POD1.addr, POD2.addr], self.pods, strict=True))
        self.engine.node_routes(self.node, local_routes(node(1), addresses))
        self.engine.routes([RouteRecord(0, 0, "stack")])

    def send(self, iface: int, packet: IP, *, now_s: int = 1, meta: Meta | None = None) -> int:
        self.engine.inject(iface, bytes(packet), meta)
        return self.engine.step(now_s * S)

    def received(self, iface: int) -> IP:
        found = self.engine.extract(iface)
        assert found is not None
        return IP(found[0])


@pytest.fixture
def one() -> Iterator[OneNode]:
    lab = OneNode()
    with closing(lab.engine):
        yield lab


def syn(dst: int = POD2.addr, dport: int = 80, sport: int = 40000) -> IP:
    return IP(src=dotted(POD1.addr), dst=dotted(dst)) / TCP(sport=sport, dport=dport, flags="S")


def test_a_packet_goes_in_and_comes_out(one: OneNode) -> None:
    packet = IP(src=dotted(POD1.addr), dst=dotted(POD2.addr)) / UDP(dport=53) / Raw(b"x" * 100)
    assert one.send(one.pods[0], packet) == 1
    found = one.engine.extract(one.pods[1])
    assert found == (bytes(packet), Meta())
    assert one.engine.extract(one.pods[1]) is None


def test_a_service_row_translates(one: OneNode) -> None:
    one.engine.services([service(POD2)], revision=3)
    one.send(one.pods[0], syn(SERVICE))
    arrived = one.received(one.pods[1])
    assert (arrived.dst, arrived[TCP].dport) == (dotted(POD2.addr), 8080)
    [flow] = one.engine.flows(one.node)[0]
    assert flow.original == (POD1.addr, SERVICE, 40000, 80, 6)
    assert flow.reply == (POD2.addr, POD1.addr, 8080, 40000, 6)
    assert (flow.service, flow.translated, flow.masqueraded) == (7, True, False)
    assert one.engine.info().services == 1


def test_a_removed_service_is_gone(one: OneNode) -> None:
    one.engine.service_set(service(POD2), 1)
    one.engine.service_remove(ServiceKey(SERVICE, 80, 6))
    with pytest.raises(LookupError, match="addr=174063617"):
        one.engine.service_remove(ServiceKey(SERVICE, 80, 6))


def test_drops_are_counted_by_name(one: OneNode) -> None:
    names = dict(_core.drop_reasons())
    assert names["spoofed"] == "source address does not belong to the pod"
    before = one.engine.node_stats(one.node)
    assert before.drops == dict.fromkeys(names, 0)
    one.send(one.pods[0], IP(src="1.2.3.4", dst=dotted(POD2.addr)) / UDP())
    after = one.engine.node_stats(one.node)
    assert after.drops == before.drops | {"spoofed": 1}
    assert after.packets == 1


def test_ifaces_count_both_ways(one: OneNode) -> None:
    one.send(one.pods[0], syn())
    sent, got = (one.engine.iface_stats(i) for i in one.pods)
    assert (sent.rx_packets, sent.rx_bytes, sent.tx_packets) == (1, 40, 0)
    assert (got.tx_packets, got.tx_bytes, got.rx_packets) == (1, 40, 0)


def test_marked_packets_leave_records_with_names(one: OneNode) -> None:
    one.engine.trace(one.node, TraceFilter(dport=80, limit=1))
    one.send(one.pods[0], syn())
    one.send(one.pods[0], syn(sport=40001))
    records, missed = one.engine.trace_drain()
    assert missed == 0
    assert {r.trace_id for r in records} == {records[0].trace_id}
    assert [r.event for r in records][-1] == "forwarded"
    last = records[-1]
    assert (last.stage, last.node, last.object) == ("send", one.node, one.pods[1])
    assert last.before == (POD1.addr, POD2.addr, 40000, 80, 6)
    assert one.engine.trace_drain() == ([], 0)


def test_no_filter_marks_nothing(one: OneNode) -> None:
    one.engine.trace(one.node, TraceFilter())
    one.engine.trace(one.node, None)
    one.send(one.pods[0], syn())
    assert one.engine.trace_drain() == ([], 0)


def test_the_published_revision_is_read_back(one: OneNode) -> None:
    one.engine.publish(41)
    assert one.engine.node_revision(one.node) == 41


def test_more_flows_than_fit_at_once_are_listed(one: OneNode) -> None:
    for sport in range(1024, 1024 + 3000):
        one.send(one.pods[0], syn(sport=sport))
    found, cursor = one.engine.flows(one.node)
    assert cursor
    while cursor:
        flows, cursor = one.engine.flows(one.node, cursor=cursor)
        found += flows
    assert sorted(f.original.sport for f in found) == list(range(1024, 1024 + 3000))
    one.engine.flows_clear(one.node)
    assert one.engine.flows(one.node) == ([], 2048)


MATCHES = [
    FlowFilter(FlowKey(POD1.addr, 0, 0, 0, 0)),
    FlowFilter(FlowKey(0, SERVICE, 40001, 80, 6)),
    FlowFilter(reply=FlowKey(POD2.addr, 0, 8080, 40001, 0)),
    FlowFilter(state="SYN_SENT"),
]
MISSES = [
    FlowFilter(FlowKey(POD2.addr, 0, 0, 0, 0)),
    FlowFilter(FlowKey(0, 0, 0, 0, 17)),
    FlowFilter(FlowKey(POD1.addr, 0, 40002, 0, 0), FlowKey(POD2.addr, 0, 8081, 0, 0)),
    FlowFilter(state="ESTABLISHED"),
]


def test_flows_are_picked_by_key_and_state(one: OneNode) -> None:
    one.engine.services([service(POD2)], revision=3)
    one.send(one.pods[0], syn(SERVICE, sport=40001))
    [flow] = one.engine.flows(one.node)[0]
    assert [one.engine.flows(one.node, match=match)[0] for match in MATCHES] == [[flow]] * 4
    assert [one.engine.flows(one.node, match=match)[0] for match in MISSES] == [[]] * 4
    with pytest.raises(ValueError, match="no flow is ever in the state OPEN"):
        one.engine.flows(one.node, match=FlowFilter(state="OPEN"))


def test_time_is_stepped(one: OneNode) -> None:
    one.send(one.pods[0], syn())
    assert one.engine.expire(100 * S) == 0
    assert one.engine.expire(122 * S) == 1  # SYN_SENT: 120 s


def test_segmentation_survives_the_binding(one: OneNode) -> None:
    packet = IP(src=dotted(POD1.addr), dst=dotted(POD2.addr)) / TCP(flags="A") / Raw(b"x" * 4000)
    meta = Meta(
        gso_type=1, needs_csum=True, gso_size=1400, csum_start=20, csum_offset=16, hdr_len=40
    )
    one.send(one.pods[0], packet, meta=meta)
    found = one.engine.extract(one.pods[1])
    assert found is not None
    assert found[1] == meta


BAD_NODES: list[tuple[str, dict[str, object]]] = [
    ("Invalid argument", {"uid": 0}),
    ("Invalid argument", {"mtu": 20}),
    ("Invalid argument", {"flows_max": 0}),
    ("too large", {"mtu": 70000}),
    ("choose one of vxlan, udp, host-gw", {"backend": "geneve"}),
    ("5 bytes of MAC", {"vtep_mac": bytes(5)}),
    ("prefix length 33", {"cluster_len": 33}),
    ("prefix length -1", {"cluster_len": -1}),
    ("negative", {"address": -1}),
    ("too big", {"address": 2**128}),
    ("integer", {"vni": None}),
]


@pytest.mark.parametrize(("why", "fields"), BAD_NODES)
def test_bad_nodes_are_named(one: OneNode, why: str, fields: dict[str, object]) -> None:
    row = NodeRow(**{**node(2)._asdict(), **fields})
    with pytest.raises(ValueError, match=rf"^node n2: .*{why}"):
        one.engine.node_add(row)


BAD_SERVICES: list[tuple[str, ServiceRow]] = [
    ("Invalid argument", service(POD1, POD1)),
    ("Invalid argument", service(POD1)._replace(port=0)),
    ("too large", service(POD1)._replace(port=65536)),
    ("negative", service(POD1)._replace(affinity_s=-1)),
    ("NoneType", service(POD1)._replace(packed_endpoints=None)),  # type: ignore[arg-type]
    ("17 bytes", service(POD1)._replace(packed_endpoints=bytes(17))),
]


@pytest.mark.parametrize(("why", "row"), BAD_SERVICES)
def test_bad_services_are_named(one: OneNode, why: str, row: ServiceRow) -> None:
    with pytest.raises(ValueError, match=rf"^service default/web:http: .*{why}"):
        one.engine.services([row], 1)
    assert one.engine.info().services == 0


BAD_ROUTES: list[tuple[str, list[RouteRecord]]] = [
    ("Invalid argument", [RouteRecord(0x0A000001, 8, "stack")]),
    ("File exists", [RouteRecord(0, 0, "stack"), RouteRecord(0, 0, "unreachable")]),
    ("prefix=5, length=40", [RouteRecord(5, 40, "stack")]),
    ("kind 'nowhere': choose one of", [RouteRecord(0, 0, "nowhere")]),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("why", "rows"), BAD_ROUTES)
def test_bad_routes_are_refused(one: OneNode, why: str, rows: list[RouteRecord]) -> None:
    with pytest.raises(ValueError, match=why):
        one.engine.routes(rows)


def test_two_peers_with_one_address_are_refused(one: OneNode) -> None:
    twice = [PeerRecord(1, 8472, bytes(6), None)] * 2
    with pytest.raises(ValueError, match="peers: File exists"):
        one.engine.peers(twice)
    with pytest.raises(ValueError, match=r"PeerRecord.*3 bytes of MAC"):
        one.engine.peers([PeerRecord(1, 8472, bytes(3), None)])


def test_ids_of_nothing_are_lookup_errors(one: OneNode) -> None:
    for call in (one.engine.node_stats, one.engine.flows, one.engine.node_remove):
        with pytest.raises(LookupError, match="node 99"):
            call(99)
    for of_iface in (one.engine.iface_stats, one.engine.iface_remove, one.engine.extract):
        with pytest.raises(LookupError, match="iface 99"):
            of_iface(99)


def test_a_role_that_is_taken_is_refused(one: OneNode) -> None:
    with pytest.raises(ValueError, match="iface cni0"):
        one.engine.iface_queue(one.node, "stack", "cni0", mtu=MTU)
    with pytest.raises(ValueError, match="role 'bridge': choose one of pod"):
        one.engine.iface_queue(one.node, "bridge", "br0", mtu=MTU)  # type: ignore[arg-type]


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_descriptors_are_taken_over_on_failure_too(one: OneNode) -> None:
    for node_id, mtu in ((99, MTU), (one.node, 70000)):
        fd, far = (s.detach() for s in socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
        with pytest.raises((LookupError, ValueError), match=r"^iface x: "):
            one.engine.iface_tun(node_id, "pod", "x", fd, mtu=mtu)
        assert not is_open(fd)
        os.close(far)
    fds = [socket.socket(type=socket.SOCK_DGRAM).detach() for _ in range(2)]
    with pytest.raises(LookupError):
        one.engine.iface_udp(99, "eth0", fds, mtu=1500)
    assert not any(map(is_open, fds))
    fds = [socket.socket(type=socket.SOCK_DGRAM).detach() for _ in range(65)]
    with pytest.raises(ValueError, match="iface eth0: 65 sockets"):
        one.engine.iface_udp(one.node, "eth0", fds, mtu=1500)
    assert not any(map(is_open, fds))


def test_a_closed_engine_says_so() -> None:
    engine = Engine()
    engine.close()
    engine.close()
    for call in (engine.start, engine.info, engine.trace_drain):
        with pytest.raises(ValueError, match="the engine is closed"):
            call()


def test_a_stepped_engine_does_not_start(one: OneNode) -> None:
    with pytest.raises(ValueError, match="start"):
        one.engine.start()


def test_engines_are_counted() -> None:
    before = _core.live_engines()
    engine = Engine()
    assert _core.live_engines() == before + 1
    del engine
    assert _core.live_engines() == before


def test_workers_start_and_stop() -> None:
    with closing(Engine(workers=2, seed=5)) as engine:
        engine.node_add(node(1))
        engine.start()
        assert engine.info().workers == 2
        engine.stop()


def resident_bytes() -> int:
    """Of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_worker_has_its_packets_memory_before_the_first_packet() -> None:
    packets, each = 2048, 64 * 1024
    with closing(Engine(workers=1, seed=5, pool_packets=packets)) as engine:
        before = resident_bytes()
        engine.start()
        engine.node_add(node(1))  # answered by the worker: it runs
        assert resident_bytes() - before > 0.9 * packets * each
        engine.stop()


@given(st.binary(max_size=200))
def test_any_bytes_may_be_injected(data: bytes) -> None:
    lab = OneNode()
    with closing(lab.engine):
        lab.engine.inject(lab.pods[0], data)
        lab.engine.step(S)
