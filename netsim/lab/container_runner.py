"""Containers' processes: starting them with their log, and finding out when they are ready.

Ready is: what the readiness probe says; without one the answerer's byte on its ready descriptor;
without that, running. Readiness ends with the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from signal import SIGKILL
from typing import NamedTuple, Protocol

from netsim.api.fields import Json
from netsim.api.pods import Container, Pod, Probe
from netsim.errors import NetsimError
from netsim.lab import containers as programs
from netsim.lab.pod_machine import ContainerRun, exited, started
from netsim.lab.probes import Readiness
from netsim.lab.timing import Clock

log = logging.getLogger(__name__)
START_ERROR_CODE = 128  # kubelet's, for a program that cannot be executed


class Exit(Protocol):
    """How a process ended: by itself (`exit_code`) or by a signal."""

    @property
    def key(self) -> str:
        """The process' key in init."""

    @property
    def pid(self) -> int:
        """Its pid in the lab."""

    @property
    def exit_code(self) -> int | None:
        """Its exit code."""

    @property
    def signum(self) -> int | None:
        """The signal that killed it."""


class Record(Exit, Protocol):
    """A process that init knows."""

    @property
    def running(self) -> bool:
        """Whether it has not ended."""


class Exits(Protocol):
    """A watch for exits."""

    async def read(self) -> Sequence[Exit]:
        """The next ones, waited for. ConnectionError: begin a new watch and list the records."""

    def close(self) -> None:
        """End the watch."""


class Processes(Protocol):
    """Who runs programs: init. Methods raise OSError or NetsimError."""

    async def spawn(
        self,
        key: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        *,
        cwd: str,
        sandbox: str,
        fds: Sequence[int],
    ) -> int:
        """Start a program in a sandbox; its pid. `fds` become its 0, 1, 2, ..."""

    async def signal(self, key: str, signum: int) -> None:
        """Send a signal to a process and its group."""

    async def records(self) -> Sequence[Record]:
        """All processes."""

    async def forget(self, key: str) -> None:
        """Drop the record of a process that has ended."""

    def watch(self) -> Exits:
        """Exits from now on."""

    def close(self) -> None:
        """Start nothing more."""


class Ask(Protocol):
    """Who makes HTTP and TCP probes."""

    async def __call__(self, probe: Probe, address: str, port: int, node: str) -> bool:
        """Whether the probe succeeds within its timeout, from that node."""


class Place(NamedTuple):
    """Where a container runs and who it is."""

    stored: Json
    pod: Pod
    container: Container
    sandbox: str

    @property
    def key(self) -> str:
        """The process' key in init."""
        pod = self.pod
        return str(programs.ProcessKey(pod.namespace, pod.name, self.container.name, pod.meta.uid))


