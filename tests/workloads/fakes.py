"""A machine that is not there: sandboxes, processes, probes and time, all stepped by the test."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from signal import SIGKILL

from netsim.api.fields import Json
from netsim.api.meta import ObjectKey
from netsim.api.pods import Probe
from netsim.backends import BACKENDS
from netsim.controllers import all_controllers
from netsim.controllers.base import Pass, settle
from netsim.controllers.clock import rfc3339
from netsim.errors import NotFoundError
from netsim.lab.pod_nets import SandboxNet
from netsim.lab.workloads import Workloads
from netsim.store.memory import ObjectStore
from tests.controllers.world import START_S

# Turns of the event loop after which a machine without I/O has nothing left to do.
TURNS = 40


async def idle() -> None:
    """Let everything happen that can happen now."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


@dataclass
class Timer:
    when_s: float
    callback: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


class SteppedClock:
    """Time moves when `advance` is called, from one timer to the next."""

    def __init__(self) -> None:
        self.now_s = START_S
        self._timers: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()

    def now(self) -> float:
        return self.now_s

    def call_at(self, when_s: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(max(when_s, self.now_s), callback)
        heapq.heappush(self._timers, (timer.when_s, next(self._numbers), timer))
        return timer

    async def sleep(self, duration_s: float) -> None:
        if duration_s <= 0:
            await asyncio.sleep(0)
            return
        done = asyncio.get_running_loop().create_future()
        timer = self.call_at(self.now_s + duration_s, partial(done.set_result, None))
        try:
            await done
        finally:
            timer.cancel()

    async def advance(self, duration_s: float) -> None:
        end = self.now_s + duration_s
        await idle()
        while self._timers and self._timers[0][0] <= end:
            when_s, _, timer = heapq.heappop(self._timers)
            if not timer.cancelled:
                self.now_s = when_s
                timer.callback()
                await idle()
        self.now_s = end
        await idle()


class FakeSandboxes:
    def __init__(self) -> None:
        self.there: dict[str, SandboxNet] = {}
        self.fail: str = ""
        self.log: list[str] = []

    async def create(self, pods: Sequence[tuple[str, SandboxNet]]) -> list[str]:
        await asyncio.sleep(0)
        if self.fail:
            return [self.fail for _ in pods]
        for key, net in pods:
            assert key not in self.there, f"{key} is there already"
            self.there[key] = net
            self.log.append(f"create {key}")
        return ["" for _ in pods]

    async def drop(self, keys: Sequence[str]) -> None:
        await asyncio.sleep(0)
        for key in keys:
            self.there.pop(key, None)
            self.log.append(f"drop {key}")

    async def keys(self) -> Sequence[str]:
        return ["fabric", "node/node1", *self.there]


@dataclass
class Process:
    """A program, and init's record of it."""

    key: str
    pid: int
    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    sandbox: str
    running: bool = True
    exit_code: int | None = None
    signum: int | None = None
    signals: list[int] = field(default_factory=list)
    output: int = -1
    ready_fd: int = -1


@dataclass(frozen=True)
class Exited:
    key: str
    pid: int
    exit_code: int | None
    signum: int | None


class FakeExits:
    def __init__(self) -> None:
        self.queue: asyncio.Queue[Exited] = asyncio.Queue()
        self.closed = False

    async def read(self) -> Sequence[Exited]:
        return [await self.queue.get()]

    def close(self) -> None:
        self.closed = True


class FakeProcesses:
    """init: `programs` says what a program does, by the first word of its argv.

    A program that is not there is an OSError; one that ignores SIGTERM is in `deaf`.
    """

    def __init__(self) -> None:
        self.table: dict[str, Process] = {}
        self.started: list[str] = []
        self.missing: set[str] = set()
        self.deaf: set[str] = set()
        self.results: dict[str, int] = {}
        self._watches: list[FakeExits] = []
        self._pids = itertools.count(100)

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
        copies = [os.dup(fd) for fd in fds]
        await asyncio.sleep(0)
        if argv[0] in self.missing:
            for fd in copies:
                os.close(fd)
            raise FileNotFoundError(2, f"{argv[0]}: No such file or directory")
        assert key not in self.table or not self.table[key].running, f"{key} runs already"
        process = Process(key, next(self._pids), argv, env, cwd, sandbox)
        process.output = copies[1] if len(copies) > 1 else -1
        process.ready_fd = copies[3] if len(copies) > 3 else -1
        self.table[key] = process
        self.started.append(key)
        for fd in copies:
            if fd not in (process.output, process.ready_fd):
                os.close(fd)
        if argv[0] in self.results:
            self.exit(key, self.results[argv[0]])
        return process.pid

    async def signal(self, key: str, signum: int) -> None:
        await asyncio.sleep(0)
        process = self.table.get(key)
        if process is None or not process.running:
            raise NotFoundError(f"init has no process {key}")
        process.signals.append(signum)
        if signum == SIGKILL or process.argv[0] not in self.deaf:
            self.exit(key, signum=signum)

    async def records(self) -> Sequence[Process]:
        return list(self.table.values())

    async def forget(self, key: str) -> None:
        process = self.table.get(key)
        assert process is None or not process.running
        self.table.pop(key, None)

    def watch(self) -> FakeExits:
        self._watches.append(FakeExits())
        return self._watches[-1]

    def close(self) -> None:
        """Programs go on."""

    def exit(self, key: str, code: int | None = None, signum: int | None = None) -> None:
        """The program ends."""
        process = self.table[key]
        assert process.running
        process.running, process.exit_code, process.signum = False, code, signum
        self._close(process)
        for watch in self._watches:
            if not watch.closed:
                watch.queue.put_nowait(Exited(key, process.pid, code, signum))

    def end(self) -> None:
        """The machine is switched off."""
        for process in self.table.values():
            self._close(process)

    def _close(self, process: Process) -> None:
        for fd in (process.output, process.ready_fd):
            if fd >= 0:
                os.close(fd)
        process.output = process.ready_fd = -1


class FakeNetwork:
    """Who answers probes: `up` has (address, port)."""

    def __init__(self) -> None:
        self.up: set[tuple[str, int]] = set()
        self.asked: list[tuple[str, str, int, str]] = []

    async def __call__(self, probe: Probe, address: str, port: int, node: str) -> bool:
        self.asked.append((probe.action, address, port, node))
        await asyncio.sleep(0)
        return (address, port) in self.up


class Machine:
    """A lab on the fakes: a store, controllers, workloads and a data plane that says it is done.

    `data_plane` False: it does not answer. `begin` starts a control process, `die` kills it.
    """

    def __init__(self, logs: Path, *objects: Json) -> None:
        self.logs = logs
        self.clock = SteppedClock()
        self.store = ObjectStore(now=lambda: datetime.fromtimestamp(self.clock.now_s, UTC))
        self.sandboxes = FakeSandboxes()
        self.processes = FakeProcesses()
        self.network = FakeNetwork()
        self.data_plane = True
        self.woken = False
        self.add(*objects)
        self.begin()

    def begin(self) -> None:
        self.controllers = all_controllers(BACKENDS)
        self.workloads = Workloads(
            self.store,
            self.sandboxes,
            self.processes,
            self.network,
            backends=BACKENDS,
            logs=self.logs,
            clock=self.clock,
            wake=self.wake,
        )
        self.watching: asyncio.Task[None] | None = None

    async def die(self) -> None:
        """Control is killed: nothing that it has not stored or handed to init survives."""
        await self._end()
        self.begin()

    async def _end(self) -> None:
        if self.watching is not None:
            self.watching.cancel()
            await asyncio.gather(self.watching, return_exceptions=True)
        await self.workloads.close()

    async def close(self) -> None:
        await self._end()
        self.processes.end()

    def wake(self) -> None:
        self.woken = True

    def add(self, *objects: Json) -> None:
        for obj in objects:
            self.store.create(obj)

    async def one_pass(self) -> None:
        self.woken = False

        def take() -> Pass:
            return Pass(self.store.view(), rfc3339(self.clock.now_s), frozenset({"node1", "node2"}))

        settle(take, self.store.transaction, self.controllers)
        await self.workloads.reconcile(self.store.view())
        if self.data_plane:
            self.workloads.published(self.store.revision)

    async def run(self) -> None:
        """Passes until nothing changes."""
        if self.watching is None:
            self.watching = asyncio.get_running_loop().create_task(self.workloads.watch())
        for _ in range(50):
            before = self.store.revision
            await self.one_pass()
            await idle()
            if self.store.revision == before and not self.woken:
                return
        raise AssertionError("does not come to rest")

    async def advance(self, duration_s: float) -> None:
        await self.clock.advance(duration_s)
        await self.run()

    def pod(self, name: str) -> Json:
        found = self.store.view().get(ObjectKey("Pod", "default", name))
        assert found is not None, f"no pod {name}"
        return found

    def has_pod(self, name: str) -> bool:
        return self.store.view().get(ObjectKey("Pod", "default", name)) is not None

    def delete(self, name: str, grace_s: int | None = None) -> None:
        self.store.delete(ObjectKey("Pod", "default", name), grace_s)

    def process(self, pod: str, container: str = "main") -> Process:
        """The container's process, running or not."""
        (found,) = (
            p
            for k, p in self.processes.table.items()
            if k.startswith(f"container/default/{pod}/{container}/")
        )
        return found

    def starts(self, pod: str, container: str = "main") -> int:
        prefix = f"container/default/{pod}/{container}/"
        return sum(key.startswith(prefix) for key in self.processes.started)
