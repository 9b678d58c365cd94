"""ReplicaSets: as many pods as asked for. Spec 7.2, K-18 and K-19."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from math import log2

from netsim.api.fields import Json, items, mapping, number, text
from netsim.api.meta import (
    ObjectKey,
    annotations_of,
    labels_of,
    metadata,
    name_of,
    namespace_of,
)
from netsim.api.selectors import LabelSelector
from netsim.controllers.base import Create, Delete, Pass, Update, Write
from netsim.controllers.clock import seconds
from netsim.controllers.names import generated
from netsim.controllers.objects import (
    condition,
    controller_of,
    deleting,
    finished,
    is_true,
    owner_reference,
    spec,
    status,
    tied,
    with_metadata,
)
from netsim.store.base import View

# One pass creates or deletes at most this many pods per set (K-19).
BURST = 500
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_PHASE_RANK = {"Pending": 0, "Unknown": 1, "Running": 2}


def replica_sets(p: Pass) -> list[Write]:
    """The writes that bring every ReplicaSet's pods and status in line."""
    if not p.view.list("ReplicaSet"):
        return []
    owned, orphans = _pods_by_owner(p.view)
    writes: list[Write] = []
    for rs in p.view.list("ReplicaSet"):
        if deleting(rs):
            continue
        selector = LabelSelector.of(mapping(spec(rs), "selector"))
        mine = owned.get((namespace_of(rs), name_of(rs)), [])
        adopted = [
            pod for pod in orphans.get(namespace_of(rs), ()) if selector.matches(labels_of(pod))
        ]
        writes += _ties(rs, selector, mine, adopted) or _replica_set(p, rs, mine)
    return writes


def _pods_by_owner(view: View) -> tuple[dict[tuple[str, str], list[Json]], dict[str, list[Json]]]:
    """Live pods by (namespace, ReplicaSet), and those without a controller by namespace."""
    owned: dict[tuple[str, str], list[Json]] = {}
    orphans: dict[str, list[Json]] = {}
    for pod in view.list("Pod"):
        owner = controller_of(pod)
        if deleting(pod) or finished(pod):
            continue
        if text(owner, "kind") == "ReplicaSet":
            owned.setdefault((namespace_of(pod), text(owner, "name")), []).append(pod)
        elif not owner:
            orphans.setdefault(namespace_of(pod), []).append(pod)
    return owned, orphans


def _ties(
    rs: Json, selector: LabelSelector, mine: Iterable[Json], adopted: Iterable[Json]
) -> list[Write]:
    """Adopt matching orphans, release pods that no longer match, correct owners' uids."""
    writes: list[Write] = []
    for pod in mine:
        if not selector.matches(labels_of(pod)):
            writes.append(Update(_released(pod)))
        elif (anew := tied(pod, rs)) is not None:
            writes.append(Update(anew))
    writes += [Update(anew) for pod in adopted if (anew := tied(pod, rs)) is not None]
    return writes


def _released(pod: Json) -> dict[str, object]:
    kept = [r for r in items(metadata(pod), "ownerReferences") if r.get("controller") is not True]
    return with_metadata(pod, ownerReferences=kept or None)


def _replica_set(p: Pass, rs: Json, pods: Sequence[Json]) -> list[Write]:
    missing = number(spec(rs), "replicas", 1) - len(pods)
    writes: list[Write] = []
    if missing > 0:
        writes += [Create(pod) for pod in _new_pods(p.view, rs, min(missing, BURST))]
    elif missing < 0:
        victims = deletion_order(pods, p.now)[: min(-missing, BURST)]
        writes += [Delete(ObjectKey("Pod", namespace_of(v), name_of(v))) for v in victims]
    return writes + _report(rs, pods, p.now)


