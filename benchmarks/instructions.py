"""Instructions per packet, by callgrind: a figure that does not depend on what else a machine does.

instructions.json holds what was counted and with which tools: counts of another compiler, C library
or valgrind are not compared, for they differ without any change of ours.
"""

from __future__ import annotations

import json
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence

from benchmarks.compiled import HERE, RELEASE

KEPT = HERE / "instructions.json"
TOLERANCE = 0.03


def first_line(*command: str) -> str:
    """What a program says first, "none" if it is not installed."""
    if shutil.which(command[0]) is None:
        return "none"
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.partition("\n")[0]


def tools() -> dict[str, str]:
    """All that counts depend on besides the code."""
    return {
        "machine": platform.machine(),
        "compiler": first_line("gcc", "--version"),
        "flags": " ".join(RELEASE),
        "libc": " ".join(platform.libc_ver()),
        "valgrind": first_line("valgrind", "--version"),
    }


def not_comparable() -> str:
    """Why counts of here and now can not be compared with those kept; empty if they can."""
    if shutil.which("valgrind") is None:
        return "valgrind is not installed"
    kept, here = json.loads(KEPT.read_text())["tools"], tools()
    differing = [f"{key} is {here[key]}, was {kept.get(key)}" for key in here]
    return "; ".join(
        text for key, text in zip(here, differing, strict=True) if here[key] != kept.get(key)
    )


def collected(argv: Sequence[str], function: str) -> int:
    """Instructions of a run inside a function and what it calls."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *("valgrind", "--tool=callgrind", "--collect-atstart=no"),
            *(f"--toggle-collect={function}", f"--callgrind-out-file={folder}/out"),
            *argv,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if found is None:
        raise RuntimeError(done.stderr)
    return int(found[1])


def keep(counts: Mapping[str, float]) -> None:
    """Write instructions.json."""
    rounded = {name: round(count, 1) for name, count in counts.items()}
    KEPT.write_text(json.dumps({"tools": tools(), "per_packet": rounded}, indent=2) + "\n")


def changes(counts: Mapping[str, float], kept: Mapping[str, float]) -> dict[str, float]:
    """How much more each case costs than before, as a fraction; a new one costs nothing more."""
    return {name: count / kept.get(name, count) - 1 for name, count in counts.items()}


def compare(counts: Mapping[str, float]) -> list[str]:
    """Print counts beside those kept; the cases that got dearer by more than the tolerance."""
    kept = json.loads(KEPT.read_text())["per_packet"]
    change = changes(counts, kept)
    worse = [name for name in counts if change[name] > TOLERANCE]
    for name, count in counts.items():
        mark = " !" if name in worse else ""
        print(f"{name:28} {count:8.1f} instructions per packet, {change[name]:+.1%}{mark}")
    if worse:
        print(f"more than {TOLERANCE:.0%} dearer: {', '.join(worse)}")
        print("if that is what it should cost: python -m benchmarks.path --update")
    return worse
