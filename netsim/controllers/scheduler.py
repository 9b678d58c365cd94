"""Scheduler: a node for every pod that has none, spread evenly.

Filters as Kubernetes does (ready, schedulable, `nodeSelector`, host ports), then takes the node
with the fewest pods of the same owner, of those the one with the fewest pods, of those the first by
name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from netsim.api.addresses import Cidr, address_or_none
from netsim.api.fields import Json, flag, items, strings, text
from netsim.api.meta import annotations_of, labels_of, name_of, namespace_of
from netsim.api.pods import POD_IP_ANNOTATION
from netsim.controllers.base import Pass, Update, Write
from netsim.controllers.host_ports import NO_FREE_PORTS, HeldPorts, HostPort, host_ports
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


class Candidate(NamedTuple):
    """What the scheduler asks of a node, read once per pass; `held` grows as it binds."""

    name: str
    external: bool
    ready: bool
    schedulable: bool
    labels: Mapping[str, str]
    cidr: Cidr | None
    held: HeldPorts


class Wish(NamedTuple):
    """What a pod asks of its node. `address` is its fixed one, 0 for none, -1 for nonsense."""

    selector: Mapping[str, str]
    address: int
    ports: Sequence[HostPort]


# Why a node is out, in the scheduler's words; in the order in which they are asked.
_FILTERS: Mapping[str, Callable[[Candidate, Wish], bool]] = {
    "node(s) were external": lambda node, _: not node.external,
    "node(s) were not ready": lambda node, _: node.ready,
    "node(s) were unschedulable": lambda node, _: node.schedulable,
    "node(s) didn't match Pod's node affinity/selector": lambda node, wish: (
        wish.selector.items() <= node.labels.items()
    ),
    "node(s) didn't have the pod's fixed address in their range": lambda node, wish: (
        not wish.address or (node.cidr is not None and node.cidr.contains(wish.address))
    ),
    NO_FREE_PORTS: lambda node, wish: node.held.free(wish.ports),
}


def scheduler(p: Pass) -> list[Write]:
    """The writes that bind pods, or say why they cannot be.

    While nodes exist and none of them is up yet, pods just wait.
    """
    pods = [pod for pod in p.view.list("Pod") if not finished(pod)]
    waiting = [pod for pod in pods if not text(spec(pod), "nodeName") and not deleting(pod)]
    if not waiting:
        return []
    nodes = [candidate(node) for node in p.view.list("Node")]
    if nodes and not any(node.ready for node in nodes):
        return []
    bound = [pod for pod in pods if text(spec(pod), "nodeName")]
    held = {node.name: node.held for node in nodes}
    for pod in bound:
        if (ports := host_ports(pod)) and (node := text(spec(pod), "nodeName")) in held:
            held[node].hold(ports)
    total = Counter(text(spec(pod), "nodeName") for pod in bound)
    of_owner = Counter((owner(pod), text(spec(pod), "nodeName")) for pod in bound)
    writes: list[Write] = []
    for pod in waiting:
        wanted = wish(pod)
        fitting, why = feasible(wanted, nodes)
        if not fitting:
            writes += _unschedulable(pod, why, p.now)
            continue
        key = owner(pod)
        best = min(fitting, key=lambda name: (of_owner[key, name], total[name], name))
        total[best] += 1
        of_owner[key, best] += 1
        held[best].hold(wanted.ports)
        writes.append(Update(_bound(pod, best, p.now)))
    return writes


def owner(pod: Json) -> tuple[str, str, str]:
    """Whose pods are spread: those of one controller; a bare pod stands for itself."""
    reference = controller_of(pod)
    if reference:
        return namespace_of(pod), text(reference, "kind"), text(reference, "name")
    return namespace_of(pod), "Pod", uid_of(pod) or name_of(pod)


def candidate(node: Json) -> Candidate:
    """A node as the scheduler sees it."""
    return Candidate(
        name_of(node),
        is_external(node),
        is_true(node, "Ready"),
        not flag(spec(node), "unschedulable"),
        labels_of(node),
        pod_range(node),
        HeldPorts(),
    )


def wish(pod: Json) -> Wish:
    """What a pod asks of its node."""
    fixed = annotations_of(pod).get(POD_IP_ANNOTATION)
    address = address_or_none(fixed) if fixed else 0
    selector = strings(spec(pod), "nodeSelector")
    return Wish(selector, -1 if address is None else address, host_ports(pod))


def feasible(wanted: Wish, nodes: Sequence[Candidate]) -> tuple[list[str], str]:
    """Names of the nodes that fulfil a wish, and for none, why (K-37)."""
    found: list[str] = []
    refused: Counter[str] = Counter()
    for node in nodes:
        for reason, fits in _FILTERS.items():
            if not fits(node, wanted):
                refused[reason] += 1
                break
        else:
            found.append(node.name)
    return found, f"0/{len(nodes)} nodes are available: {_listed(refused.items())}."


def _listed(refused: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in sorted(refused)) or "there is none"


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
