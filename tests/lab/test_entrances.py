"""What of a node's kernel leads to Services: routes, as Services come and go."""

from __future__ import annotations

from netsim.api.addresses import Cidr, format_address, parse_address
from netsim.api.fields import Json
from netsim.api.lab_spec import Lab
from netsim.backends.base import NodeNet
from netsim.controllers.host_ports import HostPort
from netsim.controllers.routes import proxy_row
from netsim.dataplane.rows import ProxyRow
from netsim.lab.entrances import (
    Entrances,
    Watcher,
    foreign,
    host_port_routes,
    host_port_rules,
    node_routes,
)
from netsim.lab.outside import clients, routes
from netsim.linux.net import Route
from netsim.store.memory import ObjectStore
from tests.controllers.world import Object, service

NODE = NodeNet(
    name="n1",
    address=parse_address("172.18.0.2"),
    pod_cidr=parse_address("10.244.1.0"),
    pod_len=24,
    port=8472,
    mac=bytes(6),
    local=True,
)
OWN = {parse_address(a) for a in ("172.18.0.2", "10.244.1.1", "10.244.1.0")}
EXTERNAL = parse_address("192.0.2.7")


def parsed(**spec: object) -> Lab:
    return Lab.parse({"spec": spec})


def node_port_addresses(proxy: Json, mode: str = "iptables") -> set[str]:
    lab = parsed(proxy=proxy)
    row = proxy_row(lab, NODE, mode)
    found = node_routes(lab, NODE, row, Entrances(node_ports=True), OWN)
    return {str(Cidr(r.prefix, r.length)) for r in found if r.table == 30}


def test_node_port_addresses() -> None:
    everywhere = {"172.18.0.2/32", "10.244.1.1/32", "10.244.1.0/32", "127.0.0.0/8"}
    assert node_port_addresses({}) == everywhere
    assert node_port_addresses({}, "nftables") == {"172.18.0.2/32"}
    only: dict[str, object] = {"localhostNodePorts": False}
    assert node_port_addresses(only) == everywhere - {"127.0.0.0/8"}
    only["nodePortAddresses"] = ["primary"]
    assert node_port_addresses(only) == {"172.18.0.2/32"}
    only["nodePortAddresses"] = ["10.244.0.0/16", "fd00::/64"]
    assert node_port_addresses(only) == {"10.244.1.1/32", "10.244.1.0/32"}


def test_host_ports_have_rules_where_they_are_served() -> None:
    any_, one, loopback, other = (
        HostPort(parse_address(a), "TCP", 80 + n, 8080)
        for n, a in enumerate(("0.0.0.0", "172.18.0.2", "127.0.0.9", "172.18.0.3"))
    )
    found = host_port_rules([any_, one, loopback, other], OWN)
    where = {(format_address(r.address), r.protocol, r.ports, r.table) for r in found}
    own = ("172.18.0.2", "10.244.1.1", "10.244.1.0", "127.0.0.1")
    assert where == {
        *((address, 6, (80, 80), 31) for address in own),
        ("172.18.0.2", 6, (81, 81), 31),
        ("127.0.0.9", 6, (82, 82), 31),
    }
    leads = {str(Cidr(r.prefix, r.length)): format_address(r.src) for r in host_port_routes(OWN)}
    assert leads == {**{f"{a}/32": a for a in own[:3]}, "127.0.0.0/8": "127.0.0.1"}


def test_addresses_that_are_routed_already_need_no_route() -> None:
    known = ["172.18.0.3", "10.244.9.9", "10.96.0.1", "10.1.0.1", "172.19.0.5"]
    ranges = (Cidr.parse("10.96.0.0/12"), Cidr.parse("10.1.0.0/24"))
    entrances = Entrances(False, frozenset({*map(parse_address, known), EXTERNAL}), ranges)
    assert foreign(parsed(), entrances) == [EXTERNAL]
    found = node_routes(parsed(), NODE, ProxyRow(), entrances, OWN)
    assert found == [
        Route(parse_address("10.96.0.0"), 12, "cni0", src=NODE.address),
        Route(parse_address("10.1.0.0"), 24, "cni0", src=NODE.address),
        Route(parse_address("172.19.0.0"), 24, "cni0", src=NODE.address),
        Route(EXTERNAL, 32, "cni0", src=NODE.address),
    ]


def test_clients_are_at_the_end_of_the_node_range() -> None:
    given = parsed(nodeCIDR="172.18.0.0/28", outside=["a", "b"])
    assert [(c.name, c.address & 15) for c in clients(given)] == [("a", 14), ("b", 13)]
    entrances = Entrances(addresses=frozenset({EXTERNAL}))
    assert routes(given, [], entrances) == []
    assert {(r.prefix, r.device, r.via) for r in routes(given, [NODE], entrances)} == {
        (parse_address("172.19.0.0"), "eth0", NODE.address),
        (EXTERNAL, "eth0", NODE.address),
    }


def outside(name: str, **spec: object) -> Object:
    made = service(name, None, clusterIP="10.96.0.7")
    fields = made["spec"]
    assert isinstance(fields, dict)
    return {**made, "spec": {**fields, **spec}}


def test_services_are_followed() -> None:
    store, watcher = ObjectStore(), Watcher()
    assert watcher.advance(store.view()) == Entrances()
    store.create(outside("a"))
    assert watcher.advance(store.view()) == Entrances()
    second: Json = store.create(outside("b", type="NodePort", externalIPs=["192.0.2.7"]))
    assert watcher.advance(store.view()) == Entrances(True, frozenset({EXTERNAL}))
    fields = {"clusterIP": "10.96.0.8", "externalIPs": ["192.0.2.7"]}
    second = store.update({**second, "spec": fields})
    # connections to its node port go on
    assert watcher.advance(store.view()) == Entrances(True, frozenset({EXTERNAL}))
    store.update({**second, "spec": {"clusterIP": "None", "type": "NodePort"}})
    assert watcher.advance(store.view()) == Entrances(True)
