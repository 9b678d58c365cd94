"""Names become ids: routes by kind and strength, peers in places that do not move."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.dataplane.records import PeerRecord, RouteRecord
from netsim.dataplane.resolve import PeerSlots, local_routes, shared_routes
from netsim.dataplane.rows import LabRow, NodeRow, PathRow, PeerRow

NODE = NodeRow(
    "n1", 1, 0xC0A80001, 0x0AF40100, 24, 0x0AF40101, 0x0AF40100, 0x0AF40000, 16, "vxlan",
    bytes(6), 1, 8472, 1450, 1000,
)  # fmt: skip
LAB = LabRow(((0x0A600000, 12),), "udp")


def test_a_node_has_its_pods_and_its_stack() -> None:
    assert local_routes(NODE, {0x0AF40102: 7}) == [
        RouteRecord(0x0AF40100, 32, "stack"),
        RouteRecord(0x0AF40101, 32, "stack"),
        RouteRecord(0xC0A80001, 32, "stack"),
        RouteRecord(0x0AF40102, 32, "pod", 7),
    ]


def test_addresses_that_coincide_are_one_route() -> None:
    host_gw = NODE._replace(tunnel_addr=NODE.address)
    assert [r.prefix for r in local_routes(host_gw, {})] == [0x0AF40101, 0xC0A80001]


def test_shared_routes_hold_ranges_and_paths() -> None:
    paths = [PathRow(0x0AF40200, 24, "n2")]
    assert shared_routes(LAB, [NODE, NODE], paths, {"n2": 3}) == [
        RouteRecord(0, 0, "stack"),
        RouteRecord(0x0AF40000, 16, "unreachable"),
        RouteRecord(0x0A600000, 12, "service-range"),
        RouteRecord(0x0AF40200, 24, "peer", 3),
    ]


def test_every_service_range_has_a_route() -> None:
    two = LabRow(((0x0A600000, 12), (0x0A4D0000, 24)), "udp")
    found = [r for r in shared_routes(two, [], [], {}) if r.kind == "service-range"]
    assert [(r.prefix, r.length) for r in found] == list(two.service_ranges)


def test_a_path_is_stronger_than_the_range_it_equals() -> None:
    found = shared_routes(None, [NODE], [PathRow(0x0AF40000, 16, "n2")], {"n2": 0})
    assert RouteRecord(0x0AF40000, 16, "peer", 0) in found
    assert len(found) == 2


def test_a_path_through_nobody_is_refused() -> None:
    with pytest.raises(KeyError):
        shared_routes(None, [], [PathRow(0, 8, "n9")], {})


def peer(name: str) -> PeerRow:
    return PeerRow(name, 100 + ord(name), 8472, bytes(6), True)


@given(st.lists(st.lists(st.sampled_from("abcdef"), unique=True), max_size=6))
def test_a_peer_that_stays_keeps_its_place(generations: list[list[str]]) -> None:
    slots, before = PeerSlots(), dict[str, int]()
    for names in generations:
        slots.add([peer(name) for name in names])
        both = slots.positions()
        assert {n: both[n] for n in before} == before  # the old ones, until the routes are new
        slots.keep(names)
        before = slots.positions()
        assert before.keys() == set(names)
        assert before == {name: both[name] for name in names}
        records = slots.records({name: ord(name) for name in names})
        assert len({r.address for r in records}) == len(records)
        assert [records[before[n]].node for n in names] == [ord(n) for n in names]


def test_a_peer_elsewhere_has_no_node() -> None:
    slots = PeerSlots()
    slots.add([peer("a"), peer("b")._replace(local=False)])
    assert [r.node for r in slots.records({"a": 5, "b": 6})] == [5, None]
    assert slots.keep(["b"])
    assert slots.records({})[0] == PeerRecord(0, 0, bytes(6), None)
