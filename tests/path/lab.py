"""A lab in memory: real engine, stepped time, every iface a queue, wires carried by hand.

Node N is 192.168.8.(226+N) with pods 10.244.N.0/24: pod "a" is .2, pod "b" is .3. As many nodes as
asked for are in the engine; one more peer (the next number) is outside it, so that what a node
sends there can be looked at. Without `carry` what is on the wires stays there. Packets are scapy's.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Self

from scapy.layers.inet import IP, fragment
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet

from netsim.dataplane._core import Engine
from netsim.dataplane.records import Meta, NodeStats, PeerRecord, RouteRecord, TraceRecord
from netsim.dataplane.resolve import local_routes
from netsim.dataplane.rows import (
    EndpointRow,
    NodeRow,
    ProxyRow,
    ServiceKey,
    ServiceRow,
    TrackingRow,
    pack_endpoints,
)

S = 1_000_000_000
TCP_PROTO, UDP_PROTO, SCTP_PROTO = 6, 17, 132
OVERHEAD = {"vxlan": 50, "udp": 28, "host-gw": 0}
PORT = {"vxlan": 8472, "udp": 8285, "host-gw": 0}
VIP = "10.96.0.10"
PROXY, TRACKING = ProxyRow(), TrackingRow()
PLAIN = ServiceRow(0, 0, 0, 0, "", 0, b"")
FAR = "10.244.9.9"  # inside the cluster's range, but no node has it


def number(dotted: str) -> int:
    return int.from_bytes(socket.inet_aton(dotted))


def dotted(addr: int) -> str:
    return socket.inet_ntoa(addr.to_bytes(4))


def node_addr(n: int) -> str:
    return f"192.168.8.{226 + n}"


def pod_addr(n: int, pod: str = "a") -> str:
    return f"10.244.{n}.{2 + 'ab'.index(pod)}"


def cni_addr(n: int) -> str:
    return f"10.244.{n}.1"


def tunnel_addr(n: int) -> str:
    return f"10.244.{n}.0"


def stack_addr(n: int) -> str:
    return f"10.244.{n}.254"


def mac(n: int) -> str:
    return f"02:00:00:00:00:{n:02x}"


class Sent(NamedTuple):
    """What left by an iface: bytes as they were, and what lay beside them."""

    raw: bytes
    meta: Meta

    @property
    def ip(self) -> Packet:
        return IP(self.raw)

    @property
    def frame(self) -> Packet:
        """Of a vxlan wire: the VXLAN header and what is inside."""
        return VXLAN(self.raw)


@dataclass(frozen=True)
class Node:
    id: int
    row: NodeRow
    pods: Mapping[str, int]
    stack: int
    tunnel: int
    wire: int | None


class Lab:
    """Use as a context manager; `now` is in seconds and only moves when a test moves it."""

    def __init__(
        self,
        backend: str = "vxlan",
        nodes: int = 1,
        *,
        seed: int = 1,
        mtu: int | None = None,
        flows_max: int = 4096,
        wire: bool = True,
        carry: bool = True,
        arena_fd: int = -1,
        proxy: ProxyRow = PROXY,
        tracking: TrackingRow = TRACKING,
    ) -> None:
        self.engine = Engine(seed=seed, arena_fd=arena_fd)
        self.backend = backend
        self.proxy, self.tracking = proxy, tracking
        self.carry = carry and nodes > 1
        self.now = 1.0
        self.revision = 0
        self.mtu = 1500 - OVERHEAD[backend] if mtu is None else mtu
        self.nodes = {n: self._node(n, flows_max, wire) for n in range(1, nodes + 1)}
        self.peers = [self._peer(n) for n in range(1, nodes + 2)]
        self.engine.peers(self.peers)
        self.engine.routes(
            [
                RouteRecord(0, 0, "stack"),
                RouteRecord(number("10.244.0.0"), 16, "unreachable"),
                RouteRecord(number("10.96.0.0"), 12, "service-range"),
                *[RouteRecord(number(tunnel_addr(n + 1)), 24, "peer", n) for n in range(nodes + 1)],
            ]
        )
        self.engine.publish(1)

    def _node(self, n: int, flows_max: int, wire: bool) -> Node:
        row = NodeRow(
            name=f"n{n}",
            uid=n,
            address=number(node_addr(n)),
            pod_cidr=number(tunnel_addr(n)),
            pod_len=24,
            cni_addr=number(cni_addr(n)),
            tunnel_addr=number(tunnel_addr(n)),
            cluster_cidr=number("10.244.0.0"),
            cluster_len=16,
            backend=self.backend,
            vtep_mac=bytes.fromhex(mac(n).replace(":", "")),
            vni=1,
            port=PORT[self.backend],
            mtu=self.mtu,
            flows_max=flows_max,
            proxy=self.proxy,
            tracking=self.tracking,
        )
        e, mtu = self.engine, self.mtu
        node = e.node_add(row)
        pods = {
            p: e.iface_queue(node, "pod", f"{p}{n}", mtu=mtu, addr=number(pod_addr(n, p)))
            for p in "ab"
        }
        made = Node(
            node,
            row,
            pods,
            e.iface_queue(node, "stack", "cni0", mtu=mtu),
            e.iface_queue(node, "tunnel", "flannel", mtu=mtu),
            e.iface_queue(node, "wire", "eth0", mtu=1500) if wire else None,
        )
        e.node_routes(
            node, local_routes(row, {number(pod_addr(n, p)): iface for p, iface in pods.items()})
        )
        return made

    def _peer(self, n: int) -> PeerRecord:
        node = self.nodes.get(n)
        return PeerRecord(
            number(node_addr(n)),
            PORT[self.backend],
            bytes.fromhex(mac(n).replace(":", "")),
            None if node is None else node.id,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.engine.close()

    # -- ifaces --------------------------------------------------------------------------------

    def iface(self, where: str) -> int:
        """Where: "a1" (pod a of node 1), "stack1", "tunnel1", "wire1"."""
        kind, node = where[:-1], self.nodes[int(where[-1])]
        if kind in node.pods:
            return node.pods[kind]
        found = {"stack": node.stack, "tunnel": node.tunnel, "wire": node.wire}[kind]
        assert found is not None
        return found

    @property
    def everywhere(self) -> list[str]:
        kinds = ["a", "b", "stack", "tunnel", "wire"]
        return [
            f"{kind}{n}"
            for n, node in self.nodes.items()
            for kind in kinds
            if kind != "wire" or node.wire is not None
        ]

    def put(self, where: str, packet: Packet | bytes, meta: Meta | None = None) -> None:
        """Queue without running; a wire is given a peer as sender unless meta says otherwise."""
        if where.startswith("wire") and meta is None:
            meta = self.from_peer(len(self.peers), int(where[-1]))
        self.engine.inject(self.iface(where), bytes(packet), meta)

    def from_peer(self, n: int, to: int = 1, *, mark: bool = False) -> Meta:
        return Meta(
            outer_src=number(node_addr(n)),
            outer_dst=number(node_addr(to)),
            outer_sport=40000,
            outer_dport=PORT[self.backend],
            mark=mark,
        )

    def take(self, where: str) -> list[Sent]:
        """Everything that has left by an iface."""
        found = []
        while (one := self.engine.extract(self.iface(where))) is not None:
            found.append(Sent(*one))
        return found

    def run(self) -> None:
        """Process what is queued, and carry what nodes send each other until all is quiet."""
        self.engine.step(round(self.now * S))
        while self.carry and self._carry():
            self.engine.step(round(self.now * S))

    def _carry(self) -> int:
        by_address = {node.row.address: n for n, node in self.nodes.items()}
        carried = 0
        for n in self.nodes:
            for raw, meta in self.take(f"wire{n}"):
                assert meta.outer_src == number(node_addr(n))
                self.engine.inject(self.iface(f"wire{by_address[meta.outer_dst]}"), raw, meta)
                carried += 1
        return carried

    def send(self, where: str, packet: Packet | bytes, meta: Meta | None = None) -> None:
        self.put(where, packet, meta)
        self.run()

    def out(self, where: str, packet: Packet | bytes, to: str, meta: Meta | None = None) -> Packet:
        """Send; the one packet that comes out, which must come out at `to`."""
        self.send(where, packet, meta)
        found = {w: got for w in self.everywhere if (got := self.take(w))}
        assert list(found) == [to], (found.keys(), self.drops())
        [sent] = found[to]
        return unwrap(sent, self.backend) if to.startswith("wire") else sent.ip

    def wrap(self, packet: Packet | bytes, to: int = 1) -> bytes:
        """As a peer would send it to node `to`."""
        if self.backend != "vxlan":
            return bytes(packet)
        source = mac(len(self.peers))
        head = VXLAN(flags=8, vni=1) / Ether(src=source, dst=mac(to), type=0x800)
        return bytes(head) + bytes(packet)

    # -- tables and counters -------------------------------------------------------------------

    def service(
        self,
        *endpoints: tuple[str, int],
        vip: str = VIP,
        port: int = 80,
        proto: int = TCP_PROTO,
        affinity_s: int = 0,
        id_: int = 7,
        like: ServiceRow = PLAIN,
    ) -> ServiceKey:
        """`like` has the fields that are not named here."""
        rows = [EndpointRow(number(addr), p) for addr, p in sorted(endpoints)]
        row = like._replace(
            addr=number(vip),
            port=port,
            proto=proto,
            id=id_,
            name="default/web",
            affinity_s=affinity_s,
            packed_endpoints=pack_endpoints(rows),
        )
        self.revision += 1
        self.engine.service_set(row, self.revision)
        self.engine.publish(self.revision)
        return row.key

    def stats(self, node: int = 1) -> NodeStats:
        return self.engine.node_stats(self.nodes[node].id)

    def drops(self, node: int = 1) -> dict[str, int]:
        return {why: n for why, n in self.stats(node).drops.items() if n}

    def refuses(self, where: str, packet: Packet | bytes, meta: Meta | None = None) -> str:
        """Send what must come out nowhere; the reason for which it was dropped."""
        before = self.drops()
        self.send(where, packet, meta)
        found = {w: got for w in self.everywhere if (got := self.take(w))}
        assert not found, found
        [why] = [why for why, n in self.drops().items() if n != before.get(why, 0)]
        return why

    def trace(self) -> list[TraceRecord]:
        records, missed = self.engine.trace_drain()
        assert missed == 0
        return records


def made(layer: type[Packet], **fields: object) -> Packet:
    """A layer with fields that are not known before."""
    packet = layer()
    for name, value in fields.items():
        setattr(packet, name, value)
    return packet


def pieces(packet: Packet, size: int = 1000) -> list[Packet]:
    return list(fragment(packet, fragsize=size))  # type: ignore[no-untyped-call]


def unwrap(sent: Sent, backend: str) -> Packet:
    return IP(bytes(sent.frame[Ether].payload)) if backend == "vxlan" else sent.ip


def rebuilt(packet: Packet) -> bytes:
    """The bytes of a packet with every length and checksum computed anew by scapy."""
    fresh = packet.copy()
    layer = fresh
    while layer:
        for field in ("chksum", "len"):
            if field in layer.fields:
                layer.delfieldval(field)
        layer = layer.payload
    return bytes(fresh)
