"""The packet path in memory: the developers' benchmark, where the sources and a compiler are."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from netsim.bench.options import Report
from netsim.bench.rounds import Figure, Row, alone
from netsim.bench.space import ToolError

TREE = Path(__file__).parents[2]


def missing() -> str:
    """Why it can not be measured here, empty if it can."""
    if not (TREE / "benchmarks" / "path.py").exists():
        return "path: needs netsim's sources; run scripts/bench in a checkout"
    return "" if shutil.which("gcc") else "path: needs gcc"


def measure(report: Report) -> list[Row]:
    """Its cases, as it names them: medians of its own runs."""
    report("path: packets in memory")
    argv = [sys.executable, "-m", "benchmarks.path", "-o", "json"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=TREE)
    if done.returncode:
        raise ToolError("python -m benchmarks.path", "\n".join(done.stderr.splitlines()[-3:]))
    cases = json.loads(done.stdout)
    return [
        alone("path", Figure(f"path_ns@{name}", name, "ns/packet", False), float(found["ns"]))
        for name, found in cases.items()
    ]
