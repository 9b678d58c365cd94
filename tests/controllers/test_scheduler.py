from __future__ import annotations

from collections import Counter

import pytest

from netsim.api.fields import Json, text
from netsim.api.meta import name_of
from netsim.controllers.objects import condition, is_true, spec
from netsim.controllers.scheduler import scheduler
from netsim.store.base import Update
from tests.controllers.world import container, look, node, owned_by, pod

READY = [node(n, cidr=f"10.244.{i}.0/24", ready=True) for i, n in enumerate("abc")]
WEB = owned_by("ReplicaSet", "web")


def bound(*objects: Json) -> dict[str, str]:
    writes = [w.obj for w in scheduler(look(*objects)) if isinstance(w, Update)]
    return {name_of(p): text(spec(p), "nodeName") for p in writes if text(spec(p), "nodeName")}


def refusal(*objects: Json) -> str:
    (only,) = (w.obj for w in scheduler(look(*objects)) if isinstance(w, Update))
    return text(condition(only, "PodScheduled"), "message")


def test_replicas_spread_evenly() -> None:
    pods = [pod(f"web-{i}", owner=WEB) for i in range(7)]
    assert sorted(Counter(bound(*READY, *pods).values()).values()) == [2, 2, 3]


def test_replicas_avoid_nodes_with_their_siblings_before_full_ones() -> None:
    others = [pod(f"other-{i}", on="c") for i in range(5)]
    siblings = [pod("web-1", owner=WEB, on="a"), pod("web-2", owner=WEB, on="b")]
    assert bound(*READY, *others, *siblings, pod("web-3", owner=WEB)) == {"web-3": "c"}


def test_bare_pods_go_where_there_are_fewest() -> None:
    assert bound(*READY, pod("x", on="a"), pod("y", on="b"), pod("z")) == {"z": "c"}


def test_ended_pods_do_not_count() -> None:
    ended = [pod(f"done-{i}", on="a", phase="Succeeded") for i in range(3)]
    assert bound(*READY, *ended, pod("p")) == {"p": "a"}


def test_bound_pods_are_left_alone_and_say_so() -> None:
    assert scheduler(look(*READY, pod("p", on="a"))) == []
    (write,) = scheduler(look(*READY, pod("p")))
    assert isinstance(write, Update)
    assert is_true(write.obj, "PodScheduled")


# Up, but not for us.
CORDONED = node("z", ready=True, unschedulable=True)

FILTERS = [
    ("not ready", node("n"), pod("p"), "1 node(s) were not ready, 1 node(s) were unschedulable"),
    (
        "unschedulable",
        node("n", ready=True, unschedulable=True),
        pod("p"),
        "2 node(s) were unschedulable",
    ),
    (
        "external",
        node("n", ready=True, annotations={"netsim.dev/external": "true"}),
        pod("p"),
        "1 node(s) were external, 1 node(s) were unschedulable",
    ),
    (
        "selector",
        node("n", ready=True, labels={"disk": "hdd"}),
        pod("p", nodeSelector={"disk": "ssd"}),
        "1 node(s) didn't match Pod's node affinity/selector, 1 node(s) were unschedulable",
    ),
    (
        "fixed address",
        node("n", cidr="10.244.7.0/24", ready=True),
        pod("p", annotations={"netsim.dev/pod-ip": "10.244.8.9"}),
        "1 node(s) didn't have the pod's fixed address in their range, "
        "1 node(s) were unschedulable",
    ),
]


def at(port: int, ip: str = "", protocol: str = "TCP") -> Json:
    """A container with a host port."""
    given = {"hostIP": ip} if ip else {}
    return container("main", {"containerPort": 1, "hostPort": port, "protocol": protocol, **given})


HOLDER = at(80, "172.18.0.2")
CLASHES = [
    ("the same", HOLDER, at(80, "172.18.0.2"), True),
    ("another address", HOLDER, at(80, "127.0.0.1"), False),
    ("any address", HOLDER, at(80), True),
    ("one of any", at(80), at(80, "127.0.0.1"), True),
    ("any, written out", at(80, "0.0.0.0"), at(80, "127.0.0.1"), True),
    ("another protocol", at(80), at(80, "", "SCTP"), False),
    ("another number", at(80), at(81), False),
    ("none", at(80), container(), False),
]


@pytest.mark.parametrize(("held", "wanted", "clash"), [c[1:] for c in CLASHES])
def test_host_ports_that_clash(held: Json, wanted: Json, clash: bool) -> None:
    there, waiting = pod("q", on="a", containers=[held]), pod("p", containers=[wanted])
    if clash:
        why = "1 node(s) didn't have free ports for the requested pod ports"
        assert refusal(READY[0], there, waiting) == f"0/1 nodes are available: {why}."
    else:
        assert bound(READY[0], there, waiting) == {"p": "a"}


def test_pods_with_one_host_port_go_to_different_nodes() -> None:
    pods = [pod(f"p{i}", containers=[at(80)]) for i in range(4)]
    assert sorted(bound(*READY, *pods).values()) == ["a", "b", "c"]
    ended = pod("done", on="a", phase="Failed", containers=[at(80)])
    assert bound(READY[0], ended, pods[0]) == {"p0": "a"}


@pytest.mark.parametrize(
    ("only", "waiting", "why"), [f[1:] for f in FILTERS], ids=[f[0] for f in FILTERS]
)
def test_nodes_that_do_not_fit_are_counted(only: Json, waiting: Json, why: str) -> None:
    assert refusal(only, CORDONED, waiting) == f"0/2 nodes are available: {why}."


def test_the_reason_is_written_once() -> None:
    (write,) = scheduler(look(CORDONED, pod("p")))
    assert isinstance(write, Update)
    assert scheduler(look(CORDONED, write.obj)) == []


def test_while_no_node_is_up_yet_pods_just_wait() -> None:
    assert scheduler(look(node("a"), node("b"), pod("p"))) == []


def test_a_fixed_address_that_is_none_fits_nowhere() -> None:
    fixed = pod("p", annotations={"netsim.dev/pod-ip": "nonsense"})
    assert "fixed address" in refusal(READY[0], fixed)


def test_no_nodes_at_all() -> None:
    assert refusal(pod("p")) == "0/0 nodes are available: there is none."


def test_matching_selector_and_fixed_address_choose_the_node() -> None:
    ssd = node("z", cidr="10.244.9.0/24", ready=True, labels={"disk": "ssd"})
    assert bound(*READY, ssd, pod("p", nodeSelector={"disk": "ssd"})) == {"p": "z"}
    fixed = pod("p", annotations={"netsim.dev/pod-ip": "10.244.1.77"})
    assert bound(*READY, ssd, fixed) == {"p": "b"}
