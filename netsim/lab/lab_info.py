"""Owns lab.json: which process a lab's init is, in a way that outlasts the reuse of pids."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec

from netsim import __version__


class LabInfo(msgspec.Struct, frozen=True):
    """A lab's init.

    `init_start` is its start time in clock ticks since boot (field 22 of /proc/PID/stat),
    `pid_namespace` the inode of the namespace that `init_pid` counts in, `created` Unix seconds.
    """

    name: str
    init_pid: int
    init_start: int
    pid_namespace: int
    created: float
    version: str


def write_info(directory: Path, name: str, pid: int, pid_namespace: int) -> LabInfo:
    """Record the process `pid` as a lab's init."""
    start = start_time(pid) or 0
    info = LabInfo(name, pid, start, pid_namespace, time.time(), __version__)
    new = directory / "lab.json.new"
    new.write_bytes(msgspec.json.encode(info))
    new.rename(directory / "lab.json")
    return info


def read_info(directory: Path) -> LabInfo | None:
    """What `directory` says about its lab; None if nothing sensible."""
    try:
        return msgspec.json.decode((directory / "lab.json").read_bytes(), type=LabInfo)
    except (OSError, msgspec.MsgspecError):
        return None


def is_alive(info: LabInfo | None) -> bool:
    """Whether the init of a lab lives, as far as can be seen from here."""
    return info is not None and is_visible(info) and start_time(info.init_pid) == info.init_start


def is_visible(info: LabInfo) -> bool:
    """Whether this process counts pids as `info` does. From within a pod it does not."""
    return info.pid_namespace == own_pid_namespace()


def own_pid_namespace() -> int:
    """Inode of the PID namespace of this process."""
    return os.stat("/proc/self/ns/pid").st_ino


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None if there is none (or a zombie)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[19])
