"""Owns making sandboxes: the namespaces of pods and nodes, and the fabric between nodes.

A sandbox is a set of descriptors and nothing else: whoever holds a copy (init does) keeps it
alive, and the kernel removes namespaces, links, mounts and routes with the last one. Maker does
all work on one thread with namespaces of its own. It begins each sandbox in a template mount
namespace (/proc of its own PID namespace, no /sys), so that one unshare and five mounts make a
pod's.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from netsim.lab import outside
from netsim.lab.hosts import node_hosts, pod_hosts, pod_resolv_conf, short_hostname
from netsim.lab.names import interface_name
from netsim.linux import net, ns, sandboxes, syscalls, tun
from netsim.linux.net import Route
from netsim.linux.netlink import Netlink, Request

P = ParamSpec("P")
T = TypeVar("T")
Fds = dict[str, int]  # descriptors by name; whoever gets them closes them

LOOPBACK = 1  # its index, in every namespace
QUEUE_PACKETS = 4000  # between a stack and the data plane: what comes while that waits to run
VXLAN_SENDERS = 16  # sockets, so source ports, among which the flow hash picks
SOCKET_BUFFER_BYTES = 4 << 20
PRIORITY = -5  # of the thread that everything else in a starting lab waits for
IP_MTU_DISCOVER, IP_PMTUDISC_DONT = 10, 0
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33
READ_ONLY = syscalls.MS_RDONLY | syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
# Of a pod's eth0: beyond the devices that some kernels make in every network namespace.
POD_INDEX = 64
POD_SYSCTLS = (  # as container runtimes do: ping and low ports for everyone
    net.NO_IPV6,
    ("ipv4/ping_group_range", "0 2147483647"),
    ("ipv4/ip_unprivileged_port_start", "0"),
)
NODE_SYSCTLS = (
    net.NO_IPV6,
    ("ipv4/ip_forward", "1"),
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    ("ipv4/conf/lo/rp_filter", "0"),
)


@dataclass(frozen=True, slots=True)
class PodNet:
    """A pod's sandbox.

    `mtu` is the overlay's, `nameserver` the cluster's DNS address. Its super-packets have at most
    `segments` segments, 0 for as many as the kernel makes.
    """

    name: str
    namespace: str
    address: int
    mtu: int
    nameserver: int
    domain: str = "cluster.local"
    segments: int = 0


@dataclass(frozen=True, slots=True)
class NodeNet:
    """A node's sandbox.

    `address`/`length` go on eth0 with `link_mtu`; `cni_addr`/`pod_len` on cni0 with the overlay's
    `mtu`. `overlay` is the device towards the pods of other nodes: `flannel0` or `flannel.N` (made
    here, with `tunnel_addr`/32), or `eth0`, `cni0` for host-gw where the kernel, the data plane
    routes. `port` is that of the tunnel's socket, 0 where none is needed (fabric, host-gw);
    `senders` more sockets are made (VXLAN_SENDERS for vxlan, none for udp).
    """

    name: str
    address: int
    length: int
    link_mtu: int
    mtu: int
    cni_addr: int
    pod_len: int
    overlay: str
    tunnel_addr: int = 0
    port: int = 0
    senders: int = 0

    @property
    def has_tunnel(self) -> bool:
        """Whether the node has a tunnel device."""
        return self.overlay.startswith("flannel")

    @property
    def addresses(self) -> list[int]:
        """The node's own, without 127.0.0.1."""
        return [self.address, self.cni_addr, *([self.tunnel_addr] if self.has_tunnel else [])]


@dataclass(frozen=True, slots=True)
class PeerNet:
    """Another node as a node's routing table needs it."""

    address: int
    pod_cidr: int
    pod_len: int


def node_mac(address: int) -> bytes:
    """MAC of a node's eth0, from its underlay address; locally administered."""
    return b"\x02\x6e" + address.to_bytes(4, "big")


