"""Applier: brings the engine to the rows that it is told, and knows what is in place.

A row that can not be applied is left out with a line that says why, and the others go on; what is
then in place is in `tables()`. Rows that are in place already cost nothing, so that a control that
has lost track may send everything.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import NamedTuple, TypeVar

from netsim.dataplane._core import Engine
from netsim.dataplane.attach import Fetch, attach_node, attach_pod
from netsim.dataplane.resolve import PeerSlots, local_routes, shared_routes
from netsim.dataplane.rows import (
    Changes,
    LabRow,
    NodeRow,
    PathRow,
    PeerRow,
    PodRow,
    ServiceKey,
    ServiceRow,
    Tables,
)

SETTLE_S = 5.0
# Between looks: a worker that sleeps has woken up after some 50 us, one that is busy takes longer.
SETTLE_POLL_S, SETTLE_POLL_MAX_S = 0.00002, 0.0005
ROW_ERRORS = (LookupError, MemoryError, OSError, ValueError)

T = TypeVar("T")


class Steps(NamedTuple):
    """What `Changes` mean for attachments: remove pods, then nodes; add nodes, then pods."""

    remove_pods: list[str]
    remove_nodes: list[str]
    add_nodes: list[NodeRow]
    add_pods: list[PodRow]


def steps(applied: Tables, changes: Changes) -> Steps:
    """Attachments to undo and to make. Pure.

    A node whose row differs, and every node when the wire does, is made anew with its pods; a pod
    whose row differs is attached anew; what is in place as it should be is not touched.
    """
    nodes, pods = applied.nodes, applied.pods
    wire = applied.lab.wire if applied.lab else None
    add_nodes = {row.name: row for row in changes.nodes if nodes.get(row.name) != row}
    gone = set(changes.remove_nodes)
    if changes.lab is not None and wire not in (None, changes.lab.wire):
        add_nodes = {**{n: row for n, row in nodes.items() if n not in gone}, **add_nodes}
    gone = (gone | add_nodes.keys()) & nodes.keys()
    homeless = {p.name: p for p in pods.values() if p.node in gone} if gone else {}
    leave = set(changes.remove_pods)
    add_pods = {name: row for name, row in homeless.items() if name not in leave}
    add_pods |= {row.name: row for row in changes.pods if pods.get(row.name) != row}
    undo = dict.fromkeys((*changes.remove_pods, *homeless, *add_pods))
    return Steps(
        [name for name in undo if name in pods],
        sorted(gone),
        list(add_nodes.values()),
        list(add_pods.values()),
    )


class Applier:
    """The engine's tables, by name. `node_ifaces` are "cni", "tunnel" and "wire" of each node."""

    def __init__(self, engine: Engine, fetch: Fetch) -> None:
        self.engine = engine
        self.revision = 0
        self.nodes: dict[str, NodeRow] = {}
        self.pods: dict[str, PodRow] = {}
        self.services: dict[ServiceKey, ServiceRow] = {}
        self.service_names: dict[int, str] = {}  # by row id
        self.node_ids: dict[str, int] = {}
        self.node_ifaces: dict[str, dict[str, int]] = {}
        self.pod_ifaces: dict[str, int] = {}
        self._lab: LabRow | None = None
        self._peers: tuple[PeerRow, ...] = ()
        self._paths: tuple[PathRow, ...] = ()
        self._fetch = fetch
        self._slots = PeerSlots()
        self._pods_at: dict[str, dict[int, int]] = {}  # iface by address, per node
        self._stale: set[str] = set()  # nodes whose own routes must be remade
        self._problems: list[str] = []

    @property
    def on_fabric(self) -> bool:
        """Whether the wires between nodes are inside the engine."""
        return self._lab is not None and self._lab.wire == "fabric"

    def tables(self) -> Tables:
        """What is in place; maps that go on changing, for who reads them at once."""
        return Tables(self._lab, self.nodes, self.pods, self.services, self._peers, self._paths)

    def apply(self, changes: Changes, revision: int) -> list[str]:
        """Put changes in place and publish them; one line for each row that was left out."""
        self._problems = []
        todo = steps(self.tables(), changes)
        # first, so that nobody is sent to a pod that goes
        with self._together(changes):
            self._each("service", changes.remove_services, self._remove_service)
            self._each("service", changes.services, partial(self._set_service, revision))
        self._each("pod", todo.remove_pods, self._remove_pod)
        self._each("node", todo.remove_nodes, self._remove_node)
        self._lab = changes.lab or self._lab
        self._each("node", todo.add_nodes, self._add_node)
        nodes_differ = bool(todo.remove_nodes or todo.add_nodes)
        if nodes_differ or (changes.lab, changes.peers, changes.paths) != (None, None, None):
            self._each("paths", [changes], self._set_paths)
        self._each("pod", todo.add_pods, self._add_pod)
        self._each("node", sorted(self._stale & self.nodes.keys()), self._set_local_routes)
        self.engine.publish(revision)
        self.revision = revision
        return self._problems

    def revisions(self) -> dict[str, int]:
        """The revision that each node runs."""
        return {name: self.engine.node_revision(i) for name, i in self.node_ids.items()}

    def settle(self) -> dict[str, int]:
        """Wait until every node runs what was published; their revisions. TimeoutError: 5 s."""
        deadline, pause_s = time.monotonic() + SETTLE_S, SETTLE_POLL_S
        while True:
            found = self.revisions()
            late = [name for name, revision in found.items() if revision < self.revision]
            if not late:
                return found
            if time.monotonic() > deadline:
                raise TimeoutError(f"revision {self.revision} does not run on {', '.join(late)}")
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, SETTLE_POLL_MAX_S)

    def _each(self, kind: str, rows: Iterable[T], do: Callable[[T], None]) -> None:
        for row in rows:
            try:
                do(row)
            except ROW_ERRORS as error:
                name = getattr(row, "name", row if isinstance(row, str) else "")
                text = f"{error}"
                prefix = f"{kind} {name}".strip()
                self._problems.append(text if text.startswith(prefix) else f"{prefix}: {text}")

    @contextmanager
    def _together(self, changes: Changes) -> Iterator[None]:
        """Changes of services take effect at once (P-92); that of a single key does so anyway."""
        find = self.services.get
        differing = (row for row in changes.services if find(row.key) != row)
        new = list(islice(differing, 2))  # more need not be counted
        keys = (*changes.remove_services, *(row.key for row in new))
        old = [row for row in map(find, keys) if row is not None]
        if len(keys) < 2 and not any(row.frontends for row in new + old):
            yield
            return
        self.engine.services_begin()
        try:
            yield
        finally:
            self.engine.services_end()

    def _remove_service(self, key: ServiceKey) -> None:
        if key in self.services:
            self.engine.service_remove(key)
            self.service_names.pop(self.services.pop(key).id, None)

    def _set_service(self, revision: int, row: ServiceRow) -> None:
        key = row.key
        if self.services.get(key) != row:
            self.engine.service_set(row, revision)
            self.services[key] = row
            self.service_names[row.id] = row.name

    def _remove_pod(self, name: str) -> None:
        row = self.pods.pop(name)
        iface = self.pod_ifaces.pop(name)
        at = self._pods_at[row.node]
        if at.get(row.addr) == iface:
            del at[row.addr]
        self._stale.add(row.node)
        self.engine.iface_remove(iface)

    def _add_pod(self, row: PodRow) -> None:
        if row.node not in self.node_ids:
            raise LookupError(f"node {row.node} is not here")
        iface = attach_pod(self.engine, self._fetch, self.node_ids[row.node], row)
        self.pods[row.name] = row
        self.pod_ifaces[row.name] = iface
        self._pods_at[row.node][row.addr] = iface
        self._stale.add(row.node)

    def _remove_node(self, name: str) -> None:
        del self.nodes[name], self.node_ifaces[name], self._pods_at[name]
        self.engine.node_remove(self.node_ids.pop(name))

    def _add_node(self, row: NodeRow) -> None:
        node = self.engine.node_add(row)
        wire = self._lab.wire if self._lab else "udp"
        try:
            ifaces = attach_node(self.engine, self._fetch, node, row, wire)
        except BaseException:
            self.engine.node_remove(node)
            raise
        self.nodes[row.name], self.node_ids[row.name] = row, node
        self.node_ifaces[row.name], self._pods_at[row.name] = ifaces, {}
        self._stale.add(row.name)

    def _set_local_routes(self, name: str) -> None:
        routes = local_routes(self.nodes[name], self._pods_at[name])
        self.engine.node_routes(self.node_ids[name], routes)
        self._stale.discard(name)

    def _set_paths(self, changes: Changes) -> None:
        """Peers and the shared routes; see PeerSlots for the order."""
        peers = self._peers if changes.peers is None else changes.peers
        paths = self._paths if changes.paths is None else changes.paths
        self._slots.add(peers)
        routes = shared_routes(self._lab, self.nodes.values(), paths, self._slots.positions())
        self.engine.peers(self._slots.records(self.node_ids))
        self.engine.routes(routes)
        if self._slots.keep(peer.name for peer in peers):
            self.engine.peers(self._slots.records(self.node_ids))
        self._peers, self._paths = peers, paths
