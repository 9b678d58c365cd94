"""The store: objects in memory, every change first in the journal.

A transaction is staged beside the objects, written to the journal, and only then visible: if a
write is refused or the disk is full, nothing has happened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Protocol

from netsim.api.fields import Json
from netsim.api.meta import KIND_BY_NAME, ObjectKey, key_of, metadata
from netsim.store import lifecycle
from netsim.store.base import Create, Delete, Event, EventType, Update, Write
from netsim.store.errors import AlreadyExistsError, ObjectNotFoundError, StaleError
from netsim.store.views import MemoryView, Objects
from netsim.store.watch import History, HistoryWatch

HISTORY_EVENTS = 5_000  # about 12 MB in a lab whose Services and pods change
NAME_TRIES = 8


class Journal(Protocol):
    """Where changes are kept."""

    def load(self) -> tuple[int, Iterable[Json]]:
        """The last revision and all objects."""

    def append(self, events: Sequence[Event]) -> None:
        """Keep the changes of one transaction, all or none."""

    def close(self) -> None:
        """Release the file."""


class NoJournal:
    """Keeps nothing: for tests."""

    def load(self) -> tuple[int, Iterable[Json]]:
        """An empty store."""
        return 0, ()

    def append(self, events: Sequence[Event]) -> None:
        """Forget them."""

    def close(self) -> None:
        """Nothing to release."""


def utc_now() -> datetime:
    """The clock."""
    return datetime.now(UTC)


class ObjectStore:
    """`base.Store`."""

    def __init__(
        self,
        journal: Journal | None = None,
        *,
        now: Callable[[], datetime] = utc_now,
        history: int = HISTORY_EVENTS,
    ) -> None:
        self._journal = journal or NoJournal()
        self._now = now
        self._objects = Objects()
        revision, objects = self._journal.load()
        self._objects.put([(key_of(obj), obj, revision) for obj in objects])
        self._history = History(revision, history)
        self._view: MemoryView | None = None

    @property
    def revision(self) -> int:
        """The revision of the last change."""
        return self._history.revision

    @property
    def oldest(self) -> int:
        """The lowest revision a watch can start from."""
        return self._history.oldest

    def view(self) -> MemoryView:
        """Everything as it is now."""
        if self._view is None:
            self._view = self._objects.view(self.revision)
        return self._view

    def transaction(self, writes: Sequence[Write]) -> list[Json]:
        """Do all writes, in order, or none; durable when it returns. See `base.Store`."""
        staged = _Staged(self._objects, self.revision, self._now())
        left = [staged.write(write) for write in writes]
        if not staged.events:
            return left
        self._journal.append(staged.events)
        self._view = None
        self._objects.put(
            (event.key, None if event.type == "DELETED" else event.obj, event.revision)
            for event in staged.events
        )
        self._history.append(staged.events)
        return left

    def rehearse(self, writes: Sequence[Write]) -> list[Json]:
        """What `transaction` would return, or the ApiError it would raise; changes nothing."""
        staged = _Staged(self._objects, self.revision, self._now())
        return [staged.write(write) for write in writes]

    def create(self, obj: Json) -> Json:
        """One Create."""
        return self.transaction([Create(obj)])[0]

    def update(self, obj: Json) -> Json:
        """One Update."""
        return self.transaction([Update(obj)])[0]

    def delete(self, key: ObjectKey, grace_s: int | None = None) -> Json:
        """One Delete."""
        return self.transaction([Delete(key, grace_s)])[0]

    def watch(self, kind: str | None, from_revision: int) -> HistoryWatch:
        """Events after `from_revision`. ExpiredError if the history does not reach back to it."""
        return HistoryWatch(self._history, kind, from_revision)

    def committed_ns(self, revision: int) -> int | None:
        """When a revision was made (CLOCK_MONOTONIC), None if it is not known any more."""
        return self._history.committed_ns(revision)

    async def changed(self, since: int) -> int:
        """Wait until the revision is above `since`; returns it. StoreClosedError."""
        return await self._history.wait(since)

    def close(self) -> None:
        """End all watches and release the file."""
        self._history.close()
        self._journal.close()


class _Staged:
    """A transaction in the making: the objects it changes, over those it does not."""

    def __init__(self, objects: Objects, revision: int, now: datetime) -> None:
        self._objects = objects
        self._changed: dict[ObjectKey, Json | None] = {}
        self._revision = revision
        self._now = now
        self.events: list[Event] = []

    def write(self, write: Write) -> Json:
        """Stage one write; returns the object it leaves."""
        if isinstance(write, Create):
            return self._create(write.obj)
        if isinstance(write, Update):
            return self._update(write.obj)
        return self._delete(write)

    def _get(self, key: ObjectKey) -> Json | None:
        return self._changed[key] if key in self._changed else self._objects.get(key)

    def _existing(self, key: ObjectKey) -> Json:
        old = self._get(key)
        if old is None:
            raise ObjectNotFoundError(*naming(key))
        return old

    def _create(self, obj: Json) -> Json:
        key = self._free_key(obj)
        return self._put(key, None, lifecycle.created(obj, key.name, key.namespace, self._now))

    def _free_key(self, obj: Json) -> ObjectKey:
        key = key_of(obj)
        prefix = metadata(obj).get("generateName")
        if key.name or not isinstance(prefix, str):
            if self._get(key) is None:
                return key
            raise AlreadyExistsError(*naming(key))
        for _ in range(NAME_TRIES):
            key = ObjectKey(key.kind, key.namespace, lifecycle.generated_name(prefix))
            if self._get(key) is None:
                return key
        raise AlreadyExistsError(*naming(key))

    def _update(self, obj: Json) -> Json:
        key = key_of(obj)
        old = self._existing(key)
        given = metadata(obj)
        _check(key, old, str(given.get("uid") or ""), str(given.get("resourceVersion") or ""))
        new = lifecycle.updated(old, obj, key.namespace)
        if lifecycle.gone_after_update(new):
            return self._remove(key, old, new)
        unchanged = new == old and lifecycle.same(new, old)
        return old if unchanged else self._put(key, old, new)

    def _delete(self, write: Delete) -> Json:
        old = self._existing(write.key)
        _check(write.key, old, write.uid, str(write.revision or ""))
        marked = lifecycle.mark_deleted(old, write.grace_s, self._now)
        if marked is None:
            return self._remove(write.key, old, old)
        return old if marked == old else self._put(write.key, old, marked)

    def _put(self, key: ObjectKey, old: Json | None, obj: Json) -> Json:
        self._revision += 1
        new = lifecycle.stamped(obj, self._revision)
        self._changed[key] = new
        change: EventType = "ADDED" if old is None else "MODIFIED"
        self.events.append(Event(change, key, new, old, self._revision))
        return new

    def _remove(self, key: ObjectKey, old: Json, last: Json) -> Json:
        self._revision += 1
        final = lifecycle.stamped(last, self._revision)
        self._changed[key] = None
        self.events.append(Event("DELETED", key, final, old, self._revision))
        return final


def naming(key: ObjectKey) -> tuple[str, str, str]:
    """How messages name an object: plural, name, group."""
    kind = KIND_BY_NAME.get(key.kind)
    return (kind.plural, key.name, kind.group) if kind else (key.kind, key.name, "")


def _check(key: ObjectKey, old: Json, uid: str, revision: str) -> None:
    stored = metadata(old)
    if uid and uid != stored.get("uid"):
        plural, name, group = naming(key)
        why = (
            f"Precondition failed: UID in precondition: {uid}, UID in object meta: {stored['uid']}"
        )
        raise StaleError(plural, name, why, group)
    if revision and revision != stored.get("resourceVersion"):
        plural, name, group = naming(key)
        why = (
            "the object has been modified; please apply your changes to the latest version and "
            "try again"
        )
        raise StaleError(plural, name, why, group)
