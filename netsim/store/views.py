"""The immutable view of the store, over maps that share what did not change (netsim/maps.py).

Taking a view costs nothing, a change after it costs the same however many objects there are, and
so does finding what differs between two views.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Self

from netsim.api.fields import Json, text
from netsim.api.meta import ObjectKey, key_of, metadata
from netsim.maps import SharedMap, different
from netsim.store.base import View

_NOTHING: tuple[Json, ...] = ()
_NOBODY: frozenset[str] = frozenset()


class Shard:
    """Objects of one kind in one namespace, by name; with the sorted sequence once it was asked."""

    __slots__ = ("items", "ordered")

    def __init__(self, items: SharedMap[str, Json]) -> None:
        self.items = items
        self.ordered: tuple[Json, ...] | None = None

    def sequence(self) -> tuple[Json, ...]:
        """The objects by name."""
        if self.ordered is None:
            self.ordered = tuple([obj for _, obj in sorted(self.items.pairs(), key=_first)])
        return self.ordered


NO_SHARD = Shard(SharedMap())


class KindMap:
    """The shards of one kind, by namespace ("" for cluster-wide kinds)."""

    __slots__ = ("ordered", "revision", "shards")

    def __init__(self, shards: SharedMap[str, Shard], revision: int) -> None:
        self.shards = shards
        self.revision = revision
        self.ordered: tuple[Json, ...] | None = None

    def sequence(self) -> tuple[Json, ...]:
        """All objects by (namespace, name)."""
        if self.ordered is None:
            parts = [shard.sequence() for _, shard in sorted(self.shards.pairs(), key=_first)]
            self.ordered = (
                parts[0] if len(parts) == 1 else tuple([obj for part in parts for obj in part])
            )
        return self.ordered

    def changed(self, changes: dict[str, dict[str, Json | None]], revision: int) -> KindMap:
        """The map with other objects, by namespace and name; None removes one."""
        shards: dict[str, Shard | None] = {}
        for namespace, of_namespace in changes.items():
            items = self.shards.get(namespace, NO_SHARD).items.changed(of_namespace)
            shards[namespace] = Shard(items) if items else None
        return KindMap(self.shards.changed(shards), revision)


NO_KIND = KindMap(SharedMap(), 0)


class MemoryView:
    """`base.View` over maps that nobody changes any more."""

    __slots__ = ("_changes", "_kinds", "_owned", "revision")

    def __init__(self, kinds: dict[str, KindMap], owned: Owned, revision: int) -> None:
        self._changes: dict[tuple[str, KindMap], Sequence[tuple[Json | None, Json | None]]] = {}
        self._kinds = kinds
        self._owned = owned
        self.revision = revision

    @classmethod
    def of(cls, objects: Iterable[Json], revision: int = 1) -> Self:
        """A view of just these objects, as they are."""
        objs = Objects()
        objs.put([(key_of(obj), obj, revision) for obj in objects])
        return cls(objs.kinds, objs.owned, revision)

    def get(self, key: ObjectKey) -> Json | None:
        """The object, None if there is none."""
        return _found(self._kinds, key)

    def list(self, kind: str, namespace: str | None = None) -> Sequence[Json]:
        """Objects of a kind by (namespace, name); of one namespace, unless None."""
        of_kind = self._kinds.get(kind)
        if of_kind is None:
            return _NOTHING
        if namespace is None:
            return of_kind.sequence()
        return of_kind.shards.get(namespace, NO_SHARD).sequence()

    def namespaces(self, kind: str) -> Collection[str]:
        """The namespaces that objects of a kind are in."""
        return self._kinds.get(kind, NO_KIND).shards

    def changes(self, kind: str, before: View | None) -> Sequence[tuple[Json | None, Json | None]]:
        """What differs from an earlier view of the store: see `base.View`. Found out once."""
        old = before._kinds.get(kind, NO_KIND) if isinstance(before, MemoryView) else NO_KIND
        asked = kind, old
        if asked not in self._changes:
            self._changes[asked] = _changes(old, self._kinds.get(kind, NO_KIND))
        return self._changes[asked]

    def dependents(self, uid: str) -> Sequence[Json]:
        """Objects that name the object with this uid among their owners, in no order.

        Quick in the newest view; in an older one everything is looked at.
        """
        if self._owned.revision == self.revision:
            return [obj for key in self._owned.keys(uid) if (obj := self.get(key)) is not None]
        everything = (obj for kind in self._kinds.values() for obj in kind.sequence())
        return [obj for obj in everything if uid in owner_uids(obj)]

    def kind_revision(self, kind: str) -> int:
        """The revision of the kind's last change, 0 if there was none since the store opened."""
        return self._kinds.get(kind, NO_KIND).revision


