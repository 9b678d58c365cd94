from __future__ import annotations

import json

import pytest

from netsim.api.fields import Json, text
from netsim.api.meta import annotations_of, labels_of, name_of
from netsim.backends import BACKENDS
from netsim.controllers.base import Create, Delete, Pass, Write
from netsim.controllers.nodes import internal_ip, lost_pods, nodes, vtep_mac
from netsim.controllers.objects import condition, is_true, spec
from netsim.store.base import Update
from tests.controllers.world import World, lab, look, node, pod


def write(p: Pass) -> list[Write]:
    return nodes(p, BACKENDS)


def ranges(world: World) -> dict[str, str]:
    return {name_of(n): text(spec(n), "podCIDR") for n in world.list("Node")}


def addresses(world: World) -> dict[str, str]:
    return {name_of(n): internal_ip(n) for n in world.list("Node")}


def test_without_a_lab_nothing_is_made() -> None:
    assert write(look()) == []


GENERATED = [
    ("two nodes by default", lab(), [], ["node1", "node2"]),
    ("as many as asked for", lab(generate={"nodes": 3}), [], ["node1", "node2", "node3"]),
    ("none beside given ones", lab(), [node("a")], ["a"]),
    ("given ones count", lab(generate={"nodes": 2}), [node("node1")], ["node1", "node2"]),
    ("none when none are wanted", lab(generate={"nodes": 0}), [], []),
]


@pytest.mark.parametrize(
    ("given", "present", "wanted"), [g[1:] for g in GENERATED], ids=[g[0] for g in GENERATED]
)
def test_nodes_are_generated(given: Json, present: list[Json], wanted: list[str]) -> None:
    world = World(given, *present)
    world.settle()
    assert [name_of(n) for n in world.list("Node")] == wanted


def test_fewer_nodes_asked_for_takes_the_last_ones_away() -> None:
    world = World(lab(generate={"nodes": 3}))
    world.settle()
    world.set_spec("Lab", "demo", generate={"nodes": 1})
    world.settle()
    assert [name_of(n) for n in world.list("Node")] == ["node1"]


def test_a_given_node_joins_generated_ones() -> None:
    world = World(lab())
    world.settle()
    world.add(node("extra"))
    world.settle()
    assert [name_of(n) for n in world.list("Node")] == ["extra", "node1", "node2"]


def test_pod_ranges_are_handed_out_by_a_moving_pointer() -> None:
    world = World(lab(podCIDR="10.9.0.0/22", generate={"nodes": 2}))
    world.settle()
    assert ranges(world) == {"node1": "10.9.0.0/24", "node2": "10.9.1.0/24"}
    world.set_spec("Lab", "demo", generate={"nodes": 1})
    world.settle()
    world.set_spec("Lab", "demo", generate={"nodes": 3})
    world.settle()
    # K-65: the range of the deleted node2 is free, but its turn comes only after wrap-around
    assert ranges(world) == {"node1": "10.9.0.0/24", "node2": "10.9.2.0/24", "node3": "10.9.3.0/24"}
    world.set_spec("Lab", "demo", generate={"nodes": 4})
    world.settle()
    assert ranges(world)["node4"] == "10.9.1.0/24"


def test_a_node_for_which_no_range_is_left_says_so() -> None:
    world = World(lab(podCIDR="10.9.0.0/23", generate={"nodes": 9}))
    world.settle()
    assert ranges(world)["node9"] == ""
    ready = condition(world.get("Node", "node9"), "Ready")
    assert "CIDRNotAvailable" in text(ready, "message")


def test_given_ranges_count_as_used_and_stay() -> None:
    world = World(
        lab(), node("a", cidr="10.244.0.0/23"), node("b"), node("c", cidr="192.168.5.0/24")
    )
    world.settle()
    assert ranges(world) == {"a": "10.244.0.0/23", "b": "10.244.2.0/24", "c": "192.168.5.0/24"}


