"""Scheduler: a node for every pod that has none, spread evenly.

Filters as Kubernetes does (ready, schedulable, `nodeSelector`), then takes the node with the fewest
pods of the same owner, of those the one with the fewest pods, of those the first by name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from netsim.api.addresses import address_or_none
from netsim.api.fields import Json, flag, items, strings, text
from netsim.api.meta import annotations_of, labels_of, name_of, namespace_of
from netsim.api.pods import POD_IP_ANNOTATION
from netsim.controllers.base import Pass, Update, Write
from netsim.controllers.nodes import is_external, pod_range
from netsim.controllers.objects import (
    controller_of,
    deleting,
    finished,
    is_true,
    spec,
    status,
    uid_of,
    with_condition,
    with_spec,
    with_status,
)

# Why a node is out, in the scheduler's words; in the order in which they are asked.
_FILTERS: Mapping[str, Callable[[Json, Json], bool]] = {
    "node(s) were external": lambda node, _: not is_external(node),
    "node(s) were not ready": lambda node, _: is_true(node, "Ready"),
    "node(s) were unschedulable": lambda node, _: not flag(spec(node), "unschedulable"),
    "node(s) didn't match Pod's node affinity/selector": lambda node, pod: (
        strings(spec(pod), "nodeSelector").items() <= labels_of(node).items()
    ),
    "node(s) didn't have the pod's fixed address in their range": lambda node, pod: _has_address(
        node, pod
    ),
}


def scheduler(p: Pass) -> list[Write]:
    """The writes that bind pods, or say why they cannot be."""
    pods = [pod for pod in p.view.list("Pod") if not finished(pod)]
    waiting = [pod for pod in pods if not text(spec(pod), "nodeName") and not deleting(pod)]
    if not waiting:
        return []
    nodes = p.view.list("Node")
    bound = [pod for pod in pods if text(spec(pod), "nodeName")]
    total = Counter(text(spec(pod), "nodeName") for pod in bound)
    of_owner = Counter((owner(pod), text(spec(pod), "nodeName")) for pod in bound)
    writes: list[Write] = []
    for pod in waiting:
        fitting, why = feasible(pod, nodes)
        if not fitting:
            writes += _unschedulable(pod, why, p.now)
            continue
        key = owner(pod)
        best = min(fitting, key=lambda name: (of_owner[key, name], total[name], name))
        total[best] += 1
        of_owner[key, best] += 1
        writes.append(Update(_bound(pod, best, p.now)))
    return writes


def owner(pod: Json) -> tuple[str, str, str]:
    """Whose pods are spread: those of one controller; a bare pod stands for itself."""
    reference = controller_of(pod)
    if reference:
        return namespace_of(pod), text(reference, "kind"), text(reference, "name")
    return namespace_of(pod), "Pod", uid_of(pod) or name_of(pod)


def feasible(pod: Json, nodes: Sequence[Json]) -> tuple[list[str], str]:
    """Names of the nodes that can take the pod, and for none, why (K-37)."""
    found: list[str] = []
    refused: Counter[str] = Counter()
    for node in nodes:
        reason = next((r for r, fits in _FILTERS.items() if not fits(node, pod)), None)
        if reason is None:
            found.append(name_of(node))
        else:
            refused[reason] += 1
    return found, f"0/{len(nodes)} nodes are available: {_listed(refused.items())}."


def _listed(refused: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in sorted(refused)) or "there is none"


def _has_address(node: Json, pod: Json) -> bool:
    fixed = annotations_of(pod).get(POD_IP_ANNOTATION)
    if not fixed:
        return True
    address, cidr = address_or_none(fixed), pod_range(node)
    return address is not None and cidr is not None and cidr.contains(address)


def _bound(pod: Json, node: str, now: str) -> dict[str, object]:
    conditions = with_condition(items(status(pod), "conditions"), "PodScheduled", "True", now)
    return with_status(with_spec(pod, nodeName=node), conditions=conditions)


def _unschedulable(pod: Json, why: str, now: str) -> list[Write]:
    conditions = with_condition(
        items(status(pod), "conditions"),
        "PodScheduled",
        "False",
        now,
        reason="Unschedulable",
        message=why,
    )
    if conditions == list(items(status(pod), "conditions")):
        return []
    return [Update(with_status(pod, phase="Pending", conditions=conditions))]
