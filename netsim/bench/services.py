"""How the cost of a connection grows with the number of services, ours and the kernel's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack

from netsim.bench import load, rules
from netsim.bench.kernel import build
from netsim.bench.load import Figures
from netsim.bench.options import Options, Report
from netsim.bench.ours import NetsimSide
from netsim.bench.rounds import Figure, Round, Row, row, take
from netsim.bench.side import CLIENT, Side
from netsim.bench.works import Work, sample

SIZES = (1, 10, 5000, 20_000)
PEERS = ("kernel", "kernel-nft")
IN_FLIGHT = 16


def measure(options: Options, report: Report) -> list[Row]:
    """All rows; on the first of the wires. All sizes are there at once, and take turns too."""
    with ExitStack() as stack:
        sized = {size: sides_with(options, size, stack, report) for size in options.sizes or SIZES}
        found = [
            (size, number, row)
            for number in range(len(works(1)))
            for size, row in in_turn(sized, number, options, report)
        ]
    return [row for _, _, row in sorted(found, key=lambda each: each[:2])]


def sides_with(options: Options, size: int, stack: ExitStack, report: Report) -> list[Side]:
    """Sides with so many services, of which the last is asked; the stack takes them down."""
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
    return sides


def in_turn(
    sized: Mapping[int, Sequence[Side]], number: int, options: Options, report: Report
) -> Iterator[tuple[int, Row]]:
    """One of the works, measured on all sides of all sizes in turn: rows by size."""
    everyone = {
        f"{side.name}, {size:,} services": (works(size)[number], side)
        for size, sides in sized.items()
        for side in sides
    }
    seconds = min(1.0, options.seconds)

    def begins(turn: int, name: str) -> None:
        work, side = everyone[name]
        report(f"{work.name}: round {turn} of {options.rounds}, {side.name}")

    done = take(
        lambda name: sample(*everyone[name], seconds),
        list(everyone),
        options.rounds,
        spare=options.rounds,
        begins=begins,
    )
    for size, sides in sized.items():
        names = {side.name: f"{side.name}, {size:,} services" for side in sides}
        part = [Round({own: r.samples[name] for own, name in names.items()}) for r in done]
        ours = [name for name in names if name.startswith("netsim")]
        for figure in works(size)[number].figures:
            yield size, row("services", figure, part, options.rounds, ours)


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
