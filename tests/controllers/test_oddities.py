"""Addresses that are tolerated and told of once, and what churn leaves behind."""

from __future__ import annotations

from netsim.api.meta import ObjectKey
from netsim.controllers.changes import Tracker
from netsim.controllers.objects import spec
from netsim.controllers.oddities import Oddities
from netsim.controllers.proxy import Compiler
from netsim.store.base import Create, Delete, Update
from netsim.store.memory import ObjectStore
from tests.controllers.world import Object, port, service

BAD: Object = {
    "clusterIP": "10.96.0.1",
    "type": "LoadBalancer",
    "externalIPs": ["192.0.2.010", "fd00::1", "x"],
    "loadBalancerSourceRanges": ["10.0.0.0/8", "fd00::/64"],
}
SAID = (
    "service default/odd: not used: spec.externalIPs: fd00::1, spec.externalIPs: x,"
    " status.loadBalancer.ingress: fd00::9, spec.loadBalancerSourceRanges: fd00::/64"
)


def odd() -> Object:
    ingress = [{"ip": "fd00::9"}, {"ip": "192.0.2.1"}, {"hostname": "h"}]
    made = service("odd", None, port(80))
    balancer = {"loadBalancer": {"ingress": ingress}}
    return {**made, "spec": {**spec(made), **BAD}, "status": balancer}


def test_what_is_passed_over_is_told_once_for_each_object() -> None:
    store, oddities, compiler = ObjectStore(), Oddities(), Compiler()
    services = Tracker("Service")
    store.create(service("fine", None, port(80), clusterIP="10.96.0.2"))
    store.create(service("none", None, port(80), clusterIP="None", externalIPs=["x"]))
    assert oddities.advance(services.advance(store.view())) == []
    store.create(odd())
    assert oddities.advance(services.advance(store.view())) == [SAID]
    assert sorted(row.name for row in compiler.compile(store.view()).values()) == [
        "default/fine",
        "default/odd",
    ]
    assert oddities.advance(services.advance(store.view())) == []
    key = ObjectKey("Service", "default", "odd")
    stored = store.view().get(key)
    assert stored is not None
    store.transaction([Update({**stored, "spec": {**spec(stored), "sessionAffinity": "None"}})])
    assert oddities.advance(services.advance(store.view())) == []
    stored = store.view().get(key)
    assert stored is not None
    store.transaction([Update({**stored, "spec": {**spec(stored), "externalIPs": ["y"]}})])
    [line] = oddities.advance(services.advance(store.view()))
    assert "externalIPs: y" in line
    store.delete(key)
    store.create(odd())
    assert oddities.advance(services.advance(store.view())) == [SAID]  # another object


def test_churn_leaves_no_numbers_of_services_behind() -> None:
    store, compiler = ObjectStore(), Compiler()
    store.create(service("stays", None, port(80), clusterIP="10.96.0.1"))
    [before] = compiler.compile(store.view()).values()
    for first in range(0, 10_000, 500):
        names = [f"s{number}" for number in range(first, first + 500)]
        store.transaction(
            [Create(service(n, None, port(80), clusterIP=f"10.97.0.{i % 250}"))
             for i, n in enumerate(names)]
        )  # fmt: skip
        assert len(compiler.compile(store.view())) == 251
        store.transaction([Delete(ObjectKey("Service", "default", name)) for name in names])
        compiler.compile(store.view())
    assert list(compiler.compile(store.view()).values()) == [before]
    assert compiler.known == 1
