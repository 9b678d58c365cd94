"""Steps of a rolling update: Kubernetes' figures, and what holds whatever happens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.controllers.rollout import Bounds, Counts, bounds, grown, shrunk


@pytest.mark.parametrize(
    ("surge", "unavailable", "replicas", "wanted"),
    [
        ("25%", "25%", 10, Bounds(3, 2)),
        ("25%", "25%", 1, Bounds(1, 0)),
        (0, "10%", 4, Bounds(0, 1)),
        (0, 5, 3, Bounds(0, 3)),
        ("100%", 0, 3, Bounds(3, 0)),
    ],
)
def test_bounds(surge: object, unavailable: object, replicas: int, wanted: Bounds) -> None:
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    assert bounds({"type": "RollingUpdate", "rollingUpdate": rolling}, replicas) == wanted
    assert bounds({"type": "Recreate"}, replicas) == Bounds(0, 0)


@pytest.mark.parametrize(
    ("desired", "surge", "old", "new", "wanted"),
    [(10, 0, 10, 0, 0), (10, 2, 10, 0, 2), (10, 2, 10, 2, 2), (10, 2, 5, 0, 7), (10, 2, 0, 12, 10)],
)
def test_the_new_set_grows(desired: int, surge: int, old: int, new: int, wanted: int) -> None:
    assert grown(new, old + new, desired, Bounds(surge, 0)) == wanted


@pytest.mark.parametrize(
    ("unavailable", "old", "new", "wanted"),
    [
        (0, [], Counts(10, 0), []),
        (2, [Counts(10, 10)], Counts(0, 0), [8]),
        (2, [Counts(10, 8)], Counts(0, 0), [8]),  # those that are not available
        (2, [Counts(10, 9)], Counts(0, 0), [8]),  # both
        (2, [Counts(8, 8)], Counts(2, 0), [8]),
        (2, [Counts(4, 0), Counts(6, 6)], Counts(2, 2), [0, 6]),  # the oldest first
    ],
)
def test_old_sets_shrink(
    unavailable: int, old: list[Counts], new: Counts, wanted: list[int]
) -> None:
    assert shrunk(old, new, 10, Bounds(0, unavailable)) == wanted


@given(st.integers(1, 12), st.integers(0, 4), st.integers(0, 4), st.lists(st.booleans()))
def test_there_are_never_too_many_and_enough_stay(
    desired: int, surge: int, unavailable: int, readies: list[bool]
) -> None:
    """Whichever pod of the new set gets ready when; and in the end it has all."""
    strategy = {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    allowed = bounds(strategy, desired)
    old, new = Counts(desired, desired), Counts(0, 0)
    for ready in [*readies, *[True] * (4 * desired + 4)]:
        size = grown(new.replicas, old.replicas + new.replicas, desired, allowed)
        new = Counts(size, new.available)
        (left,) = shrunk([old], new, desired, allowed)
        old = Counts(left, min(left, old.available))
        new = Counts(size, min(size, new.available + ready))
        assert old.replicas + new.replicas <= desired + allowed.surge
        assert old.available + new.available >= desired - allowed.unavailable
    assert (old, new) == (Counts(0, 0), Counts(desired, desired))
