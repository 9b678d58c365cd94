"""The bounded history of changes and the watches that read it.

Every change has its own revision, so the history is an array indexed by revision. A watch is a
place in it, not a queue: a slow reader holds no memory and learns with ExpiredError that it fell
behind.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left

from netsim.errors import NetsimError
from netsim.store.base import Event
from netsim.store.errors import ExpiredError


class StoreClosedError(NetsimError):
    """The store was closed while somebody waited for a change."""


class History:
    """The last changes, at least `limit` of them when there were as many.

    `oldest` is the revision before the first event kept: who has seen it can go on from there.
    """

    def __init__(self, revision: int, limit: int) -> None:
        self.oldest = revision
        self.closed = False
        self._limit = limit
        self._room = limit + max(1, limit // 8)  # then the surplus goes at once
        self._events: list[Event] = []
        self._committed: list[tuple[int, int]] = []
        self._waiters: set[asyncio.Future[None]] = set()

    @property
    def revision(self) -> int:
        """The revision of the last change."""
        return self.oldest + len(self._events)

    def append(self, events: list[Event]) -> None:
        """Add changes of consecutive revisions and wake who waits."""
        self._events += events
        if len(self._events) > self._room:
            surplus = len(self._events) - self._limit
            del self._events[:surplus]
            self.oldest += surplus
        self._committed.append((self.revision, time.monotonic_ns()))
        if len(self._committed) > self._room:
            del self._committed[: -self._limit]
        self._wake()

    def committed_ns(self, revision: int) -> int | None:
        """When a revision was made (CLOCK_MONOTONIC), None if it is not known any more."""
        at = bisect_left(self._committed, (revision,))
        known = at < len(self._committed) and revision > self.oldest
        return self._committed[at][1] if known else None

    def check(self, revision: int) -> None:
        """ExpiredError if changes after `revision` are no longer known, or it was never reached."""
        if not self.oldest <= revision <= self.revision:
            raise ExpiredError(revision, self.oldest)

    def following(self, revision: int, kind: str | None) -> Event | None:
        """The first change after `revision` of the kind (None: any); ExpiredError."""
        self.check(revision)
        for index in range(revision - self.oldest, len(self._events)):
            event = self._events[index]
            if kind is None or event.key.kind == kind:
                return event
        return None

    async def wait(self, since: int) -> int:
        """Wait until the revision is above `since`; returns it. StoreClosedError."""
        while self.revision <= since:
            if self.closed:
                raise StoreClosedError("the store is closed")
            await self.woken()
        return self.revision

    async def woken(self) -> None:
        """Wait for the next change, close or `nudge()`."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)

    def close(self) -> None:
        """No more changes: wake who waits."""
        self.closed = True
        self._wake()

    def nudge(self) -> None:
        """Wake who waits to look again at its own state."""
        self._wake()

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)


class HistoryWatch:
    """`base.Watch`: a place in the history."""

    def __init__(self, history: History, kind: str | None, from_revision: int) -> None:
        history.check(from_revision)
        self.revision = from_revision
        self._history = history
        self._kind = kind
        self._closed = False

    def __aiter__(self) -> HistoryWatch:
        """The watch itself."""
        return self

    async def __anext__(self) -> Event:
        """The next event, waited for; ExpiredError when it is no longer known."""
        while not (self._closed or self._history.closed):
            event = self._next()
            if event is not None:
                return event
            await self._history.woken()
        raise StopAsyncIteration

    def pending(self) -> list[Event]:
        """The events that have happened and were not read yet; does not wait."""
        events = []
        while (event := self._next()) is not None:
            events.append(event)
        return events

    def close(self) -> None:
        """End the iteration, also one that waits."""
        self._closed = True
        self._history.nudge()

    def _next(self) -> Event | None:
        event = self._history.following(self.revision, self._kind)
        self.revision = self._history.revision if event is None else event.revision
        return event