class Owned:
    """Which objects name which owners, as of `revision`: one index, shared by all views."""

    __slots__ = ("_by_uid", "revision")

    def __init__(self) -> None:
        self._by_uid: dict[str, dict[ObjectKey, None]] = {}
        self.revision = 0

    def keys(self, uid: str) -> Iterable[ObjectKey]:
        """The objects that name this owner."""
        return self._by_uid.get(uid, ())

    def change(self, key: ObjectKey, old: Json | None, new: Json | None) -> None:
        """Take note of an object's next state."""
        before, after = owner_uids(old), owner_uids(new)
        for uid in before - after:
            keys = self._by_uid[uid]
            del keys[key]
            if not keys:
                del self._by_uid[uid]
        for uid in after - before:
            self._by_uid.setdefault(uid, {})[key] = None


def owner_uids(obj: Json | None) -> frozenset[str]:
    """The uids in `metadata.ownerReferences`."""
    owners = metadata(obj).get("ownerReferences") if obj is not None else None
    if not isinstance(owners, list):
        return _NOBODY
    return frozenset([text(owner, "uid") for owner in owners if isinstance(owner, dict)])


class Objects:
    """The changing side: what the next view will show."""

    __slots__ = ("kinds", "owned")

    def __init__(self) -> None:
        self.kinds: dict[str, KindMap] = {}
        self.owned = Owned()

    def view(self, revision: int) -> MemoryView:
        """Everything as it is."""
        self.owned.revision = revision
        return MemoryView(self.kinds, self.owned, revision)

    def get(self, key: ObjectKey) -> Json | None:
        """The object, None if there is none."""
        return _found(self.kinds, key)

    def put(self, changes: Iterable[tuple[ObjectKey, Json | None, int]]) -> None:
        """Set or (None) remove objects, in the order of their revisions."""
        kinds: dict[str, dict[str, dict[str, Json | None]]] = {}
        revisions: dict[str, int] = {}
        for key, obj, revision in changes:
            of_kind = kinds.setdefault(key.kind, {})
            of_namespace = of_kind.setdefault(key.namespace, {})
            old = of_namespace[key.name] if key.name in of_namespace else self.get(key)
            self.owned.change(key, old, obj)
            self.owned.revision = revision
            of_namespace[key.name] = obj
            revisions[key.kind] = revision
        made = {
            kind: self.kinds.get(kind, NO_KIND).changed(of_kind, revisions[kind])
            for kind, of_kind in kinds.items()
        }
        self.kinds = {**self.kinds, **made}


def _changes(old: KindMap, new: KindMap) -> Sequence[tuple[Json | None, Json | None]]:
    """Objects as they were and as they are."""
    if old is new:
        return ()
    found: list[tuple[Json | None, Json | None]] = []
    for namespace in different(old.shards, new.shards):
        was = old.shards.get(namespace, NO_SHARD).items
        now = new.shards.get(namespace, NO_SHARD).items
        found += [(was.get(name), now.get(name)) for name in different(was, now)]
    return found


def _found(kinds: dict[str, KindMap], key: ObjectKey) -> Json | None:
    kind = kinds.get(key.kind)
    if kind is None:
        return None
    shard = kind.shards.get(key.namespace)
    return shard.items.get(key.name) if shard is not None else None


def _first(pair: tuple[str, object]) -> str:
    return pair[0]
