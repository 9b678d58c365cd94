from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.api.fields import Json, items, number
from netsim.controllers.nodeports import BAND, NodePorts
from netsim.controllers.objects import spec
from netsim.controllers.service_update import carried_over
from netsim.store.errors import ApiError
from netsim.store.memory import ObjectStore
from tests.controllers.world import Object, port, service, view

A, B = port(80, "a"), port(81, "b")


def at(node_port: int, of: Json = A) -> Object:
    return {**of, "nodePort": node_port}


def outside(*ports: Json, name: str = "web", **fields: object) -> Object:
    made = service(name, None, *ports)
    return {**made, "spec": {**spec(made), "type": "NodePort", **fields}}


def admitted(new: Json, *stored: Json, allocator: NodePorts | None = None) -> Json:
    return (allocator or NodePorts(Random(1))).admit(view(*stored), new)


def local(*ports: Json, name: str = "web", **fields: object) -> Object:
    """A load balancer with policy Local, which has a health check."""
    made = outside(*ports, name=name, type="LoadBalancer", externalTrafficPolicy="Local")
    return {**made, "spec": {**spec(made), **fields}}


def node_ports(obj: Json) -> list[int]:
    return [number(p, "nodePort") for p in items(spec(obj), "ports")]


def refused(new: Json, *stored: Json) -> ApiError:
    with pytest.raises(ApiError) as caught:
        admitted(new, *stored)
    return caught.value


def test_ports_are_given_from_the_upper_band() -> None:
    found = node_ports(admitted(outside(A, B)))
    assert len(set(found)) == 2
    assert all(30086 <= p <= 32767 for p in found)


def test_what_is_asked_for_is_given_and_what_is_taken_is_refused() -> None:
    assert node_ports(admitted(outside(at(30000))))[0] == 30000
    error = refused(outside(A, at(30007, B)), outside(at(30007), name="other"))
    assert error.code == 422
    [cause] = error.causes
    assert (cause.field, cause.message) == (
        "spec.ports[1].nodePort",
        "Invalid value: 30007: provided port is already allocated",
    )


def test_a_health_checks_port_is_taken_like_any() -> None:
    other = local(at(30001), name="other", healthCheckNodePort=30002)
    assert refused(outside(at(30002)), other).causes[0].field == "spec.ports[0].nodePort"
    error = refused(local(A, healthCheckNodePort=30001), other)
    assert (error.code, "provided port is already allocated" in str(error)) == (500, True)
    error = refused(local(at(30005), healthCheckNodePort=30005))
    assert error.code == 500
    made = admitted(local(A, healthCheckNodePort=30009), other)
    assert number(spec(made), "healthCheckNodePort") == 30009
    given_ = number(spec(admitted(local(A), other)), "healthCheckNodePort")
    assert 30086 <= given_ <= 32767


def test_one_number_serves_protocols_of_one_port() -> None:
    udp = port(80, "u", "UDP")
    tcp_port, udp_port = node_ports(admitted(outside(A, udp)))
    assert tcp_port == udp_port
    assert node_ports(admitted(outside(at(30003, udp), A))) == [30003, 30003]


# type, more, whether its ports get node ports
WHO = [
    ("ClusterIP", {}, False),
    ("ExternalName", {}, False),
    ("NodePort", {}, True),
    ("LoadBalancer", {}, True),
    ("LoadBalancer", {"allocateLoadBalancerNodePorts": False}, False),
]


@pytest.mark.parametrize(("kind", "fields", "gets"), WHO)
def test_who_gets_node_ports(kind: str, fields: Object, gets: bool) -> None:
    asked = outside(A)
    made = admitted({**asked, "spec": {**spec(asked), "type": kind, **fields}})
    assert bool(node_ports(made)[0]) == gets
    assert "healthCheckNodePort" not in spec(made)