class ContainerRunner:
    """Runs the containers' processes. `changed` is called with the key of what changed."""

    def __init__(
        self,
        processes: Processes,
        logs: Path,
        clock: Clock,
        ask: Ask,
        changed: Callable[[str], None],
    ) -> None:
        self._processes = processes
        self._logs = logs
        self._clock = clock
        self._ask = ask
        self._changed = changed
        self._tasks: set[asyncio.Task[None]] = set()
        self._watching: dict[str, asyncio.Task[None]] = {}
        self._early: dict[str, Exit] = {}
        self._waiting: dict[str, asyncio.Future[Exit]] = {}

    def start(self, place: Place, state: ContainerRun) -> None:
        """Start the container's process; `state` changes when it runs, or cannot."""
        state.starting = True
        self.run(self._start(place, state))

    def adopt(self, place: Place, state: ContainerRun, pid: int) -> None:
        """Go on with a process that runs already."""
        state.pid = pid
        state.started_s = state.started_s or self._clock.now()
        if place.container.readiness is not None:
            self._watch(place.key, self._probe(place, state, state.ready))
        else:
            state.ready = True

    def signal(self, key: str, state: ContainerRun, signum: int) -> None:
        """Send a signal; the exit will be told."""
        state.signalled = signum
        self.run(self._signal(key, signum))

    def ended(self, state: ContainerRun | None, event: Exit) -> None:
        """A process ended: note it in the container's state, if it is one's."""
        waiter = self._waiting.pop(event.key, None)
        if waiter is not None and not waiter.done():
            waiter.set_result(event)
        if state is not None and state.starting:
            self._early[event.key] = event
        elif state is not None and state.pid == event.pid:
            self._note(event, state)

    def run(self, work: Coroutine[object, object, None]) -> None:
        """Do something beside; a failure is logged, what caused it will be found again."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def close(self) -> None:
        """Stop watching. Processes go on."""
        tasks = [*self._tasks, *self._watching.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._processes.close()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("work for a pod failed", exc_info=error)

    def _note(self, event: Exit, state: ContainerRun) -> None:
        watching = self._watching.pop(event.key, None)
        if watching is not None:
            watching.cancel()
        signum = event.signum or 0
        code = event.exit_code if event.exit_code is not None else 128 + signum
        exited(state, code, signum, self._clock.now())
        self._changed(event.key)

    async def _signal(self, key: str, signum: int) -> None:
        with contextlib.suppress(NetsimError):  # it has ended meanwhile
            await self._processes.signal(key, signum)

    async def _start(self, place: Place, state: ContainerRun) -> None:
        key = place.key
        try:
            pid, ready = await self._spawn(place, key)
        except (OSError, NetsimError, ValueError) as error:
            exited(state, START_ERROR_CODE, 0, self._clock.now(), str(error))
            self._changed(key)
            return
        started(state, pid, self._clock.now())
        if ready is not None:
            watching = self._watch(key, self._wait_for_answerer(place, state, ready))
            watching.add_done_callback(lambda _: _close_reader(ready))
        elif place.container.readiness is not None:
            self._watch(key, self._probe(place, state, False))
        else:
            state.ready = True
        self._changed(key)
        early = self._early.pop(key, None)
        if early is not None:
            self.ended(state, early)

    async def _spawn(self, place: Place, key: str) -> tuple[int, int | None]:
        """The process' pid and the answerer's ready pipe, to be closed by the caller."""
        container = place.container
        variables = programs.environment(place.stored, place.pod, container)
        argv = programs.arguments(container, variables)
        path = programs.log_path(self._logs, place.pod.namespace, place.pod.name, container.name)
        ready: int | None = None
        with contextlib.ExitStack() as opened:
            null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            opened.callback(os.close, null)
            output = programs.open_log(path)
            opened.callback(os.close, output)
            fds = [null, output, output]
            if programs.is_answerer(container):
                ready, far = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
                opened.callback(os.close, far)
                fds.append(far)
            try:
                pid = await self._processes.spawn(
                    key,
                    argv,
                    variables,
                    cwd=container.working_dir or "/",
                    sandbox=place.sandbox,
                    fds=fds,
                )
            except BaseException:
                if ready is not None:
                    os.close(ready)
                raise
        return pid, ready

    def _watch(self, key: str, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Find out about readiness until the process ends."""
        task = asyncio.get_running_loop().create_task(work)
        self._watching[key] = task
        task.add_done_callback(_log_failure)
        return task

    async def _wait_for_answerer(self, place: Place, state: ContainerRun, ready: int) -> None:
        """Wait for its byte, then for the probe if there is one."""
        readable = asyncio.Event()
        asyncio.get_running_loop().add_reader(ready, readable.set)
        await readable.wait()
        asyncio.get_running_loop().remove_reader(ready)
        if not os.read(ready, 1):
            return  # it ended, or has closed the pipe: the exit will be told
        if place.container.readiness is not None:
            await self._probe(place, state, False)
        else:
            state.ready = True
            self._changed(place.key)

    async def _probe(self, place: Place, state: ContainerRun, ready: bool) -> None:
        """Probe for ever; tell of changes. `ready` is what was known before."""
        probe = place.container.readiness
        assert probe is not None
        readiness = Readiness(probe, ready)
        begin = state.started_s + probe.initial_delay_s - self._clock.now()
        await self._clock.sleep(max(begin, 0.0))
        while True:
            success = await self._probe_once(place, probe)
            if readiness.record(success=success) != state.ready:
                state.ready = readiness.ready
                self._changed(place.key)
            await self._clock.sleep(probe.period_s)

    async def _probe_once(self, place: Place, probe: Probe) -> bool:
        if probe.action == "exec":
            return await self._probe_exec(place, probe)
        port = place.pod.spec.resolve_port(probe.port)
        if port is None or probe.action == "none":
            return probe.action == "none"
        return await self._ask(probe, place.pod.ip, port, place.pod.spec.node)

    async def _probe_exec(self, place: Place, probe: Probe) -> bool:
        """Run the probe's command in the pod; exit code 0 is success."""
        key = f"probe/{place.pod.meta.uid}/{place.container.name}"
        ended = self._waiting[key] = asyncio.get_running_loop().create_future()
        timer = self._clock.call_at(
            self._clock.now() + probe.timeout_s,
            lambda: self.run(self._signal(key, SIGKILL)),
        )
        try:
            await self._processes.spawn(
                key,
                probe.command,
                programs.environment(place.stored, place.pod, place.container),
                cwd=place.container.working_dir or "/",
                sandbox=place.sandbox,
                fds=(),
            )
            event: Exit = await ended
            await self._processes.forget(key)
        except (OSError, NetsimError, ValueError):
            return False
        finally:
            timer.cancel()
            self._waiting.pop(key, None)
        return bool(event.exit_code == 0)


def _close_reader(fd: int) -> None:
    asyncio.get_running_loop().remove_reader(fd)
    os.close(fd)


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("watching a container failed", exc_info=error)
