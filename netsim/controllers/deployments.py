"""Deployments: one ReplicaSet per template, and replicas that move to the current one.

Spec K-10 to K-1A, without proportional scaling (K-14) and deadlines (K-16). The steps of a rolling
update are in rollout.py.
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
from netsim.controllers.rollout import Bounds, Counts, bounds, grown, shrunk
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
        return _rest(deployment, current, owned) or _report(p, deployment, current, old)
    recreate = text(mapping(spec(deployment), "strategy"), "type") == "Recreate"
    if recreate and (any(_replicas(rs) for rs in old) or _running(p.view, old)):
        return _scaled(old, [0] * len(old)) or _report(p, deployment, current, old)
    if current is None:
        return [Create(_replica_set(p.view, deployment, owned))]
    return (
        _renumber(deployment, current, owned)
        or _patient(deployment, current)
        or _roll(deployment, current, old)
        or _forget(deployment, old)
        or _report(p, deployment, current, old)
    )


def _rest(deployment: Json, current: Json | None, owned: Sequence[Json]) -> list[Write]:
    """Paused (K-1A): nothing rolls, but where one set has all replicas it is scaled."""
    active = [rs for rs in owned if _replicas(rs)] or [current or owned[-1]]
    return _scaled(active, [_replicas(deployment)]) if len(active) == 1 else []


def _roll(deployment: Json, current: Json, old: Sequence[Json]) -> list[Write]:
    """The next step: the current set grows, or else old ones shrink."""
    desired, allowed = _replicas(deployment), _bounds(deployment)
    counts = [Counts(_replicas(rs), number(status(rs), "availableReplicas")) for rs in old]
    new = Counts(_replicas(current), number(status(current), "availableReplicas"))
    everything = new.replicas + sum(each.replicas for each in counts)
    more = grown(new.replicas, everything, desired, allowed)
    return _scaled([current], [more]) or _scaled(old, shrunk(counts, new, desired, allowed))


def _running(view: View, owned: Iterable[Json]) -> bool:
    """Whether any pod of these ReplicaSets has not ended yet, terminating ones included (K-17)."""
    names = {(namespace_of(rs), name_of(rs)) for rs in owned}
    return any(
        (namespace_of(pod), text(controller_of(pod), "name")) in names and not finished(pod)
        for namespace in {namespace for namespace, _ in names}
        for pod in view.list("Pod", namespace)
    )


def _scaled(replica_sets: Sequence[Json], replicas: Sequence[int]) -> list[Write]:
    return [
        Update(with_spec(rs, replicas=wanted))
        for rs, wanted in zip(replica_sets, replicas, strict=True)
        if _replicas(rs) != wanted
    ]


def _renumber(deployment: Json, current: Json, owned: Sequence[Json]) -> list[Write]:
    """The current ReplicaSet has the highest revision, after a roll-back too; so the Deployment."""
    latest = max(_revision(rs) for rs in owned)
    if _revision(current) < latest or latest == 0:
        return [Update(with_annotations(current, {REVISION: str(latest + 1)}))]
    if annotations_of(deployment).get(REVISION) != str(latest):
        return [Update(with_annotations(deployment, {REVISION: str(latest)}))]
    return []


def _patient(deployment: Json, current: Json) -> list[Write]:
    """The current ReplicaSet waits as long as the Deployment says."""
    wait_s = number(spec(deployment), "minReadySeconds")
    if number(spec(current), "minReadySeconds") == wait_s:
        return []
    return [Update(with_spec(current, minReadySeconds=wait_s))]


def _forget(deployment: Json, old: Sequence[Json]) -> list[Write]:
    """Delete the oldest of the empty ReplicaSets beyond `revisionHistoryLimit`."""
    limit = number(spec(deployment), "revisionHistoryLimit", HISTORY_LIMIT)
    empty = [rs for rs in old if not _replicas(rs) and not number(status(rs), "replicas")]
    return [
        Delete(ObjectKey("ReplicaSet", namespace_of(rs), name_of(rs)))
        for rs in empty[: max(len(empty) - limit, 0)]
    ]


def _replica_set(view: View, deployment: Json, owned: Sequence[Json]) -> dict[str, object]:
    """A ReplicaSet for the Deployment's template, named by the template's hash."""
    template = mapping(spec(deployment), "template")
    selector = mapping(spec(deployment), "selector")
    namespace, name = namespace_of(deployment), name_of(deployment)
    wait_s = number(spec(deployment), "minReadySeconds")
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
            "replicas": _first_size(deployment, owned),
            **({"minReadySeconds": wait_s} if wait_s else {}),
            "selector": {
                **selector,
                "matchLabels": {**strings(selector, "matchLabels"), HASH_LABEL: digest},
            },
            "template": {**template, "metadata": {**metadata(template), "labels": labels}},
        },
    }


def _first_size(deployment: Json, owned: Sequence[Json]) -> int:
    """What a new set is asked for at once."""
    there = sum(_replicas(rs) for rs in owned)
    return grown(0, there, _replicas(deployment), _bounds(deployment))


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
    enough = counts["availableReplicas"] >= desired - _bounds(deployment).unavailable
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


def _bounds(deployment: Json) -> Bounds:
    return bounds(mapping(spec(deployment), "strategy"), _replicas(deployment))


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