def _new_pods(view: View, rs: Json, count: int) -> list[dict[str, object]]:
    """`count` pods of the set's template, under names that nobody has."""
    template = mapping(spec(rs), "template")
    namespace, prefix = namespace_of(rs), f"{name_of(rs)}-"
    made: dict[str, dict[str, object]] = {}
    attempt = 0
    while len(made) < count:
        name = generated(prefix, namespace, view.revision, attempt)
        attempt += 1
        if name in made or view.get(ObjectKey("Pod", namespace, name)) is not None:
            continue
        inner = {k: v for k, v in metadata(template).items() if k in ("labels", "annotations")}
        made[name] = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                **inner,
                "name": name,
                "generateName": prefix,
                "namespace": namespace,
                "ownerReferences": [owner_reference(rs)],
            },
            "spec": dict(mapping(template, "spec")),
            "status": {"phase": "Pending"},
        }
    return list(made.values())


def deletion_order(pods: Sequence[Json], now: str) -> list[Json]:
    """Pods in the order in which a shrinking set gives them up (K-18)."""
    at = seconds(now)
    ready_on_node = Counter(text(spec(pod), "nodeName") for pod in pods if is_true(pod, "Ready"))

    def rank(pod: Json) -> tuple[object, ...]:
        ready = is_true(pod, "Ready")
        node = text(spec(pod), "nodeName")
        since = seconds(text(condition(pod, "Ready"), "lastTransitionTime")) if ready else at
        made = seconds(text(metadata(pod), "creationTimestamp"))
        restarts = max(
            (number(c, "restartCount") for c in items(status(pod), "containerStatuses")), default=0
        )
        return (
            bool(node),
            _PHASE_RANK.get(text(status(pod), "phase"), 0),
            ready,
            deletion_cost(pod),
            -ready_on_node[node],
            _bucket(at - since) if ready else 0,
            -restarts,
            _bucket(at - made),
            name_of(pod),
        )

    return sorted(pods, key=rank)


def deletion_cost(pod: Json) -> int:
    """The annotation's value, 0 where it is not an integer."""
    try:
        return int(annotations_of(pod).get(DELETION_COST, "0"))
    except ValueError:
        return 0


def _bucket(age_s: float) -> int:
    """Ages compare by their power of two: what is about as old is equal."""
    return int(log2(age_s)) + 1 if age_s >= 1 else 0


def available_s(rs: Json, pod: Json) -> float | None:
    """When a pod counts as available: ready for `minReadySeconds`. None: it is not ready."""
    if not is_true(pod, "Ready"):
        return None
    wait_s = number(spec(rs), "minReadySeconds")
    since = text(condition(pod, "Ready"), "lastTransitionTime") if wait_s else ""
    return seconds(since) + wait_s if since else 0.0


def next_available_s(view: View, now_s: float) -> float | None:
    """When the next pod will be available because time has passed (K-16)."""
    waiting = [rs for rs in view.list("ReplicaSet") if number(spec(rs), "minReadySeconds")]
    owned = _pods_by_owner(view)[0] if waiting else {}
    times = [
        at
        for rs in waiting
        for pod in owned.get((namespace_of(rs), name_of(rs)), ())
        if (at := available_s(rs, pod)) is not None and at > now_s
    ]
    return min(times, default=None)


def _report(rs: Json, pods: Sequence[Json], now: str) -> list[Write]:
    """Status, where it differs from what the pods say."""
    ready = sum(1 for pod in pods if is_true(pod, "Ready"))
    times = [at for pod in pods if (at := available_s(rs, pod)) is not None]
    available = sum(1 for at in times if at <= seconds(now))
    wanted = labels_of(mapping(spec(rs), "template"))
    labeled = sum(1 for pod in pods if wanted.items() <= labels_of(pod).items())
    counts = {
        "fullyLabeledReplicas": labeled,
        "readyReplicas": ready,
        "availableReplicas": available,
    }
    new: dict[str, object] = {"replicas": len(pods), **{k: v for k, v in counts.items() if v}}
    new["observedGeneration"] = number(metadata(rs), "generation")
    if new == status(rs):
        return []
    return [Update({**rs, "status": new})]
