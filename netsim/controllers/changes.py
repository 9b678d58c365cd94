"""What changed between two views, at the price of what changed.

Stored objects never change, so an object that is the same one in both views needs no second look,
and views know what they share.
"""

from __future__ import annotations

from typing import NamedTuple

from netsim.api.meta import Json
from netsim.store.base import View


class Changes(NamedTuple):
    """`gone`: objects as they were, deleted or replaced; `new`: objects as they are now."""

    gone: list[Json]
    new: list[Json]


class Tracker:
    """The objects of one kind as they were in the view it was shown last."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._view: View | None = None

    def advance(self, view: View) -> Changes:
        """Changes since the last call, by namespace and name; everything is new at first."""
        before, self._view = self._view, view
        if before is None:
            return Changes([], list(view.list(self._kind)))
        changes = view.changes(self._kind, before)
        return Changes(
            [old for old, _ in changes if old is not None],
            [new for _, new in changes if new is not None],
        )
