"""Deployments: one ReplicaSet per template; the current one gets all replicas, then old ones go.

Replicas only: there is no surge and no step-by-step rollout. Spec K-10 to K-1A name what a rollout
does in a cluster; K-15 (names, hash label, revision) and K-17 (Recreate) hold here too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from netsim.api.fields import Json, flag, items, mapping, number, strings, text
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
from netsim.controllers.names import suffix
from netsim.controllers.objects import (
    controller_of,
    deleting,
    finished,
    owner_reference,
    spec,
    status,
    tied,
    with_annotations,
    with_condition,
    with_spec,
)
from netsim.store.base import View

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
HISTORY_LIMIT = 10


def deployments(p: Pass) -> list[Write]:
    """The writes that bring every Deployment's ReplicaSets and status in line."""
    writes: list[Write] = []
    for deployment in p.view.list("Deployment"):
        if not deleting(deployment):
            owned = _owned(deployment, p.view.list("ReplicaSet", namespace_of(deployment)))
            writes += _ties(deployment, owned) or _deployment(p, deployment, owned)
    return writes


def _owned(deployment: Json, replica_sets: Iterable[Json]) -> list[Json]:
    """ReplicaSets of the Deployment, oldest revision first: its own, and orphans it selects."""
    selector = LabelSelector.of(mapping(spec(deployment), "selector"))
    name = name_of(deployment)
    found = []
    for rs in replica_sets:
        owner = controller_of(rs)
        mine = text(owner, "kind") == "Deployment" and text(owner, "name") == name
        if not deleting(rs) and (mine or (not owner and selector.matches(labels_of(rs)))):
            found.append(rs)
    return sorted(found, key=lambda rs: (_revision(rs), name_of(rs)))


def _ties(deployment: Json, owned: Iterable[Json]) -> list[Write]:
    found = [tied(rs, deployment) for rs in owned]
    return [Update(obj) for obj in found if obj is not None]


def _deployment(p: Pass, deployment: Json, owned: Sequence[Json]) -> list[Write]:
    template = _without_hash(mapping(spec(deployment), "template"))
    current = next(
        (rs for rs in owned if _without_hash(mapping(spec(rs), "template")) == template), None
    )
    old = [rs for rs in owned if rs is not current]
    if flag(spec(deployment), "paused") and owned:
        current, old = current or owned[-1], []
    recreate = text(mapping(spec(deployment), "strategy"), "type") == "Recreate"
    if recreate and (any(_replicas(rs) for rs in old) or _running(p.view, old)):
        return _scaled(old, 0) or _report(p, deployment, current, old)
    if current is None:
        return [Create(_replica_set(p.view, deployment, owned))]
    return (
        _renumber(deployment, current, owned)
        or _scaled([current], _replicas(deployment))
        or (_scaled(old, 0) if _complete(deployment, current) else [])
        or _forget(deployment, old)
        or _report(p, deployment, current, old)
    )


def _complete(deployment: Json, current: Json) -> bool:
    """Whether the current ReplicaSet can carry the Deployment alone."""
    return number(status(current), "availableReplicas") >= _replicas(deployment)


def _running(view: View, owned: Iterable[Json]) -> bool:
    """Whether any pod of these ReplicaSets has not ended yet, terminating ones included (K-17)."""
    names = {(namespace_of(rs), name_of(rs)) for rs in owned}
    return any(
        (namespace_of(pod), text(controller_of(pod), "name")) in names and not finished(pod)
        for namespace in {namespace for namespace, _ in names}
        for pod in view.list("Pod", namespace)
    )


def _scaled(replica_sets: Iterable[Json], replicas: int) -> list[Write]:
    return [
        Update(with_spec(rs, replicas=replicas)) for rs in replica_sets if _replicas(rs) != replicas
    ]


def _renumber(deployment: Json, current: Json, owned: Sequence[Json]) -> list[Write]:
    """The current ReplicaSet has the highest revision, after a roll-back too; so the Deployment."""
    latest = max(_revision(rs) for rs in owned)
    if _revision(current) < latest or latest == 0:
        return [Update(with_annotations(current, {REVISION: str(latest + 1)}))]
    if annotations_of(deployment).get(REVISION) != str(latest):
        return [Update(with_annotations(deployment, {REVISION: str(latest)}))]
    return []


def _forget(deployment: Json, old: Sequence[Json]) -> list[Write]:
    """Delete the oldest of the empty ReplicaSets beyond `revisionHistoryLimit`."""
    limit = number(spec(deployment), "revisionHistoryLimit", HISTORY_LIMIT)
    empty = [rs for rs in old if not _replicas(rs) and not number(status(rs), "replicas")]
    return [
        Delete(ObjectKey("ReplicaSet", namespace_of(rs), name_of(rs)))
        for rs in empty[: max(len(empty) - limit, 0)]
    ]


