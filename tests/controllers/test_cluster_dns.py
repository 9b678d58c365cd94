"""The Service of the cluster's DNS: made where it is asked for, the user's where there is one."""

from __future__ import annotations

from random import Random

import pytest

from netsim.api.fields import Json, items, text, texts
from netsim.api.lab_spec import Lab
from netsim.api.meta import ObjectKey, namespace_of
from netsim.controllers.clusterip import ClusterIPs
from netsim.controllers.objects import spec
from netsim.controllers.proxy import Compiler
from netsim.store.base import Delete
from netsim.store.errors import ApiError
from tests.controllers.world import World, lab, node, port, service, view


def world(*objects: Json, asked: bool = True) -> World:
    made = World(lab(clusterDNS=asked, serviceCIDR="10.43.0.0/16"), *objects)
    made.settle()
    return made


def addresses(w: World) -> list[list[tuple[str, str]]]:
    return [
        [(text(e, "nodeName"), texts(e, "addresses")[0]) for e in items(s, "endpoints")]
        for s in w.list("EndpointSlice")
        if namespace_of(s) == "kube-system"
    ]


def test_every_node_is_an_endpoint_for_itself() -> None:
    w = world(node("n1"), node("n2"))
    made = w.get("Service", "kube-dns", "kube-system")
    assert text(spec(made), "clusterIP") == "10.43.0.10"
    assert addresses(w) == [[("n1", "172.18.0.2"), ("n2", "172.18.0.3")]]
    rows = Compiler().compile(w.store.view()).values()
    assert {(row.port, row.proto) for row in rows} == {(53, 17), (53, 6)}
    for row in rows:
        [own] = row.usable("n1", local=True)
        assert (own.addr & 0xFF, own.port, row.internal_local) == (2, 10053, True)
    w.store.delete(ObjectKey("Node", "", "n1"))
    w.settle()
    assert addresses(w) == [[("n2", "172.18.0.3")]]
    w.add(node("n3"))
    w.settle()
    assert [name for [*found] in addresses(w) for name, _ in found] == ["n2", "n3"]


def test_it_comes_back_when_it_is_deleted() -> None:
    w = world(node("n1"))
    w.store.transaction([Delete(ObjectKey("Service", "kube-system", "kube-dns"))])
    w.settle()
    assert len(addresses(w)) == 1
    assert w.get("Service", "kube-dns", "kube-system")


def test_nobody_who_did_not_ask_has_one() -> None:
    w = world(node("n1"), asked=False)
    assert not w.list("Service")
    assert not addresses(w)


def test_the_users_own_is_left_alone() -> None:
    own = service(
        "kube-dns", {"app": "dns"}, port(53), namespace="kube-system", clusterIP="10.43.0.10"
    )
    w = world(node("n1"), own)
    assert w.get("Service", "kube-dns", "kube-system")["spec"] == own["spec"]
    assert addresses(w) == [[]], "the placeholder of a Service without pods"


def test_its_address_is_kept_for_it() -> None:
    allocator = ClusterIPs(Lab.parse({"spec": {"clusterDNS": True}}), Random(1))
    with pytest.raises(ApiError, match="already allocated"):
        allocator.admit(view(), service("s", clusterIP="10.96.0.10"))
    own = service("kube-dns", namespace="kube-system", clusterIP="10.96.0.10")
    assert spec(allocator.admit(view(), own))["clusterIP"] == "10.96.0.10"
    anybody = ClusterIPs(Lab.parse({}), Random(1))
    assert anybody.admit(view(), service("s", clusterIP="10.96.0.10"))
