"""Memory of processes, as /proc tells it."""

from __future__ import annotations

import re
from pathlib import Path


def pss_bytes(smaps_rollup: str) -> int:
    """Of a /proc/PID/smaps_rollup: memory of its own and its share of what others map too.

    Without pages of files: a process's share of those changes as others that map them come and go.
    """
    found = re.findall(r"^Pss_(?:Anon|Shmem):\s+(\d+) kB", smaps_rollup, re.MULTILINE)
    return sum(map(int, found)) * 1024


def own_bytes(pid: int) -> int:
    """A process's memory now, 0 when it is gone."""
    try:
        return pss_bytes(Path(f"/proc/{pid}/smaps_rollup").read_text())
    except OSError:
        return 0


def children(pid: int) -> list[int]:
    """Its child processes."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(word) for word in text.split()]


def lab_processes(init: int) -> dict[str, int]:
    """Pids of a lab's own processes by name: init, control, dataplane; programs are left out."""
    found = {"init": init}
    for pid in children(init):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        for name, module in (("control", b"netsim.lab.control"), ("dataplane", b"process")):
            if any(word.endswith(module) for word in words):
                found[name] = pid
    return found


def lab_bytes(init: int) -> int:
    """Memory of a lab's own processes."""
    return sum(own_bytes(pid) for pid in lab_processes(init).values())
