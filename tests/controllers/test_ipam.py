from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netsim.api.addresses import Cidr, parse_address
from netsim.api.fields import Json, text
from netsim.api.meta import ObjectKey, name_of
from netsim.controllers.base import Pass
from netsim.controllers.ipam import ipam
from netsim.controllers.objects import status
from netsim.controllers.ranges import next_free
from netsim.store.base import Update
from netsim.store.memory import ObjectStore
from tests.controllers.world import container, look, node, pod

NODE = node("a", cidr="10.244.3.0/24", ip="172.18.0.2", ready=True)
SMALL = node("s", cidr="10.0.0.0/29", ip="172.18.0.3", ready=True)


def given_to(*objects: Json) -> dict[str, str]:
    writes = [w.obj for w in ipam(look(*objects)) if isinstance(w, Update)]
    return {name_of(p): text(status(p), "podIP") for p in writes if p["kind"] == "Pod"}


def messages(*objects: Json) -> dict[str, str]:
    writes = [w.obj for w in ipam(look(*objects)) if isinstance(w, Update)]
    return {name_of(p): text(status(p), "message") for p in writes if text(status(p), "message")}


def test_the_first_addresses_are_reserved() -> None:
    assert given_to(NODE, pod("p", on="a")) == {"p": "10.244.3.2"}


def test_addresses_are_handed_out_in_turn_not_lowest_first() -> None:
    store = ObjectStore()
    store.create(NODE)
    seen = []
    for i in range(4):
        store.create(pod(f"p{i}", on="a"))
        store.transaction(ipam(Pass(store.view(), "")))
        stored = store.view().get(ObjectKey("Pod", "default", f"p{i}"))
        assert stored is not None
        seen.append(text(status(stored), "podIP"))
        store.delete(ObjectKey("Pod", "default", f"p{i}"), grace_s=0)
    assert seen == ["10.244.3.2", "10.244.3.3", "10.244.3.4", "10.244.3.5"]


def test_an_ended_pods_address_is_free_but_a_terminating_ones_is_not() -> None:
    gone = pod("gone", on="s", ip="10.0.0.2", phase="Succeeded")
    ends = pod("ends", on="s", ip="10.0.0.3", deleting=True)
    others = [pod(f"o{i}", on="s", ip=f"10.0.0.{i}") for i in (4, 5, 6)]
    assert given_to(SMALL, gone, ends, *others, pod("p", on="s"))["p"] == "10.0.0.2"


def test_a_full_range_is_said() -> None:
    full = [pod(f"o{i}", on="s", ip=f"10.0.0.{i}") for i in range(2, 7)]
    assert messages(SMALL, *full, pod("p", on="s")) == {"p": "no free address in 10.0.0.0/29"}


def test_a_fixed_address_is_given() -> None:
    fixed = pod("p", on="a", annotations={"netsim.dev/pod-ip": "10.244.3.200"})
    assert given_to(NODE, pod("q", on="a"), fixed) == {"p": "10.244.3.200", "q": "10.244.3.2"}


def test_a_fixed_address_that_cannot_be_had_is_said_and_not_again() -> None:
    holder = pod("holder", on="a", ip="10.244.3.9")
    wants = pod("p", on="a", annotations={"netsim.dev/pod-ip": "10.244.3.9"})
    assert messages(NODE, holder, wants) == {"p": "10.244.3.9 is held by pod default/holder"}
    low = pod("p", on="a", annotations={"netsim.dev/pod-ip": "10.244.3.1"})
    assert "cannot be a pod's address" in messages(NODE, low)["p"]
    refused = [w.obj for w in ipam(look(NODE, low)) if isinstance(w, Update)]
    assert ipam(look(NODE, *refused)) == []


def test_pods_on_the_nodes_network_have_its_address() -> None:
    assert given_to(NODE, pod("p", on="a", hostNetwork=True)) == {"p": "172.18.0.2"}


def test_a_pod_that_was_bound_by_hand_waits_for_its_host_port() -> None:
    one = container("main", {"containerPort": 80, "hostPort": 80, "protocol": "TCP"})
    first = pod("z", on="a", ip="10.244.3.9", containers=[one])
    second = pod("p", on="a", containers=[one])
    why = "node(s) didn't have free ports for the requested pod ports"
    assert messages(NODE, second, first) == {"p": why}
    writes = [w.obj for w in ipam(look(NODE, second, first)) if isinstance(w, Update)]
    (refused,) = (obj for obj in writes if name_of(obj) == "p")
    assert text(status(refused), "reason") == "NodePorts"
    assert given_to(NODE, refused) == {"p": "10.244.3.2"}
    both = [pod(name, on="a", containers=[one], hostNetwork=True) for name in "qr"]
    assert given_to(NODE, *both) == {"q": "172.18.0.2", "r": ""}


def test_pods_without_a_usable_node_wait() -> None:
    bare = node("bare", cidr="10.1.0.0/24")
    far = node("far", cidr="10.2.0.0/24", ip="1.1.1.1", annotations={"netsim.dev/external": "true"})
    pods = [pod("p", on="bare"), pod("q", on="far"), pod("r", on="none"), pod("s")]
    assert ipam(look(bare, far, *pods)) == []


@given(
    st.integers(0, 40),
    st.integers(1, 12),
    st.integers(-5, 60),
    st.sets(st.integers(0, 55)),
)
def test_next_free_is_the_next_in_turn(first: int, count: int, after: int, used: set[int]) -> None:
    last = first + count - 1
    found = next_free(first, last, after, used)
    turn = list(range(first, last + 1))
    if first <= after < last:
        turn = [n for n in turn if n > after] + [n for n in turn if n <= after]
    assert found == next((n for n in turn if n not in used), None)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8)), max_size=60))
def test_no_two_pods_ever_share_an_address(steps: list[tuple[bool, int]]) -> None:
    store = ObjectStore()
    store.create(SMALL)
    cidr = Cidr.parse("10.0.0.0/29")
    for add, number in steps:
        key = ObjectKey("Pod", "default", f"p{number}")
        present = store.view().get(key) is not None
        if add and not present:
            store.create(pod(f"p{number}", on="s"))
        elif not add and present:
            store.delete(key, grace_s=0)
        store.transaction(ipam(Pass(store.view(), "")))
        held = [text(status(p), "podIP") for p in store.view().list("Pod")]
        held = [ip for ip in held if ip]
        assert len(set(held)) == len(held) == min(5, len(store.view().list("Pod")))
        assert all(cidr.base + 2 <= parse_address(ip) < cidr.last for ip in held)
