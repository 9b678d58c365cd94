"""Services from outside, and what depends on the node, as rows."""

from __future__ import annotations

from typing import cast

import pytest

from netsim.api.addresses import format_address, parse_address
from netsim.api.fields import Json
from netsim.api.meta import ObjectKey
from netsim.controllers.members import ZONE_LABEL
from netsim.controllers.proxy import Compiler
from netsim.dataplane.rows import Choice
from netsim.store.memory import ObjectStore
from tests.controllers.test_proxy import members, rows, web
from tests.controllers.world import Object, node, port, service


def balanced(**fields: object) -> Object:
    status = {"loadBalancer": {"ingress": fields.pop("ingress", [])}}
    return {**web({**port(80), "nodePort": 30080}, **fields), "status": status}


FRONTENDS = [
    ("a ClusterIP", web(port(80)), []),
    (
        "a node port",
        web({**port(80), "nodePort": 30080}, type="NodePort"),
        [("", 30080, "node-port")],
    ),
    ("no node port yet", web(port(80), type="NodePort"), []),
    (
        "external addresses",
        web(port(80), externalIPs=["192.0.2.1", "192.0.2.002", "fd00::1", "x", "0.0.0.0"]),
        [("192.0.2.1", 80, "external-ip"), ("192.0.2.2", 80, "external-ip")],
    ),
    (
        "a load balancer, which the proxy is not to go past",
        balanced(type="LoadBalancer", ingress=[{"ip": "192.0.2.1", "ipMode": "Proxy"}]),
        [("", 30080, "node-port")],
    ),
    (
        "a load balancer",
        balanced(type="LoadBalancer", ingress=[{"ip": "192.0.2.1"}, {"hostname": "h"}]),
        [("192.0.2.1", 80, "load-balancer"), ("", 30080, "node-port")],
    ),
    (
        "what a load balancer left behind",
        balanced(type="NodePort", ingress=[{"ip": "192.0.2.1"}]),
        [("", 30080, "node-port")],
    ),
    (
        "one address twice",
        balanced(type="LoadBalancer", ingress=[{"ip": "192.0.2.1"}], externalIPs=["192.0.2.1"]),
        [("192.0.2.1", 80, "external-ip"), ("", 30080, "node-port")],
    ),
    ("its own address", web(port(80), externalIPs=["10.96.0.10"]), []),
]


@pytest.mark.parametrize(
    ("given", "wanted"), [f[1:] for f in FRONTENDS], ids=[f[0] for f in FRONTENDS]
)
def test_ways_in(given: Json, wanted: list[tuple[str, int, str]]) -> None:
    [row] = rows(given)
    found = [((f.addr and format_address(f.addr)) or "", f.port, f.kind) for f in row.frontends]
    assert found == wanted


def test_policies_and_ranges() -> None:
    local = {"externalTrafficPolicy": "Local", "internalTrafficPolicy": "Local"}
    [row] = rows(web(port(80), **local))
    assert (row.internal_local, row.external_local) == (True, False)
    ranges = ["192.0.2.7/24 ", "fd00::/64", "nonsense", "10.0.0.0/33", "10.0.0.0"]
    [row] = rows(web(port(80), type="LoadBalancer", loadBalancerSourceRanges=ranges, **local))
    assert (row.internal_local, row.external_local) == (True, True)
    assert row.ranges == ((parse_address("192.0.2.0"), 24),)


def test_a_key_is_the_first_services_and_a_cluster_ip_comes_before_others() -> None:
    store, compiler = ObjectStore(), Compiler()

    def holders(addr: str) -> list[str]:
        number = parse_address(addr)
        return [
            row.name
            for row in compiler.compile(store.view()).values()
            if row.addr == number or number in [f.addr for f in row.frontends]
        ]

    store.create(service("b", None, clusterIP="10.96.0.2", externalIPs=["192.0.2.1"]))
    store.create(service("c", None, clusterIP="10.96.0.3", externalIPs=["192.0.2.1", "10.96.0.1"]))
    assert holders("192.0.2.1") == ["default/b"]
    assert holders("10.96.0.1") == ["default/c"]
    store.create(service("d", None, clusterIP="10.96.0.1"))
    assert holders("10.96.0.1") == ["default/d"]
    store.create(service("a", None, clusterIP="10.96.0.4", externalIPs=["192.0.2.1"]))
    assert holders("192.0.2.1") == ["default/a"]
    store.delete(ObjectKey("Service", "default", "a"))
    store.delete(ObjectKey("Service", "default", "b"))
    store.delete(ObjectKey("Service", "default", "d"))
    assert holders("192.0.2.1") == holders("10.96.0.1") == ["default/c"]


def test_sets_are_shared_and_rows_do_not_depend_on_who_reads_them() -> None:
    ends = [{"addresses": [f"10.0.0.{i}"], "nodeName": f"n{i % 3}"} for i in range(1, 7)]
    [row] = rows(web(port(80), internalTrafficPolicy="Local"), members(*ends))
    assert row.cluster == Choice()
    assert row.sets == ((0, 3), (1, 4), (2, 5))
    assert [[e.addr & 0xFF for e in row.usable(f"n{i}", local=True)] for i in range(4)] == [
        [3, 6],
        [1, 4],
        [2, 5],
        [],
    ]


def test_hints_follow_the_zones_of_nodes() -> None:
    store, compiler = ObjectStore(), Compiler()
    ends = [
        {"addresses": [f"10.0.0.{i}"], "hints": {"forZones": [{"name": z}]}}
        for i, z in enumerate("aab", 1)
    ]
    store.create(web(port(80)))
    store.create(members(*ends))

    def seen(node_name: str) -> list[int]:
        [row] = compiler.compile(store.view()).values()
        return [e.addr & 0xFF for e in row.usable(node_name)]

    assert seen("n1") == [1, 2, 3]
    stored = store.create(node("n1", labels={"topology.kubernetes.io/zone": "a"}))
    assert (seen("n1"), seen("n2")) == ([1, 2], [1, 2, 3])
    metadata = {**cast("Object", stored["metadata"]), "labels": {ZONE_LABEL: "b"}}
    store.update({**stored, "metadata": metadata})
    assert seen("n1") == [3]
