"""`python -m benchmarks.path [--callgrind]`: cost of the packet path in memory, without any I/O."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from benchmarks.compiled import CSRC, HERE, compiled

FLAGS = ("-O3", "-DNDEBUG", "-g", "-fno-semantic-interposition")  # those of a release


class Case(NamedTuple):
    """Tables of a size, and what the packets do with them."""

    name: str
    flows: int
    services: int
    batch: int
    packets: int
    new: bool = False


CASES = (
    Case("1,000 flows, 10 services, batches of 64", 1000, 10, 64, 2_000_000),
    Case("1,000 flows, 10 services, batches of 32", 1000, 10, 32, 2_000_000),
    Case("1,000 flows, 10 services, one by one", 1000, 10, 1, 500_000),
    Case("1 M flows, 10,000 services, batches of 64", 1_000_000, 10_000, 64, 2_000_000),
    Case("1 M flows, 10,000 services, one by one", 1_000_000, 10_000, 1, 500_000),
    Case("new flows, 10 services", 300_000, 10, 64, 300_000, new=True),
    Case("new flows, 10,000 services", 300_000, 10_000, 64, 300_000, new=True),
)


def program() -> Path:
    """The driver with everything of csrc that is not the engine's."""
    sources = [c for c in sorted(CSRC.glob("*.c")) if not c.stem.startswith("engine")]
    return compiled("path", [HERE / "path.c", *sources], FLAGS)


def argv(case: Case, packets: int) -> list[str]:
    """The driver's arguments."""
    words = [case.flows, case.services, case.batch, packets]
    return [str(program()), *map(str, words), *(["new"] if case.new else [])]


def nanoseconds(case: Case) -> dict[str, float]:
    """`ns`, `ns_min` and `ns_max` per packet: median and range of seven runs."""
    out = subprocess.run(argv(case, case.packets), capture_output=True, text=True, check=True)
    return {key: float(value) for key, value in json.loads(out.stdout).items()}


def collected(case: Case, packets: int) -> int:
    """Instructions inside pipeline_run(), everything that a run of the driver does."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *("valgrind", "--tool=callgrind", "--collect-atstart=no"),
            *("--toggle-collect=pipeline_run", f"--callgrind-out-file={folder}/out"),
            *argv(case, packets),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if found is None:
        raise RuntimeError(done.stderr)
    return int(found[1])


def instructions(case: Case) -> float:
    """Instructions per packet, by callgrind: the same in every run, whatever else the machine does.

    The difference of two runs, so that what fills the tables does not count.
    """
    few, many = case.batch * 10, case.batch * 60
    return (collected(case, many) - collected(case, few)) / (7 * (many - few))


def main() -> None:
    """Measure every case and print a table."""
    parser = argparse.ArgumentParser(prog="benchmarks.path", description=__doc__)
    parser.add_argument("--callgrind", action="store_true", help="count instructions instead")
    parser.add_argument("-o", "--output", choices=["table", "json"], default="table")
    args = parser.parse_args()
    rows: dict[str, dict[str, float]] = {}
    for case in CASES:
        if args.callgrind and case.flows > 100_000 and not case.new:
            continue  # instructions do not know about caches
        rows[case.name] = (
            {"instructions": instructions(case)} if args.callgrind else nanoseconds(case)
        )
        if args.output == "table":
            figures = ", ".join(f"{key} {value:.1f}" for key, value in rows[case.name].items())
            print(f"{case.name:44} {figures}", flush=True)
    if args.output == "json":
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
