"""Client affinity against a dictionary, with stepped time."""

from __future__ import annotations

import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from netsim.dataplane._tables import AffinityTable

S = 1_000_000_000
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
