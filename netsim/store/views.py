"""The immutable view of the store, and the copy-on-write maps that make taking one O(1).

Objects lie in shards (kind, namespace). Taking a view raises the store's epoch; a shard that is
older than the epoch may be in a view and is copied before its next change, once. So a view costs
nothing, and a change after it costs the size of the shard it touches.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Self

from netsim.api.fields import Json, text
from netsim.api.meta import ObjectKey, key_of, metadata

_NOTHING: tuple[Json, ...] = ()
_NOBODY: frozenset[str] = frozenset()


class Shard:
    """Objects of one kind in one namespace, by name; with the sorted sequence once it was asked."""

    __slots__ = ("epoch", "items", "ordered")

    def __init__(self, epoch: int, items: dict[str, Json]) -> None:
        self.epoch = epoch
        self.items = items
        self.ordered: tuple[Json, ...] | None = None

    def sequence(self) -> tuple[Json, ...]:
        """The objects by name."""
        if self.ordered is None:
            self.ordered = tuple(self.items[name] for name in sorted(self.items))
        return self.ordered


class KindMap:
    """The shards of one kind, by namespace ("" for cluster-wide kinds)."""

    __slots__ = ("epoch", "ordered", "revision", "shards")

    def __init__(self, epoch: int, shards: dict[str, Shard], revision: int) -> None:
        self.epoch = epoch
        self.shards = shards
        self.revision = revision
        self.ordered: tuple[Json, ...] | None = None

    def sequence(self) -> tuple[Json, ...]:
        """All objects by (namespace, name)."""
        if self.ordered is None:
            parts = [self.shards[namespace].sequence() for namespace in sorted(self.shards)]
            self.ordered = (
                parts[0] if len(parts) == 1 else tuple(obj for part in parts for obj in part)
            )
        return self.ordered

    def put(self, key: ObjectKey, obj: Json | None, epoch: int) -> None:
        """Set or (None) remove one object in a map of this epoch."""
        shard = self.shards.get(key.namespace)
        if shard is None or shard.epoch != epoch:
            shard = Shard(epoch, dict(shard.items) if shard is not None else {})
            self.shards[key.namespace] = shard
        shard.ordered = self.ordered = None
        if obj is not None:
            shard.items[key.name] = obj
            return
        del shard.items[key.name]
        if not shard.items:
            del self.shards[key.namespace]


class MemoryView:
    """`base.View` over maps that nobody changes any more."""

    __slots__ = ("_kinds", "_owned", "revision")

    def __init__(self, kinds: dict[str, KindMap], owned: Owned, revision: int) -> None:
        self._kinds = kinds
        self._owned = owned
        self.revision = revision

    @classmethod
    def of(cls, objects: Iterable[Json], revision: int = 1) -> Self:
        """A view of just these objects, as they are."""
        objs = Objects()
        for obj in objects:
            objs.put(key_of(obj), obj, revision)
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
        shard = of_kind.shards.get(namespace)
        return shard.sequence() if shard is not None else _NOTHING

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
        of_kind = self._kinds.get(kind)
        return of_kind.revision if of_kind is not None else 0


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

    __slots__ = ("_epoch", "_kinds_epoch", "kinds", "owned")

    def __init__(self) -> None:
        self.kinds: dict[str, KindMap] = {}
        self.owned = Owned()
        self._epoch = 0
        self._kinds_epoch = 0

    def view(self, revision: int) -> MemoryView:
        """Everything as it is; what is here now is not changed any more."""
        self._epoch += 1
        self.owned.revision = revision
        return MemoryView(self.kinds, self.owned, revision)

    def get(self, key: ObjectKey) -> Json | None:
        """The object, None if there is none."""
        return _found(self.kinds, key)

    def put(self, key: ObjectKey, obj: Json | None, revision: int) -> None:
        """Set or (None) remove one object."""
        self.owned.change(key, self.get(key), obj)
        self.owned.revision = revision
        if self._kinds_epoch != self._epoch:
            self.kinds = dict(self.kinds)
            self._kinds_epoch = self._epoch
        kind = self.kinds.get(key.kind)
        if kind is None or kind.epoch != self._epoch:
            shards = dict(kind.shards) if kind is not None else {}
            kind = self.kinds[key.kind] = KindMap(self._epoch, shards, revision)
        kind.revision = revision
        kind.put(key, obj, self._epoch)


def _found(kinds: dict[str, KindMap], key: ObjectKey) -> Json | None:
    kind = kinds.get(key.kind)
    shard = kind.shards.get(key.namespace) if kind is not None else None
    return shard.items.get(key.name) if shard is not None else None
