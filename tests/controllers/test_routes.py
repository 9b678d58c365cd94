from __future__ import annotations

import pytest

from netsim.api.addresses import parse_address
from netsim.api.fields import Json, items
from netsim.backends import BACKENDS, backend
from netsim.backends.base import NO_MAC, NodeNet, format_mac, parse_mac
from netsim.controllers.objects import status, with_condition, with_status
from netsim.controllers.routes import Compiler, Routes, compile_routes
from netsim.controllers.tables import Compiler as TablesCompiler
from netsim.dataplane.rows import LabRow, PathRow, PeerRow, PodRow, ProxyRow
from tests.controllers.world import World, lab, node, pod, service, view

MAC = "4e:38:ae:b0:85:95"
LEASE = {"flannel.alpha.coreos.com/backend-data": f'{{"VNI":1,"VtepMAC":"{MAC}"}}'}
A = node("a", cidr="10.244.0.0/24", ip="172.18.0.2", ready=True, annotations=LEASE)
B = node("b", cidr="10.244.1.0/24", ip="172.18.0.3", ready=True)
NET = NodeNet("a", 1, parse_address("10.244.0.0"), 24, 8472, parse_mac(MAC), True)


def routes(*objects: Json) -> Routes:
    return compile_routes(view(*objects), BACKENDS)


def pod_rows(*objects: Json) -> dict[str, PodRow]:
    return dict(Compiler(BACKENDS).compile(view(*objects))[1])


def attached(made: Json) -> Json:
    conditions = items(status(made), "conditions")
    there = with_condition(conditions, "PodReadyToStartContainers", "True", "")
    return with_status(made, conditions=there)


# spec 2.0: (backend, MTU of pods, device, port, address on the tunnel)
TRANSPORTS = [
    ("vxlan", 1450, "flannel.1", 8472, "10.244.0.0"),
    ("udp", 1472, "flannel0", 8285, "10.244.0.0"),
    ("host-gw", 1500, None, 0, "10.244.0.0"),
]


@pytest.mark.parametrize(("name", "mtu", "device", "port", "tunnel"), TRANSPORTS)
def test_a_backend_says_mtu_port_device_and_addresses(
    name: str, mtu: int, device: str | None, port: int, tunnel: str
) -> None:
    found = routes(lab(backend=name), A, B).nodes["a"]
    assert (found.mtu, found.port, found.backend) == (mtu, port, name)
    assert found.tunnel_addr == parse_address(tunnel)
    assert found.cni_addr == parse_address("10.244.0.1")
    assert backend(name).device(1) == device


def test_an_unknown_backend_is_named() -> None:
    with pytest.raises(ValueError, match="no backend 'geneve': use one of vxlan, udp, host-gw"):
        backend("geneve")


def test_only_vxlan_has_lease_data_and_macs() -> None:
    data = {n: b.lease_data(1, parse_mac(MAC)) for n, b in BACKENDS.items()}
    assert data == {"vxlan": f'{{"VNI":1,"VtepMAC":"{MAC}"}}', "udp": "null", "host-gw": "null"}
    macs = {n: b.peer(NET).mac for n, b in BACKENDS.items()}
    assert macs == {"vxlan": parse_mac(MAC), "udp": NO_MAC, "host-gw": NO_MAC}