def test_addresses_begin_behind_the_bridge_and_given_ones_stay() -> None:
    world = World(
        lab(nodeCIDR="192.168.8.0/24"),
        node("a", ip="192.168.8.227"),
        node("b"),
        node("c", annotations={"netsim.dev/node-ip": "192.168.8.2"}),
        node("d", ip="172.16.0.9"),
    )
    world.settle()
    assert addresses(world) == {
        "a": "192.168.8.227",
        "b": "192.168.8.3",
        "c": "192.168.8.2",
        "d": "192.168.8.4",
    }


def test_two_nodes_that_ask_for_one_address_do_not_both_get_it() -> None:
    world = World(lab(nodeCIDR="10.1.0.0/24"), node("a", ip="10.1.0.7"), node("b", ip="10.1.0.7"))
    world.settle()
    assert addresses(world) == {"a": "10.1.0.7", "b": "10.1.0.2"}


def test_annotations_are_flannels() -> None:
    world = World(lab(backend={"vxlan": {"vni": 7}}))
    world.settle()
    first = annotations_of(world.get("Node", "node1"))
    assert first["flannel.alpha.coreos.com/backend-type"] == "vxlan"
    assert first["flannel.alpha.coreos.com/public-ip"] == "172.18.0.2"
    assert first["flannel.alpha.coreos.com/kube-subnet-manager"] == "true"
    data = json.loads(first["flannel.alpha.coreos.com/backend-data"])
    assert data["VNI"] == 7
    assert int(data["VtepMAC"][:2], 16) & 3 == 2  # locally administered, unicast


@pytest.mark.parametrize("backend", ["udp", "host-gw"])
def test_backends_without_vtep_have_no_lease_data(backend: str) -> None:
    world = World(lab(backend=backend))
    world.settle()
    first = world.get("Node", "node1")
    assert annotations_of(first)["flannel.alpha.coreos.com/backend-data"] == "null"
    assert vtep_mac(first) == bytes(6)


def test_macs_depend_on_name_and_seed_only() -> None:
    def macs(seed: int) -> list[bytes]:
        world = World(lab(seed=seed, generate={"nodes": 8}))
        world.settle()
        return [vtep_mac(n) for n in world.list("Node")]

    assert macs(1) == macs(1)
    assert len({*macs(1), *macs(2)}) == 16


def test_an_announced_mac_is_kept() -> None:
    note = {"flannel.alpha.coreos.com/backend-data": '{"VNI":1,"VtepMAC":"4e:38:ae:b0:85:95"}'}
    world = World(lab(), node("a", annotations=note))
    world.settle()
    assert vtep_mac(world.get("Node", "a")) == bytes.fromhex("4e38aeb08595")


def test_ready_follows_the_sandbox() -> None:
    down = [
        w.obj for w in write(look(lab(), node("a", cidr="10.244.0.0/24"))) if isinstance(w, Update)
    ]
    assert not is_true(down[0], "Ready")
    assert "do not exist" in text(condition(down[0], "Ready"), "message")
    (up,) = [w.obj for w in write(look(lab(), down[0], up=["a"])) if isinstance(w, Update)]
    assert is_true(up, "Ready")
    assert condition(up, "NetworkUnavailable")["status"] == "False"
    assert write(look(lab(), up, up=["a"])) == []


def test_an_external_node_is_left_as_it_is() -> None:
    far = node("far", ip="10.99.0.1", annotations={"netsim.dev/external": "true"})
    world = World(lab(), far)
    world.settle()
    after = world.get("Node", "far")
    assert internal_ip(after) == "10.99.0.1"
    assert text(spec(after), "podCIDR") == "10.244.0.0/24"
    assert labels_of(after) == {}


def test_pods_of_a_node_that_is_gone_go_at_once() -> None:
    p = look(node("a"), pod("stays", on="a"), pod("goes", on="b"), pod("waits"))
    (only,) = lost_pods(p)
    assert isinstance(only, Delete)
    assert (only.key.name, only.grace_s) == ("goes", 0)


def test_generation_writes_only_creations_first() -> None:
    assert all(isinstance(w, Create) for w in write(look(lab())))
