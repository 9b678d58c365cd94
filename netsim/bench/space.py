"""Owns network namespaces of the benchmarks, held by descriptor, and the programs that run in them.

They have no name and nothing else holds them: with this process, killed or not, they go. Programs
are killed when the thread that started them ends.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO

from netsim.errors import NetsimError, PreconditionError
from netsim.linux import ns, syscalls


class ToolError(NetsimError):
    """A tool that the benchmarks use failed; `why` is what it printed."""


class Space:
    """A network namespace. Closing it does not end what runs in it."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    def made(cls) -> Space:
        """A new one, with its loopback up."""

        def make() -> int:
            syscalls.unshare(syscalls.CLONE_NEWNET)
            return ns.open_current(("net",))["net"]

        with ThreadPoolExecutor(1) as thread:
            space = cls(thread.submit(make).result())
        space.run("ip", "link", "set", "lo", "up")
        return space

    @classmethod
    def of(cls, pid: int, number: int) -> Space:
        """One that another process holds as descriptor `number`."""
        return cls(os.open(f"/proc/{pid}/fd/{number}", os.O_RDONLY | os.O_CLOEXEC))

    @property
    def path(self) -> str:
        """Where programs find it: `ip link set X netns PATH`, `nsenter --net=PATH`."""
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    def popen(
        self,
        argv: Sequence[str],
        *,
        stdin: int | IO[str] | None = subprocess.DEVNULL,
        stdout: int | IO[str] | None = None,
        stderr: int | IO[str] | None = None,
    ) -> subprocess.Popen[str]:
        """Start a program in it. PreconditionError: there is no such program."""
        try:
            return subprocess.Popen(
                argv,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                text=True,
                preexec_fn=entering(self.fd),
            )
        except FileNotFoundError as error:
            raise PreconditionError(f"{argv[0]}: not found", hint=f"install {argv[0]}") from error

    def run(
        self, *argv: str, stdin: str | None = None, timeout_s: float = 300, check: bool = True
    ) -> str:
        """Run a program to its end; what it printed. ToolError when it fails and `check` is set."""
        pipe = subprocess.PIPE
        given = subprocess.DEVNULL if stdin is None else pipe
        with self.popen(argv, stdin=given, stdout=pipe, stderr=pipe) as process:
            try:
                out, err = process.communicate(stdin, timeout=timeout_s)
            except BaseException:
                process.kill()
                raise
        if process.returncode and check:
            why = (err.strip() or out.strip()).splitlines()
            raise ToolError(" ".join(argv), "\n".join(why[:5]))
        return out

    def close(self) -> None:
        """Let go of it."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def entering(fd: int) -> Callable[[], None]:
    """What a child does before it becomes the program: enter, and die with its parent."""

    def enter() -> None:
        syscalls.setns(fd, syscalls.CLONE_NEWNET)
        syscalls.die_with_parent(signal.SIGKILL)

    return enter


def stop(process: subprocess.Popen[str], patience_s: float = 2.0) -> None:
    """End a program, kill it if it does not end, and close its pipes."""
    process.terminate()
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()
