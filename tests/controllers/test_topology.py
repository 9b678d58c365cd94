"""Hints by annotation: endpoints in proportion to the zones' CPU, or none at all (KEP-2433)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.api.addresses import format_address
from netsim.api.fields import Json, items, mapping, text
from netsim.api.quantities import is_quantity, millis
from netsim.controllers.objects import condition, spec, with_annotations, with_status
from netsim.controllers.proxy import Compiler
from netsim.controllers.topology import CONDITION, OVERLOAD, allocate, shares
from tests.controllers.world import Object, World, deployment, lab, node, service

ZONE = "topology.kubernetes.io/zone"
MODE, OLD = "service.kubernetes.io/topology-mode", "service.kubernetes.io/topology-aware-hints"
AUTO = {MODE: "Auto"}
WEB = {"app": "web"}

# zones' CPUs; where the endpoints are; how many each zone then has, or why there are no hints
SHARED: list[tuple[Mapping[str, int], str, Mapping[str, int] | str]] = [
    ({"a": 1, "b": 1}, "ab", {"a": 1, "b": 1}),
    ({"a": 1, "b": 1}, "aaab", {"a": 2, "b": 2}),
    ({"a": 1, "b": 1}, "aaaa", {"a": 2, "b": 2}),
    ({"a": 2, "b": 1}, "aab", {"a": 2, "b": 1}),
    ({"a": 2, "b": 1, "c": 1}, "abcabcab", {"a": 4, "b": 2, "c": 2}),
    ({"a": 1, "b": 1, "c": 1}, "aabbbbbbb", {"a": 3, "b": 3, "c": 3}),
    ({"a": 1, "b": 1}, "aaaaabbbb", {"a": 5, "b": 4}),  # half an endpoint is not moved
    ({"a": 1, "b": 1}, "aaaaaabbb", {"a": 5, "b": 4}),
    ({"a": 1, "b": 1}, "a", "Insufficient number of endpoints (1 endpoints, 2 zones)"),
    ({"a": 1, "b": 1}, "", "Insufficient number of endpoints (0 endpoints, 2 zones)"),
    ({"a": 1, "b": 1}, "ab-", "Unable to allocate minimum required endpoints to each zone"),
    ({"a": 1, "b": 1}, "ab--", "One or more endpoints do not have a zone specified"),
    ({"a": 1, "b": 1}, "aab", "Unable to allocate minimum required endpoints to each zone"),
    ({"a": 3, "b": 1}, "aabb", {"a": 3, "b": 1}),
    ({"a": 1}, "aaa", "Insufficient Node information"),
    ({"a": 1, "": 1}, "aaa", "Insufficient Node information"),
    ({}, "aaa", "Insufficient Node information"),
]


def nodes(cpus: Mapping[str, int]) -> list[Json]:
    made: list[Json] = []
    for zone, cpu in cpus.items():
        obj = node(f"n{zone}", ready=True, labels={ZONE: zone} if zone else {})
        made.append(with_status(obj, allocatable={"cpu": cpu}))
    return made


@pytest.mark.parametrize(("cpus", "places", "wanted"), SHARED)
def test_endpoints_are_shared_out(
    cpus: Mapping[str, int], places: str, wanted: Mapping[str, int] | str
) -> None:
    said, meant = allocate([place.strip("-") for place in places], shares(nodes(cpus)))
    if isinstance(wanted, str):
        assert said.message.startswith(wanted)
        assert (said.enabled, meant) == (False, [])
    else:
        assert Counter(meant) == wanted
        assert said.enabled
        stayed = sum(a == b for a, b in zip(places, meant, strict=True))
        assert stayed == sum(min(Counter(places)[z], n) for z, n in wanted.items()), "few move"


@given(
    st.dictionaries(st.sampled_from("abcd"), st.integers(1, 8), min_size=2),
    st.lists(st.sampled_from("abcd"), max_size=60),
)
def test_nobody_moves_farther_than_the_zones_shares(
    cpus: dict[str, int], places: list[str]
) -> None:
    zones = shares(nodes(cpus))
    here = [p for p in places if p in zones]
    said, meant = allocate(here, zones)
    assert len(meant) == len(here) * said.enabled
    before, after = Counter(here), Counter(meant)
    for zone, share in zones.items() if said.enabled else ():
        wanted = share * len(here)
        least = math.ceil(wanted / (1 + OVERLOAD))
        if after[zone] < before[zone]:
            assert after[zone] >= wanted - 0.5
        if after[zone] > before[zone]:
            assert after[zone] <= max(wanted, least) + 0.5


CPUS = [
    ("2", 2000), (2, 2000), ("500m", 500), ("1.5", 1500), ("0", 0), ("1e1", 10000), ("100u", 1),
    ("1k", 1000000), ("2Gi", 0), ("", 0), ("many", 0), ("-1", 0), (None, 0), ("٣", 0),
]  # fmt: skip


@pytest.mark.parametrize(("value", "wanted"), CPUS)
def test_cpus(value: object, wanted: int) -> None:
    assert millis(value) == wanted
    assert is_quantity(value) == (value not in ("", "many", None, "٣"))


def test_nodes_that_do_not_take_part() -> None:
    two = nodes({"a": 1, "b": 3})
    assert shares(two) == {"a": 0.25, "b": 0.75}
    assert shares([*two, node("down", labels={ZONE: "c"})]) == {"a": 0.25, "b": 0.75}
    master = {ZONE: "c", "node-role.kubernetes.io/control-plane": ""}
    assert shares([*two, node("m", ready=True, labels=master)]) == {"a": 0.25, "b": 0.75}
    assert shares([node(n, ready=True, labels={ZONE: n}) for n in "ab"]) == {"a": 0.5, "b": 0.5}
    none = with_status(node("z", ready=True, labels={ZONE: "a"}), allocatable={"cpu": "0"})
    assert shares([*two, none]) == {}


def world(replicas: int, notes: Mapping[str, str], **fields: object) -> World:
    made = with_annotations(service("web", WEB, clusterIP="10.96.0.9", **fields), notes)  # type: ignore[arg-type]
    w = World(
        lab(),
        node("n1", labels={ZONE: "a"}),
        node("n2", labels={ZONE: "b"}),
        deployment("web", replicas, WEB),
        made,
    )
    w.run()
    return w


def meant(w: World) -> Counter[str]:
    """How many endpoints are meant for each zone; `-` for those without hints."""
    found: Counter[str] = Counter()
    for each in w.list("EndpointSlice"):
        for endpoint in items(each, "endpoints"):
            zones = items(mapping(endpoint, "hints"), "forZones")
            found[text(zones[0], "name") if zones else "-"] += 1
    return found


def said(w: World) -> Json:
    return condition(w.get("Service", "web"), CONDITION)


# (annotations, whether there are hints)
ASKED = [
    ({}, False),
    (AUTO, True),
    ({MODE: "auto"}, True),
    ({MODE: "Disabled"}, False),
    ({OLD: "Auto"}, True),
    ({OLD: "Disabled", MODE: "Auto"}, False),
]


@pytest.mark.parametrize(("notes", "hinted"), ASKED)
def test_who_asks_gets_hints(notes: Mapping[str, str], hinted: bool) -> None:
    w = world(4, notes)
    assert meant(w) == ({"a": 2, "b": 2} if hinted else {"-": 4})
    assert bool(said(w)) == hinted


def test_endpoints_are_distributed_evenly_and_each_zone_keeps_to_its_own() -> None:
    """C-196: from the annotation to what nodes are given."""
    w = world(4, AUTO)
    assert (said(w)["status"], said(w)["reason"]) == ("True", "TopologyAwareHintsEnabled")
    [row] = Compiler().compile(w.store.view()).values()
    given = {name: {format_address(e.addr) for e in row.usable(name)} for name in ("n1", "n2")}
    assert {name: len(found) for name, found in given.items()} == {"n1": 2, "n2": 2}
    assert not given["n1"] & given["n2"]


def test_hints_go_when_they_are_not_safe_and_come_back() -> None:
    w = world(4, AUTO)
    w.set_spec("Deployment", "web", replicas=1)
    w.run()
    assert meant(w) == {"-": 1}
    assert (said(w)["status"], said(w)["reason"]) == ("False", "TopologyAwareHintsDisabled")
    assert said(w)["message"] == "Insufficient number of endpoints (1 endpoints, 2 zones)"
    w.set_spec("Deployment", "web", replicas=6)
    w.run()
    assert meant(w) == {"a": 3, "b": 3}
    w.update(with_status(w.get("Node", "n1"), allocatable={"cpu": "2"}))
    w.run()
    assert meant(w) == {"a": 4, "b": 2}
    web = w.get("Service", "web")
    w.update({**web, "metadata": {**mapping(web, "metadata"), "annotations": {}}})
    w.run()
    assert (meant(w), said(w)) == ({"-": 6}, {})


def test_the_annotation_counts_before_the_distribution() -> None:
    fields: Object = {"trafficDistribution": "PreferSameNode"}
    w = world(1, AUTO, **fields)
    assert meant(w) == {"-": 1}
    assert spec(w.get("Service", "web"))["trafficDistribution"] == "PreferSameNode"