def node_routes(node: NodeNet, cluster: tuple[int, int], peers: Iterable[PeerNet]) -> list[Route]:
    """A node's routes to pods, as flannel installs them (spec 2.1 to 2.3).

    `cluster` is the range of all pods: flannel's udp device has one route for it, vxlan one per
    peer through the peer's VTEP address, host-gw one through the peer itself (from the node's own
    address, also where it leads through cni0).
    """
    if node.overlay == "flannel0":
        return [Route(*cluster, "flannel0", src=node.tunnel_addr)]
    routes = []
    for peer in peers:
        via = peer.pod_cidr if node.has_tunnel else peer.address
        src = node.address if node.overlay == "cni0" else 0
        onlink = node.overlay != "eth0"
        routes.append(Route(peer.pod_cidr, peer.pod_len, node.overlay, via, src, onlink))
    return routes


class Maker:
    """The thread that makes sandboxes. Methods wait for their result and may be called from any.

    Failures are OSError whose text and filename say which object and which operation. Needs
    CAP_SYS_ADMIN and CAP_NET_ADMIN.
    """

    def __init__(self) -> None:
        self._home: Fds = {}  # where the thread is between two sandboxes
        self._fabric: tuple[tuple[int, int], Netlink] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sandbox")
        try:
            self._run(self._prepare)
        except OSError:
            self._thread.shutdown()
            raise

    def close(self) -> None:
        """End the thread. Sandboxes stay, with whoever holds their descriptors."""
        self._thread.shutdown()
        if self._fabric:
            self._fabric[1].close()
            self._fabric = None
        ns.close_all(self._home)
        self._home = {}

    def create_fabric(self, link_mtu: int) -> Fds:
        """The namespace (`net`) with the bridge br0 that the nodes' eth0 hang on; no addresses."""
        return self._run(self._create_fabric, link_mtu)

    def create_node(self, node: NodeNet, routes: Sequence[Route], fabric: Mapping[str, int]) -> Fds:
        """A node on `fabric`: `net`, `uts`, `mnt`, `cni`, and `tunnel`, `udp0`.. where it has them.

        `udp0` is bound to the node's address and port; `udp1`.. to ports that the kernel chose.
        """
        return self._run(self._create_node, node, routes, fabric["net"])

    def create_pod(self, pod: PodNet) -> Fds:
        """A pod: `net`, `uts`, `mnt`, `tun` (eth0)."""
        return _made(self.create_pods([pod])[0])

    def create_pods(self, pods: Sequence[PodNet]) -> list[Fds | OSError]:
        """Many of them for one change of threads; for each that failed, what went wrong."""
        return self.make([_pod_recipe(pod) for pod in pods])

    def make(self, recipes: Sequence[sandboxes.Recipe]) -> list[Fds | OSError]:
        """Sandboxes by their recipes; for each that failed, what went wrong."""
        return self._run(self._make, recipes)

    def update_routes(self, what: str, fds: Mapping[str, int], wanted: Sequence[Route]) -> int:
        """Make the routes of a sandbox equal `wanted` (see node_routes); how many changed."""
        return self._run(self._update_routes, what, fds["net"], wanted)

    def create_outside(
        self, client: outside.OutsideNet, routes: Sequence[Route], fabric: Mapping[str, int]
    ) -> Fds:
        """A client on `fabric`: `net`, `uts`, `mnt`."""
        return self._run(self._create_outside, client, routes, fabric["net"])

    def within(self, net: int, function: Callable[[], T]) -> T:
        """Run a function in a network namespace, on the thread."""
        return self._run(_within, net, function)

    def _run(self, function: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        def work() -> T:
            try:
                return function(*args, **named)
            finally:
                ns.enter(self._home)  # the thread would keep the last sandbox alive

        return self._thread.submit(work).result()

    def _prepare(self) -> None:
        """Put this thread into the template mount namespace; nothing in it reaches the host."""
        with contextlib.suppress(OSError):  # not allowed: then it waits for its turn
            os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
        syscalls.unshare(syscalls.CLONE_FS)
        syscalls.unshare(syscalls.CLONE_NEWNS)
        syscalls.mount("", "/", "", syscalls.MS_REC | syscalls.MS_SLAVE)
        syscalls.mount("proc", "/proc", "proc", READ_ONLY & ~syscalls.MS_RDONLY)
        with contextlib.suppress(OSError):  # EINVAL: the host has none mounted
            syscalls.umount("/sys", syscalls.MNT_DETACH)
        self._home = ns.open_current()

    def _make(self, recipes: Sequence[sandboxes.Recipe]) -> list[Fds | OSError]:
        return sandboxes.make(recipes, self._home["mnt"])

    def _create_fabric(self, link_mtu: int) -> Fds:
        with _Opened("fabric") as fds:
            syscalls.unshare(syscalls.CLONE_NEWNET)
            net.disable_ipv6()
            net.bridge_past_netfilter()
            with Netlink() as netlink:
                netlink.execute([net.link_up("fabric lo", LOOPBACK), net.bridge("br0", link_mtu)])
            fds.update(ns.open_current(("net",)))
            return fds

    def _create_node(self, node: NodeNet, routes: Sequence[Route], fabric: int) -> Fds:
        what = f"node {node.name}"
        with _Opened(what) as fds:
            wire = self._fabric_netlink(fabric)
            recipe = _host_recipe(what, node.name, node.address, NODE_SYSCTLS)
            fds.update(_made(self._make([recipe])[0]))
            self._plug(wire, node, fds["net"])
            fds["cni"] = tun.open_tun("cni0")
            if node.has_tunnel:
                fds["tunnel"] = tun.open_tun(node.overlay)
            with Netlink() as netlink:
                netlink.execute(_node_links(node))
                indices = {route.device: syscalls.interface_index(route.device) for route in routes}
                netlink.execute([net.route_add(what, r, indices[r.device]) for r in routes])
            if node.port:
                _open_wire_sockets(node, fds)
            return fds

    def _fabric_netlink(self, fabric: int) -> Netlink:
        """A socket in the fabric's namespace, kept while the fabric stays the same."""
        which = ns.identity(fabric)
        if self._fabric is None or self._fabric[0] != which:
            if self._fabric:
                self._fabric[1].close()
            syscalls.setns(fabric, syscalls.CLONE_NEWNET)
            self._fabric = (which, Netlink())
        return self._fabric[1]

    def _plug(self, wire: Netlink, node: NodeNet | outside.OutsideNet, namespace: int) -> None:
        """Make the veth pair between br0 and the node's eth0, replacing a dead node's."""
        name = interface_name(node.name)
        far = net.VethEnd(namespace, "eth0", node_mac(node.address))
        pair = net.veth(name, node.name, net.links(wire)["br0"], node.link_mtu, far)
        try:
            wire.execute([pair])
        except FileExistsError:
            wire.execute([net.link_delete(f"node {node.name}", name)])
            wire.execute([pair])

    def _update_routes(self, what: str, namespace: int, wanted: Sequence[Route]) -> int:
        syscalls.setns(namespace, syscalls.CLONE_NEWNET)
        with Netlink() as netlink:
            return net.sync_routes(netlink, what, wanted)

    def _create_outside(
        self, client: outside.OutsideNet, routes: Sequence[Route], fabric: int
    ) -> Fds:
        what = f"outside {client.name}"
        with _Opened(what) as fds:
            wire = self._fabric_netlink(fabric)
            recipe = _host_recipe(what, client.name, client.address, ())
            fds.update(_made(self._make([recipe])[0]))
            self._plug(wire, client, fds["net"])
            with Netlink() as netlink:
                netlink.execute(outside.links(client, routes))
            return fds


def _within(namespace: int, function: Callable[[], T]) -> T:
    syscalls.setns(namespace, syscalls.CLONE_NEWNET)
    return function()


class _Opened(Fds):
    """Descriptors that are closed again if the body fails; an OSError then names `what`."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self._what = what

    def __enter__(self) -> _Opened:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            return
        ns.close_all(self)
        if isinstance(error, OSError) and not str(error.filename).startswith(self._what):
            step = f"{self._what}: {error.filename or 'create'}"
            raise OSError(error.errno, error.strerror, step) from error


def _made(outcome: Fds | OSError) -> Fds:
    if isinstance(outcome, OSError):
        raise outcome
    return outcome


def _pod_recipe(pod: PodNet) -> sandboxes.Recipe:
    what, hostname = f"pod {pod.namespace}/{pod.name}", short_hostname(pod.name)
    return sandboxes.Recipe(
        what,
        hostname,
        {
            "hostname": f"{hostname}\n",
            "hosts": pod_hosts(pod.name, pod.address),
            "resolv.conf": pod_resolv_conf(pod.namespace, pod.nameserver, pod.domain),
        },
        POD_SYSCTLS,
        "eth0",
        POD_INDEX,
        [
            net.link_up(f"{what} lo", LOOPBACK),
            net.link_set(f"{what} eth0", POD_INDEX, pod.mtu, QUEUE_PACKETS, pod.segments),
            net.address(f"{what} eth0", POD_INDEX, pod.address, 32),
            net.link_up(f"{what} eth0", POD_INDEX),
            net.route_add(what, Route(0, 0, "eth0"), POD_INDEX),
        ],
    )


def _host_recipe(
    what: str, name: str, address: int, sysctls: Sequence[tuple[str, str]]
) -> sandboxes.Recipe:
    """Of what is on the underlay: a node or a client."""
    hostname = short_hostname(name)
    files = {"hostname": f"{hostname}\n", "hosts": node_hosts(name, address)}
    return sandboxes.Recipe(what, hostname, files, sysctls)


def _node_links(node: NodeNet) -> list[Request]:
    """Addresses on, and up, a node's links."""
    eth0, cni0 = syscalls.interface_index("eth0"), syscalls.interface_index("cni0")
    what = f"node {node.name}"
    requests = [
        net.link_up(f"{what} lo", LOOPBACK),
        net.address(f"{what} eth0", eth0, node.address, node.length),
        net.link_up(f"{what} eth0", eth0),
        net.link_set(f"{what} cni0", cni0, node.mtu, QUEUE_PACKETS),
        net.address(f"{what} cni0", cni0, node.cni_addr, node.pod_len),
        net.link_up(f"{what} cni0", cni0),
    ]
    if node.has_tunnel:
        tunnel, name = syscalls.interface_index(node.overlay), f"{what} {node.overlay}"
        requests.append(net.link_set(name, tunnel, node.mtu, QUEUE_PACKETS))
        requests.append(net.address(name, tunnel, node.tunnel_addr, 32))
        requests.append(net.link_up(name, tunnel))
    return requests


def _open_wire_sockets(node: NodeNet, fds: Fds) -> None:
    """Open the tunnel's sockets in the calling thread's namespace: `udp0`, then the senders.

    Flannel's udp backend leaves path MTU discovery on (DF set), VXLAN sends without DF.
    """
    address = socket.inet_ntoa(node.address.to_bytes(4, "big"))
    for number in range(1 + node.senders):
        wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        fds[f"udp{number}"] = wire.fileno()
        if node.senders:
            wire.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)
        wire.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BUFFER_BYTES)
        if number == 0:
            wire.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BUFFER_BYTES)
        try:
            wire.bind((address, 0 if number else node.port))
        except OSError as error:
            port = node.port or "any"
            raise OSError(error.errno, error.strerror, f"bind {address}:{port}") from None
        finally:
            wire.detach()
