"""The collector while rows are made: it waits, and many rows stay out of its sight."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from netsim.controllers import tables


@pytest.fixture
def sight(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The collector as it was, with few objects counting as many."""
    monkeypatch.setattr(tables, "MANY_OBJECTS", 1000)
    gc.collect()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("sight")
@pytest.mark.parametrize(("count", "hidden"), [(10, False), (20_000, True)])
def test_it_waits_and_does_not_look_at_many_afterwards(count: int, hidden: bool) -> None:
    before = gc.get_freeze_count()
    with tables.collector_paused():
        assert not gc.isenabled()
        rows = [[number] for number in range(count)]
    assert gc.isenabled()
    assert (gc.get_freeze_count() - before >= len(rows)) is hidden


def test_it_stays_off_where_it_was_off() -> None:
    gc.disable()
    try:
        with tables.collector_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
