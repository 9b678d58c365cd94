"""IPVS' schedulers against naive twins, its affinity, its endpoints of weight 0. Spec 3.3, 3.4."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from scapy.packet import Packet

from netsim.api.proxy_modes import IPVS_SCHEDULERS
from netsim.dataplane.rows import FIRST_SET, NONE, Choice, FrontendRow, ProxyRow
from tests.path.clients import A, B, tcp, udp
from tests.path.lab import PLAIN, UDP_PROTO, VIP, Lab, S, number
from tests.path.test_modes import proxy

CLIENT, EXTERNAL = "172.16.0.9", "192.0.2.7"
ENDS = [f"10.244.2.{n}" for n in range(2, 8)]
OUTSIDE = PLAIN._replace(frontends=(FrontendRow(number(EXTERNAL), 80, "external-ip"),))


def ipvs(scheduler: str = "rr") -> ProxyRow:
    return proxy("ipvs")._replace(scheduler=scheduler)


@dataclass
class Naive:
    """What an entry knows: connections by endpoint, active or not, and who was chosen last."""

    active: Counter[str] = field(default_factory=Counter)
    inactive: Counter[str] = field(default_factory=Counter)
    last: str = ""
    place: int = 0


def next_one(naive: Naive, ends: Sequence[str]) -> str:
    if naive.last in ends:
        return ends[(ends.index(naive.last) + 1) % len(ends)]
    return ends[naive.place] if naive.place < len(ends) else ends[0]


def least(naive: Naive, ends: Sequence[str]) -> str:
    return min(ends, key=lambda e: naive.active[e] * 256 + naive.inactive[e])


def shortest(naive: Naive, ends: Sequence[str]) -> str:
    return min(ends, key=lambda e: (naive.active[e] + 1) / 1)


TWINS: Mapping[str, Callable[[Naive, Sequence[str]], str]] = {
    "rr": next_one,
    "wrr": next_one,
    "lc": least,
    "wlc": least,
    "sed": shortest,
    "nq": shortest,
}


class SchedulerTwin(RuleBasedStateMachine):
    """Two ways into one service, whose endpoints come and go, and connections in every state."""

    @initialize(scheduler=st.sampled_from(sorted(TWINS)))
    def begin(self, scheduler: str) -> None:
        self.twin = TWINS[scheduler]
        self.lab = Lab(proxy=ipvs(scheduler))
        self.entries = {VIP: Naive(), EXTERNAL: Naive()}
        self.sport = 1000
        self.open: dict[tuple[str, int], tuple[str, str]] = {}  # endpoint and state
        self.shown: dict[tuple[str, int], Packet] = {}  # as the endpoint sees them
        self.ends = self.usable = ENDS[:3]
        self.lab.service(*[(e, 8080) for e in self.ends], like=OUTSIDE)

    def teardown(self) -> None:
        if hasattr(self, "lab"):
            self.lab.engine.close()

    @rule(
        ends=st.lists(st.sampled_from(ENDS), min_size=1, unique=True),
        drained=st.sets(st.sampled_from(ENDS)),
    )
    def change(self, ends: list[str], drained: set[str]) -> None:
        """Some endpoints only finish what they have: weight 0."""
        kept = {end for end, _ in self.open.values()}
        self.ends = sorted(kept | set(ends), key=number)
        self.usable = [e for e in self.ends if e not in drained] or self.ends
        for naive in self.entries.values():
            if naive.last not in self.ends:
                naive.last = ""  # should it come back, it is another one
        places = tuple(self.ends.index(e) for e in self.usable)
        row = OUTSIDE._replace(sets=(places,), cluster=Choice(FIRST_SET))
        self.lab.service(*[(e, 8080) for e in self.ends], like=row)

    @rule(dst=st.sampled_from([VIP, EXTERNAL]), count=st.integers(1, 5))
    def connect(self, dst: str, count: int) -> None:
        for _ in range(count):
            self.sport += 1
            naive = self.entries[dst]
            expected = self.twin(naive, self.usable)
            shown = self.lab.out("a1", tcp(A, dst, self.sport), "wire1")
            got = str(shown.dst)
            assert got == expected
            self.shown[dst, self.sport] = shown
            naive.active[got] += 1
            naive.last, naive.place = got, self.usable.index(got)
            self.open[dst, self.sport] = (got, "opening")

    def one(self, index: int, state: str) -> tuple[str, int] | None:
        found = [key for key, (_, now) in self.open.items() if now == state]
        return found[index % len(found)] if found else None

    def client(self, key: tuple[str, int], flags: str) -> None:
        self.lab.out("a1", tcp(A, key[0], key[1], flags=flags), "wire1")

    def server(self, key: tuple[str, int], flags: str) -> None:
        shown = self.shown[key]
        packet = tcp(shown.dst, shown.src, shown.dport, shown.sport, flags)
        self.lab.out("wire1", self.lab.wrap(packet), "a1")

    @rule(index=st.integers(0, 99))
    def accept(self, index: int) -> None:
        if key := self.one(index, "opening"):
            self.server(key, "SA")
            self.client(key, "A")
            self.open[key] = (self.open[key][0], "open")

    @rule(index=st.integers(0, 99))
    def close(self, index: int) -> None:
        """It is inactive, and known for another two minutes."""
        if key := self.one(index, "open"):
            self.client(key, "FA")
            end = self.open[key][0]
            naive = self.entries[key[0]]
            naive.active[end] -= 1
            naive.inactive[end] += 1
            self.open[key] = (end, "closing")

    @rule(index=st.integers(0, 99))
    def refuse(self, index: int) -> None:
        """It never was a connection, and is forgotten."""
        if key := self.one(index, "opening"):
            self.server(key, "RA")
            self.entries[key[0]].active[self.open.pop(key)[0]] -= 1

    @rule()
    def forget_what_is_over(self) -> None:
        self.lab.now += 121
        for key, (end, state) in list(self.open.items()):
            if state != "open":
                naive = self.entries[key[0]]
                (naive.inactive if state == "closing" else naive.active)[end] -= 1
                del self.open[key]
        self.lab.engine.expire(round(self.lab.now * S))


TestSchedulerTwin = SchedulerTwin.TestCase
TestSchedulerTwin.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)


def hash_32(address: str) -> int:
    """Linux' hash_32() of 8 bits, as sh and dh take it."""
    return (number(address) * 0x61C88647 & 0xFFFFFFFF) >> 24