@pytest.mark.parametrize("text", ["", "4e:38", "4e:38:ae:b0:85:9", "4e:38:ae:b0:85:zz"])
def test_what_is_no_mac(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_mac(text)


def test_macs_print_as_they_are_read() -> None:
    assert format_mac(parse_mac(MAC)) == MAC


def test_every_node_is_a_peer_with_a_path() -> None:
    found = routes(lab(), A, B)
    assert found.lab == LabRow(((parse_address("10.96.0.0"), 12),), "udp")
    assert found.peers == (
        PeerRow("a", parse_address("172.18.0.2"), 8472, parse_mac(MAC), True),
        PeerRow("b", parse_address("172.18.0.3"), 8472, NO_MAC, True),
    )
    assert found.paths == (
        PathRow(parse_address("10.244.0.0"), 24, "a"),
        PathRow(parse_address("10.244.1.0"), 24, "b"),
    )


def test_nodes_that_are_not_ready_or_not_complete_have_no_rows() -> None:
    down = node("down", cidr="10.244.2.0/24", ip="172.18.0.4")
    bare = node("bare", ready=True)
    found = routes(lab(), A, down, bare)
    assert list(found.nodes) == ["a"]
    assert [p.name for p in found.peers] == ["a"]


def test_an_external_node_is_a_peer_only() -> None:
    note = {**LEASE, "netsim.dev/external": "true"}
    far = node("far", cidr="10.244.9.0/24", ip="192.0.2.1", annotations=note)
    found = routes(lab(), A, far)
    assert list(found.nodes) == ["a"]
    assert found.peers[1] == PeerRow("far", parse_address("192.0.2.1"), 8472, parse_mac(MAC), False)
    assert found.paths[1].via == "far"


def test_a_pod_has_a_row_while_its_sandbox_exists() -> None:
    p = pod("p", on="a", ip="10.244.0.2")
    assert pod_rows(lab(), A, p) == {}
    row = PodRow("default/p", "a", parse_address("10.244.0.2"), 1450, "pod/default/p")
    assert pod_rows(lab(), A, attached(p)) == {"default/p": row}


NO_ROW = [
    ("no address", pod("p", on="a")),
    ("the node's network", pod("p", on="a", ip="172.18.0.2", hostNetwork=True)),
    ("a node without a row", pod("p", on="x", ip="10.244.0.2")),
]


@pytest.mark.parametrize("given", [n[1] for n in NO_ROW], ids=[n[0] for n in NO_ROW])
def test_pods_without_rows(given: Json) -> None:
    assert pod_rows(lab(), A, attached(given)) == {}


def test_node_uids_follow_the_object_not_the_name() -> None:
    def uid(object_uid: str) -> int:
        made = {**A, "metadata": {"name": "a", "uid": object_uid, "annotations": LEASE}}
        return routes(lab(), made).nodes["a"].uid

    assert uid("x") == uid("x") != uid("y")
    assert 0 < uid("x") < 1 << 63


def test_a_node_has_the_labs_proxy_mode_or_its_own() -> None:
    """C-104 for `primary`: nftables has node ports at the node's own address only (P-04, P-05)."""
    own = node(
        "own",
        cidr="10.244.2.0/24",
        ip="172.18.0.4",
        ready=True,
        annotations={"netsim.dev/proxy-mode": "nftables"},
    )
    found = routes(lab(), A, own).nodes
    assert found["a"].proxy == ProxyRow()
    primary = ((parse_address("172.18.0.4"), 32),)
    assert found["own"].proxy == ProxyRow(
        localhost_node_ports=False,
        node_port_ranges=primary,
        refused_at="cluster-ips",
        affinity_clients=65535,
        affinity_evicts=False,
        refuses_own=True,
        ranges_first=True,
        drops_rest=True,
    )
    ipvs = routes(lab(proxyMode="ipvs", proxy={"ipvsScheduler": "lc"}), A, own).nodes
    assert (ipvs["a"].proxy.scheduler, ipvs["own"].proxy) == ("lc", found["own"].proxy)
    assert routes(lab(proxyMode="ipvs"), A).nodes["a"].proxy.scheduler == "rr"
    assert routes(lab(proxyMode="userspace"), A).nodes["a"].proxy.relays
    everywhere = routes(lab(proxyMode="nftables", proxy={"nodePortAddresses": ["0.0.0.0/0"]}), A)
    assert everywhere.nodes["a"].proxy == found["own"].proxy._replace(node_port_ranges=((0, 0),))


def test_without_a_lab_there_is_nothing() -> None:
    assert routes(A) == Routes(None, {}, (), (), 0)


def test_nothing_is_compiled_while_nothing_changed() -> None:
    w = World(lab(), service("web", {"app": "web"}, clusterIP="10.96.0.10"))
    w.run()
    compiler, tables = Compiler(BACKENDS), TablesCompiler(BACKENDS)
    (first, pods), whole = compiler.compile(w.store.view()), tables.compile(w.store.view())
    w.set_spec("Service", "web", sessionAffinity="ClientIP")
    again = compiler.compile(w.store.view())
    assert again[0] is first
    assert again[1] is pods
    after = tables.compile(w.store.view())
    assert after.nodes is whole.nodes
    assert after.services is not whole.services
