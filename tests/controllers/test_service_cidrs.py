"""The Lab's range of Services is an object, and ranges in use stay (P-114)."""

from __future__ import annotations

from netsim.api.fields import Json, items, mapping, text, texts
from netsim.api.meta import ObjectKey
from netsim.controllers.objects import condition, is_true, spec, status
from netsim.controllers.service_cidrs import FINALIZER
from tests.controllers.world import Object, World, lab, service


def service_cidr(name: str, *cidrs: str) -> Object:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": {"name": name},
        "spec": {"cidrs": list(cidrs)},
    }


def world(*objects: Json) -> World:
    made = World(lab(serviceCIDR="10.43.0.0/16"), *objects)
    made.settle()
    return made


def get(w: World, name: str) -> Json | None:
    return w.store.view().get(ObjectKey("ServiceCIDR", "", name))


def delete(w: World, name: str) -> Json | None:
    w.store.delete(ObjectKey("ServiceCIDR", "", name))
    w.settle()
    return get(w, name)


def test_the_labs_range_is_the_one_named_kubernetes() -> None:
    found = get(world(), "kubernetes")
    assert found is not None
    assert texts(spec(found), "cidrs") == ("10.43.0.0/16",)
    assert is_true(found, "Ready")
    assert texts(mapping(found, "metadata"), "finalizers") == (FINALIZER,)


def test_a_range_that_nobody_needs_goes_and_the_labs_comes_back() -> None:
    w = world(service_cidr("more", "10.1.0.0/24"), service("s", clusterIP="10.43.0.9"))
    assert delete(w, "more") is None
    w.store.delete(ObjectKey("Service", "default", "s"))
    before = get(w, "kubernetes")
    after = delete(w, "kubernetes")
    assert before is not None
    assert after is not None
    assert text(mapping(after, "metadata"), "uid") != text(mapping(before, "metadata"), "uid")


def test_a_range_in_use_waits_and_says_why() -> None:
    w = world(service_cidr("more", "10.1.0.0/24"), service("s", clusterIP="10.1.0.9"))
    kept = delete(w, "more")
    assert kept is not None
    said = condition(kept, "Ready")
    assert (said["status"], said["reason"]) == ("False", "Terminating")
    assert str(said["message"]).startswith("There are still IPAddresses referencing")
    assert len(items(status(kept), "conditions")) == 1
    w.store.delete(ObjectKey("Service", "default", "s"))
    w.settle()
    assert get(w, "more") is None


def test_a_range_may_go_while_another_has_its_addresses() -> None:
    w = world(service_cidr("more", "10.1.0.0/24"), service("s", clusterIP="10.1.0.9"))
    w.add(service_cidr("wide", "10.1.0.0/16"))
    assert delete(w, "more") is None
    assert delete(w, "wide") is not None


def test_finalizers_of_others_stay() -> None:
    given = service_cidr("more", "10.1.0.0/24")
    given["metadata"] = {"name": "more", "finalizers": ["example.com/mine"]}
    w = world(given)
    kept = delete(w, "more")
    assert kept is not None
    assert texts(mapping(kept, "metadata"), "finalizers") == ("example.com/mine",)
