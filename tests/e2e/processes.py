"""A lab's processes as the host sees them, and what they keep alive."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from netsim import Lab
from netsim.lab import launch
from netsim.linux import features
from tests.e2e.world import eventually


def need_linux() -> None:
    """Skip, with the reason, where no lab can run."""
    missing = features.missing()
    if missing:
        pytest.skip("; ".join(f"{f.name}: {f.detail}" for f in missing))


def netsim(*args: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    argv = [sys.executable, "-m", "netsim", *args]
    return subprocess.run(argv, capture_output=True, text=True, timeout=timeout_s)


def init_pid(lab: Lab) -> int:
    """The pid of a running lab's init."""
    info = launch.find_lab(lab.name)
    assert info is not None
    return info.init_pid


def inside(pid: int) -> set[int]:
    """All processes of the PID namespace that `pid` is in."""
    space = os.readlink(f"/proc/{pid}/ns/pid")
    found = set()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(path / "ns/pid") == space:
                found.add(int(path.name))
        except OSError:
            continue
    return found


def spaces(pids: set[int]) -> set[str]:
    """The namespaces that processes are in or hold descriptors of, apart from our own."""
    found = set()
    for pid in pids:
        try:
            links = [os.readlink(path) for path in Path(f"/proc/{pid}/ns").iterdir()]
            links += [os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()]
        except OSError:
            continue
        found |= {link for link in links if link.startswith(("net:[", "uts:[", "mnt:[", "pid:["))}
    return found - {os.readlink(path) for path in Path("/proc/self/ns").iterdir()}


def everybody() -> set[int]:
    """All processes that we can see."""
    return {int(path.name) for path in Path("/proc").glob("[0-9]*")}


def by_key(lab: Lab) -> dict[str, int]:
    """Pids, as init numbers them, of what runs: control, dataplane and the pods' programs."""
    with launch.init_client(lab.name) as init:
        return {record.key: record.pid for record in init.processes() if record.running}


def host_pid(lab: Lab, key: str) -> int:
    """The pid on the host of what init runs under `key`."""
    wanted = by_key(lab)[key]
    for pid in inside(init_pid(lab)):
        status = Path(f"/proc/{pid}/status").read_text()
        numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()
        if int(numbers[-1]) == wanted:
            return pid
    raise LookupError(key)


def kill(pid: int) -> None:
    """kill -9."""
    os.kill(pid, signal.SIGKILL)


def crash(lab: Lab, *keys: str) -> None:
    """kill -9 of some of the lab's own processes; returns when init has started the next ones."""
    before = by_key(lab)
    for pid in [host_pid(lab, key) for key in keys]:
        kill(pid)

    def again() -> bool:
        now = by_key(lab)
        return all(now.get(key, before[key]) != before[key] for key in keys)

    eventually(again, f"{keys} run again")


def runs(pid: int) -> bool:
    """Whether a process exists; not one that only waits for its parent to notice its end."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def gone_within(seconds: float, lab: str, pids: set[int], kept: set[str]) -> None:
    """Assert that processes end in time and nobody is in, or holds, the namespaces `kept`."""
    end = time.monotonic() + seconds
    while True:
        left = {pid for pid in pids if runs(pid)}
        if not left and not kept & spaces(everybody()):
            return
        assert time.monotonic() < end, f"of lab {lab} after {seconds} s: {left}"


def named(lab: str) -> set[int]:
    """Processes that bear a lab's name in their arguments or environment, other than ours."""
    found = set()
    for pid in everybody() - {os.getpid()}:
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
            words += b"\0" + Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        if {lab.encode(), f"NETSIM_LAB={lab}".encode()} & set(words.split(b"\0")):
            found.add(pid)
    return found
