"""When not to measure: another run, a busy machine."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from netsim.bench import cpu
from netsim.errors import ConflictError, PreconditionError

FOREIGN_MAX = 0.15  # share of all processors that others may use
LOOK_S = 1.0
LOCK = "\0netsim-bench"  # an abstract socket: gone with its holder
WAIT_S, POLL_S = 3600.0, 0.5


@contextmanager
def alone(report: Callable[[str], None]) -> Iterator[None]:
    """Wait for another run to end: two at once would measure each other. ConflictError."""
    end = time.monotonic() + WAIT_S
    with socket.socket(socket.AF_UNIX) as lock:
        while True:
            try:
                lock.bind(LOCK)
                break
            except OSError as error:
                if time.monotonic() > end:
                    raise ConflictError("another benchmark runs") from error
                report("waiting for another benchmark to end")
                time.sleep(POLL_S)
        yield


def foreign_share(seconds: float = LOOK_S) -> float:
    """Share of all processors that others use now."""
    before = cpu.read([os.getpid()])
    time.sleep(seconds)
    return cpu.shares(before, cpu.read([os.getpid()])).foreign


def check_quiet(force: bool, share: Callable[[], float] = foreign_share) -> list[str]:
    """PreconditionError when the machine is busy; with `force` what is wrong instead."""
    found = share()
    if found <= FOREIGN_MAX:
        return []
    what = f"other processes use {found:.0%} of the processors"
    if not force:
        raise PreconditionError(
            what,
            f"figures would be theirs as much as ours; at most {FOREIGN_MAX:.0%} is accepted",
            "stop them, or measure nevertheless with --force",
        )
    return [what]
