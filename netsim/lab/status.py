"""What a lab says about itself: ready or not, and exactly what is missing. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from netsim.api.fields import Json, items, mapping, number, text
from netsim.api.meta import annotations_of, key_of, name_of, namespace_of
from netsim.store.base import View


@dataclass(frozen=True, slots=True)
class Running:
    """What the control process knows beside the store.

    `settled`: no pass is due. `nodes_up`: nodes whose namespaces exist. `revisions`: per node, the
    revision that its data plane runs. `published`: the revision of the last rows sent.
    `dataplane`: facts of the data plane process, None while there is none.
    """

    settled: bool = False
    nodes_up: frozenset[str] = frozenset()
    revisions: Mapping[str, int] = field(default_factory=dict)
    published: int = 0
    dataplane: Json | None = None
    errors: tuple[str, ...] = ()


def condition(obj: Json, kind: str) -> Json:
    """The status condition of a type, empty when there is none."""
    for entry in items(mapping(obj, "status"), "conditions"):
        if text(entry, "type") == kind:
            return entry
    return {}


def holds(obj: Json, kind: str) -> bool:
    """Whether a condition is True."""
    return text(condition(obj, kind), "status") == "True"


def is_external(node: Json) -> bool:
    """Whether a Node stands for a machine outside the lab."""
    return annotations_of(node).get("netsim.dev/external") == "true"


def _node_problem(node: Json, running: Running) -> str:
    name = name_of(node)
    if is_external(node):
        return ""
    if name not in running.nodes_up:
        return "its namespaces do not exist yet"
    if not holds(node, "Ready"):
        return text(condition(node, "Ready"), "message") or "not ready"
    if name not in running.revisions:
        return "the data plane does not run it yet"
    if running.revisions[name] < running.published:
        return f"runs revision {running.revisions[name]}, not {running.published}"
    return ""


def _container_problem(pod: Json) -> str:
    """Why the first container that is not ready is not."""
    for status in items(mapping(pod, "status"), "containerStatuses"):
        if status.get("ready") is True:
            continue
        waiting = mapping(mapping(status, "state"), "waiting")
        ended = mapping(mapping(status, "state"), "terminated")
        name = text(status, "name")
        if waiting:
            reason = text(waiting, "reason") or "waiting"
            detail = text(waiting, "message")
            return f"container {name}: {reason}" + (f" ({detail})" if detail else "")
        if ended:
            return f"container {name} ended with exit code {number(ended, 'exitCode')}"
        return f"container {name} runs but is not ready"
    return ""


def _pod_problem(pod: Json) -> str:
    phase = text(mapping(pod, "status"), "phase") or "Pending"
    if (
        holds(pod, "Ready")
        or phase == "Succeeded"
        or "deletionTimestamp" in mapping(pod, "metadata")
    ):
        return ""
    if not text(mapping(pod, "spec"), "nodeName"):
        reason = text(condition(pod, "PodScheduled"), "message")
        return f"not scheduled: {reason}" if reason else "not scheduled"
    reason, message = (text(mapping(pod, "status"), field) for field in ("reason", "message"))
    if message:  # what keeps the pod from existing; its containers only wait for it
        return f"{reason}: {message}" if reason else message
    return _container_problem(pod) or text(condition(pod, "Ready"), "message") or phase


def _workload_problem(obj: Json) -> str:
    asked = number(mapping(obj, "spec"), "replicas", 1)
    ready = number(mapping(obj, "status"), "readyReplicas")
    return "" if ready == asked else f"{ready} of {asked} replicas ready"


PROBLEMS: Mapping[str, Callable[[Json], str]] = {
    "Pod": _pod_problem,
    "ReplicaSet": _workload_problem,
    "Deployment": _workload_problem,
}


def not_ready(view: View, running: Running) -> list[dict[str, str]]:
    """Everything that keeps the lab from being ready: `{object, reason}` each."""
    problems = [{"object": what, "reason": why} for what, why in _problems(view, running)]
    if not problems and not running.settled:
        problems.append({"object": "control", "reason": "changes are being worked on"})
    return problems


def is_ready(view: View, running: Running) -> bool:
    """Whether nothing keeps the lab from being ready; looks no further than the first problem."""
    return running.settled and next(_problems(view, running), None) is None


def _problems(view: View, running: Running) -> Iterator[tuple[str, str]]:
    """Object and reason, of what each object tells by itself."""
    if running.dataplane is None:
        yield "data plane", "not running"
    yield from (("control", error) for error in running.errors)
    for node in view.list("Node"):
        if why := _node_problem(node, running):
            yield str(key_of(node)), why
    for kind, problem in PROBLEMS.items():
        for obj in view.list(kind):
            if why := problem(obj):
                yield str(key_of(obj)), why


def _node_row(
    node: Json,
    running: Running,
    pods: Mapping[str, int],
    stats: Mapping[str, Json],
    kernel: Mapping[str, Mapping[str, int]],
) -> Json:
    name = name_of(node)
    return {
        "name": name,
        "ready": holds(node, "Ready"),
        "external": is_external(node),
        "address": next(
            (
                text(a, "address")
                for a in items(mapping(node, "status"), "addresses")
                if text(a, "type") == "InternalIP"
            ),
            "",
        ),
        "podCIDR": text(mapping(node, "spec"), "podCIDR"),
        "pods": pods.get(name, 0),
        "revision": running.revisions.get(name, 0),
        "counters": stats.get(name, {}),
        "kernelDrops": kernel.get(name, {}),
    }


def lab_status(
    name: str,
    view: View,
    running: Running,
    stats: Mapping[str, Json],
    kernel: Mapping[str, Mapping[str, int]],
) -> dict[str, object]:
    """The answer of `GET /netsim/status`; its shape is an interface (docs/commands.md).

    `stats` has the data plane's counters per node, as `Engine.node_stats` names them; `kernel` what
    was lost outside of it (see kernel_drops).
    """
    pods = view.list("Pod")
    problems = not_ready(view, running)
    on_node = Counter(text(mapping(pod, "spec"), "nodeName") for pod in pods)
    return {
        "apiVersion": "netsim.dev/v1alpha1",
        "kind": "LabStatus",
        "name": name,
        "ready": not problems,
        "notReady": problems,
        "revision": view.revision,
        "published": running.published,
        "nodes": [_node_row(n, running, on_node, stats, kernel) for n in view.list("Node")],
        "counts": {
            kind: len(view.list(kind)) for kind in ("Node", "Pod", "Service", "EndpointSlice")
        },
        "dataPlane": running.dataplane,
        "namespaces": sorted({namespace_of(p) for p in pods}),
    }
