"""One node twice: as Linux with rules loaded, and as netsim's data plane. What goes in comes out.

Node 192.168.0.2 has pods 10.200.0.0/24, of which four are there, behind cni0; those of another
node, 10.201.0.0/24, are behind flannel.1, and everybody else is behind eth0.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
from collections.abc import Mapping
from typing import Protocol

from netsim.bench.space import Space
from netsim.dataplane._core import Engine
from netsim.dataplane.records import Meta, PeerRecord, RouteRecord
from netsim.dataplane.resolve import local_routes
from netsim.dataplane.rows import LabRow, NodeRow, ProxyRow, ServiceKey, ServiceRow
from netsim.linux.ns import in_namespace
from netsim.rules import RENDERERS
from netsim.rules.proxied import BRIDGE, POD_PREFIX, proxied
from tests.conformance import emulated
from tests.conformance.emulated import number
from tests.conformance.first_packets import is_refusal

NODE, CNI, TUNNEL, FAR_NODE = "192.168.0.2", "10.200.0.1", "10.200.0.0", "192.168.0.3"
PODS = tuple(f"10.200.0.{n}" for n in range(2, 6))
SERVICES = LabRow(((number("172.30.0.0"), 16),), "udp")
MTU = 1450
# VXLAN and Ethernet in front of the inner packet, and how a peer's arrives.
ENCAPSULATION = bytes.fromhex("0800000000000100" + "00" * 12 + "0800")
FROM_PEER = Meta(outer_src=number(FAR_NODE), outer_dst=number(NODE), outer_dport=8472)
LOCAL = (NODE, CNI, TUNNEL)
Rows = Mapping[ServiceKey, ServiceRow]


def node_row(proxy: ProxyRow) -> NodeRow:
    return emulated.node_row(proxy)._replace(
        name="node1",
        address=number(NODE),
        pod_cidr=number(TUNNEL),
        cni_addr=number(CNI),
        tunnel_addr=number(TUNNEL),
        mtu=MTU,
        flows_max=65536,
    )


class Side(Protocol):
    """A node. `where`: pod, eth0, flannel.1, or node for what it sends itself."""

    def load(self, rows: Rows, proxy: ProxyRow) -> None:
        """Run these services, and know no connection."""

    def send(self, where: str, packet: bytes) -> list[bytes]:
        """Put a packet in; what comes out somewhere."""

    def close(self) -> None: ...


class InMemory:
    """netsim's data plane."""

    def __init__(self) -> None:
        self._engine = Engine(seed=1)

    def load(self, rows: Rows, proxy: ProxyRow) -> None:
        self._engine.close()
        self._engine = e = Engine(seed=len(rows))
        row = node_row(proxy)
        node = e.node_add(row)
        self._pods = {
            pod: e.iface_queue(node, "pod", pod, mtu=MTU, addr=number(pod)) for pod in PODS
        }
        self._stack = e.iface_queue(node, "stack", "cni0", mtu=MTU)
        e.iface_queue(node, "tunnel", "flannel.1", mtu=MTU)
        self._wire = e.iface_queue(node, "wire", "eth0", mtu=1500)
        e.peers([PeerRecord(number(FAR_NODE), 8472, bytes(6), None)])
        e.routes(
            [
                RouteRecord(0, 0, "stack"),
                RouteRecord(number("10.0.0.0"), 8, "unreachable"),
                *[RouteRecord(*each, "service-range") for each in SERVICES.service_ranges],
                RouteRecord(number("10.201.0.0"), 24, "peer", 0),
            ]
        )
        e.node_routes(node, local_routes(row, {number(p): i for p, i in self._pods.items()}))
        for service in rows.values():
            e.service_set(service, 1)
        e.publish(1)

    def send(self, where: str, packet: bytes) -> list[bytes]:
        if where == "flannel.1":
            self._engine.inject(self._wire, ENCAPSULATION + packet, FROM_PEER)
        elif where == "pod":
            self._engine.inject(self._pods[socket.inet_ntoa(packet[12:16])], packet)
        else:
            self._engine.inject(self._stack, packet)
        self._engine.step(1)
        out = [got[0] for i in self._pods.values() if (got := self._engine.extract(i))]
        if got := self._engine.extract(self._stack):
            out.append(got[0])
        if got := self._engine.extract(self._wire):
            out.append(got[0][len(ENCAPSULATION) :])
        return out

    def close(self) -> None:
        self._engine.close()


TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
NFNL_CT_DELETE = 1 << 8 | 2
SETTINGS = """
net.ipv6.conf.all.disable_ipv6=1
net.ipv6.conf.default.disable_ipv6=1
net.ipv4.ip_forward=1
net.ipv4.conf.all.rp_filter=0
net.ipv4.conf.default.rp_filter=0
net.ipv4.conf.all.send_redirects=0
net.ipv4.conf.default.send_redirects=0
net.ipv4.conf.all.route_localnet=1
net.ipv4.icmp_ratemask=0
"""
LINKS = f"""
link set {BRIDGE} up
link set {POD_PREFIX}0 up
link set eth0 up
link set flannel.1 up
addr add {CNI}/24 dev {BRIDGE}
addr add {TUNNEL}/32 dev flannel.1
addr add {NODE}/24 dev eth0
route add 10.201.0.0/24 dev flannel.1
route add default dev eth0
"""
LOAD = {"iptables-save": ("iptables-restore",), "nft": ("nft", "-f", "-")}


class Kernel:
    """Linux: the node is a namespace whose links are TUN devices of this process.

    A packet that is written to one has passed all hooks when the write returns.
    """

    def __init__(self, how: str) -> None:
        self._how = how
        self._space = Space.made()
        with in_namespace({"net": self._space.fd}):
            self._tuns = {n: _tun(n) for n in (BRIDGE, f"{POD_PREFIX}0", "eth0", "flannel.1")}
            self._raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
            self._loopback = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x800))
            self._loopback.bind(("lo", 0x800))
            self._loopback.setblocking(False)
            self._netfilter = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
        self._space.run("sysctl", "-q", "-p", "-", stdin=SETTINGS)
        self._space.run("ip", "-b", "-", stdin=LINKS)
        self._pods = BRIDGE

    def load(self, rows: Rows, proxy: ProxyRow) -> None:
        known = proxied(node_row(proxy), SERVICES, rows, {})
        self._space.run(*LOAD[self._how], stdin=RENDERERS[self._how](known))
        by_prefix = proxy.detector == "InterfaceNamePrefix"
        self._pods = f"{POD_PREFIX}0" if by_prefix else BRIDGE
        self._netfilter.send(struct.pack("=IHHIIBBH", 20, NFNL_CT_DELETE, 5, 1, 0, 2, 0, 0))
        self._netfilter.recv(64)
        self._drain()

    def send(self, where: str, packet: bytes) -> list[bytes]:
        if where == "node":
            with contextlib.suppress(PermissionError):  # a rule has dropped it
                self._raw.sendto(packet, (socket.inet_ntoa(packet[16:20]), 0))
        else:
            os.write(self._tuns[self._pods if where == "pod" else where], packet)
        return self._drain()

    def _drain(self) -> list[bytes]:
        found: list[bytes] = []
        for tun in self._tuns.values():
            while data := _read(tun):
                found.append(data)
        while True:
            try:
                data, (_, _, kind, _, _) = self._loopback.recvfrom(2048)
            except BlockingIOError:
                return found
            if kind == socket.PACKET_HOST and is_refusal(data):
                found.append(data)

    def close(self) -> None:
        for fd in self._tuns.values():
            os.close(fd)
        for sock in (self._raw, self._loopback, self._netfilter):
            sock.close()
        self._space.close()


def _tun(name: str) -> int:
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return fd


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 2048)
    except BlockingIOError:
        return b""
