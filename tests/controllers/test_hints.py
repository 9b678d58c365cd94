from __future__ import annotations

import pytest

from netsim.api.fields import Json
from netsim.controllers.members import families, read_member
from tests.controllers.world import Object, pod, service

ZONES = {"n1": "a", "n2": "b", "n3": ""}
ZONE: Object = {"forZones": [{"name": "a"}]}
NODE: Object = {"forNodes": [{"name": "n1"}]}

# trafficDistribution, hints of a pod on n1 in zone a, hints of one on n3 in no zone
DISTRIBUTIONS: list[tuple[str, Object, Object]] = [
    ("", {}, {}),
    ("PreferClose", ZONE, {}),
    ("PreferSameZone", ZONE, {}),
    ("PreferSameNode", {**ZONE, **NODE}, {"forNodes": [{"name": "n3"}]}),
]


def hints(distribution: str, *pods: Json) -> list[object]:
    made = service("web", {"app": "web"}, trafficDistribution=distribution)
    members = [member for each in pods if (member := read_member(each)) is not None]
    [family] = families(made, members, ZONES)
    return [endpoint.get("hints", {}) for endpoint in family.endpoints]


@pytest.mark.parametrize(("distribution", "zoned", "bare"), DISTRIBUTIONS)
def test_traffic_distribution(distribution: str, zoned: Object, bare: Object) -> None:
    one = pod("a", on="n1", ip="10.0.0.1", ready=True)
    two = pod("b", on="n3", ip="10.0.0.2", ready=True)
    assert hints(distribution, one, two) == [zoned, bare]


def test_only_ready_endpoints_are_meant_for_somebody() -> None:
    unready = pod("a", on="n1", ip="10.0.0.1", ready=False)
    going = pod("b", on="n1", ip="10.0.0.2", ready=True, deleting=True)
    assert hints("PreferSameNode", unready, going) == [{}, {}]
