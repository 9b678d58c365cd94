"""What goes with an object that is deleted: its dependents, or what a namespace holds.

Pure functions from a view to writes. `cascade` is what a deletion asks for, to be done in one
transaction; `sweep` ends namespaces whose last pods have meanwhile stopped.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from typing import Literal

from netsim.api import meta
from netsim.api.fields import Json, items, text, texts
from netsim.api.meta import ObjectKey
from netsim.store.base import Delete, Update, View, Write
from netsim.store.lifecycle import goes_gracefully

Propagation = Literal["Background", "Foreground", "Orphan"]
# holds a namespace until what was in it has gone; Kubernetes has `spec.finalizers` for it
CONTENT = "netsim.dev/content"
_NAMESPACED = tuple(kind.name for kind in meta.KINDS if kind.namespaced)


def uid_of(obj: Json) -> str:
    """metadata.uid."""
    return text(meta.metadata(obj), "uid")


def owners_of(obj: Json) -> tuple[Json, ...]:
    """metadata.ownerReferences."""
    return items(meta.metadata(obj), "ownerReferences")


def cascade(view: View, first: Delete, propagation: Propagation = "Background") -> list[Write]:
    """The deletion and what it takes with it: dependents at every depth, a namespace's content.

    Dependents of an object are those whose owner references name it and nobody else who stays.
    With `Orphan` they stay and lose the reference. Foreground is Background: all is one step here.
    """
    obj = view.get(first.key)
    if obj is None:
        return [first]
    if first.key.kind == "Namespace":
        return [*_content(view, first.key.name), *_namespace(view, first, obj)]
    if propagation == "Orphan":
        dependents = view.dependents(uid_of(obj))
        return [first, *(_without_owner(o, uid_of(obj)) for o in dependents)]
    return [first, *_descendants(view, obj)]


def sweep(view: View) -> list[Write]:
    """The ends of namespaces that wait to be empty, and deletions of what is still in them.

    Objects whose owner does not exist are left alone, unlike in Kubernetes: they come from a
    cluster's dump. A cascade is one transaction, so it leaves none behind.
    """
    ended = [obj for obj in view.list("Namespace") if _marked(obj)]
    return [write for namespace in ended for write in _remainder(view, namespace)]


def once(writes: Iterable[Write]) -> list[Write]:
    """The writes without a second deletion of the same object."""
    kept: list[Write] = []
    going: set[ObjectKey] = set()
    for write in writes:
        if isinstance(write, Delete):
            if write.key in going:
                continue
            going.add(write.key)
        kept.append(write)
    return kept


def _remainder(view: View, namespace: Json) -> list[Write]:
    name = meta.name_of(namespace)
    if any(view.list(kind, name) for kind in _NAMESPACED):
        return _content(view, name)
    metadata = dict(meta.metadata(namespace))
    finalizers = texts(metadata, "finalizers")
    if CONTENT not in finalizers:
        return []
    metadata["finalizers"] = [f for f in finalizers if f != CONTENT]
    return [Update({**namespace, "metadata": metadata})]


def _marked(obj: Json) -> bool:
    return "deletionTimestamp" in meta.metadata(obj)


def _content(view: View, namespace: str) -> list[Write]:
    return [
        Delete(meta.key_of(obj))
        for kind in _NAMESPACED
        for obj in view.list(kind, namespace)
        if not _marked(obj)
    ]


def _namespace(view: View, delete: Delete, obj: Json) -> list[Write]:
    """A namespace goes at once, unless something in it takes time: then it is Terminating."""
    name = delete.key.name
    content = (o for kind in _NAMESPACED for o in view.list(kind, name))
    if _marked(obj) or not any(
        goes_gracefully(o) or meta.metadata(o).get("finalizers") for o in content
    ):
        return [delete]
    metadata = dict(meta.metadata(obj))
    metadata["finalizers"] = [*texts(metadata, "finalizers"), CONTENT]
    held = {**obj, "metadata": metadata, "status": {"phase": "Terminating"}}
    return [Update(held), Delete(delete.key, delete.grace_s, delete.uid)]


def _descendants(view: View, obj: Json) -> Iterator[Write]:
    going, queue = {uid_of(obj)}, [obj]
    while queue:
        for child in view.dependents(uid_of(queue.pop())):
            uid = uid_of(child)
            if uid in going or any(_stays(view, child, o, going) for o in owners_of(child)):
                continue
            going.add(uid)
            queue.append(child)
            if not _marked(child):
                yield Delete(meta.key_of(child))


def _stays(view: View, child: Json, reference: Json, going: Container[str]) -> bool:
    """Whether the owner that a reference names exists and is not going."""
    uid, name = text(reference, "uid"), text(reference, "kind")
    if uid in going:
        return False
    kind = meta.KIND_BY_NAME.get(name)
    namespace = meta.namespace_of(child) if kind is not None and kind.namespaced else ""
    owner = view.get(ObjectKey(name, namespace, text(reference, "name")))
    return owner is not None and uid_of(owner) == uid


def _without_owner(obj: Json, uid: str) -> Update:
    metadata = dict(meta.metadata(obj))
    left = [owner for owner in owners_of(obj) if text(owner, "uid") != uid]
    metadata.pop("ownerReferences")
    if left:
        metadata["ownerReferences"] = left
    return Update({**obj, "metadata": metadata})
