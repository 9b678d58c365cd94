"""Client affinity against a dictionary, with stepped time."""

from __future__ import annotations

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from netsim.dataplane._tables import AffinityTable

S = 1_000_000_000
TIMEOUT_S, NEIGHBOURHOOD = 60, 16
SERVICES = st.integers(1, 3)
CLIENTS = st.integers(0x0AF40000, 0x0AF40009)


class AffinityTwin(RuleBasedStateMachine):
    """Few clients and ample room: nobody is ever evicted; clients are with several endpoints."""

    def __init__(self) -> None:
        super().__init__()
        self.table = AffinityTable(1024, 5)
        self.naive: dict[tuple[int, int], dict[tuple[int, int], int]] = {}
        self.now = 0

    @rule(seconds=st.integers(0, 120), ns=st.integers(0, 1))
    def wait(self, seconds: int, ns: int) -> None:
        self.now += seconds * S + ns

    @rule(service=SERVICES, client=CLIENTS, endpoint=st.integers(1, 3))
    def set(self, service: int, client: int, endpoint: int) -> None:
        assert not self.table.set(service, client, endpoint, 3, self.now)
        self.naive.setdefault((service, client), {})[endpoint, 3] = self.now

    @rule(service=SERVICES, client=CLIENTS, timeout_s=st.sampled_from([1, 60, 10800]))
    def find(self, service: int, client: int, timeout_s: int) -> None:
        known = self.naive.get((service, client), {})
        alive = {e for e, renewed in known.items() if self.now - renewed <= timeout_s * S}
        assert self.table.find(service, client, self.now, timeout_s) == alive

    @invariant()
    def counts(self) -> None:
        assert len(self.table) == sum(map(len, self.naive.values()))


TestAffinityTwin = AffinityTwin.TestCase
TestAffinityTwin.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)


def test_a_full_table_is_bounded_and_never_lies() -> None:
    table, rng, evicted = AffinityTable(64, 1), random.Random(1), 0
    newest: dict[tuple[int, int], tuple[int, int]] = {}
    for now in range(2000):
        client = (rng.randrange(3), rng.randrange(200))
        newest.setdefault(client, (rng.randrange(1, 9), 80))
        evicted += table.set(*client, *newest[client], now)
        assert table.find(*client, now, 60) == {newest[client]}
        assert len(table) <= 64
    assert evicted > 0
    found = {c: table.find(*c, 2000, 60) for c in newest}
    assert all(f <= {newest[c]} for c, f in found.items())
    assert sum(len(f) for f in found.values()) == len(table) == 64


def test_the_least_recently_renewed_goes() -> None:
    table = AffinityTable(16, 1)  # one neighbourhood
    for client in range(16):
        assert not table.set(1, client, 5, 80, 100 + client)
    table.set(1, 0, 5, 80, 200)  # renewed: no longer the stalest
    assert table.set(1, 99, 5, 80, 201)
    assert [c for c in range(16) if not table.find(1, c, 201, 60)] == [1]


class LimitTwin(RuleBasedStateMachine):
    """Lists of a few clients per endpoint, as xt_recent has them or as sets of nftables."""

    @initialize(evicts=st.booleans(), clients=st.integers(1, 3))
    def begin(self, evicts: bool, clients: int) -> None:
        self.evicts, self.clients = evicts, clients
        self.table = AffinityTable(4096, 5, clients, evicts=evicts)
        self.lists: dict[tuple[int, int], dict[tuple[int, int], int]] = {}  # oldest first
        self.now = 0

    @rule(seconds=st.integers(0, 40))
    def wait(self, seconds: int) -> None:
        self.now += seconds * S

    @rule(
        client=st.tuples(SERVICES, CLIENTS),
        endpoint=st.tuples(st.integers(1, 40), st.integers(1, 2)),
    )
    def set(self, client: tuple[int, int], endpoint: tuple[int, int]) -> None:
        known, over = self.lists.setdefault(endpoint, {}), False
        full = client not in known and len(known) == self.clients
        if full:
            oldest = next(iter(known))
            over = self.now - known[oldest] <= TIMEOUT_S * S
            if self.evicts or not over:
                del known[oldest]
        if not full or self.evicts or not over:
            known.pop(client, None)
            known[client] = self.now
        assert self.table.set(*client, *endpoint, self.now, TIMEOUT_S) == over

    @rule(client=st.tuples(SERVICES, CLIENTS))
    def find(self, client: tuple[int, int]) -> None:
        alive = {
            endpoint
            for endpoint, known in self.lists.items()
            if client in known and self.now - known[client] <= TIMEOUT_S * S
        }
        if len(alive) < NEIGHBOURHOOD // 2:
            assert self.table.find(*client, self.now, TIMEOUT_S) == alive

    @invariant()
    def counts(self) -> None:
        if hasattr(self, "table"):
            assert len(self.table) == sum(map(len, self.lists.values()))


TestLimitTwin = LimitTwin.TestCase
TestLimitTwin.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize(("clients", "evicts"), [(100, True), (65535, False)])
def test_an_endpoint_has_so_many_clients_and_not_one_more(clients: int, evicts: bool) -> None:
    """P-37: the lists of xt_recent, the sets of nftables."""
    table = AffinityTable(4 * 65536, 1, clients, evicts=evicts)
    for client in range(clients):
        assert not table.set(1, client, 5, 1, client)
    assert table.set(1, clients, 5, 1, clients)
    assert table.find(1, 0, clients, 60) == (set() if evicts else {(5, 1)})
    assert table.find(1, clients, clients, 60) == ({(5, 1)} if evicts else set())
    assert not table.set(1, clients, 6, 1, clients)  # of another endpoint
    assert len(table) == clients + 1
    later = clients + 61 * S
    assert not table.set(1, clients + 1, 5, 1, later, 60)  # somebody's time is over
    assert table.find(1, clients + 1, later, 60) == {(5, 1)}


def test_lists_of_many_endpoints_come_and_go() -> None:
    """One client each: every new one ends a list and begins it again, among thousands."""
    table, rng = AffinityTable(16384, 3, 1), random.Random(3)
    newest: dict[tuple[int, int], int] = {}
    for now in range(40_000):
        endpoint, client = (rng.randrange(1500), rng.randrange(2)), rng.randrange(1 << 30)
        before = newest.get(endpoint)
        assert table.set(1, client, *endpoint, now) == (before not in (None, client))
        newest[endpoint] = client
        if before is not None and before != client:
            assert endpoint not in table.find(1, before, now, 60)
    assert len(table) == len(newest) == 3000
    assert all(table.find(1, client, 40_000, 60) == {e} for e, client in newest.items())
