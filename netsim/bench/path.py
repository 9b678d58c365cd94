"""The packet path in memory, and I/O beside a loop that only copies: the developers' benchmarks.

They need the sources and a compiler.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from netsim.bench.options import Report
from netsim.bench.rounds import Figure, Row, alone, compare, spread
from netsim.bench.space import ToolError

TREE = Path(__file__).parents[2]
OURS, IO, ROUNDS = "netsim", ("io_uring", "epoll"), 5


def missing() -> str:
    """Why it can not be measured here, empty if it can."""
    if not (TREE / "benchmarks" / "path.py").exists():
        return "path: needs netsim's sources; run scripts/bench in a checkout"
    return "" if shutil.which("gcc") else "path: needs gcc"


def measure(report: Report) -> list[Row]:
    """Cases of the path, as it names them, and packets per second by each way of I/O."""
    report("path: packets in memory")
    cases = json.loads(_developers("benchmarks.path", "-o", "json"))
    rows = [
        alone("path", Figure(f"path_ns@{name}", name, "ns/packet", False), float(found["ns"]))
        for name, found in cases.items()
    ]
    return rows + [beside_a_copy(io, report) for io in IO]


def beside_a_copy(io: str, report: Report) -> Row:
    """Small datagrams between two pods, and through a loop that copies from TUN to TUN."""
    report(f"path: I/O by {io}")
    words = ("--io", io, "--rounds", str(ROUNDS), "-o", "json")
    found: dict[str, list[float]] = json.loads(_developers("benchmarks.efficiency", *words))
    figure = Figure(f"io_per_s@{io}", f"UDP 64 B between pods of one node, {io}", "/s")
    spreads = {side: spread(values) for side, values in found.items()}
    return Row("path", figure, spreads, compare(figure, found, [OURS]), rounds=ROUNDS)


def _developers(module: str, *words: str) -> str:
    """What a benchmark of the sources prints."""
    argv = [sys.executable, "-m", module, *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=TREE)
    if done.returncode:
        raise ToolError(f"python -m {module}", "\n".join(done.stderr.splitlines()[-3:]))
    return done.stdout
