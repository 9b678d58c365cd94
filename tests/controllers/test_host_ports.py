"""Which rows pods' host ports get, and when."""

from __future__ import annotations

from collections.abc import Mapping

from netsim.api.addresses import format_address, parse_address
from netsim.api.fields import Json, items
from netsim.backends import BACKENDS
from netsim.controllers.objects import status, with_condition, with_status
from netsim.controllers.tables import Compiler
from netsim.dataplane.rows import PROTOCOLS, ServiceKey, ServiceRow
from netsim.rules.proxied import proxied
from tests.controllers.world import Object, container, lab, look, node, pod, port, service

NODES = [
    node(name, f"10.244.{n}.0/24", f"172.18.0.{n + 2}", ready=True) for n, name in enumerate("ab")
]


def at(number: int, ip: str = "", protocol: str = "TCP") -> Object:
    given = {"hostIP": ip} if ip else {}
    return {"containerPort": 8080, "hostPort": number, "protocol": protocol, **given}


def there(name: str, on: str, address: str, *ports: Object, **fields: object) -> Json:
    """A pod with a sandbox."""
    made = pod(name, on=on, ip=address, containers=[container("main", *ports)], **fields)  # type: ignore[arg-type]
    conditions = with_condition(
        items(status(made), "conditions"), "PodReadyToStartContainers", "True", ""
    )
    return with_status(made, conditions=conditions)


def rows(*objects: Json) -> Mapping[ServiceKey, ServiceRow]:
    return Compiler(BACKENDS).compile(look(lab(), *NODES, *objects).view).services


def leads(*objects: Json, node: str = "a") -> dict[str, str]:
    """Where a node sends what asks for an address, port and protocol."""
    names = {number: name for name, number in PROTOCOLS.items()}
    return {
        f"{format_address(key.addr)}:{key.port} {names[key.proto]}": " ".join(
            f"{format_address(e.addr)}:{e.port}" for e in row.usable(node)
        )
        for key, row in rows(*objects).items()
    }


def test_a_port_of_any_address_is_at_all_of_the_nodes() -> None:
    p = there("p", "a", "10.244.0.2", at(80))
    own = ("172.18.0.2", "10.244.0.1", "10.244.0.0", "127.0.0.1")
    assert leads(p) == {f"{address}:80 TCP": "10.244.0.2:8080" for address in own}
    assert all(row.is_host_port for row in rows(p).values())
    assert len({row.id for row in rows(p).values()}) == 4


def test_a_number_is_several_ports_by_address_and_protocol() -> None:
    """C-192, and C-189."""
    pods = [
        there("p", "a", "10.244.0.2", at(80, "127.0.0.1")),
        there("q", "a", "10.244.0.3", at(80, "172.18.0.2")),
        there("r", "a", "10.244.0.4", at(80, "172.18.0.2", "UDP")),
        there("s", "a", "10.244.0.5", at(80, "172.18.0.2", "SCTP")),
        there("t", "a", "10.244.0.6", at(80, "172.18.0.3")),
    ]
    assert leads(*pods) == {
        "127.0.0.1:80 TCP": "10.244.0.2:8080",
        "172.18.0.2:80 TCP": "10.244.0.3:8080",
        "172.18.0.2:80 UDP": "10.244.0.4:8080",
        "172.18.0.2:80 SCTP": "10.244.0.5:8080",
    }


def test_each_node_has_its_own_at_a_loopback_address() -> None:
    p = there("p", "a", "10.244.0.2", at(80))
    q = there("q", "b", "10.244.1.2", at(80))
    assert leads(p, q, node="a")["127.0.0.1:80 TCP"] == "10.244.0.2:8080"
    assert leads(p, q, node="b")["127.0.0.1:80 TCP"] == "10.244.1.2:8080"
    assert leads(p, q, node="c")["127.0.0.1:80 TCP"] == ""


def test_who_has_none() -> None:
    assert rows(pod("p", on="a", ip="10.244.0.2", containers=[container("c", at(80))])) == {}
    assert rows(there("p", "a", "172.18.0.2", at(80), hostNetwork=True)) == {}
    assert rows(there("p", "nowhere", "10.244.0.2", at(80))) == {}
    assert rows(there("p", "a", "10.244.0.2")) == {}


def test_rows_come_and_go_with_their_pod() -> None:
    compiler, p = Compiler(BACKENDS), there("p", "a", "10.244.0.2", at(80))
    first = compiler.compile(look(lab(), *NODES).view)
    with_it = compiler.compile(look(lab(), *NODES, p).view)
    assert len(with_it.services) == 4
    assert compiler.compile(look(lab(), *NODES).view).services == first.services == {}


def test_a_service_at_the_same_address_comes_second() -> None:
    s = service("s", {"app": "web"}, port(80), clusterIP="10.96.0.9", externalIPs=["172.18.0.2"])
    p = there("p", "a", "10.244.0.2", at(80))
    found = rows(p, s)
    assert found[ServiceKey(parse_address("172.18.0.2"), 80, 6)].is_host_port
    assert found[ServiceKey(parse_address("10.96.0.9"), 80, 6)].frontends == ()


def test_they_are_not_among_the_rules_of_kube_proxy() -> None:
    tables = Compiler(BACKENDS).compile(
        look(lab(), *NODES, there("p", "a", "10.244.0.2", at(80))).view
    )
    assert tables.lab is not None
    assert proxied(tables.nodes["a"], tables.lab, tables.services, {}).ports == ()
