"""How a rolling update moves replicas from old ReplicaSets to the new one. Pure; spec K-10 to K-12.

Surge first: the new set grows while all together are within `replicas + maxSurge`. Then old ones
shrink, as far as `replicas - maxUnavailable` stay available: what is not available first, and the
oldest set first.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

from netsim.api.fields import Json, mapping, text

DEFAULT_SHARE = "25%"


class Counts(NamedTuple):
    """Of a ReplicaSet: the replicas that it is asked for, and how many pods are available."""

    replicas: int
    available: int


class Bounds(NamedTuple):
    """How many replicas there may be beyond those asked for, and how many may be missing."""

    surge: int
    unavailable: int


def bounds(strategy: Json, replicas: int) -> Bounds:
    """A Deployment's. A share of the surge is rounded up, one that is missing down (K-10)."""
    if text(strategy, "type") == "Recreate":
        return Bounds(0, 0)
    rolling = mapping(strategy, "rollingUpdate")
    surge = ceil(_share(rolling.get("maxSurge", DEFAULT_SHARE), replicas))
    unavailable = int(_share(rolling.get("maxUnavailable", DEFAULT_SHARE), replicas))
    return Bounds(surge, min(unavailable if surge or unavailable else 1, replicas))


def _share(value: object, replicas: int) -> float:
    if isinstance(value, str) and value.endswith("%"):
        return replicas * int(value[:-1]) / 100
    return value if isinstance(value, int) else 0


def grown(new: int, everything: int, desired: int, allowed: Bounds) -> int:
    """What the new set is asked for next; `everything`: what all are asked for (K-11)."""
    if new >= desired:
        return desired
    return new + max(min(desired + allowed.surge - everything, desired - new), 0)


def shrunk(old: Sequence[Counts], new: Counts, desired: int, allowed: Bounds) -> list[int]:
    """What the old sets, oldest first, are asked for next (K-12)."""
    asked = [each.replicas for each in old]
    at_least = desired - allowed.unavailable
    spare = sum(asked) + new.replicas - at_least - (new.replicas - new.available)
    for at, each in enumerate(old):
        unhealthy = max(each.replicas - each.available, 0)
        cut = max(min(unhealthy, spare), 0)
        asked[at] -= cut
        spare -= cut
    spare = min(spare, new.available + sum(each.available for each in old) - at_least)
    for at, left in enumerate(asked):
        cut = max(min(left, spare), 0)
        asked[at] -= cut
        spare -= cut
    return asked
