"""Progress of long work, on stderr only: one live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """Where a command reports its steps."""

    def step(self, text: str) -> None:
        """Say what is going on now."""

    def done(self, text: str) -> None:
        """Say what was finished; stays on the screen."""


class PlainProgress:
    """One line per finished step; a step that lasts is named once."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._last = ""

    def step(self, text: str) -> None:
        """Print a step when it changes."""
        if text != self._last:
            self._last = text
            print(f"... {text}", file=sys.stderr, flush=True)

    def done(self, text: str) -> None:
        """Print the result with the time since the start."""
        took = time.monotonic() - self._started
        print(f"{text} ({took:.1f} s)", file=sys.stderr, flush=True)


class LiveProgress:
    """A single line that is rewritten in place."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def step(self, text: str) -> None:
        """Rewrite the line."""
        width = os.get_terminal_size(sys.stderr.fileno()).columns
        took = time.monotonic() - self._started
        print(f"\r\x1b[K{took:5.1f} s  {text}"[: width + 4], end="", file=sys.stderr, flush=True)

    def done(self, text: str) -> None:
        """Replace the line by a result."""
        took = time.monotonic() - self._started
        print(f"\r\x1b[K{text} ({took:.1f} s)", file=sys.stderr, flush=True)


class QuietProgress:
    """Says nothing (`-q`)."""

    def step(self, text: str) -> None:
        """Ignore the step."""

    def done(self, text: str) -> None:
        """Ignore the result."""


@contextmanager
def progress(*, quiet: bool) -> Iterator[Progress]:
    """The right kind for this terminal; the live line is cleared when an error leaves the block."""
    if quiet:
        yield QuietProgress()
        return
    live = sys.stderr.isatty() and not os.environ.get("CI") and os.environ.get("TERM") != "dumb"
    if not live:
        yield PlainProgress()
        return
    try:
        yield LiveProgress()
    except BaseException:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        raise
