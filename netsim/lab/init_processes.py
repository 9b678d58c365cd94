"""Owns the records of the programs that init runs: started, signalled, reaped."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence

from netsim.lab.init_messages import Exited, ProcessRecord
from netsim.lab.init_spawn import Launcher, Outcome

Started = Callable[[OSError | None], None]


class Process:
    """A program. `result` is (exit code, signal), one of them None, once it has exited."""

    __slots__ = ("key", "outcome", "pipe", "result", "started")

    def __init__(self, key: str, pipe: int, started: Started) -> None:
        self.key = key
        self.pipe = pipe  # -1 once it is known whether the program runs
        self.outcome = Outcome()
        self.started = started
        self.result: tuple[int | None, int | None] | None = None

    @property
    def pid(self) -> int:
        """Its pid, 0 until that is known."""
        return self.outcome.pid

    def record(self) -> ProcessRecord:
        """As the protocol shows it."""
        code, signum = self.result or (None, None)
        return ProcessRecord(self.key, self.pid, self.result is None, code, signum)


class Processes:
    """Programs by key. `exited` is called once for each that ran."""

    def __init__(self, exited: Callable[[Exited], None]) -> None:
        self._launcher = Launcher()
        self._by_key: dict[str, Process] = {}
        self._unsettled: dict[Process, None] = {}
        self._by_pid: dict[int, Process] = {}
        self._exited = exited

    def __bool__(self) -> bool:
        """Whether any program runs."""
        return bool(self._by_pid)

    def is_running(self, key: str) -> bool:
        """Whether the process with this key has not exited."""
        process = self._by_key.get(key)
        return process is not None and process.result is None

    def start(
        self,
        key: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: str,
        sandbox: Mapping[str, int],
        fds: Sequence[int],
        started: Started,
    ) -> Process:
        """Start; `started` gets None, or why not, when `settle` is called.

        FileExistsError: a process with this key runs. An exited one is replaced.
        """
        if self.is_running(key):
            raise FileExistsError(f"{key} is running")
        if not argv or "\0" in "".join([*argv, *env, *env.values(), cwd]):
            raise ValueError(f"{key}: empty command, or a NUL byte in it")
        process = Process(key, self._launcher.start(argv, env, cwd, sandbox, fds), started)
        self._by_key[key] = process
        self._unsettled[process] = None
        return process

    def settle(self, process: Process) -> None:
        """The outcome is known: a program that did not run leaves no record."""
        os.close(process.pipe)
        process.pipe = -1
        del self._unsettled[process]
        if process.outcome.error is None:
            self._by_pid[process.pid] = process
        elif self._by_key.get(process.key) is process:
            del self._by_key[process.key]
        process.started(process.outcome.error)

    def signal(self, key: str, signum: int) -> None:
        """Signal a process and its group. KeyError: no such process; ProcessLookupError: exited."""
        process = self._by_key[key]
        if process.result is not None or not process.pid:
            raise ProcessLookupError(f"{key} does not run")
        os.killpg(process.pid, signum)

    def signal_all(self, signum: int) -> None:
        """Signal every process and its group."""
        for pid in self._by_pid:
            with contextlib.suppress(OSError):
                os.killpg(pid, signum)

    def forget(self, key: str) -> None:
        """Drop the record of an exited process. FileExistsError: it runs."""
        if self.is_running(key):
            raise FileExistsError(f"{key} is running")
        self._by_key.pop(key, None)

    def page(self, after: str, size: int) -> tuple[list[ProcessRecord], bool]:
        """The first `size` records beyond key `after`, and whether more follow."""
        keys = sorted(key for key in self._by_key if key > after)
        return [self._by_key[key].record() for key in keys[:size]], len(keys) > size

    def reap(self, settle: Callable[[Process, int], None]) -> None:
        """Take every dead child: what is left of its group is killed, its exit told.

        `settle` is called with processes of which it is not known whether they run, and the pid of
        who has ended and may be one of them.
        """
        while True:
            try:
                info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if info is None:
                return
            if info.si_pid not in self._by_pid:
                for starting in list(self._unsettled):
                    settle(starting, info.si_pid)
            process = self._by_pid.pop(info.si_pid, None)
            if process is not None:
                with contextlib.suppress(OSError):  # no group: nothing left, or never its leader
                    os.killpg(process.pid, signal.SIGKILL)
            os.waitpid(info.si_pid, 0)  # only now may the pid be used again
            if process is None:
                continue  # an orphan that we adopted, or one that could not run its program
            by_itself = info.si_code == os.CLD_EXITED
            process.result = (info.si_status, None) if by_itself else (None, info.si_status)
            if self._by_key.get(process.key) is process:
                self._exited(Exited(process.key, process.pid, *process.result))