def test_sh_keeps_a_source_and_dh_a_destination() -> None:
    ends = [(e, 8080) for e in ENDS]
    for scheduler in ("sh", "dh"):
        with Lab(proxy=ipvs(scheduler)) as lab:
            lab.service(*ends, like=OUTSIDE)
            for n in range(40):
                source, dst = f"172.16.1.{n % 20}", (VIP, EXTERNAL)[n % 2]
                got = lab.out("stack1", tcp(source, dst, 1000 + n), "wire1").dst
                hashed = source if scheduler == "sh" else dst
                assert got == ENDS[hash_32(hashed) % len(ENDS)], (scheduler, n)


def test_mh_moves_only_the_sources_of_an_endpoint_that_left() -> None:
    sources = [f"172.16.{n // 200}.{n % 200}" for n in range(600)]
    with Lab(proxy=ipvs("mh")) as lab:

        def chosen(sport: int) -> dict[str, str]:
            return {s: lab.out("stack1", tcp(s, VIP, sport), "wire1").dst for s in sources}

        lab.service(*[(e, 8080) for e in ENDS])
        before = chosen(1)
        assert all(60 <= n <= 140 for n in Counter(before.values()).values())
        lab.service(*[(e, 8080) for e in ENDS[1:]])
        after = chosen(2)
        assert {s for s in sources if before[s] != after[s]} == {
            s for s in sources if before[s] == ENDS[0]
        }


@pytest.mark.parametrize("scheduler", IPVS_SCHEDULERS)
def test_an_endpoint_of_weight_0_keeps_what_it_has_and_gets_nothing_new(scheduler: str) -> None:
    """C-125, C-127: connections of an endpoint that terminates go on."""
    with Lab(proxy=ipvs(scheduler)) as lab:
        lab.service((B, 8080))
        lab.out("a1", tcp(A, VIP), "b1")
        lab.out("b1", tcp(B, A, 8080, 40000, "SA"), "a1")
        later = PLAIN._replace(sets=((1,),), cluster=Choice(FIRST_SET))
        lab.service((B, 8080), (ENDS[0], 8080), like=later)
        for sport in range(2000, 2010):
            assert lab.out("a1", tcp(A, VIP, sport), "wire1").dst == ENDS[0]
        lab.out("a1", tcp(A, VIP, flags="A"), "b1")
        lab.service((ENDS[0], 8080))
        lab.out("a1", tcp(A, VIP, flags="A"), "b1")


