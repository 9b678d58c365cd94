"""Workloads: brings what runs in line with the Pod objects, and says in their status what runs.

    reconcile(view) ─▶ decide() per pod that changed ─▶ sandboxes, programs, signals ─▶ status
                          ▲            exits, readiness, published revisions, time ─┘

What to do is decided in `pod_machine`; here it is done. Everything is in the event loop's thread.
Sandboxes and processes belong to init: a new control process finds them (`adopt`) and goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import Protocol

from netsim.api.lab_spec import Lab
from netsim.api.meta import ObjectKey, key_of
from netsim.backends.base import Backend
from netsim.controllers.base import lab_of
from netsim.controllers.changes import Tracker
from netsim.controllers.objects import deleting, uid_of
from netsim.errors import NetsimError
from netsim.lab import pod_status
from netsim.lab.container_runner import Ask, ContainerRunner, Exit, Processes
from netsim.lab.containers import ProcessKey, parse_process_key, remove_logs, tend_logs
from netsim.lab.pod_adoption import Known, adopt
from netsim.lab.pod_machine import (
    SANDBOX_RETRY_S,
    Action,
    ContainerRun,
    Do,
    PodRun,
    Sandbox,
    container_of,
    decide,
)
from netsim.lab.pod_nets import SandboxNet, sandbox_net
from netsim.lab.timing import Clock, Timer
from netsim.store.base import Delete, Store, Update, View, Write

log = logging.getLogger(__name__)
# Sandboxes made before the data plane hears of them: the first pods start while others are made,
# by who has as many batches as this to go on with.
BATCH, AHEAD = 128, 3
WATCH_RETRY_S, STORE_RETRY_S = 0.2, 1.0
# A revision that is not known before the status that says so is written.
UNWRITTEN = 1 << 62


class Sandboxes(Protocol):
    """Who makes and keeps sandboxes: Maker and init, by init's keys."""

    async def create(self, pods: Sequence[tuple[str, SandboxNet]]) -> list[str]:
        """Make sandboxes; for each what went wrong, empty if nothing did."""

    async def drop(self, keys: Sequence[str]) -> None:
        """Give sandboxes up. What still runs in them is killed."""

    async def keys(self) -> Sequence[str]:
        """All that there are, nodes' too."""


