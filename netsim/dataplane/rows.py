"""Rows: what the control side tells the data plane, resolved and flat.

Addresses and ports are plain integers in host order (IPv4 below 2**32), prefixes are
(address, length). Rows name nodes and pods by name; the data plane process turns names into ids.
NamedTuples, because they are made by the hundred thousand.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from struct import Struct
from typing import NamedTuple

PROTOCOLS = {"ICMP": 1, "TCP": 6, "UDP": 17, "SCTP": 132}


class EndpointRow(NamedTuple):
    """Where a service sends: a pod's address and port."""

    addr: int
    port: int


# A packed endpoint: 16 bytes of address (IPv4 mapped into IPv6, as in the C core) and the port, in
# network order, so that packed endpoints sort as endpoints do.
_PACKED = Struct("!QQH")
_MAPPED = bytes(10) + b"\xff\xff"


def pack_endpoint(addr: bytes, port: int) -> bytes:
    """An endpoint with four bytes of address."""
    return _MAPPED + addr + port.to_bytes(2, "big")


def pack_port(addrs: Collection[bytes], port: int) -> bytes:
    """One port of many addresses, of four bytes each."""
    end = port.to_bytes(2, "big")
    return _MAPPED + (end + _MAPPED).join(addrs) + end if addrs else b""


def pack_endpoints(rows: Iterable[EndpointRow]) -> bytes:
    """Endpoints as a ServiceRow has them."""
    low = (1 << 64) - 1
    wide = [(addr if addr >> 32 else addr | 0xFFFF << 32, port) for addr, port in rows]
    return b"".join([_PACKED.pack(addr >> 64, addr & low, port) for addr, port in wide])


def unpack_endpoints(packed: bytes) -> tuple[EndpointRow, ...]:
    """What was packed."""
    wide = [(high << 64 | low, port) for high, low, port in _PACKED.iter_unpack(packed)]
    return tuple([EndpointRow(a & 0xFFFFFFFF if a >> 32 == 0xFFFF else a, p) for a, p in wide])


class ServiceKey(NamedTuple):
    """What packets to a service port carry as destination."""

    addr: int
    port: int
    proto: int


EVERY, NONE, FIRST_SET = 0, 1, 2  # sets of endpoints by number; FIRST_SET: the row's own first


class Choice(NamedTuple):
    """Which set of endpoints a node sends to, by number: its own, or `otherwise`."""

    otherwise: int = EVERY
    nodes: tuple[tuple[str, int], ...] = ()


EVERYWHERE, NOBODY = Choice(), Choice(NONE)


class RelayRow(NamedTuple):
    """How a service port is served by nodes that relay: a port of theirs, and ready endpoints."""

    port: int
    endpoints: tuple[EndpointRow, ...]


class FrontendRow(NamedTuple):
    """An address and port at which a service is reached from outside.

    `kind` is `node-port` (then `addr` is 0: any of a node's), `external-ip` or `load-balancer`.
    """

    addr: int
    port: int
    kind: str


class ServiceRow(NamedTuple):
    """One service port. `id` is stable for the life of the service port; `name` is for people.

    `affinity_s` is sessionAffinityConfig's timeout in seconds, 0 without affinity. `endpoints` are
    those that anybody may send to and those whose connections go on, kept in one piece as
    `packed_endpoints` because they are so many; `sets` are positions among them. `cluster` and
    `local` say which set a node has under each traffic policy; the policies are Local where
    `internal_local` (cluster IP) and `external_local` (`frontends`) say so, and `local` is not
    asked otherwise. Nobody is sent anywhere if both are NOBODY. `ranges`
    (prefix, length) are who may use load balancers' addresses, empty for everybody. Nodes that
    relay look at `relay` only, and do not serve what has none.

    With `is_host_port` it is a node's address and port that lead to a pod of the node, under policy
    Local, and no Service's; nodes that relay are no exception.
    """

    addr: int
    port: int
    proto: int
    id: int
    name: str
    affinity_s: int
    packed_endpoints: bytes
    sets: tuple[tuple[int, ...], ...] = ()
    cluster: Choice = EVERYWHERE
    local: Choice = EVERYWHERE
    internal_local: bool = False
    external_local: bool = False
    frontends: tuple[FrontendRow, ...] = ()
    ranges: tuple[tuple[int, int], ...] = ()
    is_host_port: bool = False
    relay: RelayRow | None = None

    @property
    def key(self) -> ServiceKey:
        """The key that the data plane finds this row by."""
        return ServiceKey._make(self[:3])

    @property
    def endpoints(self) -> tuple[EndpointRow, ...]:
        """The endpoints one by one."""
        return unpack_endpoints(self.packed_endpoints)

    def usable(self, node: str = "", *, local: bool = False) -> tuple[EndpointRow, ...]:
        """The endpoints that a node sends to, under policy Cluster or Local."""
        choice = self.local if local else self.cluster
        number = dict(choice.nodes).get(node, choice.otherwise)
        if number < FIRST_SET:
            return self.endpoints if number == EVERY else ()
        endpoints = self.endpoints
        return tuple([endpoints[at] for at in self.sets[number - FIRST_SET]])


