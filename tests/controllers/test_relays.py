"""Rows for nodes that relay: a port for each service port, and endpoints that are ready."""

from __future__ import annotations

from netsim.api.fields import Json
from netsim.controllers.proxy import Compiler
from netsim.controllers.relays import PORT_MAX, PORT_MIN, PORTS, Relays
from netsim.dataplane.rows import EndpointRow, ServiceRow
from netsim.store.base import Create, Update
from netsim.store.memory import ObjectStore
from tests.controllers.world import (
    Object,
    endpoint,
    endpoint_slice,
    lab,
    node,
    port,
    service,
    slice_port,
    view,
)

TERMINATING = {"ready": False, "serving": True, "terminating": True}


def web(name: str = "web", ip: str = "10.96.0.10") -> Object:
    ports = [port(80, "a"), port(53, "b", protocol="UDP"), port(9, "c", protocol="SCTP")]
    return service(name, None, *ports, clusterIP=ip)


def members(*endpoints: Json) -> Object:
    ports = [slice_port(8080, "a"), slice_port(53, "b", protocol="UDP")]
    return endpoint_slice("web-1", "web", ports, endpoints)


def rows(*objects: Json) -> dict[str, ServiceRow]:
    found = Compiler().compile(view(*objects)).values()
    return {row.name.partition(":")[2]: row for row in found}


def test_service_ports_of_tcp_and_udp_have_a_port_where_a_node_relays() -> None:
    """P-100."""
    found = rows(lab(proxyMode="userspace"), node("a"), web(), members(endpoint("10.0.0.2")))
    a, b = found["a"].relay, found["b"].relay
    assert a is not None
    assert b is not None
    assert PORT_MIN <= a.port != b.port <= PORT_MAX
    assert (a.endpoints, b.endpoints) == ((EndpointRow(0x0A000002, 8080),), ((0x0A000002, 53),))
    assert found["c"].relay is None


def test_only_ready_endpoints_are_relayed_to() -> None:
    """As in an Endpoints object: nobody falls back on what terminates, and hints say nothing."""
    relayed, gone = endpoint("10.0.0.3"), endpoint("10.0.0.2", **TERMINATING)
    a_lab, a_node = lab(proxyMode="userspace"), node("a")
    found = rows(a_lab, a_node, web(), members(gone, relayed))["a"].relay
    assert found is not None
    assert found.endpoints == ((0x0A000003, 8080),)
    row = rows(a_lab, a_node, web(), members(gone))["a"]
    assert row.relay is not None
    assert row.relay.endpoints == ()
    assert row.usable() == ((0x0A000002, 8080),)


def test_one_node_that_relays_is_enough_and_without_any_there_is_nothing() -> None:
    mode = {"netsim.dev/proxy-mode": "userspace"}
    external = {**mode, "netsim.dev/external": "true"}
    assert rows(lab(), node("a"), node("b", annotations=mode), web())["a"].relay
    assert not rows(lab(), node("a"), web())["a"].relay
    assert not rows(lab(), node("a", annotations=external), web())["a"].relay


def test_a_mode_that_is_switched_changes_the_rows_and_ports_last() -> None:
    plain, relaying = lab(), lab(proxyMode="userspace")
    store = ObjectStore()
    objects = (plain, node("a"), web(), members(endpoint("10.0.0.2")))
    store.transaction([Create(obj) for obj in objects])
    compiler = Compiler()
    assert all(row.relay is None for row in compiler.compile(store.view()).values())
    ports = list[set[int]]()
    for wanted in (relaying, plain, relaying):
        store.transaction([Update(wanted)])
        found = compiler.compile(store.view())
        assert found == Compiler().compile(store.view())
        ports.append({row.relay.port for row in found.values() if row.relay})
    assert ports[0] == ports[2]
    assert (len(ports[0]), ports[1]) == (2, set())


def test_ports_are_given_out_once_and_come_back() -> None:
    ports = Relays()
    first = [ports.take(number * PORTS) for number in range(3)]  # these collide
    assert first == [PORT_MIN, PORT_MIN + 1, PORT_MIN + 2]
    assert ports.take(PORTS) == PORT_MIN + 1
    assert ports.give(PORTS) == PORTS
    ports.give(12345)
    assert ports.take(7 * PORTS) == PORT_MIN + 1
    every = {ports.take(number) for number in range(PORTS)} - {0}
    assert every | set(first) == set(range(PORT_MIN, PORT_MAX + 1))
    assert ports.take(99 * PORTS) == 0
