"""What a change costs: one endpoint among N services, and everything at once, by nodes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from netsim.bench import rules
from netsim.bench.control_side import ControlSide
from netsim.bench.kernel import KernelPeer, build
from netsim.bench.load import Figures
from netsim.bench.options import Options, Report
from netsim.bench.rounds import Figure, Row
from netsim.bench.turns import Take, rows_in_turn

SIZES = (10, 10_000)
ENDPOINTS = 10
NODES = (1, 100)
CHANGES = 150  # of a round
SLOW_ROUNDS = 3  # at most, of what takes seconds
PEERS = ("kernel", "kernel-nft")  # whose rules are changed
OURS = "netsim"


def measure(options: Options, report: Report) -> list[Row]:
    """All rows."""
    sizes = options.sizes or SIZES
    rows: list[Row] = []
    loads: dict[str, float] = {}
    for size in sorted(sizes):
        with peers_with(options, size, report) as (peers, took):
            rows += at_size(options, size, peers, report)
            loads = took  # in the end, those of the most services
    for nodes in NODES:
        rows += full(options, max(sizes), nodes, loads, report)
    return rows


@contextmanager
def peers_with(
    options: Options, size: int, report: Report
) -> Iterator[tuple[list[KernelPeer], dict[str, float]]]:
    """The kernel with rules for so many services, and the milliseconds of loading them."""
    with ExitStack() as stack:
        made: list[KernelPeer] = []
        took: dict[str, float] = {}
        services = rules.others(size, ENDPOINTS)
        for name in PEERS if options.peers else ():
            report(f"loading rules of {size:,} services: {name}")
            peer = build(name)
            stack.callback(peer.close)
            took[name] = _timed(partial(peer.load_rules, services))
            made.append(peer)
        yield made, took


def at_size(options: Options, size: int, peers: Sequence[KernelPeer], report: Report) -> list[Row]:
    """One endpoint changed among `size` services."""
    changes = min(CHANGES, 20 * options.rounds)
    p50 = Figure(f"update_p50_ms@{size}", f"endpoint changed, {size:,} services, p50", "ms", False)
    p99 = Figure(f"update_p99_ms@{size}", f"endpoint changed, {size:,} services, p99", "ms", False)
    report(f"storing {size:,} services")
    side = ControlSide(size, ENDPOINTS, NODES[0])
    try:

        def ours() -> Figures:
            found = side.ask(f"changes {changes}")
            return {p50.key: found["p50_ms"], p99.key: found["p99_ms"]}

        sides: dict[str, Take] = {OURS: ours}
        for peer in peers:
            sides[peer.name] = partial(one_change, peer, size, p50.key)
        what = f"updates, {size:,} services"
        return rows_in_turn("updates", what, sides, [p50, p99], options.rounds, report)
    finally:
        side.close()


def one_change(peer: KernelPeer, size: int, key: str) -> Figures:
    """The kernel's rules of one service replaced."""
    version = time.monotonic_ns() % 65_000 + 1
    service = rules.other(version % size, ENDPOINTS, version)
    return {key: _timed(lambda: peer.change(service))}


def full(
    options: Options, size: int, nodes: int, loads: Mapping[str, float], report: Report
) -> list[Row]:
    """Everything compiled and published at once; beside it, for one node, the peers' restores."""
    name = f"all of {size:,} services published, {nodes} node{'s' if nodes > 1 else ''}"
    figure = Figure(f"full_ms@{nodes}", name, "ms", False)
    report(f"storing {size:,} services, {nodes} nodes")
    side = ControlSide(size, ENDPOINTS, nodes)
    try:
        sides: dict[str, Take] = {OURS: lambda: {figure.key: side.ask("full")["ms"]}}
        for peer, took in loads.items() if nodes == NODES[0] else ():
            sides[peer] = partial(_once, {figure.key: took})
        rounds = min(options.rounds, SLOW_ROUNDS)
        return rows_in_turn("updates", name, sides, [figure], rounds, report)
    finally:
        side.close()


def _once(figures: Figures) -> Figures:
    """Of what takes too long to do again."""
    return figures


def _timed(do: Callable[[], None]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    do()
    return (time.perf_counter() - began) * 1e3
