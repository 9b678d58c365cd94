"""The allocation algorithms, on plain numbers: host-local's, the pod ranges', the cluster IPs'.

All three take what is in use as an argument and keep nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from random import Random
from typing import NamedTuple

from netsim.api.addresses import Cidr


def next_free(first: int, last: int, after: int, used: Container[int]) -> int | None:
    """The free number that follows `after` in `first..last`, starting over at the end.

    None when all are used. This is how host-local hands out addresses (K-66) and the node
    controller pod ranges (K-65): what was released is not given out again until a full turn.
    """
    count = last - first + 1
    start = after + 1 - first if first <= after < last else 0
    for step in range(count):
        candidate = first + (start + step) % count
        if candidate not in used:
            return candidate
    return None


class Band(NamedTuple):
    """Cluster IPs: `first..last` are usable, dynamic allocation prefers those from `dynamic` on."""

    first: int
    dynamic: int
    last: int


def service_band(cidr: Cidr) -> Band:
    """The bands of a service range (K-60): network and broadcast are excluded.

    The lower band of min(max(16, size/16), 256) addresses is left to services that ask for an
    address; ranges of up to 16 have none.
    """
    if cidr.size <= 2:
        return Band(cidr.base, cidr.base, cidr.last)
    first, last = cidr.base + 1, cidr.last - 1
    static = min(max(16, cidr.size // 16), 256) if cidr.size > 16 else 0
    return Band(first, first + static if static else first, last)


def pick(band: Band, taken: Callable[[int], bool], random: Random) -> int | None:
    """A free cluster IP: from a random start through the upper band, then the lower one (K-60)."""
    for first, last in ((band.dynamic, band.last), (band.first, band.dynamic - 1)):
        count = last - first + 1
        if count <= 0:
            continue
        start = random.randrange(count)
        for step in range(count):
            candidate = first + (start + step) % count
            if not taken(candidate):
                return candidate
    return None
