"""Ports of fragmented datagrams against a dictionary, with stepped time."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from netsim.dataplane._tables import FragmentTable

S = 1_000_000_000
ROOM = 12
KEYS = st.tuples(st.just(1), st.integers(1, 2), st.integers(0, 15), st.sampled_from([6, 17]))


class FragmentTwin(RuleBasedStateMachine):
    """The naive table is exact, expiry and fullness included."""

    def __init__(self) -> None:
        super().__init__()
        self.table = FragmentTable(ROOM, 3)
        self.naive: dict[tuple[int, int, int, int], tuple[int, int, int]] = {}
        self.now = 1

    def live(self) -> dict[tuple[int, int, int, int], tuple[int, int, int]]:
        return {k: v for k, v in self.naive.items() if v[2] > self.now}

    @rule(seconds=st.sampled_from([0, 1, 14, 29, 30]), ns=st.integers(0, 1))
    def wait(self, seconds: int, ns: int) -> None:
        self.now += seconds * S + ns

    @rule(key=KEYS, sport=st.integers(0, 65535), dport=st.integers(0, 65535))
    def remember(self, key: tuple[int, int, int, int], sport: int, dport: int) -> None:
        self.naive = self.live()
        self.naive.pop(key, None)
        if len(self.naive) == ROOM:
            del self.naive[next(iter(self.naive))]
        self.table.remember(key, sport, dport, self.now)
        self.naive[key] = (sport, dport, self.now + 30 * S)

    @rule(key=KEYS)
    def find(self, key: tuple[int, int, int, int]) -> None:
        entry = self.live().get(key)
        assert self.table.find(key, self.now) == (entry[:2] if entry else None)


TestFragmentTwin = FragmentTwin.TestCase
TestFragmentTwin.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)


def test_a_new_datagram_takes_the_place_of_the_oldest() -> None:
    table = FragmentTable(100, 1)
    for i in range(100):
        table.remember((1, 2, i, 17), i, 53, i)
    table.remember((1, 2, 0, 17), 7, 53, 200)  # no longer the oldest
    table.remember((1, 2, 100, 17), 8, 53, 201)
    assert table.find((1, 2, 0, 17), 202) == (7, 53)
    assert table.find((1, 2, 1, 17), 202) is None
    assert table.find((1, 2, 2, 17), 202) == (2, 53)
    assert table.find((1, 2, 100, 17), 202) == (8, 53)
