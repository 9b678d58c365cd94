"""A command on a terminal of its own."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from types import TracebackType
from typing import Self

from tests.cli.command import ARGV, ROOT, environment

TIMEOUT_S = 20.0


class Terminal:
    """Runs `netsim ARGS` with a new terminal as its controlling one. Use it in a `with`."""

    def __init__(self, *args: str, rows: int = 24, columns: int = 80, **env: str) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.seen = ""
        try:
            self.process = subprocess.Popen(
                [*ARGV, *args],
                stdin=slave,
                stdout=slave,
                stderr=slave,
                cwd=ROOT,
                env=environment(**{"TERM": "xterm", **env}),
                start_new_session=True,
                preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            )
        finally:
            os.close(slave)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._master, text.encode())

    def resize(self, rows: int, columns: int) -> None:
        """Change the window's size."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read_until(self, wanted: str) -> str:
        """Everything that was shown since the last call, up to where `wanted` has been."""
        end = time.monotonic() + TIMEOUT_S
        while wanted not in self.seen:
            left = end - time.monotonic()
            assert left > 0, f"no {wanted!r} in {self.seen!r}"
            assert self._read(left), f"ended without {wanted!r}: {self.seen!r}"
        at = self.seen.index(wanted) + len(wanted)
        found, self.seen = self.seen[:at], self.seen[at:]
        return found

    def end(self) -> tuple[int, str]:
        """Wait for the command's end: its exit code, and what it showed since the last read."""
        while self._read(TIMEOUT_S):
            pass
        return self.process.wait(TIMEOUT_S), self.seen

    def _read(self, timeout_s: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], timeout_s)
        assert ready, f"nothing more after {self.seen!r}"
        try:
            data = os.read(self._master, 4096)
        except OSError as error:
            if error.errno != errno.EIO:  # the last one has closed the terminal
                raise
            data = b""
        self.seen += data.decode().replace("\r\n", "\n")
        return bool(data)