def test_a_port_that_is_given_up_is_free_and_one_of_this_transaction_is_not() -> None:
    allocator, store = NodePorts(Random(1)), ObjectStore()
    old = store.create(outside(at(30000), name="other"))
    with pytest.raises(ApiError):
        allocator.admit(store.view(), outside(at(30000)))
    store.update({**old, "spec": {"type": "ClusterIP", "ports": [A]}})
    assert node_ports(allocator.admit(store.view(), outside(at(30000)))) == [30000]
    allocator.admit(store.view(), outside(at(30001), name="first"))
    with pytest.raises(ApiError):
        allocator.admit(store.view(), outside(at(30001), name="second"))


def test_when_all_are_taken_it_says_so() -> None:
    ports = [at(p, port(p, f"p{p}")) for p in range(BAND.first, BAND.last + 1)]
    error = refused(outside(A, name="late"), outside(*ports, name="all"))
    assert (error.code, "range is full" in str(error)) == (500, True)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 3)), max_size=12), st.integers())
def test_no_two_services_share_a_port(steps: list[tuple[str, int]], seed: int) -> None:
    allocator, stored = NodePorts(Random(seed)), dict[str, Json]()
    for name, count in steps:
        ports = [port(80 + i, f"p{i}") for i in range(count)]
        new: Json = outside(*ports, name=name)
        if name in stored:
            new = carried_over(new, stored[name])
        before = {p["name"]: p["nodePort"] for p in items(spec(stored.get(name, {})), "ports")}
        stored[name] = allocator.admit(view(*stored.values()), new)
        after = {p["name"]: p["nodePort"] for p in items(spec(stored[name]), "ports")}
        assert all(after[p] == n for p, n in before.items() if p in after)
        used = [n for obj in stored.values() for n in node_ports(obj)]
        assert len(used) == len(set(used))


# name, old, new, fields of the next state's spec
CARRIED = [
    (
        "a node port that is left out",
        outside(at(30000), at(30001, B)),
        outside(B, A),
        {"ports": [at(30001, B), at(30000)]},
    ),
    (
        "a node port that has moved to another port",
        outside(at(30000)),
        outside(A, at(30000, B)),
        {"ports": [A, at(30000, B)]},
    ),
    (
        "node ports on the way to ClusterIP",
        outside(at(30000), externalTrafficPolicy="Cluster"),
        outside(at(30000), type="ClusterIP", externalTrafficPolicy="Cluster"),
        {"ports": [A], "externalTrafficPolicy": None},
    ),
    (
        "but not one that has just been written",
        outside(at(30000)),
        outside(at(30001), type="ClusterIP"),
        {"ports": [at(30001)]},
    ),
    (
        "a health check's port",
        local(healthCheckNodePort=30009),
        local(),
        {"healthCheckNodePort": 30009},
    ),
    (
        "a health check's port on the way to policy Cluster",
        local(healthCheckNodePort=30009),
        local(healthCheckNodePort=30009, externalTrafficPolicy="Cluster"),
        {"healthCheckNodePort": None},
    ),
    (
        "what is a load balancer's",
        local(allocateLoadBalancerNodePorts=True, loadBalancerClass="a"),
        outside(allocateLoadBalancerNodePorts=True, loadBalancerClass="a"),
        {"allocateLoadBalancerNodePorts": None, "loadBalancerClass": None},
    ),
    (
        "a cluster IP on the way to ExternalName",
        outside(clusterIP="10.96.0.7", clusterIPs=["10.96.0.7"]),
        outside(type="ExternalName", clusterIP="10.96.0.7", clusterIPs=["10.96.0.7"]),
        {"clusterIP": None, "clusterIPs": None},
    ),
]


@pytest.mark.parametrize(
    ("old", "new", "wanted"), [c[1:] for c in CARRIED], ids=[c[0] for c in CARRIED]
)
def test_what_a_service_keeps_and_loses(old: Json, new: Json, wanted: Object) -> None:
    found = spec(carried_over(new, old))
    assert {name: found.get(name) for name in wanted} == wanted