def _replica_set(view: View, deployment: Json, owned: Iterable[Json]) -> dict[str, object]:
    """A ReplicaSet for the Deployment's template, named by the template's hash."""
    template = mapping(spec(deployment), "template")
    selector = mapping(spec(deployment), "selector")
    namespace, name = namespace_of(deployment), name_of(deployment)
    text_of_template = json.dumps(template, sort_keys=True)
    for collisions in range(1 << 16):
        digest = suffix(10, text_of_template, *([collisions] if collisions else []))
        if view.get(ObjectKey("ReplicaSet", namespace, f"{name}-{digest}")) is None:
            break
    labels = {**labels_of(template), HASH_LABEL: digest}
    revision = max((_revision(rs) for rs in owned), default=0) + 1
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{name}-{digest}",
            "namespace": namespace,
            "labels": labels,
            "annotations": {REVISION: str(revision)},
            "ownerReferences": [owner_reference(deployment)],
        },
        "spec": {
            "replicas": _replicas(deployment),
            "selector": {
                **selector,
                "matchLabels": {**strings(selector, "matchLabels"), HASH_LABEL: digest},
            },
            "template": {**template, "metadata": {**metadata(template), "labels": labels}},
        },
    }


def _report(p: Pass, deployment: Json, current: Json | None, old: Sequence[Json]) -> list[Write]:
    """Status, where it differs from what the ReplicaSets say."""
    everything = [*old, current] if current is not None else list(old)
    counts = {
        "replicas": sum(number(status(rs), "replicas") for rs in everything),
        "updatedReplicas": number(status(current), "replicas") if current is not None else 0,
        "readyReplicas": sum(number(status(rs), "readyReplicas") for rs in everything),
        "availableReplicas": sum(number(status(rs), "availableReplicas") for rs in everything),
    }
    desired = _replicas(deployment)
    counts["unavailableReplicas"] = max(desired - counts["availableReplicas"], 0)
    new: dict[str, object] = {k: v for k, v in counts.items() if v}
    new["observedGeneration"] = number(metadata(deployment), "generation")
    new["conditions"] = _conditions(p, deployment, current, counts)
    if new == status(deployment):
        return []
    return [Update({**deployment, "status": new})]


def _conditions(
    p: Pass, deployment: Json, current: Json | None, counts: dict[str, int]
) -> list[Json]:
    """`Available` and `Progressing`, as `kubectl wait` and `rollout status` read them."""
    desired = _replicas(deployment)
    name = name_of(current) if current is not None else ""
    enough = counts["availableReplicas"] >= desired - _max_unavailable(deployment)
    done = counts["updatedReplicas"] == counts["replicas"] == desired == counts["availableReplicas"]
    entries = with_condition(
        items(status(deployment), "conditions"),
        "Available",
        str(enough),
        p.now,
        reason="MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable",
        message="Deployment has minimum availability."
        if enough
        else "Deployment does not have minimum availability.",
    )
    return with_condition(
        entries,
        "Progressing",
        "True",
        p.now,
        reason="NewReplicaSetAvailable" if done else "ReplicaSetUpdated",
        message=f'ReplicaSet "{name}" {"has successfully" if done else "is being"} progressed.',
    )


def _max_unavailable(deployment: Json) -> int:
    """How many replicas may be missing while the Deployment counts as available (K-10)."""
    strategy = mapping(spec(deployment), "strategy")
    if text(strategy, "type") == "Recreate":
        return 0
    value = mapping(strategy, "rollingUpdate").get("maxUnavailable", "25%")
    desired = _replicas(deployment)
    if isinstance(value, str) and value.endswith("%"):
        return min(desired * int(value[:-1]) // 100, desired)
    return min(value if isinstance(value, int) else 0, desired)


def _replicas(obj: Json) -> int:
    return number(spec(obj), "replicas", 1)


def _revision(replica_set: Json) -> int:
    value = annotations_of(replica_set).get(REVISION, "")
    return int(value) if value.isdecimal() else 0


def _without_hash(template: Json) -> Json:
    """The template as the Deployment has it."""
    inner = metadata(template)
    labels = {k: v for k, v in labels_of(template).items() if k != HASH_LABEL}
    rest = {k: v for k, v in inner.items() if k not in ("labels", "creationTimestamp")}
    return {**template, "metadata": {**rest, "labels": labels}}
