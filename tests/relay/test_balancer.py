"""Choice of endpoints in mode userspace: upstream's vectors (roundrobin_test.go), and properties.

A vector is a list of steps. `set` gives a service port its endpoints; what is shuffled is known
afterwards, so steps name endpoints by their place in the order, or by a word that stands for
whatever was met there first. `next` asks for a client, `retry` after its last endpoint failed.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.relay.balancer import Balancer, Endpoint, load

AFFINITY_S = 10800
Step = tuple[str | int, ...]


def ends(*ports: int) -> list[Endpoint]:
    return [("10.1.0.1", port) for port in ports]


def turns(service: str, *places: int, client: int = 1) -> list[Step]:
    """Endpoints by place, one after the other."""
    return [("next", service, client, place) for place in places]


def sticky(*pairs: tuple[int, int]) -> list[Step]:
    """(client, place)."""
    return [("next", "a", client, place) for client, place in pairs]


SETS = {1: ends(1), 123: ends(1, 2, 3), 456: ends(4, 5, 6), 45: ends(4, 5), 12: ends(1, 2)}
SETS |= {124: ends(1, 2, 4), 0: []}
NEW_FIRST = [("same", c, w) for c, w in zip((1, 2, 3) * 3, ("x", "y", "z") * 3, strict=True)]
VECTORS: dict[str, tuple[int, list[Step]]] = {
    "C-105": (0, [("none", "a"), ("set", "a", 0), ("none", "a")]),
    "C-106": (0, [("none", "a"), ("set", "a", 1), *turns("a", 0, 0, 0, 0)]),
    "C-107": (0, [("set", "a", 123), *turns("a", 0, 1, 2, 0)]),
    "C-108": (
        0,
        [("set", "a", 123), ("set", "b", 456), *turns("a", 0, 1, 2, 0), *turns("b", 0, 1, 2, 0)],
    ),
    "C-109": (
        0,
        [
            ("set", "a", 123),
            ("set", "b", 456),
            *turns("a", 0, 1, 2, 0),
            *turns("b", 0, 1, 2, 0),
            ("set", "a", 45),
            ("set", "b", 12),
            *turns("a", 0, 1, 0, 1),
            *turns("b", 0, 1, 0, 1),
            ("set", "a", 0),
            ("none", "a"),
        ],
    ),
    "C-110": (
        0,
        [
            ("set", "a", 123),
            ("set", "b", 456),
            *turns("a", 0, 1, 2, 0, 1),
            *turns("b", 0, 1, 2, 0, 1),
            ("set", "a", 0),
            ("none", "a"),
            *turns("b", 2, 0, 1, 2),
        ],
    ),
    "C-111": (
        AFFINITY_S,
        [("set", "a", 123), *NEW_FIRST, ("set", "a", 0), ("set", "a", 12), *NEW_FIRST[:2]],
    ),
    "C-112": (
        AFFINITY_S,
        [
            ("set", "a", 123),
            *sticky((1, 0), (1, 0), (2, 1), (2, 1), (3, 2)),
            ("keep", "a", 12),  # whose endpoint has gone begins anew
            ("kept",),
            ("keep", "a", 124),
            ("kept",),
            *sticky((4, 0), (5, 1), (6, 2)),
        ],
    ),
    "C-113": (
        AFFINITY_S,
        [
            ("set", "a", 123),
            *sticky((1, 0), (1, 0), (2, 1), (2, 1), (3, 2), (1, 0), (2, 1)),
            ("set", "a", 45),
            *sticky((1, 0), (2, 1), (1, 0), (1, 0), (2, 1), (2, 1)),
            ("set", "a", 0),
            ("none", "a"),
        ],
    ),
    "C-114": (
        AFFINITY_S,
        [
            ("set", "a", 123),
            ("set", "b", 45),
            *sticky((1, 0), (2, 1), (3, 2), (1, 0), (1, 0), (2, 1), (2, 1), (3, 2), (3, 2)),
            ("next", "b", 1, 0),
            ("next", "b", 2, 1),
            ("next", "b", 1, 0),
            ("set", "a", 0),
            ("none", "a"),
            ("next", "b", 1, 0),
            ("next", "b", 2, 1),
            ("next", "b", 1, 0),
        ],
    ),
    "C-115": (
        AFFINITY_S,
        [
            ("set", "a", 123),
            *sticky((1, 0), (2, 1), (3, 2)),
            ("retry", 1, 0),
            ("retry", 1, 1),
            ("retry", 1, 2),
            ("next", "a", 2, 1),
            ("retry", 2, 0),
            ("retry", 3, 1),
            ("retry", 1, 2),
            ("retry", 2, 0),
            ("retry", 3, 1),
        ],
    ),
}


@pytest.fixture(scope="module")
def library(cc: str, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return load(cc, tmp_path_factory.mktemp("balancer"))


@pytest.fixture
def balancer(library: ctypes.CDLL) -> Iterator[Balancer]:
    made = Balancer(library)
    yield made
    made.close()


class Run:
    """What a vector has met so far."""

    def __init__(self, library: ctypes.CDLL, seed: int, affinity_s: int) -> None:
        self.of = {name: Balancer(library, seed + i) for i, name in enumerate("ab")}
        self.affinity_s = affinity_s
        self.last: dict[int, Endpoint | None] = {}
        self.words: dict[str, Endpoint | None] = {}

    def do(self, step: Step) -> None:
        what, *rest = step
        getattr(self, str(what))(*rest)

    def set(self, service: str, ports: int) -> None:
        self.of[service].set(SETS[ports], self.affinity_s)
        assert sorted(self.of[service].order) == SETS[ports]
        self.words.clear()

    def keep(self, service: str, ports: int) -> None:
        """Set; who was with one that has gone gets the first of the new order."""
        self.of[service].set(SETS[ports], self.affinity_s)
        order = self.of[service].order
        self.last = {c: e if e in order else order[0] for c, e in self.last.items() if c <= 3}

    def kept(self) -> None:
        assert {c: self.of["a"].next(f"127.0.0.{c}") for c in self.last} == self.last

    def none(self, service: str) -> None:
        assert self.of[service].next() is None

    def next(self, service: str, client: int, place: int) -> None:
        found = self.of[service].next(f"127.0.0.{client}")
        assert found == self.of[service].order[place]
        self.last[client] = found

    def retry(self, client: int, place: int) -> None:
        found = self.of["a"].next(f"127.0.0.{client}", failed=True)
        assert found == self.of["a"].order[place]

    def same(self, client: int, word: str) -> None:
        found = self.of["a"].next(f"127.0.0.{client}")
        assert found == self.words.setdefault(word, found)


@pytest.mark.parametrize("seed", range(1, 9))
@pytest.mark.parametrize("name", VECTORS)
def test_upstream_vectors(library: ctypes.CDLL, name: str, seed: int) -> None:
    affinity_s, steps = VECTORS[name]
    run = Run(library, seed, affinity_s)
    for step in steps:
        run.do(step)
    for balancer in run.of.values():
        balancer.close()


def test_the_list_is_shuffled_when_it_changes_and_only_then(library: ctypes.CDLL) -> None:
    """P-23, P-104."""
    orders = set()
    for seed in range(1, 40):
        balancer = Balancer(library, seed)
        balancer.set(SETS[123])
        orders.add(tuple(balancer.order))
        assert balancer.next() == balancer.order[0]
        balancer.set(SETS[123])
        assert balancer.next() == balancer.order[1]  # goes on
        balancer.set(SETS[124])
        assert balancer.next() == balancer.order[0]  # begins anew
        balancer.close()
    assert len(orders) == 6


def test_affinity_lasts_from_the_last_connection_on(balancer: Balancer) -> None:
    """P-42, P-105: whole seconds, by address, renewed by each connection."""
    balancer.set(SETS[123], 10)
    first = balancer.next("10.0.0.1")
    for _ in range(5):
        balancer.now += 9.9
        assert balancer.next("10.0.0.1") == first
    balancer.now += 10
    assert balancer.next("10.0.0.1") == balancer.order[1] != first


def test_affinity_can_be_switched(balancer: Balancer) -> None:
    """P-39: without it the turn goes on; an entry that is there counts when it comes back."""
    balancer.set(SETS[123], 60)
    kept = balancer.next()
    balancer.set(SETS[123], 0)
    assert [balancer.next() for _ in range(3)] == [balancer.order[at] for at in (1, 2, 0)]
    balancer.set(SETS[123], 60)
    assert balancer.next() == kept


def test_who_has_no_affinity_any_more_takes_no_room(balancer: Balancer) -> None:
    balancer.set(SETS[123], 10)
    for turn in range(50):
        for client in range(100):
            balancer.next(f"10.0.{turn}.{client + 1}")
        balancer.now += 20
    assert balancer.state.places <= 512


CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.sets(st.integers(1, 6))),
        st.tuples(st.just("next"), st.integers(1, 40)),
        st.tuples(st.just("retry"), st.integers(1, 40)),
        st.tuples(st.just("wait"), st.integers(0, 12)),
    ),
    max_size=80,
)


@given(CHANGES)
def test_it_does_what_a_naive_one_does(
    library: ctypes.CDLL, steps: Sequence[tuple[str, set[int] | int]]
) -> None:
    balancer, ttl = Balancer(library), 10
    order: list[Endpoint] = []
    at, used = 0, dict[int, tuple[Endpoint, float]]()
    for what, value in steps:
        if isinstance(value, set):
            before = sorted(order)
            balancer.set(ends(*value), ttl)
            if before != ends(*sorted(value)):
                order, at = balancer.order, 0
                used = {c: known for c, known in used.items() if known[0] in order}
            assert balancer.order == order
        elif what == "wait":
            balancer.now += value
        elif order:
            known = used.get(value)
            if what == "next" and known and balancer.now - known[1] < ttl:
                expected = known[0]
            else:
                expected, at = order[at], (at + 1) % len(order)
            used[value] = (expected, balancer.now)
            assert balancer.next(f"10.0.0.{value}", failed=what == "retry") == expected
        else:
            assert balancer.next(f"10.0.0.{value}") is None
    balancer.close()
