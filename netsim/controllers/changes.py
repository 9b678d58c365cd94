"""What changed between two views, at the price of comparing identities.

Stored objects never change, so an object that is the same one in both views needs no second look.
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
        self._revision = -1
        self._seen: dict[int, Json] = {}

    def advance(self, view: View) -> Changes:
        """Changes since the last call; everything is new at first."""
        revision = view.kind_revision(self._kind)
        if revision == self._revision:
            return Changes([], [])
        seen, self._revision = self._seen, revision
        now = self._seen = {id(obj): obj for obj in view.list(self._kind)}
        return Changes(
            [obj for key, obj in seen.items() if key not in now],
            [obj for key, obj in now.items() if key not in seen],
        )
