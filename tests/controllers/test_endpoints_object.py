from __future__ import annotations

from netsim.api.fields import items
from netsim.api.meta import ObjectKey, annotations_of, labels_of, name_of
from netsim.controllers.endpoints_object import CAPACITY, subsets
from netsim.controllers.members import read_member
from netsim.controllers.objects import with_metadata
from tests.controllers.cluster import WEB, Cluster, named, web
from tests.controllers.world import (
    Object,
    port,
    service,
)


def test_the_endpoints_object_sorts_pods_by_readiness() -> None:
    c = Cluster(
        service("web", WEB, port(80, "a"), port(81, "b")),
        web("p", "10.0.0.2"),
        web("q", "10.0.0.3", ready=False),
    )
    (only,) = items(c.endpoints(), "subsets")
    assert [a["ip"] for a in items(only, "addresses")] == ["10.0.0.2"]
    assert [a["ip"] for a in items(only, "notReadyAddresses")] == ["10.0.0.3"]
    assert [(p["name"], p["port"]) for p in items(only, "ports")] == [("a", 80), ("b", 81)]


def test_the_endpoints_object_drops_terminating_pods() -> None:
    c = Cluster(service("web", WEB), web("p", "10.0.0.2"))
    c.store.delete(ObjectKey("Pod", "default", "p"), grace_s=30)
    c.settle()
    assert c.endpoints()["subsets"] == []
    assert c.addresses() == ["10.0.0.2"]


def test_subsets_differ_where_ports_do() -> None:
    c = Cluster(
        service("web", WEB, port(80, target="http")),
        named("p", "10.0.0.2", 8080),
        named("q", "10.0.0.3", 9090),
    )
    found = [
        ([a["ip"] for a in items(s, "addresses")], [p["port"] for p in items(s, "ports")])
        for s in items(c.endpoints(), "subsets")
    ]
    assert sorted(found) == [(["10.0.0.2"], [8080]), (["10.0.0.3"], [9090])]


def test_more_than_a_thousand_addresses_are_truncated_ready_ones_first() -> None:
    pods = [web(f"p{i}", f"10.0.{i // 250}.{i % 250 + 1}", ready=i % 2 == 0) for i in range(1500)]
    members = [m for p in pods if (m := read_member(p)) is not None]
    found, truncated = subsets(service("web", WEB), members)
    (only,) = found
    assert truncated
    assert len(items(only, "addresses")) == 750
    assert len(items(only, "notReadyAddresses")) == 250
    c = Cluster(service("web", WEB), *pods[:3])
    assert CAPACITY not in annotations_of(c.endpoints())


def manual(**fields: object) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": "db", "namespace": "default", "labels": {"team": "x"}},
        "subsets": [
            {
                "addresses": [{"ip": "192.0.2.1", "nodeName": "a"}],
                "notReadyAddresses": [{"ip": "192.0.2.2"}],
                "ports": [{"name": "pg", "port": 5432}],
            }
        ],
        **fields,
    }


def test_hand_made_endpoints_are_mirrored() -> None:
    c = Cluster(service("db"), manual())
    (only,) = c.slices()
    assert labels_of(only) == {
        "team": "x",
        "kubernetes.io/service-name": "db",
        "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io",
    }
    assert only["ports"] == [{"name": "pg", "port": 5432, "protocol": "TCP"}]
    assert only["endpoints"] == [
        {"addresses": ["192.0.2.1"], "conditions": {"ready": True}, "nodeName": "a"},
        {"addresses": ["192.0.2.2"], "conditions": {"ready": False}},
    ]


def test_mirrored_slices_follow_and_go() -> None:
    c = Cluster(service("db"), manual())
    c.update({**c.get("Endpoints", "db"), "subsets": []})
    assert c.slices() == ()
    c.update({**c.get("Endpoints", "db"), "subsets": manual()["subsets"]})
    assert len(c.slices()) == 1
    marked = with_metadata(
        c.get("Endpoints", "db"), labels={"endpointslice.kubernetes.io/skip-mirror": "true"}
    )
    c.update(marked)
    assert c.slices() == ()


def test_what_a_deleted_service_leaves_is_removed_but_not_hand_made_endpoints() -> None:
    c = Cluster(service("web", WEB), service("db"), manual(), web("p", "10.0.0.2"))
    c.delete("Service", "web")
    c.delete("Service", "db")
    assert c.slices() == ()
    assert [name_of(e) for e in c.store.view().list("Endpoints")] == ["db"]


def test_hand_made_slices_are_left_alone() -> None:
    own = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "mine",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "web"},
        },
        "addressType": "IPv4",
        "ports": [],
        "endpoints": [],
    }
    c = Cluster(service("web", WEB), own, web("p", "10.0.0.2"))
    assert "mine" in [name_of(s) for s in c.slices()]