class ProxyRow(NamedTuple):
    """How nodes' service proxies are set up, in the words of kube-proxy's configuration.

    Node ports are served at addresses in `node_port_ranges` (prefix, length); empty: at all. The
    other fields are those of netsim.api.proxy_modes.
    """

    detector: str = "ClusterCIDR"
    masquerade_all: bool = False
    localhost_node_ports: bool = True
    node_port_ranges: tuple[tuple[int, int], ...] = ()
    refused_at: str = "nowhere"
    affinity_clients: int = 100
    affinity_evicts: bool = True
    scheduler: str = "random"
    by_entry: bool = False
    bound: bool = False
    own_first: bool = False
    drain_s: int = 0
    refuses_own: bool = False
    ranges_first: bool = False
    drops_rest: bool = False
    relays: bool = False


class TrackingRow(NamedTuple):
    """Which of the ways in which Linux's connection tracking loses packets are imitated.

    What fits no connection passes untranslated; of a connection whose source port is taken the
    first packet is lost; UDP that follows a connection's first packet at once may be lost.
    """

    invalid_passes: bool = False
    collisions_lose: bool = False
    udp_races: bool = False


class NodeRow(NamedTuple):
    """One node of this lab, as its data plane must know it.

    `uid` is stable over restarts (63 bits, not 0). `backend` is `vxlan`, `udp` or `host-gw`;
    `port` is the backend's UDP port, 0 for host-gw. `mtu` is the overlay's: what pods get.
    """

    name: str
    uid: int
    address: int
    pod_cidr: int
    pod_len: int
    cni_addr: int
    tunnel_addr: int
    cluster_cidr: int
    cluster_len: int
    backend: str
    vtep_mac: bytes
    vni: int
    port: int
    mtu: int
    flows_max: int
    proxy: ProxyRow = ProxyRow()
    tracking: TrackingRow = TrackingRow()


class PodRow(NamedTuple):
    """One pod's attachment: `name` is "namespace/pod", `sandbox` its descriptors' key in init."""

    name: str
    node: str
    addr: int
    mtu: int
    sandbox: str


class PeerRow(NamedTuple):
    """A node as the others reach it. `local` is False for a node outside this process."""

    name: str
    address: int
    port: int
    mac: bytes
    local: bool


class PathRow(NamedTuple):
    """Pods of `prefix` are reached through peer `via` (a PeerRow's name)."""

    prefix: int
    length: int
    via: str


class LabRow(NamedTuple):
    """What holds for the whole lab. `wire` is `udp` or `fabric`.

    `service_ranges` (prefix, length) are where cluster IPs come from.
    """

    service_ranges: tuple[tuple[int, int], ...]
    wire: str


@dataclass(frozen=True, slots=True)
class Tables:
    """Everything that a data plane should run: desired or applied."""

    lab: LabRow | None = None
    nodes: Mapping[str, NodeRow] = field(default_factory=dict)
    pods: Mapping[str, PodRow] = field(default_factory=dict)
    services: Mapping[ServiceKey, ServiceRow] = field(default_factory=dict)
    peers: tuple[PeerRow, ...] = ()
    paths: tuple[PathRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Changes:
    """What turns one `Tables` into another; made by `plan()`, sent as it is.

    Applied in this order: removals of services, pods, nodes; lab; nodes; peers and paths; pods;
    services. `None` means unchanged.
    """

    lab: LabRow | None = None
    remove_services: tuple[ServiceKey, ...] = ()
    remove_pods: tuple[str, ...] = ()
    remove_nodes: tuple[str, ...] = ()
    nodes: tuple[NodeRow, ...] = ()
    peers: tuple[PeerRow, ...] | None = None
    paths: tuple[PathRow, ...] | None = None
    pods: tuple[PodRow, ...] = ()
    services: tuple[ServiceRow, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return self != Changes()
