"""Resolve: rows, which name nodes and pods, into records, which name the engine's ids. Pure.

Routing asks a node's own table first: its pods, and the addresses of its stack. The table that all
nodes share has the pod ranges behind peers, the service ranges, and the node's stack for all else.
A pod range that no node has is unreachable; the node that owns a range finds itself behind it,
which the engine takes as "no such pod here".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from netsim.dataplane.records import PeerRecord, RouteRecord
from netsim.dataplane.rows import LabRow, NodeRow, PathRow, PeerRow

HOST_BITS = 32
NO_MAC = bytes(6)


def local_routes(node: NodeRow, pods: Mapping[int, int]) -> list[RouteRecord]:
    """A node's own routes. `pods`: iface id by pod address."""
    stack = {node.cni_addr, node.tunnel_addr, node.address} - pods.keys()
    routes = [RouteRecord(addr, HOST_BITS, "stack") for addr in sorted(stack)]
    routes += [RouteRecord(addr, HOST_BITS, "pod", iface) for addr, iface in pods.items()]
    return routes


def shared_routes(
    lab: LabRow | None,
    nodes: Iterable[NodeRow],
    paths: Sequence[PathRow],
    slots: Mapping[str, int],
) -> list[RouteRecord]:
    """What all nodes share, one route per prefix; a path is stronger than a range.

    `slots`: position among the peers by name. KeyError: a path names a peer that is not there.
    """
    routes = {(0, 0): RouteRecord(0, 0, "stack")}
    for node in nodes:
        cluster = (node.cluster_cidr, node.cluster_len)
        routes[cluster] = RouteRecord(*cluster, "unreachable")
    if lab is not None:
        for service in lab.service_ranges:
            routes[service] = RouteRecord(*service, "service-range")
    for path in paths:
        prefix = (path.prefix, path.length)
        routes[prefix] = RouteRecord(*prefix, "peer", slots[path.via])
    return list(routes.values())


class PeerSlots:
    """Positions of peers, which routes name: a peer keeps its own as others come and go.

    So that no packet meets a route of one table and a peer of another: first the new peers are
    added, then the routes are replaced, then the slots of peers that went are emptied. An empty
    slot holds 0.0.0.N, an address that nothing has.
    """

    def __init__(self) -> None:
        self._rows: list[PeerRow | None] = []

    def add(self, peers: Sequence[PeerRow]) -> None:
        """Update peers by name; new ones get an empty slot or a new one."""
        at = self.positions()
        empty = [i for i, row in enumerate(self._rows) if row is None]
        for peer in peers:
            if peer.name in at:
                self._rows[at[peer.name]] = peer
            elif empty:
                self._rows[empty.pop()] = peer
            else:
                self._rows.append(peer)

    def keep(self, names: Iterable[str]) -> bool:
        """Empty the slots of all others; whether there were any."""
        kept = set(names)
        gone = [i for i, row in enumerate(self._rows) if row is not None and row.name not in kept]
        for i in gone:
            self._rows[i] = None
        while self._rows and self._rows[-1] is None:
            self._rows.pop()
        return bool(gone)

    def positions(self) -> dict[str, int]:
        """Slot by peer name."""
        return {row.name: i for i, row in enumerate(self._rows) if row is not None}

    def records(self, node_ids: Mapping[str, int]) -> list[PeerRecord]:
        """The engine's peer table. A peer without a node here is outside this process."""
        return [
            PeerRecord(i, 0, NO_MAC, None)
            if row is None
            else PeerRecord(
                row.address, row.port, row.mac, node_ids.get(row.name) if row.local else None
            )
            for i, row in enumerate(self._rows)
        ]
