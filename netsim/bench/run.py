"""One run: brings the sides up, measures work after work, takes everything down, tells."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from netsim.bench import load, machine, memory, ours, path, refuse, services, startup, updates
from netsim.bench.command import CommandPeer
from netsim.bench.kernel import build
from netsim.bench.options import TRAFFIC, Options, Report
from netsim.bench.ours import NetsimSide
from netsim.bench.result import Result
from netsim.bench.rounds import Row
from netsim.bench.side import Side
from netsim.bench.works import CROSS_CHECK, WORKS, rows_of

# Beside the traffic: works that bring up what they need themselves.
OTHERS = {
    "services": services.measure,
    "updates": updates.measure,
    "startup": startup.measure,
    "memory": memory.measure,
}


def run(options: Options, report: Report) -> Result:
    """Do all of it. PreconditionError: figures would mean nothing, or a peer can not be built."""
    started = time.monotonic()
    rows: list[Row] = []
    titles: dict[str, str] = {}
    facts = machine.facts()
    with refuse.alone(report):
        forced = refuse.check_quiet(options.force)
        ours.sweep()
        if any(work in TRAFFIC for work in options.works):
            with sides_of(options, report) as sides:
                titles |= {side.name: side.title for side in sides}
                facts |= facts_of(sides)
                rows += traffic(options, sides, report)
        skipped = [path.missing()] if "path" in options.works else []
        for work, measure in OTHERS.items():
            if work in options.works:
                rows += measure(options, report)
        if skipped == [""]:
            rows += path.measure(report)
    return Result(
        tuple(rows),
        facts,
        titles,
        options.seconds,
        options.rounds,
        time.monotonic() - started,
        tuple(forced),
        tuple(reason for reason in skipped if reason),
    )


@contextmanager
def sides_of(options: Options, report: Report) -> Iterator[list[Side]]:
    """All sides, serving; peers first, so that what is missing is known soon."""
    with ExitStack() as stack:
        peers: list[Side] = []
        for name in options.peers:
            report(f"building peer {name}")
            peers.append(build(name))
            stack.callback(peers[-1].close)
        if options.peer_command:
            report(f"starting {options.peer_command}")
            peers.append(CommandPeer(options.peer_command))
            stack.callback(peers[-1].close)
        sides: list[Side] = []
        for wire in options.wires:
            report(f"bringing a lab up, wire {wire}")
            sides.append(NetsimSide(wire, spec=options.spec))
            stack.callback(sides[-1].close)
        sides += peers
        for side in sides:
            stack.enter_context(load.serving([side.space(pod) for pod in side.servers()]))
        yield sides


def facts_of(sides: Sequence[Side]) -> dict[str, object]:
    """How our data planes work here."""
    ours = [side for side in sides if isinstance(side, NetsimSide)]
    return machine.facts({side.wire: side.lab.status() for side in ours})


def traffic(options: Options, sides: Sequence[Side], report: Report) -> list[Row]:
    """The works that need the two nodes, four servers and one Service only."""
    known = (*WORKS, CROSS_CHECK) if options.cross_check else WORKS
    wanted = [work for work in known if work.group in options.works]
    wanted.sort(key=lambda work: TRAFFIC.index(work.group))
    return [
        row
        for work in wanted
        for row in rows_of(work, sides, options.rounds, options.seconds, report)
    ]
