from __future__ import annotations

from collections.abc import Mapping

from netsim.api.fields import Json
from netsim.api.meta import ObjectKey
from netsim.controllers.health import HealthCheck, HealthChecks
from netsim.controllers.membership import Name
from netsim.controllers.objects import spec
from netsim.store.memory import ObjectStore
from tests.controllers.world import Object, endpoint_slice, service, slice_port, view

GOES = {"ready": False, "serving": True, "terminating": True}
READY = {"ready": True}


def local(name: str, port: int, **fields: object) -> Object:
    made = service(name, None, clusterIP="10.96.0.9")
    wanted = {
        "type": "LoadBalancer",
        "externalTrafficPolicy": "Local",
        "healthCheckNodePort": port,
        **fields,
    }
    return {**made, "spec": {**spec(made), **wanted}}


def on(node: str, address: str, conditions: Mapping[str, bool] = READY) -> Json:
    return {"addresses": [address], "nodeName": node, "conditions": dict(conditions)}


def members(name: str, of: str, *endpoints: Json) -> Json:
    return endpoint_slice(name, of, [slice_port(8080)], endpoints)


def checks(*objects: Json) -> dict[str, dict[str, int]]:
    found = HealthChecks().advance(view(*objects))
    return {check.service.name: dict(check.endpoints) for check in found}


def test_a_node_has_as_many_as_are_ready_there() -> None:
    ends = [on("n1", "10.0.0.1"), on("n1", "10.0.0.2"), on("n2", "10.0.0.3", {})]
    assert checks(local("a", 30001), members("s", "a", *ends)) == {"a": {"n1": 2, "n2": 1}}


def test_terminating_endpoints_do_not_count() -> None:
    ends = [on("n1", "10.0.0.1", GOES), on("n2", "10.0.0.2", {"ready": False})]
    assert checks(local("a", 30001), members("s", "a", *ends)) == {"a": {}}


def test_one_endpoint_of_two_ports_counts_once() -> None:
    one, two = (members(name, "a", on("n1", "10.0.0.1")) for name in "st")
    assert checks(local("a", 30001), one, two) == {"a": {"n1": 1}}


def test_only_load_balancers_with_policy_local_have_one() -> None:
    others = [
        local("b", 30002, externalTrafficPolicy="Cluster"),
        local("c", 30003, type="NodePort"),
        local("d", 0),
    ]
    assert checks(*others, *[members(n, n, on("n1", "10.0.0.1")) for n in "bcd"]) == {}


def test_checks_follow_services_and_slices() -> None:
    store, health = ObjectStore(), HealthChecks()
    assert health.advance(store.view()) == ()
    store.create(members("s", "a", on("n1", "10.0.0.1")))
    store.create(local("a", 30001))
    found = health.advance(store.view())
    assert found == (HealthCheck(Name("default", "a"), 30001, {"n1": 1}),)
    store.create(members("other", "b", on("n1", "10.0.0.9")))
    assert health.advance(store.view()) is found
    store.create(members("t", "a", on("n2", "10.0.0.2")))
    assert health.advance(store.view())[0].endpoints == {"n1": 1, "n2": 1}
    store.delete(ObjectKey("EndpointSlice", "default", "s"))
    assert health.advance(store.view())[0].endpoints == {"n2": 1}
    store.delete(ObjectKey("Service", "default", "a"))
    assert health.advance(store.view()) == ()
