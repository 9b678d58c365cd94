"""What keeps a lab from being ready, word for word."""

from __future__ import annotations

import dataclasses

import pytest

from netsim.api.fields import Json
from netsim.lab.status import Running, is_ready, lab_status, not_ready
from netsim.store.base import View
from netsim.store.memory import ObjectStore

READY: Json = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
UP = Running(True, frozenset({"node1"}), {"node1": 7}, 7, {"pid": 1})


def obj(kind: str, name: str, **parts: object) -> Json:
    versions = {"Deployment": "apps/v1", "ReplicaSet": "apps/v1"}
    return {
        "apiVersion": versions.get(kind, "v1"),
        "kind": kind,
        "metadata": {"name": name, **({} if kind == "Node" else {"namespace": "default"})},
        **parts,
    }


def view(*objects: Json) -> View:
    store = ObjectStore()
    for made in objects:
        store.create(made)
    return store.view()


def pod(conditions: list[Json] | None = None, node: str = "node1", **status: object) -> Json:
    spec = {"nodeName": node} if node else {}
    return obj("Pod", "p", spec=spec, status={"conditions": conditions or [], **status})


def container(**state: object) -> list[Json]:
    return [{"name": "c", "ready": False, "state": state}]


PODS = {
    "ready": (pod([{"type": "Ready", "status": "True"}]), ""),
    "done": (pod(phase="Succeeded"), ""),
    "new": (pod(node=""), "not scheduled"),
    "no room": (
        pod(
            [{"type": "PodScheduled", "status": "False", "message": "0/2 nodes are up"}],
            node="",
        ),
        "not scheduled: 0/2 nodes are up",
    ),
    "waits": (
        pod(containerStatuses=container(waiting={"reason": "CrashLoopBackOff", "message": "10s"})),
        "container c: CrashLoopBackOff (10s)",
    ),
    "a sandbox that fails": (
        pod(
            reason="FailedCreatePodSandBox",
            message="no free descriptors",
            containerStatuses=container(waiting={"reason": "ContainerCreating"}),
        ),
        "FailedCreatePodSandBox: no free descriptors",
    ),
    "ended": (
        pod(containerStatuses=container(terminated={"exitCode": 3})),
        "container c ended with exit code 3",
    ),
    "not ready": (
        pod(containerStatuses=container(running={})),
        "container c runs but is not ready",
    ),
    "no sandbox": (pod(message="no more addresses"), "no more addresses"),
    "nothing known": (pod(phase="Running"), "Running"),
    "pending": (pod(), "Pending"),
}


@pytest.mark.parametrize(("made", "reason"), PODS.values(), ids=PODS)
def test_a_pod_says_why(made: Json, reason: str) -> None:
    expected = [{"object": "Pod default/p", "reason": reason}] if reason else []
    assert not_ready(view(made), UP) == expected


NODES = {
    "ready": (READY, UP, ""),
    "new": ({}, dataclasses.replace(UP, nodes_up=frozenset()), "its namespaces do not exist yet"),
    "not ready": ({}, UP, "not ready"),
    "behind": (READY, dataclasses.replace(UP, revisions={"node1": 6}), "runs revision 6, not 7"),
    "unknown": (READY, dataclasses.replace(UP, revisions={}), "the data plane does not run it yet"),
}


@pytest.mark.parametrize(("parts", "running", "reason"), NODES.values(), ids=NODES)
def test_a_node_says_why(parts: Json, running: Running, reason: str) -> None:
    expected = [{"object": "Node node1", "reason": reason}] if reason else []
    assert not_ready(view(obj("Node", "node1", **parts)), running) == expected


def test_an_external_node_is_not_ours_to_wait_for() -> None:
    node = obj("Node", "far")
    node = {**node, "metadata": {"name": "far", "annotations": {"netsim.dev/external": "true"}}}
    assert not_ready(view(node), UP) == []


@pytest.mark.parametrize("kind", ["Deployment", "ReplicaSet"])
@pytest.mark.parametrize(
    ("asked", "ready", "reason"),
    [(2, 2, ""), (2, 1, "1 of 2 replicas ready"), (0, 0, ""), (1, 2, "2 of 1 replicas ready")],
)
def test_a_workload_says_how_many(kind: str, asked: int, ready: int, reason: str) -> None:
    made = obj(kind, "web", spec={"replicas": asked}, status={"readyReplicas": ready})
    expected = [{"object": f"{kind} default/web", "reason": reason}] if reason else []
    assert not_ready(view(made), UP) == expected


def test_the_lab_itself_says_why() -> None:
    assert not_ready(view(), UP) == []
    away = dataclasses.replace(UP, dataplane=None)
    assert not_ready(view(), away) == [{"object": "data plane", "reason": "not running"}]
    busy = dataclasses.replace(UP, settled=False)
    assert not_ready(view(), busy) == [
        {"object": "control", "reason": "changes are being worked on"}
    ]
    failing = dataclasses.replace(UP, errors=("row web: no such node",))
    assert not_ready(view(), failing) == [{"object": "control", "reason": "row web: no such node"}]


def test_a_status_has_counts_nodes_and_counters() -> None:
    made = view(obj("Node", "node1", **READY), pod([{"type": "Ready", "status": "True"}]))
    told = lab_status("t", made, UP, {"node1": {"packets": 3}}, {"node1": {"cni0": 2}})
    assert (told["kind"], told["name"], told["ready"]) == ("LabStatus", "t", True)
    assert told["counts"] == {"Node": 1, "Pod": 1, "Service": 0, "EndpointSlice": 0}
    assert isinstance(told["nodes"], list)
    (node,) = told["nodes"]
    assert (node["pods"], node["revision"], node["counters"]) == (1, 7, {"packets": 3})
    assert node["kernelDrops"] == {"cni0": 2}


@pytest.mark.parametrize(("made", "why"), PODS.values(), ids=PODS)
@pytest.mark.parametrize("running", [UP, dataclasses.replace(UP, settled=False), Running()])
def test_ready_is_when_nothing_is_missing(made: Json, why: str, running: Running) -> None:
    del why
    seen = view(made)
    assert is_ready(seen, running) == (not not_ready(seen, running))
