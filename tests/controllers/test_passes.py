from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsim.api.fields import Json, items, number, text
from netsim.api.meta import ObjectKey, labels_of, name_of, namespace_of
from netsim.backends import BACKENDS
from netsim.controllers import all_controllers
from netsim.controllers.base import Create, Pass, PodPart, Quiet, Write, settle
from netsim.controllers.namespaces import namespaces
from netsim.controllers.objects import placement, spec, status, with_condition, with_status
from netsim.controllers.tables import Compiler
from netsim.store.base import Delete, Update
from netsim.store.errors import ApiError
from netsim.store.garbage import cascade
from netsim.store.memory import ObjectStore
from tests.controllers.world import (
    NOW,
    World,
    deployment,
    lab,
    look,
    node,
    pod,
    replica_set,
    service,
    view,
)


def test_a_quiet_controller_rests_until_what_it_reads_changes() -> None:
    asked: list[int] = []
    writes: list[Write] = [Create(pod("p"))]

    def controller(p: Pass) -> list[Write]:
        asked.append(p.view.revision)
        return writes

    quiet = Quiet(controller, "Pod")
    one = view(pod("p"), revision=1)
    assert quiet(Pass(one, NOW)) == writes
    assert quiet(Pass(one, NOW)) == writes, "not at rest as long as it writes"
    writes.clear()
    for _ in range(3):
        assert quiet(Pass(one, NOW)) == []
    assert len(asked) == 3
    quiet(Pass(view(pod("p"), revision=2), NOW))
    quiet(Pass(view(pod("p"), revision=2), NOW, frozenset({"node1"})))
    assert len(asked) == 5


def test_a_controller_of_placement_rests_while_programs_start() -> None:
    asked: list[int] = []

    def controller(p: Pass) -> list[Write]:
        asked.append(p.view.revision)
        return []

    store = ObjectStore()
    quiet = Quiet(controller, "Node", of_pods=PodPart(placement))

    def asked_after(*writes: Write) -> bool:
        before = len(asked)
        store.transaction(writes)
        quiet(Pass(store.view(), NOW))
        return len(asked) > before

    assert asked_after(Create(pod("p")))
    [stored] = store.view().list("Pod")
    conditions = with_condition([], "Ready", "True", NOW)
    assert not asked_after(Update(with_status(stored, phase="Running", conditions=conditions)))
    [stored] = store.view().list("Pod")
    assert asked_after(Update(with_status(stored, phase="Succeeded")))
    [stored] = store.view().list("Pod")
    assert asked_after(Update(with_status(stored, podIP="10.244.0.2")))
    assert asked_after(Create(pod("q")))
    assert not asked_after()
    assert asked_after(Create(node("n")))
    assert asked_after(Delete(ObjectKey("Pod", "default", "q")))


def test_controllers_that_undo_each_other_are_found_out() -> None:
    with pytest.raises(RuntimeError, match="still write after 7 rounds"):
        settle(lambda: look(), lambda _: None, [lambda _: [Create(pod("p"))]], rounds=7)


def test_each_controller_sees_what_the_one_before_wrote() -> None:
    store = ObjectStore()

    def first(p: Pass) -> list[Write]:
        return [] if p.view.list("Pod") else [Create(pod("p"))]

    def second(p: Pass) -> list[Write]:
        pods, nodes = p.view.list("Pod"), p.view.list("Node")
        return [Create(node(name_of(pods[0])))] if pods and not nodes else []

    assert settle(lambda: Pass(store.view(), NOW), store.transaction, [first, second]) == 1


def test_namespaces_that_are_used_exist() -> None:
    store, controller = ObjectStore(), namespaces
    store.create(pod("p", namespace="shop"))

    def run() -> list[str]:
        store.transaction(controller(Pass(store.view(), NOW)))
        return [name_of(n) for n in store.view().list("Namespace")]

    assert run() == ["default", "shop"]
    (first, _) = store.view().list("Namespace")
    assert labels_of(first)["kubernetes.io/metadata.name"] == "default"
    store.delete(ObjectKey("Pod", "shop", "p"))
    store.delete(ObjectKey("Namespace", "", "shop"))
    assert run() == ["default"], "an empty namespace that was deleted stays away"


