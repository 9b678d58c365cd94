from __future__ import annotations

from netsim.api.fields import Json, items, mapping, text, texts
from netsim.api.meta import ObjectKey, metadata, name_of
from netsim.controllers.balancers import balancers
from netsim.controllers.base import Delete, Pass, Update
from netsim.controllers.objects import spec, status, with_metadata
from tests.controllers.world import NOW, Object, World, lab, port, service, view

POOL = lab(loadBalancerCIDR="192.0.2.0/29")


def balanced(name: str, *addresses: str, **fields: object) -> Object:
    made = service(name)
    made["spec"] = {**spec(made), "type": "LoadBalancer", **fields}
    if addresses:
        made["status"] = {"loadBalancer": {"ingress": [{"ip": a} for a in addresses]}}
    return made


def given_to(*stored: Json) -> dict[str, list[str]]:
    """Addresses that are written, by service."""
    before = {name_of(each): status(each) for each in stored}
    found: dict[str, list[str]] = {}
    for write in balancers(Pass(view(*stored), NOW)):
        assert isinstance(write, Update)
        if status(write.obj) != before[name_of(write.obj)]:
            ingress = items(mapping(status(write.obj), "loadBalancer"), "ingress")
            found[name_of(write.obj)] = [text(each, "ip") for each in ingress]
            assert all(each["ipMode"] == "VIP" for each in ingress)
    return found


def finalizers(w: World) -> list[object]:
    return list(texts(metadata(w.get("Service", "a")), "finalizers"))


def test_a_finalizer_keeps_a_service_while_it_has_a_balancer() -> None:
    """C-203."""
    mine, others = "service.kubernetes.io/load-balancer-cleanup", "example.com/other"
    made = balanced("a", ports=[port(80)], clusterIP="10.96.0.9")
    w = World(POOL, with_metadata(made, namespace="default", finalizers=[others]))
    w.settle()
    assert finalizers(w) == [others, mine]
    w.set_spec("Service", "a", type="ClusterIP")
    w.settle()
    assert finalizers(w) == [others]
    assert status(w.get("Service", "a")) == {"loadBalancer": {}}
    w.set_spec("Service", "a", type="LoadBalancer")
    w.settle()
    assert finalizers(w) == [others, mine]
    w.store.transaction([Delete(ObjectKey("Service", "default", "a"))])
    assert finalizers(w) == [others, mine], "it waits for both"
    w.settle()
    assert finalizers(w) == [others]
    w.update(with_metadata(w.get("Service", "a"), finalizers=None))
    assert not w.list("Service")


def test_another_class_looks_after_its_own() -> None:
    w = World(POOL, with_metadata(balanced("a", loadBalancerClass="x/y"), namespace="default"))
    w.settle()
    assert finalizers(w) == []


def test_each_gets_the_first_address_that_is_free() -> None:
    assert given_to(POOL, balanced("a"), balanced("b", "192.0.2.2"), balanced("c")) == {
        "a": ["192.0.2.1"],
        "c": ["192.0.2.3"],
    }


def test_an_address_can_be_asked_for() -> None:
    assert given_to(POOL, balanced("a", loadBalancerIP="192.0.2.5")) == {"a": ["192.0.2.5"]}
    for asked in ("192.0.2.0", "192.0.2.7", "192.0.2.2", "10.0.0.1", "x"):
        wish = balanced("a", loadBalancerIP=asked)
        assert given_to(POOL, wish, balanced("b", "192.0.2.2")) == {}


def test_who_comes_too_late_waits() -> None:
    services = [balanced(f"s{i}") for i in range(8)]
    found = given_to(POOL, *services)
    assert len({a for [a] in found.values()}) == len(found) == 6
    assert given_to(lab(loadBalancerCIDR="192.0.2.1/32"), balanced("a")) == {"a": ["192.0.2.1"]}


def test_others_are_left_alone() -> None:
    strange = balanced("a", loadBalancerClass="example.com/x")
    assert given_to(POOL, strange, balanced("b", "203.0.113.9"), service("c", None)) == {}
    assert given_to(balanced("a")) == {}


def test_what_is_no_load_balancer_any_more_gives_its_address_back() -> None:
    assert given_to(POOL, balanced("a", "192.0.2.1", type="NodePort"), balanced("b")) == {
        "a": [],
        "b": ["192.0.2.2"],
    }
