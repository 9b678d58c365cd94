"""How the cost of a connection grows with the number of services, ours and the kernel's."""

from __future__ import annotations

from contextlib import ExitStack

from netsim.bench import load, rules
from netsim.bench.kernel import build
from netsim.bench.load import Figures
from netsim.bench.options import Options, Report
from netsim.bench.ours import NetsimSide
from netsim.bench.rounds import Figure, Row
from netsim.bench.side import CLIENT, Side
from netsim.bench.works import Work, rows_of

SIZES = (1, 10, 5000, 20_000)
PEERS = ("kernel", "kernel-nft")
IN_FLIGHT = 16


def measure(options: Options, report: Report) -> list[Row]:
    """All rows; on the first of the wires."""
    return [row for size in options.sizes or SIZES for row in at_size(options, size, report)]


def at_size(options: Options, size: int, report: Report) -> list[Row]:
    """Sides with so many services, of which the last is asked."""
    with ExitStack() as stack:
        sides: list[Side] = []
        for name in PEERS if options.peers else ():
            report(f"loading rules of {size:,} services: {name}")
            peer = build(name)
            stack.callback(peer.close)
            peer.load_rules(rules.others(size - 1, 1))
            sides.append(peer)
        report(f"bringing a lab with {size:,} services up")
        ours = NetsimSide(options.wires[0], size - 1, options.spec)
        stack.callback(ours.close)
        sides.insert(0, ours)
        for side in sides:
            stack.enter_context(load.serving([side.space(pod) for pod in side.servers()]))
        return [
            row
            for work in works(size)
            for row in rows_of(work, sides, options.rounds, min(1.0, options.seconds), report)
        ]


def works(size: int) -> tuple[Work, ...]:
    """The figures at one size."""
    count = f"{size:,} service{'s' if size > 1 else ''}"
    first = f"first_p50_us@{size}"
    rate = f"services_per_s@{size}"

    def first_packet(side: Side, seconds: float) -> Figures:
        found = load.ask(side.space(CLIENT), "connect", side.service, seconds, 1)
        return {first: found["first_p50_us"]}

    def connections(side: Side, seconds: float) -> Figures:
        found = load.ask(side.space(CLIENT), "connect", side.service, seconds, IN_FLIGHT)
        return {rate: found["per_s"]}

    return (
        Work(
            *("services", f"{count}, first packet", first_packet),
            (Figure(first, f"first packet there and back, {count}", "us", False),),
        ),
        Work(
            *("services", f"{count}, connections", connections),
            (Figure(rate, f"connect-ask-close, 16 in flight, {count}", "/s"),),
        ),
    )
