"""`python -m benchmarks.path`: cost of the packet path in memory, without any I/O.

Nanoseconds by default. `--check` counts instructions instead and compares them with those kept in
instructions.json, `--update` keeps them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from typing import NamedTuple

from benchmarks import instructions
from benchmarks.compiled import core


class Case(NamedTuple):
    """Tables of a size, and what the packets do with them: path.c knows the words for `what`."""

    name: str
    flows: int
    services: int
    batch: int
    packets: int
    what: str = "known"


CASES = (
    Case("1,000 flows, 10 services, batches of 64", 1000, 10, 64, 2_000_000),
    Case("1,000 flows, 10 services, batches of 32", 1000, 10, 32, 2_000_000),
    Case("1,000 flows, 10 services, one by one", 1000, 10, 1, 500_000),
    Case("1,000 flows from the wire, batches of 64", 1000, 10, 64, 2_000_000, "arriving"),
    Case("10,000 flows, 100 services, batches of 64", 10_000, 100, 64, 2_000_000),
    Case("100,000 flows, 1,000 services, batches of 64", 100_000, 1000, 64, 2_000_000),
    Case("1 M flows, 10,000 services, batches of 64", 1_000_000, 10_000, 64, 2_000_000),
    Case("1 M flows, 10,000 services, one by one", 1_000_000, 10_000, 1, 500_000),
    Case("new flows, 10 services", 300_000, 10, 64, 300_000, "new"),
    Case("new flows, 10,000 services", 300_000, 10_000, 64, 300_000, "new"),
    Case("new flows, 20,000 services", 300_000, 20_000, 64, 300_000, "new"),
    Case("1 M flows in a full table", 1_000_000, 10_000, 64, 300_000, "full"),
    Case("1,000 flows", 1000, 10, 64, 2_000_000, "stages"),
    Case("1 M flows", 1_000_000, 10_000, 64, 2_000_000, "stages"),
)
STAGES = ("tunnel-off", "parse", "flow", "service", "route", "translate", "reply", "tunnel-on")
COUNTED = (  # instructions know nothing of caches: small tables do
    Case("known, batches of 64", 1000, 10, 64, 64 * 20),
    Case("known, one by one", 1000, 10, 1, 640),
    Case("known, many destinations", 5000, 500, 64, 64 * 20),
    Case("arriving, batches of 64", 1000, 10, 64, 64 * 20, "arriving"),
    Case("new, batches of 64", 6400, 100, 64, 64 * 20, "new"),
)


def argv(case: Case, packets: int) -> list[str]:
    """The driver's command line."""
    words = [case.flows, case.services, case.batch, packets]
    return [str(core("path")), *map(str, words), case.what]


def nanoseconds(case: Case) -> dict[str, float]:
    """What path.c says of a case: `ns` per packet, median and range of seven runs, and more."""
    out = subprocess.run(argv(case, case.packets), capture_output=True, text=True, check=True)
    return {key: float(value) for key, value in json.loads(out.stdout).items()}


def counted(case: Case) -> float:
    """Instructions per packet; what fills the tables is in both runs and so in neither."""
    few, many = case.packets, 2 * case.packets
    spent = [instructions.collected(argv(case, n), "pipeline_run") for n in (few, many)]
    return (spent[1] - spent[0]) / (7 * (many - few))


def show(name: str, figures: Mapping[str, float]) -> None:
    """One line of the table."""
    print(f"{name:44} {', '.join(f'{key} {value:,.1f}' for key, value in figures.items())}")
    sys.stdout.flush()


def rows(case: Case) -> dict[str, dict[str, float]]:
    """One row per case; of a full table one per kind of neighbour, of stages one each."""
    found = nanoseconds(case)
    if case.what == "stages":
        return {f"{stage}, {case.name}": {"ns": found[stage]} for stage in STAGES}
    if case.what == "full":
        return {
            f"{case.name}, beside {who} flows": {
                "ns": found[f"beside_{who}"],
                "ns_min": found[f"beside_{who}_min"],
                "ns_max": found[f"beside_{who}_max"],
                "refused": found["refused"] if who == "refused" else 0,
            }
            for who in ("known", "refused")
        }
    return {case.name: found}


def measure(output: str) -> None:
    """Every case, as a table or as JSON: name to `ns` and more."""
    found: dict[str, dict[str, float]] = {}
    for case in CASES:
        found |= (made := rows(case))
        if output == "table":
            for name, figures in made.items():
                show(name, figures)
    if output == "json":
        print(json.dumps(found))


def main() -> int:
    """Measure, or count instructions."""
    parser = argparse.ArgumentParser(prog="benchmarks.path", description=__doc__)
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--check", action="store_true", help="compare instructions with those kept")
    group.add_argument("--update", action="store_true", help="count instructions and keep them")
    parser.add_argument("-o", "--output", choices=["table", "json"], default="table")
    args = parser.parse_args()
    if not (args.check or args.update):
        measure(args.output)
        return 0
    if args.check and (reason := instructions.not_comparable()):
        print(f"instructions: not compared: {reason}")
        return 0
    now = {case.name: counted(case) for case in COUNTED}
    if args.update:
        instructions.keep(now)
    worse = instructions.compare(now)
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
