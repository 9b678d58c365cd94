"""`python -m benchmarks.tables`: ns per operation of the tables behind the packet path."""

from __future__ import annotations

import argparse
import json
import subprocess

from benchmarks.compiled import core

SIZES = {
    "flow": (1_000, 100_000, 1_000_000),
    "service": (10, 1_000, 20_000),
    "route": (10, 1_000, 10_000),
    "affinity": (100, 10_000, 60_000),
}


def operations(table: str, size: int) -> dict[str, float]:
    """Operation to ns, and bytes per row: see tables.c."""
    command = [str(core("tables")), table, str(size)]
    out = subprocess.run(command, capture_output=True, text=True, check=True)
    return {key: float(value) for key, value in json.loads(out.stdout).items()}


def main() -> None:
    """Measure every table at every size."""
    parser = argparse.ArgumentParser(prog="benchmarks.tables", description=__doc__)
    parser.add_argument("-o", "--output", choices=["table", "json"], default="table")
    args = parser.parse_args()
    rows: dict[str, dict[str, float]] = {}
    for table, sizes in SIZES.items():
        for size in sizes:
            name = f"{table}, {size:,} rows"
            rows[name] = operations(table, size)
            if args.output == "table":
                figures = ", ".join(f"{key} {value:,.1f}" for key, value in rows[name].items())
                print(f"{name:24} {figures}", flush=True)
    if args.output == "json":
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
