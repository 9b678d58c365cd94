"""Decision records, marking by filter, and what a new data plane takes over from the last."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.packet import Packet

from netsim.dataplane.records import Meta, TraceFilter, TraceRecord
from tests.path.lab import UDP_PROTO, VIP, Lab, node_addr, number, pod_addr, tunnel_addr

A, B, REMOTE = pod_addr(1), pod_addr(1, "b"), pod_addr(2)
MARK = Meta(mark=True)


def tcp(src: str = A, dst: str = VIP, sport: int = 40000, dport: int = 80, ttl: int = 64) -> Packet:
    return IP(src=src, dst=dst, ttl=ttl) / TCP(sport=sport, dport=dport, flags="S")


def told(lab: Lab, node: int = 1) -> list[str]:
    return [f"{r.stage}:{r.event}" for r in lab.trace() if r.node == lab.nodes[node].id]


START = ["receive:accepted", "parse:accepted"]
STORIES = [
    (
        "to a service",
        tcp(),
        [
            "flow:flow-new",
            "service:service-chosen",
            "route:routed",
            "translate:translated",
            "tunnel-on:encapsulated",
            "send:forwarded",
        ],
    ),
    ("to a neighbour", tcp(dst=B), ["flow:flow-new", "route:routed", "translate:accepted"]),
    (
        "to a service without endpoints",
        tcp(dport=81),
        ["flow:flow-new", "service:service-rejected", "reply:replied", "send:forwarded"],
    ),
    ("to no service", tcp(dport=82), ["flow:flow-new", "route:dropped"]),
    ("out of TTL", tcp(dst=REMOTE, ttl=1), ["flow:flow-new", "route:routed", "reply:replied"]),
]


@pytest.mark.parametrize(("what", "packet", "story"), STORIES, ids=[s[0] for s in STORIES])
def test_stages_say_what_they_decided(what: str, packet: Packet, story: list[str]) -> None:
    with Lab() as lab:
        lab.service((REMOTE, 8080))
        lab.service(port=81, id_=8)
        lab.send("a1", packet, MARK)
        found = told(lab)
        assert found[: 2 + len(story)] == START + story
        for where in lab.everywhere:
            lab.take(where)


def test_records_carry_the_keys_and_the_objects() -> None:
    with Lab() as lab:
        lab.service((REMOTE, 8080), ("10.244.2.9", 8080))
        lab.send("a1", tcp(), MARK)
        records = {r.event: r for r in lab.trace()}
        chosen = records["service-chosen"]
        assert chosen.object == 7
        assert chosen.detail & 0xFFFF == 2
        index = chosen.detail >> 16
        translated = records["translated"]
        assert translated.before == (number(A), number(VIP), 40000, 80, 6)
        end = [REMOTE, "10.244.2.9"][index]
        assert translated.after == (number(A), number(end), 40000, 8080, 6)
        [sent] = lab.take("wire1")
        assert sent.raw[38:42] == bytes(IP(dst=end))[16:20]
        assert records["encapsulated"].detail == sent.meta.outer_sport
        assert records["forwarded"].object == lab.iface("wire1")
        assert {r.iface for r in records.values()} == {lab.iface("a1")}
        assert {r.revision for r in records.values()} == {lab.revision}
        assert {r.time_ns for r in records.values()} == {10**9}


def test_both_nodes_tell_their_part() -> None:
    with Lab(nodes=2) as lab:
        lab.engine.trace(lab.nodes[1].id, TraceFilter(dport=9))
        lab.engine.trace(lab.nodes[2].id, TraceFilter(dport=9))
        lab.send("a1", tcp(dst=REMOTE, dport=9))
        records = lab.trace()
        [end] = [r for r in records if r.event == "forwarded" and r.node == lab.nodes[2].id]
        assert end.object == lab.iface("a2")
        assert len({(r.node, r.trace_id) for r in records}) == 2


FILTERS = [
    (TraceFilter(src=number(A)), 3),
    (TraceFilter(dst=number(B)), 2),
    (TraceFilter(sport=1), 1),
    (TraceFilter(dport=80), 2),
    (TraceFilter(proto=UDP_PROTO), 1),
    (TraceFilter(src=number(A), dport=80), 2),
    (TraceFilter(), 4),
    (TraceFilter(limit=2), 2),
]


@pytest.mark.parametrize(("match", "count"), FILTERS)
def test_a_filter_marks_what_it_matches(match: TraceFilter, count: int) -> None:
    with Lab() as lab:
        lab.engine.trace(lab.nodes[1].id, match)
        lab.put("a1", tcp(dst=B, sport=1))
        lab.put("a1", tcp(dst=REMOTE))
        lab.put("a1", IP(src=A, dst=B) / UDP(dport=9))
        lab.put("b1", tcp(src=B, dst=A, dport=7))
        lab.run()
        assert len({r.trace_id for r in lab.trace()}) == count


def test_a_filter_sees_packets_that_are_dropped_at_the_door() -> None:
    with Lab() as lab:
        lab.engine.trace(lab.nodes[1].id, TraceFilter(src=number(B)))
        lab.send("a1", tcp(src=B, dst=REMOTE))
        assert told(lab) == ["receive:accepted", "parse:dropped"]


def events(records: list[TraceRecord]) -> set[str]:
    return {r.event for r in records}


def test_affinity_staleness_and_masquerade_are_told() -> None:
    with Lab() as lab:
        lab.service((REMOTE, 8080), proto=UDP_PROTO, affinity_s=100)
        udp = IP(src=A, dst=VIP) / UDP(sport=1, dport=80)
        lab.send("a1", udp, MARK)
        assert "service-chosen" in events(lab.trace())
        lab.send("a1", IP(src=A, dst=VIP) / UDP(sport=2, dport=80), MARK)
        assert "service-affine" in events(lab.trace())
        lab.send("a1", udp, MARK)
        assert "flow-hit" in events(lab.trace())
        lab.service(("10.244.2.9", 8080), proto=UDP_PROTO, affinity_s=100)
        lab.send("a1", udp, MARK)
        assert {"flow-stale", "flow-new", "service-chosen"} <= events(lab.trace())
        sent = IP(src=node_addr(1), dst=VIP) / UDP(sport=1, dport=80)
        lab.send("stack1", sent, MARK)
        [record] = [r for r in lab.trace() if r.event == "masqueraded"]
        assert record.after.src == number(tunnel_addr(1))
        lab.take("wire1")


@pytest.fixture
def memory() -> Iterator[int]:
    fd = os.memfd_create("flows")
    yield fd
    os.close(fd)


def test_flows_outlive_the_engine(memory: int) -> None:
    """Killed and started again: TCP goes on, UDP too if its endpoint is still there."""
    first, second = (REMOTE, 8080), ("10.244.2.9", 8080)
    with Lab(arena_fd=memory) as lab:
        lab.service(first)
        lab.service(first, proto=UDP_PROTO, id_=8)
        lab.service(first, proto=UDP_PROTO, port=81, id_=9)
        lab.out("a1", tcp(), "wire1")
        for dport in (80, 81):
            lab.out("a1", IP(src=A, dst=VIP) / UDP(sport=1, dport=dport), "wire1")
        old = sorted(lab.engine.flows(lab.nodes[1].id)[0])
    with Lab(arena_fd=memory) as lab:
        lab.service(second)
        lab.service(first, second, proto=UDP_PROTO, id_=8)
        lab.service(second, proto=UDP_PROTO, port=81, id_=9)
        assert lab.engine.adopt_flows(round(lab.now * 1e9)) == 3
        assert sorted(lab.engine.flows(lab.nodes[1].id)[0]) == old
        assert lab.out("a1", tcp(), "wire1").dst == REMOTE
        assert lab.out("a1", IP(src=A, dst=VIP) / UDP(sport=1, dport=80), "wire1").dst == REMOTE
        moved = lab.out("a1", IP(src=A, dst=VIP) / UDP(sport=1, dport=81), "wire1")
        assert moved.dst == second[0]
        assert lab.stats().flows_stale == 1
        back = lab.out("wire1", lab.wrap(tcp(REMOTE, A, 8080, 40000)), "a1")
        assert back.src == VIP
        # the endpoint leaves after the restart: tied again, so seen
        lab.service(second, proto=UDP_PROTO, id_=8)
        assert lab.out("a1", IP(src=A, dst=VIP) / UDP(sport=1, dport=80), "wire1").dst == second[0]
