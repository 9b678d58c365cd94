"""The immutable view of the store, and the copy-on-write maps that make taking one O(1).

Objects lie in shards (kind, namespace). Taking a view raises the store's epoch; a shard that is
older than the epoch may be in a view and is copied before its next change, once. So a view costs
nothing, and a change after it costs the size of the shard it touches.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Self

from netsim.api.fields import Json
from netsim.api.meta import ObjectKey, key_of

_NOTHING: tuple[Json, ...] = ()


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

    __slots__ = ("_kinds", "revision")

    def __init__(self, kinds: dict[str, KindMap], revision: int) -> None:
        self._kinds = kinds
        self.revision = revision

    @classmethod
    def of(cls, objects: Iterable[Json], revision: int = 1) -> Self:
        """A view of just these objects, as they are."""
        objs = Objects()
        for obj in objects:
            objs.put(key_of(obj), obj, revision)
        return cls(objs.kinds, revision)

    def get(self, key: ObjectKey) -> Json | None:
        """The object, None if there is none."""
        kind = self._kinds.get(key.kind)
        shard = kind.shards.get(key.namespace) if kind is not None else None
        return shard.items.get(key.name) if shard is not None else None

    def list(self, kind: str, namespace: str | None = None) -> Sequence[Json]:
        """Objects of a kind by (namespace, name); of one namespace, unless None."""
        of_kind = self._kinds.get(kind)
        if of_kind is None:
            return _NOTHING
        if namespace is None:
            return of_kind.sequence()
        shard = of_kind.shards.get(namespace)
        return shard.sequence() if shard is not None else _NOTHING

    def kind_revision(self, kind: str) -> int:
        """The revision of the kind's last change, 0 if there was none since the store opened."""
        of_kind = self._kinds.get(kind)
        return of_kind.revision if of_kind is not None else 0


class Objects:
    """The changing side: what the next view will show."""

    __slots__ = ("_epoch", "_kinds_epoch", "kinds")

    def __init__(self) -> None:
        self.kinds: dict[str, KindMap] = {}
        self._epoch = 0
        self._kinds_epoch = 0

    def view(self, revision: int) -> MemoryView:
        """Everything as it is; what is here now is not changed any more."""
        self._epoch += 1
        return MemoryView(self.kinds, revision)

    def get(self, key: ObjectKey) -> Json | None:
        """The object, None if there is none."""
        kind = self.kinds.get(key.kind)
        shard = kind.shards.get(key.namespace) if kind is not None else None
        return shard.items.get(key.name) if shard is not None else None

    def put(self, key: ObjectKey, obj: Json | None, revision: int) -> None:
        """Set or (None) remove one object."""
        if self._kinds_epoch != self._epoch:
            self.kinds = dict(self.kinds)
            self._kinds_epoch = self._epoch
        kind = self.kinds.get(key.kind)
        if kind is None or kind.epoch != self._epoch:
            shards = dict(kind.shards) if kind is not None else {}
            kind = self.kinds[key.kind] = KindMap(self._epoch, shards, revision)
        kind.revision = revision
        kind.put(key, obj, self._epoch)
