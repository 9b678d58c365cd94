"""A node of upstream's vectors: objects become rows, rows an engine, and packets say what it does.

Whatever a service does not catch leaves by the node's stack, where it is looked at.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.sctp import SCTP, SCTPChunkInit
from scapy.packet import Packet

from netsim.api.fields import Json
from netsim.controllers.proxy import Compiler
from netsim.dataplane._core import Engine
from netsim.dataplane.records import RouteRecord
from netsim.dataplane.resolve import local_routes
from netsim.dataplane.rows import NodeRow, ProxyRow, ServiceKey, ServiceRow
from netsim.maps import SharedMap
from tests.controllers.world import node as node_object
from tests.controllers.world import view

NODE, FAR_NODE = "node1", "node2"
ADDRESSES = {
    "pod": "10.0.0.2",
    "node": "192.168.0.2",
    "alternate": "192.168.1.2",
    "localhost": "127.0.0.1",
    "external": "203.0.113.2",
    "blocked": "203.0.113.130",
}
CONNECTIONS = 48  # a set of three is then seen whole, but for once in a hundred million
STACK_MTU = 1450
PROXY = ProxyRow()


def number(dotted: str) -> int:
    return int.from_bytes(socket.inet_aton(dotted))


@dataclass(frozen=True)
class Outcome:
    """What became of many connections; `verdict` is empty if they went somewhere."""

    verdict: str = ""
    goes: frozenset[str] = field(default=frozenset())
    masquerade: frozenset[bool] = field(default=frozenset())


def first_packet(src: str, dst: str, port: int, protocol: str, sport: int) -> Packet:
    ip = IP(src=src, dst=dst)
    if protocol == "TCP":
        return ip / TCP(sport=sport, dport=port)
    if protocol == "UDP":
        return ip / UDP(sport=sport, dport=port) / b"question"
    return ip / SCTP(sport=sport, dport=port) / SCTPChunkInit()


def node_row(proxy: ProxyRow = PROXY) -> NodeRow:
    """The node, as upstream's tests have it."""
    return NodeRow(
        name=NODE,
        uid=1,
        address=number(ADDRESSES["node"]),
        pod_cidr=number("10.200.0.0"),
        pod_len=24,
        cni_addr=number(ADDRESSES["alternate"]),
        tunnel_addr=number("192.168.99.11"),
        cluster_cidr=number("10.0.0.0"),
        cluster_len=8,
        backend="vxlan",
        vtep_mac=bytes(6),
        vni=1,
        port=8472,
        mtu=STACK_MTU,
        flows_max=4096,
        proxy=proxy,
    )


def rows_of(objects: Iterable[Json]) -> SharedMap[ServiceKey, ServiceRow]:
    """Rows of the objects, on a cluster of two nodes."""
    nodes = [node_object(n, labels={}) for n in (NODE, FAR_NODE)]
    return Compiler().compile(view(*nodes, *objects))


class Emulated:
    """The node, with the objects in place. Use as a context manager."""

    def __init__(self, objects: Iterable[Json], proxy: ProxyRow = PROXY) -> None:
        self.engine = Engine(seed=1)
        self.row = node_row(proxy)
        self.node = self.engine.node_add(self.row)
        self.stack = self.engine.iface_queue(self.node, "stack", "cni0", mtu=STACK_MTU)
        self.engine.routes([RouteRecord(0, 0, "stack")])
        self.engine.node_routes(self.node, local_routes(self.row, {}))
        self.pods: dict[str, int] = {}
        self.now_ns = 1
        self.sport = 20000
        self.applied: dict[ServiceKey, ServiceRow] = {}
        self.apply(objects)

    def apply(self, objects: Iterable[Json]) -> None:
        """Make these the objects that there are."""
        rows = rows_of(objects)
        for key in [key for key in self.applied if key not in rows]:
            self.engine.service_remove(key)
        for key, row in rows.items():
            if self.applied.get(key) != row:
                self.engine.service_set(row, 1)
        self.applied = dict(rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.engine.close()

    def iface(self, src: str) -> int:
        """Where packets from an address come in: pods have ifaces, the rest is behind the stack."""
        if not src.startswith("10."):
            return self.stack
        if src not in self.pods:
            self.pods[src] = self.engine.iface_queue(
                self.node, "pod", src, mtu=STACK_MTU, addr=number(src)
            )
        return self.pods[src]

    def drops(self) -> Mapping[str, int]:
        return self.engine.node_stats(self.node).drops

    def send(self, packet: Packet, iface: int) -> Packet | None:
        """Put a packet in; the one that comes out, None if none does."""
        self.engine.inject(iface, bytes(packet))
        self.engine.step(self.now_ns)
        out = [
            IP(got[0])
            for where in (self.stack, *self.pods.values())
            if (got := self.engine.extract(where)) is not None
        ]
        assert len(out) <= 1
        return out[0] if out else None

    def connect(
        self, src: str, dst: str, port: int, protocol: str, sport: int = 0
    ) -> tuple[str, bool | None]:
        """One connection: (endpoint, masqueraded), or (verdict, None)."""
        self.sport += 1
        sent = first_packet(src, dst, port, protocol, sport or self.sport)
        before = dict(self.drops())
        got = self.send(sent, self.iface(src))
        if got is None:
            [why] = [w for w, n in self.drops().items() if n != before[w]]
            return ("untouched" if why == "loop" else "drop"), None
        if ICMP in got:
            assert (got[ICMP].type, got[ICMP].code) == (3, 3)
            return "reject", None
        if (got.src, got.dst, got.dport) == (src, dst, port):
            return "untouched", None
        return f"{got.dst}:{got.dport}", got.src != src

    def outcome(self, src: str, dst: str, port: int, protocol: str) -> Outcome:
        """What becomes of many connections."""
        found = [self.connect(src, dst, port, protocol) for _ in range(CONNECTIONS)]
        verdicts = {what for what, masqueraded in found if masqueraded is None}
        if verdicts:
            assert len(set(found)) == 1, found
            return Outcome(verdicts.pop())
        return Outcome(
            "",
            frozenset(what for what, _ in found),
            frozenset(m for _, m in found if m is not None),
        )


def objects_of(services: Sequence[Json]) -> list[Json]:
    """Services in few words to objects: see flows.yaml."""
    made: list[Json] = []
    for given in services:
        name = str(given["name"])
        made.append(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {
                    "name": name,
                    "namespace": given.get("namespace", "ns"),
                    "labels": given.get("labels", {}),
                },
                "spec": given["spec"],
                "status": given.get("status", {}),
            }
        )
        slices = given.get("slices", [])
        assert isinstance(slices, list)
        for index, each in enumerate(slices):
            made.append(
                {
                    "apiVersion": "discovery.k8s.io/v1",
                    "kind": "EndpointSlice",
                    "metadata": {
                        "name": f"{name}-{index}",
                        "namespace": given.get("namespace", "ns"),
                        "labels": {"kubernetes.io/service-name": name},
                    },
                    "addressType": "IPv4",
                    **each,
                }
            )
    return made
