"""Who used the CPU meanwhile: the processes under test, or others that spoil the measurement."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

CPUCLOCK_SCHED = 2  # <linux/posix-timers_types.h>
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Reading(NamedTuple):
    """At one moment, in seconds: used by foreign processes, used by anybody, taken away, time."""

    foreign_s: float
    busy_s: float
    stolen_s: float
    at_s: float


class Shares(NamedTuple):
    """Shares of all CPUs between two readings, 0 to 1."""

    foreign: float
    busy: float


class Process(NamedTuple):
    """One line of /proc/PID/stat: parent, and seconds used by it and the children it waited for.

    What has ended and is only not yet waited for uses nothing: it would bring along, all at once,
    what a lab that has just gone has used.
    """

    parent: int
    used_s: float
    ended: bool = False


def parse_stat(text: str) -> Process:
    """A /proc/PID/stat; the name in brackets may hold anything."""
    fields = text[text.rindex(")") + 2 :].split()
    used = sum(map(int, fields[11:15])) / TICKS_PER_S
    return Process(int(fields[1]), used, fields[0] in "ZX")


def processes() -> dict[int, Process]:
    """Every process that there is now."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                found[int(entry)] = parse_stat(Path("/proc", entry, "stat").read_text())
            except (OSError, ValueError):
                continue  # it has gone meanwhile
    return found


def used_s(pid: int) -> float:
    """CPU seconds of a process, to the nanosecond, children left out. OSError: there is none.

    Its clock is what clock_getcpuclockid(3) tells: the kernel's MAKE_PROCESS_CPUCLOCK.
    """
    return time.clock_gettime(~pid << 3 | CPUCLOCK_SCHED)


def is_ours(pid: int, table: Mapping[int, Process], roots: Collection[int]) -> bool:
    """Whether a process descends from one of the roots, or is a kernel thread (parent 2)."""
    seen = 0
    while pid in table and seen < len(table):
        if pid in roots or pid == 2:
            return True
        pid = table[pid].parent
        seen += 1
    return False


def foreign_seconds(table: Mapping[int, Process], roots: Collection[int]) -> float:
    """CPU seconds of everything that is not ours.

    Of our own ancestors only what they use themselves counts, and that is not known apart from what
    their children used: they wait, so they are left out.
    """
    ancestors = set()
    for root in roots:
        pid = root
        while pid in table and pid not in ancestors:
            ancestors.add(pid)
            pid = table[pid].parent
    return sum(
        process.used_s
        for pid, process in table.items()
        if not process.ended and pid not in ancestors and not is_ours(pid, table, roots)
    )


def read(roots: Collection[int]) -> Reading:
    """What has been used until now; `roots` are the processes whose descendants are ours."""
    with open("/proc/stat") as file:
        words = [int(word) / TICKS_PER_S for word in file.readline().split()[1:9]]
    idle, stolen = words[3] + words[4], words[7]
    busy = sum(words) - idle - stolen
    return Reading(foreign_seconds(processes(), roots), busy, stolen, time.monotonic())


def shares(before: Reading, after: Reading) -> Shares:
    """What was used between two readings. Time that the hypervisor took is foreign."""
    spent = (after.at_s - before.at_s) * (os.cpu_count() or 1)
    if spent <= 0:
        return Shares(0, 0)
    foreign = max(0.0, after.foreign_s - before.foreign_s) + after.stolen_s - before.stolen_s
    return Shares(min(1, foreign / spent), min(1, (after.busy_s - before.busy_s) / spent))