def test_a_condition_moves_its_time_only_with_its_status() -> None:
    one = with_condition([], "Ready", "True", "t1", reason="A")
    two = with_condition(one, "Ready", "True", "t2", reason="B")
    three = with_condition(two, "Ready", "False", "t3")
    assert [c[0]["lastTransitionTime"] for c in (one, two, three)] == ["t1", "t1", "t3"]
    assert [c[0].get("reason") for c in (one, two, three)] == ["A", "B", None]


# Whatever is put in, it comes to rest, and every pod has a home and an address of its own.

APPS = st.sampled_from(["red", "blue"])
OBJECTS = st.lists(
    st.one_of(
        st.tuples(st.just("Deployment"), APPS, st.integers(0, 4)),
        st.tuples(st.just("ReplicaSet"), APPS, st.integers(0, 4)),
        st.tuples(st.just("Pod"), APPS, st.integers(0, 4)),
        st.tuples(st.just("Service"), APPS, st.integers(0, 1)),
        st.tuples(st.just("Node"), APPS, st.integers(0, 2)),
    ),
    max_size=12,
)


def make(kind: str, app: str, count: int) -> Json:
    labels = {"app": app}
    if kind == "Deployment":
        return deployment(app, count, labels)
    if kind == "ReplicaSet":
        return replica_set(f"{app}-set", count, labels)
    if kind == "Pod":
        return pod(f"{app}-{count}", labels=labels)
    if kind == "Service":
        return service(app, labels if count else None, clusterIP="")
    return node(f"{app}-{count}")


def check(w: World) -> None:
    pods = [p for p in w.pods() if "deletionTimestamp" not in cast("Json", p["metadata"])]
    nodes = {name_of(n) for n in w.list("Node")}
    assert all(text(spec(p), "nodeName") in nodes for p in pods)
    held = [text(status(p), "podIP") for p in pods]
    assert "" not in held
    assert len(set(held)) == len(held)
    for kind in ("Deployment", "ReplicaSet"):
        for obj in w.list(kind):
            assert number(status(obj), "readyReplicas") == number(spec(obj), "replicas")
    tables = Compiler(BACKENDS).compile(w.store.view())
    assert set(tables.pods) == {f"{namespace_of(p)}/{name_of(p)}" for p in pods}
    assert {p.name for p in tables.peers} == nodes
    idle = all_controllers(BACKENDS)
    assert settle(w.take, w.store.transaction, idle) == 0, "new controllers find nothing to do"


def change(w: World, stored: Sequence[Json], which: int, replicas: int) -> None:
    if not stored:
        return
    obj = stored[which % len(stored)]
    if "replicas" in spec(obj):
        w.set_spec(str(obj["kind"]), name_of(obj), replicas=replicas)
    else:
        kind = str(obj["kind"])
        namespace = "" if kind == "Node" else "default"
        gone = Delete(ObjectKey(kind, namespace, name_of(obj)))
        w.store.transaction(cascade(w.store.view(), gone))


@settings(max_examples=40)
@given(OBJECTS, st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4)), max_size=4))
def test_any_set_of_objects_comes_to_rest(
    objects: list[tuple[str, str, int]], changes: list[tuple[int, int]]
) -> None:
    w = World(lab())
    for each in objects:
        try:
            w.add(make(*each))
        except ApiError:
            continue  # a second one of that name
    w.run()
    check(w)
    for which, replicas in changes:
        kinds = ("Deployment", "ReplicaSet", "Pod", "Service", "Node")
        change(w, [o for k in kinds for o in w.list(k)], which, replicas)
        w.run()
        if w.list("Node"):
            check(w)


def test_endpoints_follow_a_deployment_up_and_down() -> None:
    w = World(lab(), deployment("web", 4, {"app": "web"}), service("web", {"app": "web"}))
    for replicas in (4, 1, 6, 0):
        w.set_spec("Deployment", "web", replicas=replicas)
        w.run()
        shown = [e for s in w.list("EndpointSlice") for e in items(s, "endpoints")]
        assert len(shown) == replicas
