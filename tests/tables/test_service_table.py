"""The service table against a dictionary, over random changes."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from netsim.dataplane._tables import ServiceTable

Endpoint = tuple[int, int]
Key = tuple[int, int, int]
Row = tuple[int, int, int, tuple[Endpoint, ...]]  # id, affinity, revision, endpoints

KEYS = st.tuples(st.integers(0x0A600000, 0x0A600017), st.sampled_from([53, 80]), st.just(17))
ENDPOINTS = st.lists(
    st.tuples(st.integers(0x0AF40001, 0x0AF4000C), st.sampled_from([80, 8080])),
    unique=True,
    max_size=9,
)

ADDRESSES = (*range(1, 9), *range(0x0A600000, 0x0A600019))  # all but a node port's

MORE = st.lists(KEYS.map(lambda k: (k[0] & 7, 30000 + k[1], k[2])), unique=True, max_size=3)


class ServiceTwin(RuleBasedStateMachine):
    """`slots` remembers what a flow would: every (slot, generation) ever handed out, by place.

    `holders` has who was the last to be given a key that is nobody's own.
    """

    def __init__(self) -> None:
        super().__init__()
        self.table = ServiceTable(random.Random(1).getrandbits(64))
        self.naive: dict[Key, Row] = {}
        self.holders: dict[Key, Key] = {}
        self.slots: dict[tuple[Key, Endpoint], tuple[int, int]] = {}
        self.dead: set[tuple[int, int]] = set()

    def take_slots(self, key: Key, endpoints: tuple[Endpoint, ...]) -> None:
        """What stays keeps its slot and generation; what leaves is dead for ever."""
        for place in [p for p in self.slots if p[0] == key and p[1] not in endpoints]:
            self.dead.add(self.slots.pop(place))
        found = self.table.find(key)
        for address, port, slot, generation in found[3] if found else []:
            now = (slot, generation)
            assert self.slots.setdefault((key, (address, port)), now) == now

    @rule(
        key=KEYS,
        endpoints=ENDPOINTS,
        id=st.integers(0, 9),
        affinity_s=st.sampled_from([0, 10800]),
        revision=st.integers(0, 2**63),
        more=MORE,
    )
    def set(
        self,
        key: Key,
        endpoints: list[Endpoint],
        id: int,
        affinity_s: int,
        revision: int,
        more: list[Key],
    ) -> None:
        before = self.table.udp_generation()
        new = [k for k in (key, *more) if k not in self.naive and k not in self.holders]
        self.table.set(key, id, endpoints, affinity_s, revision, more=more)
        assert (self.table.udp_generation() != before) == bool(new)
        self.is_set(key, (id, affinity_s, revision, tuple(endpoints)), more)
        self.take_slots(key, tuple(endpoints))

    def is_set(self, key: Key, row: Row, more: list[Key]) -> None:
        self.naive[key] = row
        self.holders = {k: who for k, who in self.holders.items() if who != key}
        self.holders |= dict.fromkeys(more, key)

    def is_gone(self, key: Key) -> None:
        del self.naive[key]
        self.holders = {k: who for k, who in self.holders.items() if who != key}

    @rule(key=KEYS)
    def remove(self, key: Key) -> None:
        if key in self.naive:
            self.table.remove(key)
            self.is_gone(key)
        else:
            with pytest.raises(FileNotFoundError):
                self.table.remove(key)
        self.take_slots(key, ())

    @rule(
        changes=st.lists(
            st.tuples(KEYS, st.none() | ENDPOINTS, MORE), max_size=6, unique_by=lambda c: c[0]
        )
    )
    def together(self, changes: list[tuple[Key, list[Endpoint] | None, list[Key]]]) -> None:
        """Readers see nothing of it, and then all."""
        before = self.seen()
        self.table.begin()
        for key, endpoints, more in changes:
            if endpoints is not None:
                self.table.set(key, 7, endpoints, more=more)
                self.is_set(key, (7, 0, 0, tuple(endpoints)), more)
            elif key in self.naive:
                self.table.remove(key)
                self.is_gone(key)
            with pytest.raises(OSError, match="Invalid"):
                self.table.set((key[0], 0, key[2]), 1, [])
        assert self.seen() == before
        assert all(self.table.alive(*s) for s in self.slots.values())
        self.table.commit()
        for key, endpoints, _ in changes:
            self.take_slots(key, tuple(endpoints or ()))

    def seen(self) -> object:
        """All that readers can find."""
        every = [(address, port, 17) for address in ADDRESSES for port in (53, 80)]
        every += [(address, 30000 + port, 17) for address in range(8) for port in (53, 80)]
        addresses = [self.table.has_address(a, own=own) for a in ADDRESSES for own in (True, False)]
        return [self.table.find(key) for key in every], addresses, self.table.udp_generation()

    @rule(key=KEYS, other=KEYS, endpoints=ENDPOINTS.filter(bool), wrong=st.integers(0, 6))
    def refuse(self, key: Key, other: Key, endpoints: list[Endpoint], wrong: int) -> None:
        more = {2: [key], 3: [(0, 30000, 17), (0, 30000, 17)], 6: [other]}.get(wrong, [])
        sets = [[len(endpoints)]] if wrong == 4 else []
        nodes = {7: 2} if wrong == 5 else {}
        if wrong == 6 and (other == key or other not in self.naive):
            return
        extra = {0: [(endpoints[0][0], 0)], 1: [endpoints[0]]}.get(wrong, [])
        bad = [*endpoints, *extra]
        with pytest.raises(OSError, match="exists" if wrong == 6 else "Invalid"):
            self.table.set(key, 1, bad, more=more, sets=sets, local=(0, nodes))

    @rule(key=KEYS)
    def a_port_of_zero(self, key: Key) -> None:
        with pytest.raises(OSError, match="Invalid"):
            self.table.set((key[0], 0, key[2]), 1, [])

    @rule()
    def reap(self) -> None:
        self.table.reap()

    @rule(key=KEYS)
    def find(self, key: Key) -> None:
        found = self.table.find(key)
        if found is None:
            assert key not in self.naive
            return
        *row, endpoints = found
        assert (*row, tuple(e[:2] for e in endpoints)) == self.naive[key]
        for i, (address, port, _, _) in enumerate(endpoints):
            assert self.table.endpoint(key, address, port) == i
        assert self.table.endpoint(key, 1, 1) is None

    @invariant()
    def every_key_leads_to_its_service(self) -> None:
        for key, who in self.holders.items():
            assert self.table.find(key) == self.table.find(who)

    @invariant()
    def addresses_are_those_of_the_keys(self) -> None:
        for address in ADDRESSES:
            own = any(key[0] == address for key in self.naive)
            every = own or any(key[0] == address for key in self.holders)
            assert self.table.has_address(address, own=True) == own
            assert self.table.has_address(address, own=False) == every

    @invariant()
    def slots_are_alive_while_their_endpoint_stays(self) -> None:
        assert len(self.table) == len(self.naive)
        assert len(set(self.slots.values())) == len(self.slots)
        assert all(self.table.alive(*s) for s in self.slots.values())
        assert not any(self.table.alive(*s) for s in self.dead)


TestServiceTwin = ServiceTwin.TestCase
TestServiceTwin.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)


def test_thousands_of_services_come_and_go() -> None:
    table, rng = ServiceTable(7), random.Random(7)
    naive: dict[Key, list[Endpoint]] = {}
    for step in range(20_000):
        key = (0x0A600000 + rng.randrange(3000), 80, 6)
        if rng.random() < 0.6 or key not in naive:
            naive[key] = [(rng.randrange(1, 1 << 20) * 8 + i, 80) for i in range(step % 5)]
            table.set(key, step, naive[key])
        else:
            table.remove(key)
            del naive[key]
    assert len(table) == len(naive)
    for n in range(3000):
        found = table.find((0x0A600000 + n, 80, 6))
        assert (found and [e[:2] for e in found[3]]) == naive.get((0x0A600000 + n, 80, 6))
    assert table.find((0x0A600000, 81, 6)) is None


def test_thousands_of_changes_show_together() -> None:
    table = ServiceTable(7)
    keys = [(0x0A600000 + n, 80, 6) for n in range(3000)]
    for id_ in (1, 2):
        table.begin()
        for n, key in enumerate(keys):
            table.set(key, id_, [(0x0AF40000 + n + id_ * 5000, 80)])
        assert {found[0] for key in keys if (found := table.find(key))} == (
            {1} if id_ > 1 else set()
        )
        table.commit()
        assert {found[0] for key in keys if (found := table.find(key))} == {id_}
        table.reap()
    table.begin()
    for key in keys:
        table.remove(key)
    assert len(table) == 0, "and who closes it now leaves nothing behind"


def test_slots_are_used_again_in_a_new_generation() -> None:
    table = ServiceTable(1)
    seen = set()
    for _ in range(100):
        table.set((1, 80, 6), 1, [(5, 80)])
        found = table.find((1, 80, 6))
        assert found is not None
        seen.add(found[3][0][2:])
        table.remove((1, 80, 6))
        table.reap()
    assert len(seen) == 100
    assert len({slot for slot, _ in seen}) == 1
    assert table.bytes() < 10_000


@pytest.mark.parametrize("slot", [2**24, 2**32 - 1])
def test_a_slot_that_can_not_be_is_not_alive(slot: int) -> None:
    assert not ServiceTable(1).alive(slot, 0)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 10, 100])
def test_each_endpoint_is_chosen_equally_often(count: int) -> None:
    table, rng, draws = ServiceTable(1), random.Random(1), 20_000
    table.set((1, 80, 6), 1, [(i + 1, 80) for i in range(count)])
    chosen = Counter(table.pick((1, 80, 6), [rng.getrandbits(32) for _ in range(draws)]))
    assert set(chosen) <= set(range(count))
    mean, deviation = draws / count, (draws / count * (1 - 1 / count)) ** 0.5
    assert all(abs(chosen[i] - mean) <= 4 * deviation for i in range(count))


def test_the_extremes_of_the_random_number_pick_the_first_and_the_last() -> None:
    table = ServiceTable(1)
    table.set((1, 80, 6), 1, [(i + 1, 80) for i in range(3)])
    assert table.pick((1, 80, 6), [0, 2**32 - 1]) == [0, 2]


def test_nodes_have_sets_of_endpoints() -> None:
    table, key = ServiceTable(1), (1, 80, 6)
    ends = [(i + 1, 80) for i in range(6)]
    sets = [[0, 2, 4], [3, 4], [5], []]
    nodes = {n: n % 4 + 2 for n in range(2, 60)}
    table.set(key, 1, ends, sets=sets, cluster=(0, {}), local=(1, nodes))
    assert table.usable(key, 7) == [0, 1, 2, 3, 4, 5]
    for node in range(70):
        wanted = sets[node % 4] if node in nodes else []
        assert table.usable(key, node, local=True) == wanted
    assert table.served(key)
    table.set(key, 1, ends, cluster=(2, {9: 3}), sets=[[1, 5], [0]])
    randoms = [0, 2**31, 2**32 - 1]
    assert (table.pick(key, randoms), table.pick(key, randoms, 9)) == ([1, 5, 5], [0, 0, 0])


def test_endpoints_in_no_set_stay_but_nobody_is_served() -> None:
    table, key = ServiceTable(1), (1, 80, 6)
    table.set(key, 1, [(5, 80)])
    found = table.find(key)
    assert found is not None
    slot = found[3][0][2:]
    table.set(key, 1, [(5, 80)], cluster=(1, {}), local=(1, {3: 1}))
    assert table.alive(*slot)
    assert not table.served(key)
    assert table.usable(key) == []
