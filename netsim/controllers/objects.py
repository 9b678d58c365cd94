"""Parts of stored objects that controllers share: conditions, owners, objects with a part changed.

Nothing here changes an object; the `with_*` functions return another one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from netsim.api.fields import EMPTY, Json, items, mapping, text
from netsim.api.meta import annotations_of, metadata, name_of

__all__ = [
    "condition",
    "controller_of",
    "deleting",
    "finished",
    "is_true",
    "owner_reference",
    "placement",
    "spec",
    "status",
    "tied",
    "uid_of",
    "with_annotations",
    "with_condition",
    "with_metadata",
    "with_spec",
    "with_status",
]


def spec(obj: Json) -> Json:
    """`spec`."""
    return mapping(obj, "spec")


def status(obj: Json) -> Json:
    """`status`."""
    return mapping(obj, "status")


def uid_of(obj: Json) -> str:
    """`metadata.uid`."""
    return text(metadata(obj), "uid")


def deleting(obj: Json) -> bool:
    """Whether the object is marked for deletion."""
    return "deletionTimestamp" in metadata(obj)


def placement(pod: Json) -> tuple[object, ...]:
    """Of a pod, what decides about its node and address; most changes concern other things."""
    read = status(pod).get
    return (
        read("podIP"),
        read("podIPs"),
        read("hostIP"),
        read("reason"),
        read("message"),
        finished(pod),
        deleting(pod),
        annotations_of(pod),
        spec(pod),
    )


def finished(pod: Json) -> bool:
    """Whether a pod has ended for good."""
    return text(status(pod), "phase") in ("Succeeded", "Failed")


def controller_of(obj: Json) -> Json:
    """The owner reference of the object's controller, empty if it has none."""
    for reference in items(metadata(obj), "ownerReferences"):
        if reference.get("controller") is True:
            return reference
    return EMPTY


def owner_reference(owner: Json) -> dict[str, object]:
    """A reference that makes `owner` the controller."""
    return {
        "apiVersion": text(owner, "apiVersion"),
        "kind": text(owner, "kind"),
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def tied(obj: Json, owner: Json) -> Json | None:
    """`obj` with `owner` as its controller, None if it is so already.

    An object that names a controller of this kind and name but another uid is tied anew: it comes
    from a cluster's dump, or its controller was deleted and made again.
    """
    reference = controller_of(obj)
    if text(reference, "uid") == uid_of(owner) and reference:
        return None
    others = [r for r in items(metadata(obj), "ownerReferences") if r is not reference]
    return with_metadata(obj, ownerReferences=[*others, owner_reference(owner)])


def condition(obj: Json, type_: str) -> Json:
    """The condition of a type in `status.conditions`, empty if there is none."""
    for entry in items(status(obj), "conditions"):
        if entry.get("type") == type_:
            return entry
    return EMPTY


def is_true(obj: Json, type_: str) -> bool:
    """Whether a condition holds."""
    return condition(obj, type_).get("status") == "True"


def with_condition(
    conditions: Sequence[Json], type_: str, value: str, now: str, **words: str
) -> list[Json]:
    """`conditions` with one set; `lastTransitionTime` moves only when its status does.

    `words` are further fields (`reason`, `message`). Order is kept, a new one goes last.
    """
    old = next((entry for entry in conditions if entry.get("type") == type_), EMPTY)
    same = old.get("status") == value
    since = text(old, "lastTransitionTime") if same else ""
    new = {"type": type_, "status": value, "lastTransitionTime": since or now}
    new.update({key: word for key, word in words.items() if word})
    if not old:
        return [*conditions, new]
    kept = {**{k: v for k, v in old.items() if k not in ("reason", "message")}, **new}
    return [kept if entry is old else entry for entry in conditions]


def with_metadata(obj: Json, **fields: object) -> dict[str, object]:
    """The object with fields of its metadata replaced; None removes one."""
    changed = {**metadata(obj), **fields}
    return {**obj, "metadata": {k: v for k, v in changed.items() if v is not None}}


def with_annotations(obj: Json, values: Mapping[str, str]) -> dict[str, object]:
    """The object with annotations set."""
    return with_metadata(obj, annotations={**annotations_of(obj), **values})


def with_spec(obj: Json, **fields: object) -> dict[str, object]:
    """The object with fields of its spec replaced."""
    return {**obj, "spec": {**spec(obj), **fields}}


def with_status(obj: Json, **fields: object) -> dict[str, object]:
    """The object with fields of its status replaced; None removes one."""
    changed = {**status(obj), **fields}
    return {**obj, "status": {k: v for k, v in changed.items() if v is not None}}
