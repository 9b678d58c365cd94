"""The control process: store, API, controllers, sandboxes and programs of one lab, in one loop.

    changed ─▶ pass: controllers until they rest ─▶ sandboxes ─▶ programs ─▶ rows ─▶ data plane

A pass compares state, so it does not matter which event began it or how many did: passes that are
asked for while one runs become one. Everything durable is in the store and in init, so this process
may die at any time; the next one finds the same state and goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from netsim.api.fields import Json
from netsim.api.lab_spec import Lab
from netsim.api.meta import key_of
from netsim.api.pods import Probe
from netsim.backends import BACKENDS
from netsim.controllers import all_controllers
from netsim.controllers.base import Pass, lab_of, settle
from netsim.controllers.clock import rfc3339
from netsim.controllers.health import HealthChecks
from netsim.controllers.objects import uid_of
from netsim.controllers.oddities import Oddities
from netsim.controllers.replicasets import next_available_s
from netsim.controllers.tables import Compiler
from netsim.dataplane.messages import Hello
from netsim.dataplane.process import expect_many_rows
from netsim.dataplane.rows import Tables
from netsim.errors import NetsimError
from netsim.lab import kernel_drops, names
from netsim.lab.dataplane_link import DataplaneLink
from netsim.lab.health import service_answers
from netsim.lab.infrastructure import Infrastructure, node_key
from netsim.lab.init_client import InitClient
from netsim.lab.node_servers import NodeServers
from netsim.lab.pod_sandboxes import InitProcesses, PodSandboxes
from netsim.lab.probes import NodeSockets, ask
from netsim.lab.proxies import Proxies
from netsim.lab.relay_link import RelayLink
from netsim.lab.status import Running
from netsim.lab.sync_pace import SyncPace
from netsim.lab.timing import WallClock
from netsim.lab.workloads import Workloads
from netsim.store.base import Create
from netsim.store.garbage import sweep
from netsim.store.sqlite import open_store

if TYPE_CHECKING:
    from netsim.lab.dns_server import DnsServers, Make
    from netsim.lab.lab_api import LabApi

log = logging.getLogger("netsim.control")
RETRY_S = 0.5
# The first change after quiet is worked on at once; then as much time as that took gathers more,
# at most this (P-91): passes take half of the time of a lab in which much happens.
GATHER_MAX_S = 0.02
# Changes after which what they left is taken out of the collector's sight, when all is quiet.
FREEZE_AFTER, QUIET_S = 1000, 0.5
KNOWN_UPDATES = 10_000
# A pass must not starve the thread that makes sandboxes (2.5 ms a pod instead of 21).
SWITCH_INTERVAL_S = 0.001
# Nobody's certificate is checked here (probes and the proxy take any); aiohttp would read all that
# the machine has, twice.
NO_CERTIFICATES = {"SSL_CERT_FILE": os.devnull, "SSL_CERT_DIR": os.devnull}


def default_workers(wire: str) -> int:
    """One for every two processors that we may use: the programs need theirs, too.

    Over sockets a packet costs more in the kernel than a second thread does: two even on two
    processors (measured: docs/performance.md). On the fabric it would be copied between them.
    """
    processors = len(os.sched_getaffinity(0))
    return max(processors // 2, min(processors, 2) if wire == "udp" else 1)


class Control:
    """Owns the store and runs the passes of the lab in `state` (its directory)."""

    _later: asyncio.TimerHandle | None = None  # the pass that time alone makes due

    def __init__(self, name: str, state: Path, init_pid: int) -> None:
        self.name, self._init_pid = name, init_pid
        self.state = state
        self.store = open_store(str(state / "store.sqlite"))
        self._refused = self._ingest()
        lab = lab_of(self.store.view()) or Lab.parse({})
        socket = state / "init.sock"
        workers = lab.workers or default_workers(lab.wire)
        self.init = InitClient(socket)
        self._controllers = [*all_controllers(BACKENDS), lambda p: sweep(p.view)]
        self._compiler = Compiler(BACKENDS)
        self.link = DataplaneLink(
            state / "dataplane.sock",
            Hello(workers, lab.seed, lab.wire, lab.io, lab.polling),
            self.wake,
        )
        self.infrastructure = Infrastructure(name, init_pid, self.init, BACKENDS)
        self._probe_sockets = NodeSockets(self._open_node)
        self._health_checks, self._oddities = HealthChecks(), Oddities()
        self._servers = NodeServers(self._probe_sockets.make)
        self._dns = _make_dns(self._probe_sockets.make) if lab.cluster_dns else None
        self._relay = RelayLink(state / "relay.sock", self._open_node, self.wake)
        self._pace = SyncPace(lab.proxy.min_sync_period_s)
        self.proxies = Proxies(self.link, self.store.view, self._relay.counts)
        self.workloads = Workloads(
            self.store,
            PodSandboxes(name, init_pid, self.init, lambda: self.infrastructure.maker),
            InitProcesses(self.init, socket),
            self._ask,
            backends=BACKENDS,
            logs=state / "logs" / "pods",
            clock=WallClock(),
            wake=self.wake,
        )
        self.errors: tuple[str, ...] = ()
        self._wanted, self._settled = asyncio.Event(), asyncio.Event()
        self._begun = asyncio.Event()  # nodes are there, or why not is known
        self._progress, self.passes = asyncio.Condition(), 0
        self._frozen = -FREEZE_AFTER
        self._in_use: deque[tuple[int, int]] = deque(maxlen=KNOWN_UPDATES)

    def _ingest(self) -> str:
        """Take in the lab's first objects, once; why they are refused, empty if they are not."""
        file = self.state / "initial.json"
        if self.store.view().list("Lab") or not file.exists():
            return ""
        try:
            objects = msgspec.json.decode(file.read_bytes(), type=list[dict[str, object]])
            self.store.transaction([Create(obj) for obj in objects])
        except (NetsimError, msgspec.MsgspecError) as error:
            return str(error)
        return ""

    async def _ask(self, probe: Probe, address: str, port: int, node: str) -> bool:
        return await ask(probe, address, port, self._probe_sockets.make, node)

    async def kernel_drops(self) -> Mapping[str, Mapping[str, int]]:
        """By node, what the kernel lost beside the data plane."""
        nodes = sorted(self.infrastructure.nodes_up)
        return await asyncio.to_thread(kernel_drops.of_nodes, nodes, self._open_node)

    @property
    def health_ports(self) -> Mapping[str, int]:
        """Where health checks are answered, by "ns/name" of a Service."""
        return {"/".join(check.service): check.port for check in self._health_checks.current}

    def _open_node(self, node: str) -> dict[str, int]:
        return self.init.get(node_key(node))

    async def dial(self, node: str) -> socket.socket:
        """A TCP socket that speaks from a node, from the first one if none is named."""
        return await self._probe_sockets.make(node or min(self.infrastructure.nodes_up, default=""))

    def exists(self, obj: Json) -> bool:
        """Whether an object is still there, not another one of its name."""
        stored = self.store.view().get(key_of(obj))
        return stored is not None and uid_of(stored) == uid_of(obj)

    def wake(self) -> None:
        """Ask for a pass."""
        self._settled.clear()
        self._wanted.set()

    async def progressed(self, since: int, timeout_s: float) -> None:
        """Wait until a pass has ended after `since` (of `passes`), at most `timeout_s` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s), self._progress:
                await self._progress.wait_for(lambda: self.passes != since)

    def running(self, dataplane: Json | None) -> Running:
        """What `status` tells beside the store; `dataplane` is the link's facts."""
        return Running(
            settled=self._settled.is_set() and self.in_use(0)[0] == self.store.revision,
            nodes_up=self.infrastructure.nodes_up,
            revisions=self.link.revisions,
            published=self.link.published,
            dataplane=dataplane,
            errors=tuple(
                e for e in (self._refused, *self.errors, self.link.error, *self._relay.errors) if e
            ),
        )

    def in_use(self, revision: int) -> tuple[int, int | None]:
        """The revision whose rows every node runs, and when all ran those of `revision`.

        In CLOCK_MONOTONIC's nanoseconds; None: not yet, or not known any more.
        """
        if not self._in_use or self._in_use[-1][0] < revision:
            return (self._in_use[-1][0] if self._in_use else 0), None
        at = bisect_left(self._in_use, (revision,))
        known = at > 0 or self._in_use[0][0] == revision
        return self._in_use[-1][0], self._in_use[at][1] if known else None

    async def run(self) -> None:
        """Serve and run passes until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.link.keep_connected())
                tasks.create_task(self.workloads.watch())
                tasks.create_task(self._notice_changes())
                tasks.create_task(self._serve())
                await self._passes()
        finally:
            await self.workloads.close()
            self._servers.close()
            if self._dns is not None:
                self._dns.close()
            self._probe_sockets.close()
            self._relay.close()
            self.store.close()

    async def _serve(self) -> None:
        """Serve the API until SIGTERM, which ends all streams, and then us, wherever we are.

        Its modules take as long to import as all others: nodes come first.
        """
        await self._begun.wait()
        api = await asyncio.to_thread(_make_api, self)
        runner = await api.serve(self.state / "api.sock")
        ended = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
        try:
            await ended.wait()
        finally:
            await runner.cleanup()
        os._exit(0)

    async def _notice_changes(self) -> None:
        revision = 0
        while True:
            revision = await self.store.changed(revision)
            self.wake()

    async def _passes(self) -> None:
        await asyncio.to_thread(self._repair_names)
        while True:
            await self._wanted.wait()
            began = time.monotonic()
            self._wanted.clear()
            try:
                finished = await self._one_pass()
                self.errors = ()
            except (NetsimError, OSError) as error:
                log.exception("pass failed")
                self.errors, finished = (str(error),), False
            if finished and not self._wanted.is_set():
                self._settle_down()
            elif not finished:
                asyncio.get_running_loop().call_later(RETRY_S, self.wake)
            async with self._progress:
                self.passes += 1
                self._progress.notify_all()
            await asyncio.sleep(min(time.monotonic() - began, GATHER_MAX_S))

    def _settle_down(self) -> None:
        """Nothing is left to do."""
        self._settled.set()
        if self.store.revision - self._frozen >= FREEZE_AFTER:
            self._frozen = self.store.revision
            asyncio.get_running_loop().call_later(QUIET_S, _freeze)

    def _repair_names(self) -> None:
        """Whoever died between giving a sandbox up and unnaming it left a wrong name."""
        names.sync(self.name, self._init_pid, self.init.keys())

    async def _one_pass(self) -> bool:
        """Bring everything one step on; whether the data plane runs what the store asks for."""
        try:
            self._settle()
            view = self.store.view()
            if await self.infrastructure.ensure(view):
                self._settle()
                view = self.store.view()
        finally:
            self._begun.set()
        await self.workloads.reconcile(view)
        view, checks = self.store.view(), self._health_checks
        checks.advance(view)
        self.proxies.noticed(checks.services, checks.slices)
        desired, early_s = self._compiler.compile(view), 0.0
        if desired.services is not self.link.applied.services:
            early_s = self._pace.wait_s(time.monotonic())
        if early_s:
            desired = replace(desired, services=self.link.applied.services)
            asyncio.get_running_loop().call_later(early_s, self.wake)
        done = await self._publish(desired, view.revision)
        if done:
            self.workloads.published(view.revision)
        if done and not early_s:
            self._in_use.append((view.revision, time.monotonic_ns()))
            self.proxies.synced()
        for line in self._oddities.advance(checks.services):
            log.warning("%s", line)
        answers = service_answers(checks.current) | self.proxies.answers
        await self._servers.reconcile(answers, self.infrastructure.sandboxes)
        if self._dns is not None:
            await self._dns.reconcile(view, self.infrastructure.sandboxes)
        return done and not early_s

    async def _publish(self, desired: Tables, revision: int) -> bool:
        """To the data plane, and to what it sends to: whether both run it."""
        ready = await self._relay.prepare(desired, self.infrastructure.sandboxes)
        done = await self.link.publish(desired, revision) and ready
        return done and await self._relay.finish()

    def _settle(self) -> None:
        now = rfc3339(time.time())

        def take() -> Pass:
            return Pass(self.store.view(), now, self.infrastructure.nodes_up)

        settle(take, self.store.transaction, self._controllers)
        now_s = time.time()
        if self._later is not None:
            self._later.cancel()
        due_s = next_available_s(self.store.view(), now_s)
        loop = asyncio.get_running_loop()
        self._later = loop.call_later(due_s - now_s, self.wake) if due_s is not None else None


def _make_dns(make: Make) -> DnsServers:
    from netsim.lab.dns_server import DnsServers

    return DnsServers(make)


def _make_api(control: Control) -> LabApi:
    from netsim.lab.lab_api import LabApi

    return LabApi(control)


def _freeze() -> None:
    """What is stored stays, so the collector may skip it."""
    gc.collect()
    gc.freeze()


def main() -> None:
    """`python -m netsim.lab.control`, as init starts it."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    os.environ.update(NO_CERTIFICATES)
    expect_many_rows()
    state = Path(os.environ["NETSIM_STATE"])

    async def start() -> None:
        control = Control(os.environ["NETSIM_LAB"], state, int(os.environ["NETSIM_INIT_PID"]))
        control.wake()
        await control.run()

    asyncio.run(start())


if __name__ == "__main__":
    main()
