"""`scripts/bench`: netsim and the kernel, interleaved, medians and ranges, and their ratio."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Sequence

from benchmarks.netsim_side import NetsimSide
from benchmarks.peer import Peer
from benchmarks.work import SERVERS, WORKS, Side, Work


def busy_share(before: Sequence[int], after: Sequence[int]) -> float:
    """Share of CPU time used by anybody between two readings of /proc/stat's first line."""
    spent = [b - a for a, b in zip(before, after, strict=True)]
    idle = spent[3] + spent[4]
    return 1 - idle / max(1, sum(spent))


def cpu_times() -> list[int]:
    """The first line of /proc/stat."""
    with open("/proc/stat") as file:
        return [int(word) for word in file.readline().split()[1:9]]


def measure(
    work: Work, sides: Sequence[Side], rounds: int, seconds: float
) -> dict[str, list[float]]:
    """Figures by side; the sides take turns, and who begins alternates."""
    figures: dict[str, list[float]] = {side.name: [] for side in sides}
    for number in range(rounds):
        for side in sides if number % 2 == 0 else reversed(sides):
            print(f"... {work.name}: round {number + 1}, {side.name}", file=sys.stderr, flush=True)
            figures[side.name].append(work.measure(side, seconds))
    return figures


def row(work: Work, ours: Sequence[float], theirs: Sequence[float]) -> dict[str, object]:
    """One line of the report. `ratio` above 1 means that netsim is better."""
    mine, peer = statistics.median(ours), statistics.median(theirs)
    return {
        "work": work.name,
        "unit": work.unit,
        "netsim": {"median": mine, "min": min(ours), "max": max(ours)},
        "peer": {"median": peer, "min": min(theirs), "max": max(theirs)},
        "ratio": mine / peer if work.more_is_better else peer / mine,
    }


def spread(figure: object) -> str:
    """Median and range of a figure for people."""
    assert isinstance(figure, dict)
    return f"{figure['median']:10.1f} [{figure['min']:.1f} .. {figure['max']:.1f}]"


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2, help="of each round")
    parser.add_argument("--wire", choices=["udp", "fabric"], default="udp")
    parser.add_argument("-o", "--output", choices=["table", "json"], default="table")
    args = parser.parse_args()
    if os.geteuid() != 0:
        print("bench: run as root", file=sys.stderr)
        sys.exit(4)
    ours = NetsimSide(args.wire, SERVERS)
    try:
        peer = Peer(SERVERS)
        try:
            before = cpu_times()
            rows = []
            for work in WORKS:
                figures = measure(work, (ours, peer), args.rounds, args.seconds)
                rows.append(row(work, figures[ours.name], figures[peer.name]))
            busy = busy_share(before, cpu_times())
        finally:
            peer.close()
    finally:
        ours.close()
    if args.output == "json":
        print(json.dumps({"rounds": args.rounds, "wire": args.wire, "rows": rows, "cpuBusy": busy}))
        return
    print(f"{'work':28} {'unit':7} {ours.name:>34} {peer.name:>34}  ratio (above 1: netsim ahead)")
    for line in rows:
        print(
            f"{line['work']:28} {line['unit']:7} {spread(line['netsim']):>34} "
            f"{spread(line['peer']):>34}  {line['ratio']:.2f}"
        )
    print(
        f"{args.rounds} rounds of {args.seconds:g} s, median [range]; wire {args.wire}; "
        f"CPU busy {busy:.0%} over the run, load and servers included"
    )


if __name__ == "__main__":
    main()
