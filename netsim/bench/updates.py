"""What a change costs: one endpoint among N services, and everything at once, by nodes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
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
    for size in sizes:
        rows += at_size(options, size, report)
    return rows + full(options, max(sizes), report)


@contextmanager
def peers_with(options: Options, size: int, report: Report) -> Iterator[list[KernelPeer]]:
    """The kernel with rules for so many services."""
    with ExitStack() as stack:
        made: list[KernelPeer] = []
        for name in PEERS if options.peers else ():
            report(f"loading rules of {size:,} services: {name}")
            made.append(build(name))
            stack.callback(made[-1].close)
            made[-1].load_rules(rules.others(size, ENDPOINTS))
        yield made


def at_size(options: Options, size: int, report: Report) -> list[Row]:
    """One endpoint changed among `size` services."""
    changes = min(CHANGES, 20 * options.rounds)
    p50 = Figure(f"update_p50_ms@{size}", f"endpoint changed, {size:,} services, p50", "ms", False)
    p99 = Figure(f"update_p99_ms@{size}", f"endpoint changed, {size:,} services, p99", "ms", False)
    with ExitStack() as stack:
        report(f"storing {size:,} services")
        side = ControlSide(size, ENDPOINTS, NODES[0])
        stack.callback(side.close)
        peers = stack.enter_context(peers_with(options, size, report))

        def ours() -> Figures:
            found = side.ask(f"changes {changes}")
            return {p50.key: found["p50_ms"], p99.key: found["p99_ms"]}

        sides: dict[str, Take] = {OURS: ours}
        for peer in peers:
            sides[peer.name] = partial(one_change, peer, size, p50.key)
        what = f"updates, {size:,} services"
        return rows_in_turn("updates", what, sides, [p50, p99], options.rounds, report)


def one_change(peer: KernelPeer, size: int, key: str) -> Figures:
    """The kernel's rules of one service replaced."""
    version = time.monotonic_ns() % 65_000 + 1
    service = rules.other(version % size, ENDPOINTS, version)
    return {key: _timed(lambda: peer.change(service))}


def full(options: Options, size: int, report: Report) -> list[Row]:
    """Everything compiled and published at once, and the peer's whole restore."""
    rounds = min(options.rounds, SLOW_ROUNDS)
    rows: list[Row] = []
    for nodes in NODES:
        name = f"all of {size:,} services published, {nodes} node{'s' if nodes > 1 else ''}"
        figure = Figure(f"full_ms@{nodes}", name, "ms", False)
        with ExitStack() as stack:
            report(f"storing {size:,} services, {nodes} nodes")
            side = ControlSide(size, ENDPOINTS, nodes)
            stack.callback(side.close)
            sides: dict[str, Take] = {OURS: partial(_full_ours, side, figure.key)}
            for peer in _bare_peers(options, stack) if nodes == NODES[0] else ():
                sides[peer.name] = partial(_full_peer, peer, size, figure.key)
            rows += rows_in_turn("updates", name, sides, [figure], rounds, report)
    return rows


def _bare_peers(options: Options, stack: ExitStack) -> Sequence[KernelPeer]:
    made = [build(name) for name in PEERS] if options.peers else []
    for peer in made:
        stack.callback(peer.close)
    return made


def _full_ours(side: ControlSide, key: str) -> Figures:
    return {key: side.ask("full")["ms"]}


def _full_peer(peer: KernelPeer, size: int, key: str) -> Figures:
    peer.load_rules()  # few, so that the next are all new
    services = rules.others(size, ENDPOINTS)
    return {key: _timed(lambda: peer.load_rules(services))}


def _timed(do: Callable[[], None]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    do()
    return (time.perf_counter() - began) * 1e3
