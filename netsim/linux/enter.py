"""Owns running a program inside a sandbox from outside: what `netsim exec` does.

The program joins the lab's PID namespace, so it ends with the lab, and stays in the caller's
process group, so the terminal's keys reach it. As a module (`command` builds its argv) it does the
same for subprocess, from processes with threads.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from netsim.linux import ns, syscalls

NOT_EXECUTABLE, NOT_FOUND, KILLED = 126, 127, 128  # as shells report
LEFT_TO_PROGRAM = (signal.SIGINT, signal.SIGQUIT)
FORWARDED = (signal.SIGTERM, signal.SIGHUP)


def run_in_sandbox(
    init_pid: int,
    numbers: Mapping[str, int],
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str = "/",
) -> int:
    """Run a program and wait for it: its exit code, 128 + signal, or 127, 126 if it cannot run.

    `numbers` are those of `net`, `uts`, `mnt` in init. FileNotFoundError: the sandbox is gone.
    SIGTERM and SIGHUP are passed on meanwhile (in the main thread).
    """
    spaces = _open(init_pid, numbers)
    try:
        sys.stdout.flush()
        child = _Child()
        with child.signals_passed_on():
            child.pid = _fork_into(spaces["pid"])
            if child.pid == 0:
                _become(spaces, argv, os.environ if env is None else env, cwd)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
            _, status = os.waitpid(child.pid, 0)
            child.pid = 0
    finally:
        ns.close_all(spaces)
    _take_terminal_back()
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else KILLED - code


def command(init_pid: int, numbers: Mapping[str, int], cwd: str, argv: Sequence[str]) -> list[str]:
    """The argv that does run_in_sandbox in a process of its own, from any directory."""
    spaces = ",".join(f"{kind}={numbers[kind]}" for kind in ns.SANDBOX_KINDS if kind in numbers)
    home = str(Path(__file__).resolve().parents[2])
    start = f"import sys; sys.path.append({home!r}); from {__name__} import main; main()"
    return [sys.executable, "-P", "-c", start, str(init_pid), spaces, cwd, *argv]


class _Child:
    """The program's process, for signal handlers."""

    def __init__(self) -> None:
        self.pid = 0

    @contextlib.contextmanager
    def signals_passed_on(self) -> Iterator[None]:
        """Ignore what the terminal sends to both; block, then pass on, what is sent to us only."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in (*LEFT_TO_PROGRAM, *FORWARDED)}
        signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
        try:
            for number in LEFT_TO_PROGRAM:
                signal.signal(number, signal.SIG_IGN)
            for number in FORWARDED:
                signal.signal(number, self._pass_on)
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)

    def _pass_on(self, number: int, _: object) -> None:
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def _open(init_pid: int, numbers: Mapping[str, int]) -> dict[str, int]:
    """Descriptors of the sandbox and of the lab's PID namespace."""
    opened: dict[str, int] = {}
    try:
        opened["pid"] = os.open(f"/proc/{init_pid}/ns/pid", os.O_RDONLY)
        for kind in ns.SANDBOX_KINDS:
            if kind in numbers:
                opened[kind] = os.open(f"/proc/{init_pid}/fd/{numbers[kind]}", os.O_RDONLY)
    except OSError:
        ns.close_all(opened)
        raise
    return opened


def _fork_into(pid_namespace: int) -> int:
    """Fork with the child in a PID namespace; the caller's later children stay out of it."""
    own = os.open("/proc/self/ns/pid", os.O_RDONLY)
    try:
        syscalls.setns(pid_namespace, syscalls.CLONE_NEWPID)
        with warnings.catch_warnings():
            # 3.12 warns of forks beside other threads; our child makes system calls, then executes.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid:
            syscalls.setns(own, syscalls.CLONE_NEWPID)
        return pid
    finally:
        os.close(own)


def _become(
    spaces: Mapping[str, int], argv: Sequence[str], env: Mapping[str, str], cwd: str
) -> NoReturn:
    """In the child: enter the sandbox and execute. Never returns."""
    code = NOT_EXECUTABLE
    try:
        for number in (*LEFT_TO_PROGRAM, *FORWARDED, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
        syscalls.die_with_parent(signal.SIGKILL)
        ns.enter(spaces)
        os.chdir(cwd)
        try:
            os.execvpe(argv[0], list(argv), dict(env))
        except OSError as error:
            code = NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
            os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
    except Exception as error:
        os.write(2, f"{argv[0]}: {error}\n".encode())
    finally:
        os._exit(code)


def _take_terminal_back() -> None:
    """A shell that ran inside may have left the terminal to a group that is gone."""
    with contextlib.suppress(OSError):
        if os.tcgetpgrp(0) != os.getpgrp():
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
            try:
                os.tcsetpgrp(0, os.getpgrp())
            finally:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTTOU})


def main() -> None:
    """Arguments: INIT_PID KIND=N,... CWD COMMAND [ARGUMENT...]; see `command`."""
    _, init_pid, spaces, cwd, *argv = sys.argv
    pairs = (pair.split("=") for pair in spaces.split(","))
    numbers = {kind: int(number) for kind, number in pairs}
    try:
        code = run_in_sandbox(int(init_pid), numbers, argv, cwd=cwd)
    except FileNotFoundError:
        sys.exit("the sandbox is gone")
    sys.exit(code)
