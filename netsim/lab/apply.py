"""What `netsim apply` and `netsim up` on a running lab change: a plan, before anything is written.

Objects are compared as kubectl's client-side apply does: three ways, between what was applied last
(kept in an annotation), what is asked for now, and what is stored. Fields that somebody else set
(an allocated clusterIP, status) stay; fields that the user dropped go. Lists are replaced whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from netsim.api import meta
from netsim.api.defaults import with_defaults
from netsim.api.fields import Json, mapping

LAST_APPLIED = "netsim.dev/last-applied"
# Not the user's to apply: the server owns these, a `kubectl get -o yaml` dump carries them.
SERVER_METADATA = frozenset(
    {
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "managedFields",
        "selfLink",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    }
)


class Step(NamedTuple):
    """One object's share of a plan: `verb` is created, configured, unchanged or deleted.

    `fields` are the paths that change ("spec.replicas"), empty for created and deleted.
    """

    verb: str
    key: meta.ObjectKey
    fields: tuple[str, ...]
    object: Json | None


def step_json(step: Step) -> dict[str, object]:
    """A step as the API and `Lab.apply` tell it."""
    return {
        "verb": step.verb,
        "kind": step.key.kind,
        "namespace": step.key.namespace,
        "name": step.key.name,
        "fields": list(step.fields),
    }


def merge(last: Json, new: Json, live: Json) -> dict[str, object]:
    """`live` with the changes that lead from `last` to `new`; lists are atomic."""
    out = {k: v for k, v in live.items() if k in new or k not in last}
    for key, value in new.items():
        old, now = last.get(key), live.get(key)
        if isinstance(value, Mapping) and isinstance(now, Mapping):
            out[key] = merge(old if isinstance(old, Mapping) else {}, value, now)
        else:
            out[key] = value
    return out


def changed_fields(before: object, after: object, path: str = "") -> list[str]:
    """Paths at which two JSON values differ, in the order of `after`, bookkeeping left out.

    Lists of one length are compared item by item.
    """
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        keys = [*after, *(k for k in before if k not in after)]
        return [
            field
            for key in keys
            if not (path == "metadata.annotations" and key == LAST_APPLIED)
            for field in changed_fields(
                before.get(key), after.get(key), f"{path}.{key}" if path else str(key)
            )
        ]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [
            field
            for number, (old, new) in enumerate(zip(before, after, strict=True))
            for field in changed_fields(old, new, f"{path}[{number}]")
        ]
    return [] if before == after else [path]


def wanted(obj: Json, *, status: bool) -> dict[str, object]:
    """What a user asks for: without the server's metadata.

    Of `status`, what a Node says of itself, and that on request: its addresses, and its CPUs.
    """
    out = {k: v for k, v in obj.items() if k != "status"}
    given = mapping(obj, "status")
    own = {key: given[key] for key in ("addresses", "allocatable") if given.get(key)}
    if status and own:
        out["status"] = own
    metadata = mapping(obj, "metadata")
    kept = {k: v for k, v in metadata.items() if k not in SERVER_METADATA}
    annotations = {k: v for k, v in mapping(metadata, "annotations").items() if k != LAST_APPLIED}
    if annotations or "annotations" in kept:
        kept["annotations"] = annotations
    out["metadata"] = kept
    return out


def with_last_applied(obj: Json, applied: Json) -> dict[str, object]:
    """`obj` with `applied` noted for the next apply."""
    metadata = dict(mapping(obj, "metadata"))
    annotations = dict(mapping(metadata, "annotations"))
    annotations[LAST_APPLIED] = json.dumps(applied, sort_keys=True, separators=(",", ":"))
    metadata["annotations"] = annotations
    return {**obj, "metadata": metadata}


def last_applied(obj: Json) -> dict[str, object] | None:
    """What was applied to make `obj`, None if it was not made by apply."""
    text = mapping(mapping(obj, "metadata"), "annotations").get(LAST_APPLIED)
    if not isinstance(text, str):
        return None
    value = json.loads(text)
    return value if isinstance(value, dict) else None


def _bound(last: Json) -> Json:
    """What was applied last, but for a pod's node: a pod that runs somewhere stays there."""
    if last.get("kind") != "Pod":
        return last
    spec = {k: v for k, v in mapping(last, "spec").items() if k != "nodeName"}
    return {**last, "spec": spec}


def step(obj: Json, live: Json | None) -> Step:
    """What applying `obj` does when `live` is stored.

    Compared with the defaults that the server fills in, in list items too: they are no changes.
    """
    key = meta.key_of(obj)
    asked = wanted(obj, status=key.kind == "Node")
    if live is None:
        return Step("created", key, (), with_last_applied(asked, asked))
    merged = with_defaults(merge(_bound(last_applied(live) or {}), asked, live))
    fields = tuple(changed_fields(live, merged))
    if not fields:
        return Step("unchanged", key, (), None)
    return Step("configured", key, fields, with_last_applied(merged, asked))


def plan(stored: Iterable[Json], objects: Iterable[Json], *, prune: bool) -> list[Step]:
    """Steps that bring `stored` to `objects`, in the order of `objects`, deletions last.

    With `prune`, objects that were applied before and are not among `objects` are deleted.
    """
    live = {meta.key_of(o): o for o in stored}
    asked = {meta.key_of(o): o for o in objects}
    steps = [step(obj, live.get(key)) for key, obj in asked.items()]
    if prune:
        steps += [
            Step("deleted", key, (), None)
            for key, obj in live.items()
            if key not in asked and last_applied(obj) is not None
        ]
    return steps