def test_connections_outlive_their_endpoint_by_fifteen_minutes() -> None:
    """C-127: then the client's next packet reaches somebody who does not know it, and resets."""
    with Lab(proxy=ipvs()) as lab:

        def later(seconds: float) -> None:
            lab.now += seconds
            lab.engine.expire(round(lab.now * S))

        lab.service((B, 8080))
        for sport in (1, 2):
            lab.out("a1", tcp(A, VIP, sport), "b1")
            lab.out("b1", tcp(B, A, 8080, sport, "SA"), "a1")
            lab.out("a1", tcp(A, VIP, sport, flags="A"), "b1")
        later(5000)
        lab.service((ENDS[0], 8080))
        later(1)
        later(899)
        lab.out("a1", tcp(A, VIP, 1, flags="A"), "b1")
        later(1)
        assert len(lab.engine.flows(lab.nodes[1].id)[0]) == 0
        got = lab.out("a1", tcp(A, VIP, 1, flags="A"), "wire1")
        assert got.dst == ENDS[0]
        reset = lab.wrap(tcp(ENDS[0], A, 8080, 1, "R"))
        assert lab.out("wire1", reset, "a1").src == VIP


def test_affinity_is_with_an_address_and_lasts_as_long_as_a_connection() -> None:
    """P-41, C-123: IPVS' persistence."""
    ends = [(e, 8080) for e in ENDS]
    with Lab(proxy=ipvs()) as lab:
        lab.service(*ends, affinity_s=10, like=OUTSIDE)
        first = lab.out("stack1", tcp(CLIENT, VIP, 1), "wire1").dst
        lab.out("stack1", tcp("172.16.0.10", EXTERNAL, 1), "wire1")
        assert lab.out("stack1", tcp(CLIENT, EXTERNAL, 2), "wire1").dst == ENDS[1] != first
        sent = tcp(CLIENT, VIP, 3)
        got = lab.out("stack1", sent, "wire1")
        assert got.dst == first
        lab.out("wire1", lab.wrap(tcp(first, got.src, 8080, got.sport, "SA")), "stack1")
        lab.out("stack1", tcp(CLIENT, VIP, 3, flags="A"), "wire1")
        lab.now += 3600
        assert lab.out("stack1", tcp(CLIENT, VIP, 4), "wire1").dst == first
        lab.out("stack1", tcp(CLIENT, VIP, 3, flags="R"), "wire1")
        lab.now += 200
        lab.engine.expire(round(lab.now * S))
        assert lab.out("stack1", tcp(CLIENT, VIP, 5), "wire1").dst != first


def test_policy_local_is_for_pods_too_while_the_node_has_an_endpoint() -> None:
    """C-124: only local real servers."""
    local = Choice(NONE, (("n1", FIRST_SET),))
    here = OUTSIDE._replace(external_local=True, sets=((0,),), local=local)
    with Lab(proxy=ipvs()) as lab:
        lab.service((B, 8080), (ENDS[0], 8080), like=here)
        for sport in range(1000, 1004):
            assert lab.out("a1", tcp(A, EXTERNAL, sport), "b1").dst == B
            assert lab.out("stack1", tcp(CLIENT, EXTERNAL, sport), "b1").src == CLIENT
        away = here._replace(local=Choice(NONE))
        lab.service((B, 8080), (ENDS[0], 8080), like=away)
        assert lab.refuses("stack1", tcp(CLIENT, EXTERNAL, 2000)) == "no-local-endpoint"
        got = {lab.out("a1", tcp(A, EXTERNAL, s), w).dst for s, w in ((1, "wire1"), (2, "b1"))}
        assert got == {B, ENDS[0]}


def test_refusals_come_from_the_address_that_was_asked() -> None:
    """It is the node's own: bound to kube-ipvs0."""
    with Lab(proxy=ipvs()) as lab:
        lab.service()
        assert lab.out("a1", tcp(A, VIP), "a1").src == VIP
        assert lab.out("a1", tcp(A, VIP, dport=81), "a1").src == VIP


def test_after_a_restart_connections_count_and_weights_hold() -> None:
    """C-126: what the last process knew of flows is counted by the next one."""
    ends, memory = [(e, 8080) for e in ENDS[:3]], os.memfd_create("flows")
    with Lab(arena_fd=memory, proxy=ipvs("lc")) as lab:
        lab.service(*ends, proto=UDP_PROTO)
        for sport in range(1, 5):
            lab.out("a1", udp(A, VIP, sport), "wire1")
    with Lab(arena_fd=memory, proxy=ipvs("lc")) as lab:
        lab.service(*ends, proto=UDP_PROTO, like=PLAIN._replace(sets=((0, 1),), cluster=Choice(2)))
        assert lab.engine.adopt_flows(round(lab.now * S)) == 4
        # two, one and, of weight 0, one
        got = [lab.out("a1", udp(A, VIP, sport), "wire1").dst for sport in range(5, 8)]
        assert got == [ENDS[1], ENDS[0], ENDS[1]]
    os.close(memory)
