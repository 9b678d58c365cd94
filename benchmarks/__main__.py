"""`scripts/bench`: netsim and the kernel, interleaved, medians and ranges, and their ratio."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from benchmarks import report
from benchmarks.netsim_side import NetsimSide
from benchmarks.peer import Peer
from benchmarks.rounds import Row, Sample, row, take
from benchmarks.work import SERVERS, WORKS, Side, Work, measure, serving

LOCK = "/run/netsim-bench.lock"


@contextmanager
def alone() -> Iterator[None]:
    """Waits for another run to end: two at once would measure each other."""
    with open(LOCK, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("bench: waiting for another run to end", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def rows_of(work: Work, sides: Sequence[Side], rounds: int, seconds: float) -> list[Row]:
    """Measure one work on every side and say what came of it."""
    by_name = {side.name: side for side in sides}

    def sample(name: str) -> Sample:
        print(f"... {work.name}: {name}", file=sys.stderr, flush=True)
        return measure(work, by_name[name], seconds)

    done = take(sample, list(by_name), rounds, spare=rounds)
    names = [*by_name, None]
    ours, peer = names[0], names[1]
    assert ours is not None
    return [row(figure, done, rounds, ours, peer) for figure in work.figures]


def run(works: Sequence[Work], args: argparse.Namespace) -> list[Row]:
    """Bring both sides up, measure, take them down."""
    with ExitStack() as stack:
        stack.enter_context(alone())
        sides: list[Side] = [NetsimSide(args.wire, SERVERS)]
        stack.callback(sides[0].close)
        if args.peer == "kernel":
            sides.append(Peer(SERVERS))
            stack.callback(sides[1].close)
        for side in sides:
            stack.enter_context(serving(side))
        return [r for work in works for r in rows_of(work, sides, args.rounds, args.seconds)]


def main() -> None:
    """Parse, measure, print."""
    names = [work.name for work in WORKS]
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("work", nargs="*", metavar="WORK", help=f"of {', '.join(names)}")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2, help="of each round")
    parser.add_argument("--wire", choices=["udp", "fabric"], default="udp")
    parser.add_argument("--peer", choices=["kernel", "none"], default="kernel")
    parser.add_argument("-o", "--output", choices=["table", "json"], default="table")
    args = parser.parse_args()
    unknown = sorted(set(args.work) - set(names))
    if unknown or args.rounds < 1 or args.seconds <= 0:
        parser.error(f"no such work: {', '.join(unknown)}" if unknown else "rounds and seconds > 0")
    if os.geteuid() != 0:
        print("bench: run as root", file=sys.stderr)
        sys.exit(4)
    rows = run([work for work in WORKS if not args.work or work.name in args.work], args)
    if args.output == "json":
        print(json.dumps(report.as_json(rows, args.wire, args.seconds)))
        return
    print(report.table(rows, NetsimSide.name, Peer.name if args.peer == "kernel" else None))
    print(report.notes(rows, args.wire, args.seconds))


if __name__ == "__main__":
    main()
