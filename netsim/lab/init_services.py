"""Owns the lab's own programs, control, data plane, relay: what they are, when they start again."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

PYTHON = (sys.executable, "-P", "-m")  # -P: nothing is imported from the working directory
DEFAULT: Mapping[str, Sequence[str]] = {
    "relay": (str(Path(__file__).parents[1] / "relay"),),  # csrc/relay
    "dataplane": (*PYTHON, "netsim.dataplane.process"),
    "control": (*PYTHON, "netsim.lab.control"),
}
BACKOFF_FIRST_S, BACKOFF_MAX_S = 0.1, 5.0
STABLE_S = 10.0  # a program that ran this long has not failed at its start


class Service:
    """One supervised program; its output goes to <state>/logs/<key>.log.

    The first restart is immediate, further ones wait 0.1 s, doubled up to 5 s.
    """

    def __init__(self, key: str, argv: Sequence[str], state: str) -> None:
        self.key = key
        self.argv = argv
        self.log = os.path.join(state, "logs", f"{key}.log")
        self.due: float | None = 0.0  # when to start it; None while it runs
        self._failures = 0
        self._started = 0.0

    def started(self, now: float) -> None:
        """It was started."""
        self.due = None
        self._started = now

    def ended(self, now: float) -> float:
        """It ended: decide when to start it again; the delay in seconds."""
        if now - self._started >= STABLE_S:
            self._failures = 0
        delay = BACKOFF_FIRST_S * 2 ** (self._failures - 1) if self._failures else 0.0
        self._failures = min(self._failures + 1, 32)
        delay = min(delay, BACKOFF_MAX_S)
        self.due = now + delay
        return delay

    def open_log(self) -> int:
        """A descriptor that appends to the log; the caller closes it."""
        return os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