class Workloads:
    """Owns what is known of every pod's sandbox and processes, by the pod's uid.

    `wake` asks for a pass of the control loop: there are sandboxes to make. The loop calls, again
    and again, `reconcile` with the settled view, then `published` with the revision that every
    node's data plane runs; `watch` runs beside it.
    """

    def __init__(
        self,
        store: Store,
        sandboxes: Sandboxes,
        processes: Processes,
        ask: Ask,
        *,
        backends: Mapping[str, Backend],
        logs: Path,
        clock: Clock,
        wake: Callable[[], None],
    ) -> None:
        self._store = store
        self._sandboxes = sandboxes
        self._processes = processes
        self._backends = backends
        self._logs = logs
        self._clock = clock
        self._wake = wake
        self._runner = ContainerRunner(processes, logs, clock, ask, self._container_changed)
        self._tracker = Tracker("Pod")
        self._known: dict[str, Known] = {}
        self._runs: dict[str, PodRun] = {}
        self._keys: dict[str, ObjectKey] = {}
        self._holders: dict[str, str] = {}
        self._timers: dict[str, Timer] = {}
        self._to_make: dict[str, None] = {}
        self._making: deque[asyncio.Task[list[tuple[PodRun, str]]]] = deque()
        self._to_drop: dict[str, None] = {}
        self._dirty: dict[str, None] = {}
        self._flush_due = False
        self._awaiting: dict[str, None] = {}  # pods that wait for a revision to be published
        self._published = 0
        self._adopted = False

    async def reconcile(self, view: View) -> None:
        """Bring what runs nearer to the view; returns when a batch of sandboxes is made.

        The statuses that follow from it are stored on return.
        """
        gone, new = self._tracker.advance(view)
        before = {uid_of(obj): self._known.pop(uid_of(obj), None) for obj in gone}
        for obj in new:
            self._known[uid_of(obj)] = Known.read(obj, before.get(uid_of(obj)))
            self._keys[uid_of(obj)] = key_of(obj)
        if not self._adopted:
            await self._adopt()
            self._adopted = True
        for uid in {uid_of(obj): None for obj in (*gone, *new)}:
            self._observe(uid, view.revision)
        lab = lab_of(view) if self._to_make or self._making else None
        if lab is not None:
            await self._make_sandboxes(lab)
        self._flush()

    def published(self, revision: int) -> None:
        """Every node's data plane runs the rows of `revision`."""
        if revision <= self._published:
            return
        self._published = revision
        for uid in list(self._awaiting):
            run = self._runs.get(uid)
            if run is None or max(run.attached, run.detached, run.stopping) <= revision:
                del self._awaiting[uid]
            self._step(uid)

    async def watch(self) -> None:
        """Notice exits and tend the logs, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch_exits())
            tasks.create_task(tend_logs(self._logs, self._clock))

    async def close(self) -> None:
        """Do nothing more. What runs goes on."""
        for timer in self._timers.values():
            timer.cancel()
        for making in self._making:
            making.cancel()
        await self._runner.close()

    def _observe(self, uid: str, revision: int) -> None:
        """A pod's object is new, changed or gone."""
        known = self._known.get(uid)
        if known is not None:
            run = self._runs.setdefault(uid, PodRun(uid))
            if run.sandbox is Sandbox.ABSENT:
                run.place = known.place
            if deleting(known.stored):
                run.grace_s = pod_status.deletion_grace_s(known.stored)
                if not run.stopping:
                    run.stopping, run.stopping_s = revision, self._clock.now()
                    self._awaiting[uid] = None
            if known.pod.spec.readiness_gates:
                self._soil(uid)
        self._step(uid)

    def _step(self, uid: str) -> None:
        """Decide about a pod and do it."""
        run = self._runs.get(uid)
        if run is None:
            return
        known = self._known.get(uid)
        pod = known.pod if known is not None else None
        decision = decide(pod, run, self._clock.now(), self._published)
        self._wait(uid, decision.due_s)
        for action in decision.actions:
            self._act(uid, run, action)

    def _wait(self, uid: str, due_s: float | None) -> None:
        timer = self._timers.pop(uid, None)
        if timer is not None:
            timer.cancel()
        if due_s is not None:
            self._timers[uid] = self._clock.call_at(due_s, lambda: self._again(uid))

    def _again(self, uid: str) -> None:
        self._soil(uid)
        self._step(uid)

    def _act(self, uid: str, run: PodRun, action: Action) -> None:
        match action.do:
            case Do.MAKE_SANDBOX:
                self._to_make[uid] = None
                self._wake()
            case Do.START:
                known = self._known[uid]
                state = run.containers.setdefault(action.container, ContainerRun())
                self._runner.start(known.where(action.container), state)
            case Do.TERMINATE:
                run.kill_s = run.kill_s or self._clock.now() + run.grace_s
                self._signal(uid, run, action.container, SIGTERM)
            case Do.KILL:
                self._signal(uid, run, action.container, SIGKILL)
            case Do.DETACH:
                run.detached, run.detached_s = UNWRITTEN, self._clock.now()
                self._soil(uid)
            case Do.DROP_SANDBOX:
                run.sandbox = Sandbox.CHANGING
                if not self._to_drop:
                    self._runner.run(self._drop_sandboxes())
                self._to_drop[uid] = None
            case Do.REMOVE:
                self._remove(uid, run)

    def _signal(self, uid: str, run: PodRun, name: str, signum: int) -> None:
        key = self._keys[uid]
        where = str(ProcessKey(key.namespace, key.name, name, uid))
        self._runner.signal(where, run.containers[name], signum)

    async def _make_sandboxes(self, lab: Lab) -> None:
        """Wait for a batch of those that are due; the next ones are made while the pass goes on."""
        self._begin_batches(lab)
        made = await self._making.popleft() if self._making else ()
        self._begin_batches(lab)
        for run, problem in made:
            self._made(run, problem)
        if self._making:
            self._wake()

    def _begin_batches(self, lab: Lab) -> None:
        while len(self._making) < AHEAD and (batch := self._next_batch(lab)):
            self._making.append(asyncio.get_running_loop().create_task(self._make(batch)))

    def _next_batch(self, lab: Lab) -> list[tuple[PodRun, SandboxNet]]:
        """Some of those that are due, from now on being made."""
        batch: list[tuple[PodRun, SandboxNet]] = []
        backend = self._backends[lab.backend.name]
        for uid in list(self._to_make):
            run, known = self._runs.get(uid), self._known.get(uid)
            if known is None or run is None or run.sandbox is not Sandbox.ABSENT:
                del self._to_make[uid]
            elif len(batch) == BATCH:
                break
            elif self._holders.setdefault(run.place, uid) == uid:
                del self._to_make[uid]
                run.sandbox, run.ip = Sandbox.CHANGING, known.pod.ip
                batch.append((run, sandbox_net(lab, backend, known.pod)))
        return batch

    async def _make(self, batch: Sequence[tuple[PodRun, SandboxNet]]) -> list[tuple[PodRun, str]]:
        problems = await self._sandboxes.create([(run.place, net) for run, net in batch])
        return [(run, problem) for (run, _), problem in zip(batch, problems, strict=True)]

    def _made(self, run: PodRun, problem: str) -> None:
        run.problem = problem
        if problem:
            log.warning("sandbox %s: %s", run.place, problem)
            run.sandbox, run.retry_s = Sandbox.ABSENT, self._clock.now() + SANDBOX_RETRY_S
            self._holders.pop(run.place, None)
        else:
            run.sandbox, run.attached, run.detached = Sandbox.PRESENT, UNWRITTEN, 0
        self._soil(run.uid)
        self._step(run.uid)

    async def _drop_sandboxes(self) -> None:
        """Drop what is due, also what becomes due meanwhile."""
        while self._to_drop:
            runs = [self._runs[uid] for uid in self._to_drop]
            try:
                await self._sandboxes.drop([run.place for run in runs])
            except (OSError, NetsimError):
                log.exception("sandboxes cannot be dropped now")
                await self._clock.sleep(SANDBOX_RETRY_S)
                continue
            for run in runs:
                del self._to_drop[run.uid]
                run.sandbox = Sandbox.ABSENT
                if self._holders.get(run.place) == run.uid:
                    del self._holders[run.place]
                self._soil(run.uid)
                self._step(run.uid)
        if self._to_make:
            self._wake()

    def _remove(self, uid: str, run: PodRun) -> None:
        """Nothing of the pod is left here: let its object go, too."""
        key, _ = self._keys.pop(uid), self._known.pop(uid, None)
        del self._runs[uid]
        self._wait(uid, None)
        for name in run.containers:
            where = str(ProcessKey(key.namespace, key.name, name, uid))
            self._runner.run(self._processes.forget(where))
            remove_logs(self._logs, key.namespace, key.name, name)
        stored = self._store.view().get(key)
        if stored is not None and uid_of(stored) == uid:
            self._store.transaction([Delete(key, grace_s=0, uid=uid)])

    def _soil(self, uid: str) -> None:
        """The pod's status may have changed."""
        self._dirty[uid] = None
        if not self._flush_due:
            self._flush_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        """Store the statuses that changed, in one transaction."""
        self._flush_due = False
        dirty, self._dirty = self._dirty, {}
        if not dirty:
            return
        view, now = self._store.view(), self._clock.now()
        writes: list[Write] = []
        for uid in dirty:
            run, key, known = self._runs.get(uid), self._keys.get(uid), self._known.get(uid)
            stored = view.get(key) if key is not None else None
            if run is None or stored is None or uid_of(stored) != uid:
                continue
            changed = pod_status.with_run(stored, Known.read(stored, known).pod, run, now)
            if changed is not stored:
                writes.append(Update(changed))
        try:
            self._store.transaction(writes)
        except NetsimError:
            log.exception("statuses cannot be stored now")
            self._dirty = {**dirty, **self._dirty}
            self._clock.call_at(now + STORE_RETRY_S, self._flush)
            return
        for uid in dirty:
            self._written(uid, self._store.revision)

    def _written(self, uid: str, revision: int) -> None:
        """The status tells of a sandbox since this revision, or no longer."""
        run = self._runs.get(uid)
        if run is None or UNWRITTEN not in (run.attached, run.detached):
            return
        run.attached = revision if run.attached == UNWRITTEN else run.attached
        run.detached = revision if run.detached == UNWRITTEN else run.detached
        self._awaiting[uid] = None
        self._step(uid)

    def _container_changed(self, key: str) -> None:
        found = parse_process_key(key)
        if found is not None:
            self._soil(found.uid)
            self._step(found.uid)

    async def _watch_exits(self) -> None:
        while True:
            try:
                watch = self._processes.watch()
                try:
                    for record in await self._processes.records():
                        if not record.running:
                            self._exited(record)
                    while True:
                        for event in await watch.read():
                            self._exited(event)
                finally:
                    watch.close()
            except (OSError, NetsimError):
                log.exception("init does not tell of exits")
                await self._clock.sleep(WATCH_RETRY_S)

    def _exited(self, event: Exit) -> None:
        found = parse_process_key(event.key)
        run = self._runs.get(found.uid) if found is not None else None
        state = run.containers.get(found.container) if run is not None and found else None
        self._runner.ended(state, event)

    async def _adopt(self) -> None:
        """Find what an earlier control process has left running."""
        there = await self._sandboxes.keys()
        found = adopt(self._known, there, await self._processes.records(), self._clock.now())
        self._runs, self._keys = found.runs, {**found.keys, **self._keys}
        self._holders = {
            run.place: uid for uid, run in found.runs.items() if run.sandbox is Sandbox.PRESENT
        }
        if found.stale:
            await self._sandboxes.drop(found.stale)
        for uid, name, pid in found.running:
            state = found.runs[uid].containers[name]
            known = self._known.get(uid)
            if known is not None and container_of(known.pod, name) is not None:
                self._runner.adopt(known.where(name), state, pid)
        for uid in [*found.runs]:
            if uid not in found.untouched:
                self._soil(uid)
            self._step(uid)
