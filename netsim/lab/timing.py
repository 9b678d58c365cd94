"""Time as the lab's executors get it, so that tests can step it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """Something that will happen."""

    def cancel(self) -> None:
        """Let it not happen."""


class Clock(Protocol):
    """Seconds since 1970, and waiting for them to pass."""

    def now(self) -> float:
        """The time."""

    def call_at(self, when_s: float, callback: Callable[[], None]) -> Timer:
        """Call back in the event loop at that time, or as soon as possible after."""

    async def sleep(self, duration_s: float) -> None:
        """Wait."""


class WallClock:
    """The machine's clock."""

    def now(self) -> float:
        """The time."""
        return time.time()

    def call_at(self, when_s: float, callback: Callable[[], None]) -> Timer:
        """Call back in the event loop at that time, or as soon as possible after."""
        return asyncio.get_running_loop().call_later(max(0.0, when_s - self.now()), callback)

    async def sleep(self, duration_s: float) -> None:
        """Wait."""
        await asyncio.sleep(duration_s)
