"""What a store is: its operations, immutable views of it, and the events that lead between them.

Objects are JSON mappings in Kubernetes' shape, never changed once stored: whoever wants another
state writes another object. One counter, the revision, rises by one with every change of any
object; an object's `metadata.resourceVersion` is the revision that made it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from netsim.api.fields import Json
from netsim.api.meta import ObjectKey

EventType = Literal["ADDED", "MODIFIED", "DELETED"]


@dataclass(frozen=True, slots=True)
class Event:
    """One change. `old` is None for ADDED; `obj` of DELETED is the last state, newly numbered."""

    type: EventType
    key: ObjectKey
    obj: Json
    old: Json | None
    revision: int


@dataclass(frozen=True, slots=True)
class Create:
    """Store a new object. `metadata.generateName` is completed; AlreadyExistsError."""

    obj: Json


@dataclass(frozen=True, slots=True)
class Update:
    """Replace an object, status included.

    `metadata.resourceVersion` and `uid`, where given, must be the stored ones (StaleError). uid,
    creationTimestamp and deletionTimestamp are kept, generation rises when anything but metadata
    and status differs; an object equal to the stored one is not a change. An object that waits for
    its finalizers is removed with the last of them.
    """

    obj: Json


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove an object, or mark it with deletionTimestamp when it may not go yet.

    Pods on a node that have not ended get `grace_s`, by default their
    `terminationGracePeriodSeconds` (30), and are removed by a second Delete with 0; the rest goes
    at once. Finalizers hold any object. `uid` and `revision`, where given, must be the stored ones
    (StaleError).
    """

    key: ObjectKey
    grace_s: int | None = None
    uid: str = ""
    revision: int = 0


Write = Create | Update | Delete


class View(Protocol):
    """All objects at one revision. Costs nothing to keep, never changes while the store does."""

    @property
    def revision(self) -> int:
        """The store's revision when the view was taken."""

    def get(self, key: ObjectKey) -> Json | None:
        """The object, None if there is none."""

    def list(self, kind: str, namespace: str | None = None) -> Sequence[Json]:
        """Objects of a kind by (namespace, name); of one namespace, unless None."""

    def namespaces(self, kind: str) -> Collection[str]:
        """The namespaces that objects of a kind are in ("" for cluster-wide kinds)."""

    def dependents(self, uid: str) -> Sequence[Json]:
        """Objects that name the object with this uid among their owners, in no order."""

    def changes(self, kind: str, before: View | None) -> Sequence[tuple[Json | None, Json | None]]:
        """Objects of a kind that an earlier view (None: an empty one) has otherwise, by name.

        Each as it was and as it is; None where there was or is none. Costs what differs.
        """

    def kind_revision(self, kind: str) -> int:
        """A number that rises when an object of the kind changes: a key for caches."""


class Watch(Protocol):
    """Events of a kind (or of all), in order, each once; `async for`, then `close()`.

    Raises ExpiredError when the reader has fallen behind the history. Ends when the store closes.
    """

    @property
    def revision(self) -> int:
        """The reader has been told everything up to this revision."""

    def __aiter__(self) -> AsyncIterator[Event]:
        """The watch itself."""

    async def __anext__(self) -> Event:
        """The next event, waited for."""

    def pending(self) -> list[Event]:
        """The events that have happened and were not read yet; does not wait."""

    def close(self) -> None:
        """End the iteration, also one that waits."""


class Store(Protocol):
    """Objects by key. Synchronous and single-threaded: the event loop's thread owns it."""

    @property
    def revision(self) -> int:
        """The revision of the last change."""

    def view(self) -> View:
        """Everything as it is now."""

    def transaction(self, writes: Sequence[Write]) -> list[Json]:
        """Do all writes, in order, or none; durable when it returns.

        Returns the object each write left: for a removal its last state. ApiError of the write
        that failed; nothing is changed then.
        """

    def rehearse(self, writes: Sequence[Write]) -> list[Json]:
        """What `transaction` would return, or the ApiError it would raise; changes nothing."""

    def create(self, obj: Json) -> Json:
        """One Create."""

    def update(self, obj: Json) -> Json:
        """One Update."""

    def delete(self, key: ObjectKey, grace_s: int | None = None) -> Json:
        """One Delete."""

    def watch(self, kind: str | None, from_revision: int) -> Watch:
        """Events after `from_revision`. ExpiredError if the history does not reach back to it."""

    async def changed(self, since: int) -> int:
        """Wait until the revision is above `since`; returns it. StoreClosedError."""

    def close(self) -> None:
        """End all watches and release the file."""
