"""Answers: what the data plane process does for each message.

No sockets: a request comes in with the session of its connection, a reply goes out. Packets never
pass through here; the engine's workers run on their own.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from netsim.dataplane import messages as m
from netsim.dataplane._core import Engine, drop_reasons
from netsim.dataplane.applier import Applier
from netsim.dataplane.attach import Descriptors, Fetch, open_packet_socket
from netsim.dataplane.decisions import EXTERNAL_NODE, Names, decision
from netsim.dataplane.io_methods import io_method, io_reason
from netsim.dataplane.plan import plan
from netsim.dataplane.rows import Changes, Tables

BALANCE_MIN_S = 0.08  # or the shares of processors say nothing
log = logging.getLogger(__name__)

KINDS: tuple[tuple[type[Exception], str], ...] = (
    (LookupError, "not-found"),
    (ValueError, "invalid"),
    (Exception, "failed"),
)


@dataclass
class Session:
    """One connection: whether its changes are to what is applied, and what it has started."""

    synced: bool = False
    fds: list[int] = field(default_factory=list)  # received, not yet used
    captures: list[int] = field(default_factory=list)


def complete(changes: Changes) -> Tables:
    """The tables that changes to nothing make."""
    return Tables(
        changes.lab,
        {row.name: row for row in changes.nodes},
        {row.name: row for row in changes.pods},
        {row.key: row for row in changes.services},
        changes.peers or (),
        changes.paths or (),
    )


class DataPlane:
    """The engine of this process and everything that can be asked of it.

    `fetch` gets descriptors by key. `leaving`: the process must end, for another to take over.
    """

    def __init__(self, fetch: Fetch) -> None:
        self.leaving = False
        self._fetch = fetch
        self._boot_id = uuid.uuid4().hex
        self._began_s = time.monotonic()
        self._hello: m.Hello | None = None
        self._applier: Applier | None = None
        self._running = False
        self._balanced_s = 0.0

    @property
    def applier(self) -> Applier:
        """What is in place. ValueError before Hello."""
        if self._applier is None:
            raise ValueError("the data plane waits for control's hello")
        return self._applier

    def answer(self, request: m.Request, session: Session) -> m.Reply:
        """The reply to a request; every error becomes `Failed`."""
        try:
            return self._dispatch(request, session)
        except Exception as error:
            kind = next(name for types, name in KINDS if isinstance(error, types))
            if kind == "failed":
                log.exception("%s failed", type(request).__name__)
            return m.Failed(kind, str(error) or repr(error))

    @property
    def balances(self) -> bool:
        """Whether `balance()` wants to be called now and then."""
        return self._running and self._hello is not None and self._hello.workers > 1

    def balance(self) -> None:
        """Take a node from a worker that has too much to do, or join workers that have little."""
        now_s = time.monotonic()
        if self.balances and now_s - self._balanced_s >= BALANCE_MIN_S:
            self._balanced_s = now_s
            moved = self.applier.engine.balance()
            if moved:
                log.debug("%d nodes moved between workers", moved)

    def leave(self, session: Session) -> None:
        """End what a connection has started, when it goes."""
        for fd in session.fds:
            os.close(fd)
        for capture in session.captures:
            self.applier.engine.capture_stop(capture)
        session.fds, session.captures = [], []

    def close(self) -> None:
        """Stop the workers. Flows stay in the arena, ifaces with init."""
        if self._applier is not None:
            self._applier.engine.close()

    def hello(self, request: m.Hello) -> m.Reply:
        """Make the engine on first contact."""
        if self._hello is None:
            with Descriptors("flows", self._fetch("flows")) as fds:  # the engine copies it
                engine = Engine(
                    request.workers,
                    request.seed,
                    arena_fd=fds["mem"],
                    io=io_method(request.io),
                    polling=request.polling,
                )
            self._applier, self._hello = Applier(engine, self._fetch), request
            log.info("engine with %d workers", request.workers)
        elif request != self._hello:
            self.leaving = True
            raise ValueError(f"runs as {self._hello}; ends, so that the next one can be {request}")
        return m.Welcome(os.getpid(), self._boot_id, self.applier.revision)

    def tables(self, session: Session) -> m.Reply:
        """From here on the connection knows what is applied."""
        session.synced = True
        return m.TablesAre(self.applier.tables())

    def apply(self, request: m.Apply, session: Session) -> m.Reply:
        """Apply; the first time in this process, then adopt flows and start the workers."""
        applier, changes = self.applier, request.changes
        if not session.synced:
            changes = plan(applier.tables(), complete(changes))
        problems = applier.apply(changes, request.revision)
        session.synced = True
        if not self._running:
            adopted = applier.engine.adopt_flows(time.monotonic_ns())
            if self._hello and self._hello.workers:
                applier.engine.start()
            self._running = True
            info = applier.engine.info()
            log.info("I/O by %s%s", info.io, io_reason(info.io_errno))
            log.info("running revision %d; %d flows adopted", request.revision, adopted)
        for problem in problems:
            log.warning("revision %d: left out: %s", request.revision, problem)
        return m.Applied(applier.settle(), problems)

    def stats(self) -> m.Reply:
        """Counters of nodes and ifaces."""
        engine = self.applier.engine
        nodes = {name: engine.node_stats(i) for name, i in self.applier.node_ids.items()}
        return m.Stats(nodes, {name: engine.iface_stats(i) for name, i in self._ifaces().items()})

    def flows(self, request: m.GetFlows) -> m.Reply:
        """Some connections of a node."""
        node, names = self._node(request.node), self.applier.service_names
        flows, cursor = self.applier.engine.flows(node, cursor=request.cursor, match=request.match)
        services = {i: names[i] for i in {flow.service for flow in flows} if i in names}
        return m.Flows(flows, time.monotonic_ns(), services, cursor)

    def clear_flows(self, request: m.ClearFlows) -> m.Reply:
        """Forget connections."""
        self.applier.engine.flows_clear(self._node(request.node))
        return m.Done()

    def trace(self, request: m.Trace) -> m.Reply:
        """Begin or end to mark packets."""
        nodes = [self._node(request.node)] if request.node else self.applier.node_ids.values()
        for node in nodes:
            self.applier.engine.trace(node, request.match)
        return m.Done()

    def trace_drain(self) -> m.Reply:
        """Decision records, in names."""
        records, missed = self.applier.engine.trace_drain()
        nodes = {i: name for name, i in self.applier.node_ids.items()}
        names = Names(
            {**nodes, EXTERNAL_NODE: "external"},
            {i: name for name, i in self._ifaces().items()},
            self.applier.service_names,
            {i: name for i, (name, _) in enumerate(drop_reasons(), start=1)},
        )
        return m.Decisions([decision(record, names) for record in records], missed)

    def capture_start(self, request: m.CaptureStart, session: Session) -> m.Reply:
        """Capture an iface to the descriptor that came along."""
        if not session.fds:
            raise ValueError("a capture needs a descriptor to write to")
        fd = session.fds.pop(0)
        try:
            start = self._capture(request.target)
        except BaseException:
            os.close(fd)
            raise
        capture = start(fd, request.snaplen)
        session.captures.append(capture)
        return m.CaptureStarted(capture)

    def capture_stop(self, request: m.CaptureStop, session: Session) -> m.Reply:
        """End a capture of this connection."""
        if request.id not in session.captures:
            raise LookupError(f"capture {request.id} is not this connection's")
        session.captures.remove(request.id)
        return m.CaptureStopped(*self.applier.engine.capture_stop(request.id))

    def info(self) -> m.Reply:
        """Facts of engine and process."""
        uptime_s = time.monotonic() - self._began_s
        open_files = len(os.listdir("/proc/self/fd"))
        return m.Info(self.applier.engine.info(), os.getpid(), uptime_s, open_files)

    def revisions(self) -> m.Reply:
        """What each node runs."""
        return m.Revisions(self.applier.revisions())

    def _dispatch(self, request: m.Request, session: Session) -> m.Reply:
        match request:  # not a table: mypy sees that no message is missing
            case m.Hello():
                return self.hello(request)
            case m.GetTables():
                return self.tables(session)
            case m.Apply():
                return self.apply(request, session)
            case m.GetStats():
                return self.stats()
            case m.GetFlows():
                return self.flows(request)
            case m.ClearFlows():
                return self.clear_flows(request)
            case m.Trace():
                return self.trace(request)
            case m.TraceDrain():
                return self.trace_drain()
            case m.CaptureStart():
                return self.capture_start(request, session)
            case m.CaptureStop():
                return self.capture_stop(request, session)
            case m.GetInfo():
                return self.info()
            case m.GetRevisions():
                return self.revisions()

    def _node(self, name: str) -> int:
        if name not in self.applier.node_ids:
            raise LookupError(f"node {name} is not here")
        return self.applier.node_ids[name]

    def _ifaces(self) -> dict[str, int]:
        ifaces = {f"pod/{name}": i for name, i in self.applier.pod_ifaces.items()}
        for node, of_node in self.applier.node_ifaces.items():
            ifaces |= {f"node/{node}/{name}": i for name, i in of_node.items()}
        return ifaces

    def _capture(self, target: str) -> Callable[[int, int], int]:
        """What starts a capture of a target; a node's wire over real links is its eth0."""
        engine, ifaces = self.applier.engine, self._ifaces()
        kind, _, name = target.partition("/")
        if kind == "node" and name in self.applier.node_ids and not self.applier.on_fabric:
            packets = open_packet_socket(self._fetch, name)
            return lambda fd, snaplen: engine.capture_socket(packets, fd, "eth0", snaplen)
        for iface in (target, f"{target}/wire"):
            if iface in ifaces:
                return partial(engine.capture_start, ifaces[iface])
        raise LookupError(f"{target} has no iface here")
