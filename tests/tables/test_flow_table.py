"""Flows against a list, over random operations with stepped time; growth; bounds."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from netsim.dataplane._tables import Arena, FlowTable, timeout_s

Key = tuple[int, int, int, int, int]

S = 1_000_000_000
MIB = 1 << 20
ROOM = 12
ADDRESSES = st.integers(1, 3)
PORTS = st.sampled_from([53, 80])
KEYS = st.tuples(ADDRESSES, ADDRESSES, PORTS, PORTS, st.sampled_from([6, 17]))
STATES = {6: "ESTABLISHED", 17: "NEW"}


def reverse(key: Key) -> Key:
    src, dst, sport, dport, proto = key
    return dst, src, dport, sport, proto


@dataclass
class NaiveFlow:
    original: Key
    reply: Key
    expires: int


class FlowTwin(RuleBasedStateMachine):
    """Few keys, so that they collide; the records lie in a memfd that several tables take over."""

    def __init__(self) -> None:
        super().__init__()
        self.fd = os.memfd_create("flows")
        self.now = 1
        self.lives = 0
        self.naive: list[NaiveFlow] = []
        self.open()

    def open(self) -> None:
        self.lives += 1
        self.table = FlowTable(Arena(self.fd, MIB), 7, ROOM, self.lives)

    def teardown(self) -> None:
        os.close(self.fd)

    def live(self) -> list[NaiveFlow]:
        return [f for f in self.naive if f.expires > self.now]

    def naive_find(self, key: Key) -> tuple[NaiveFlow, bool] | None:
        for f in self.live():
            if key in (f.original, f.reply):
                return f, key != f.original
        return None

    @rule(seconds=st.sampled_from([0, 1, 29, 30, 299, 300]))
    def wait(self, seconds: int) -> None:
        self.now += seconds * S

    @rule(original=KEYS, to=st.none() | KEYS)
    def insert(self, original: Key, to: Key | None) -> None:
        """With `to`, translated: answers come from elsewhere, maybe on a key that is taken."""
        reply = reverse(to[:4] + original[4:] if to else original)
        if self.naive_find(original) or self.naive_find(reply):
            with pytest.raises(FileExistsError):
                self.table.insert(original, reply, STATES[original[4]], self.now)
            return
        if len(self.live()) == ROOM:
            with pytest.raises(OSError, match="No space"):
                self.table.insert(original, reply, STATES[original[4]], self.now)
            return
        self.table.insert(original, reply, STATES[original[4]], self.now)
        timeout = timeout_s(original[4], STATES[original[4]], False)
        self.naive = [*self.live(), NaiveFlow(original, reply, self.now + timeout * S)]

    @rule(key=KEYS)
    def find(self, key: Key) -> None:
        found, naive = self.table.find(key, self.now), self.naive_find(key)
        if found is None or naive is None:
            assert found is None
            assert naive is None
            return
        (original, reply, *_, expires), direction = found
        assert (NaiveFlow(original, reply, expires), direction) == naive

    @rule(key=KEYS)
    def remove(self, key: Key) -> None:
        naive = self.naive_find(key)
        if naive is None:
            with pytest.raises(KeyError):
                self.table.remove(key, self.now)
        else:
            self.table.remove(key, self.now)
            self.naive.remove(naive[0])

    @rule(budget=st.integers(0, 2000))
    def expire(self, budget: int) -> None:
        before = len(self.table)
        gone = self.table.expire(self.now, budget)
        assert len(self.table) == before - gone
        if budget >= 629:  # every record of the one chunk has been looked at
            assert len(self.table) == len(self.live())

    @rule(adopt=st.booleans())
    def die(self, adopt: bool) -> None:
        """The next process has another hash seed; `adopt` False keeps both tables, unused."""
        self.open()
        assert self.table.adopt(self.now) == len(self.live())
        if adopt:
            self.now += S

    @invariant()
    def agree(self) -> None:
        walked = [NaiveFlow(f[0], f[1], f[5]) for f in self.table.walk(self.now)]
        assert sorted(walked, key=lambda f: f.original) == sorted(
            self.live(), key=lambda f: f.original
        )
        assert len(self.live()) <= len(self.table) <= ROOM


TestFlowTwin = FlowTwin.TestCase
TestFlowTwin.settings = settings(max_examples=80, stateful_step_count=60, deadline=None)


def test_grows_and_empties_and_finds_every_flow_both_ways() -> None:
    table, rng = FlowTable(Arena(-1, 64 * MIB), 1, 200_000, 99), random.Random(1)
    for start in range(0, 120_000, 20_000):
        assert table.insert_numbered(start, start + 20_000, 1) == 20_000
        assert all(table.has_numbered(rng.randrange(start + 20_000), 1) for _ in range(500))
    assert table.insert_numbered(0, 1000, 1) == 0  # all there
    assert table.remove_numbered(0, 120_000, 3, 1) == 40_000
    assert all(table.has_numbered(n, 1) == (n % 3 != 0) for n in range(5000))
    assert table.bytes() <= 128 * 120_000  # for as many flows as there were
    assert table.expire(31 * S, 200_000) == 80_000
    assert len(table) == 0
    assert not table.has_numbered(1, 1)
    held = table.bytes()
    assert table.insert_numbered(0, 100_000, 1) == 100_000
    assert table.bytes() <= held  # records and buckets are used again


def test_no_more_than_128_bytes_a_flow() -> None:
    table = FlowTable(Arena(-1, 64 * MIB), 1, 400_000, 5)
    for start in range(0, 200_000, 2500):  # index sizes before, in and after doubling
        table.insert_numbered(start, start + 2500, 1)
        if start >= 50_000:
            assert table.bytes() <= 128 * len(table), start


def test_an_idle_table_is_small() -> None:
    table = FlowTable(Arena(-1, 1024 * MIB), 1, 1_000_000, 1)
    assert table.bytes() < 20_000
    table.insert_numbered(0, 500, 1)
    assert table.bytes() < 130_000


def test_a_full_table_refuses_until_something_expires() -> None:
    table = FlowTable(Arena(-1, MIB), 1, 1000, 1)
    assert table.insert_numbered(0, 1500, 1) == 1000
    assert table.insert_numbered(1500, 1600, 31 * S) == 100
    assert len(table) <= 1000


def test_a_full_arena_refuses() -> None:
    table = FlowTable(Arena(-1, 2 * 104 * 1024), 1, 5000, 1)
    assert table.insert_numbered(0, 5000, 1) == 2 * 1023
    assert table.remove_numbered(0, 10, 1, 1) == 10
    assert table.insert_numbered(3000, 3100, 1) == 10


def test_expiry_is_a_bounded_scan_that_goes_on_where_it_stopped() -> None:
    table = FlowTable(Arena(-1, MIB), 1, 1000, 1)
    table.insert_numbered(0, 1000, 1)
    assert [table.expire(31 * S, 300) for _ in range(5)] == [300, 300, 300, 100, 0]


def test_a_flow_to_itself_is_one_flow() -> None:
    table = FlowTable(Arena(-1, MIB), 1, 10, 1)
    key = (5, 5, 80, 80, 17)
    table.insert(key, key, "NEW", 1)
    found = table.find(key, 1)
    assert found is not None
    assert not found[1]
    table.remove(key, 1)
    assert table.find(key, 1) is None


@pytest.mark.parametrize("room", [0, 1 << 23])
def test_refuses_a_size_that_can_not_be(room: int) -> None:
    with pytest.raises(OSError, match="Invalid"):
        FlowTable(Arena(-1, MIB), 1, room, 1)
