"""Routes: nodes and pods to rows of the data plane, through the lab's backend.

Only what exists gets a row: nodes that are Ready, pods whose sandbox is there (their condition
PodReadyToStartContainers, written by the workloads).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b

from netsim.api.addresses import address_or_none
from netsim.api.fields import Json, text
from netsim.api.lab_spec import Lab
from netsim.api.meta import name_of, namespace_of
from netsim.api.proxy_modes import PRIMARY, PROXY_MODES
from netsim.api.service_cidrs import service_ranges
from netsim.backends.base import Backend, NodeNet
from netsim.controllers.base import lab_of
from netsim.controllers.changes import Tracker
from netsim.controllers.frontends import tolerant_range
from netsim.controllers.ipam import host_network
from netsim.controllers.nodes import internal_ip, is_external, pod_range, proxy_mode, vtep_mac
from netsim.controllers.objects import is_true, spec, status, uid_of
from netsim.dataplane.rows import (
    LabRow,
    NodeRow,
    PathRow,
    PeerRow,
    PodRow,
    ProxyRow,
    TrackingRow,
)
from netsim.maps import SharedMap
from netsim.store.base import View

SANDBOX_READY = "PodReadyToStartContainers"
DATAGRAM_HEADERS = 28  # IPv4 and UDP
DATAGRAM_BYTES_MAX = 65535 - DATAGRAM_HEADERS
UDP_SEGMENTS_MAX = 64  # of older kernels


@dataclass(frozen=True, slots=True)
class Routes:
    """Rows of everything but services and pods. `mtu` is what pods get."""

    lab: LabRow | None
    nodes: Mapping[str, NodeRow]
    peers: tuple[PeerRow, ...]
    paths: tuple[PathRow, ...]
    mtu: int


NO_ROUTES = Routes(None, {}, (), (), 0)


class Compiler:
    """The rows: of nodes anew when a lab, node or range changed; of pods those that changed."""

    def __init__(self, backends: Mapping[str, Backend]) -> None:
        self._backends = backends
        self._revisions: tuple[int, ...] = ()
        self._tracker = Tracker("Pod")
        self._routes = NO_ROUTES
        self._pods: SharedMap[str, PodRow] = SharedMap()

    def compile(self, view: View) -> tuple[Routes, SharedMap[str, PodRow]]:
        """The rows, and those of pods by name; the same objects while they have not changed."""
        gone, new = self._tracker.advance(view)
        revisions = tuple(view.kind_revision(kind) for kind in ("Lab", "Node", "ServiceCIDR"))
        if revisions != self._revisions:
            self._revisions = revisions
            routes = compile_routes(view, self._backends)
            if routes != self._routes:
                self._routes, self._pods = routes, SharedMap()
                new = [*view.list("Pod")]
        changes: dict[str, PodRow | None] = {row_name(pod): None for pod in gone}
        changes |= {row_name(pod): self._pod(pod) for pod in new}
        changes = {n: row for n, row in changes.items() if row != self._pods.get(n)}
        if changes:
            self._pods = self._pods.changed(changes)
        return self._routes, self._pods

    def _pod(self, pod: Json) -> PodRow | None:
        row = pod_row(pod, self._routes.mtu)
        return row if row is not None and row.node in self._routes.nodes else None


def compile_routes(view: View, backends: Mapping[str, Backend]) -> Routes:
    """The rows of a view. Nodes with neither address nor pod range have none yet."""
    lab = lab_of(view)
    if lab is None:
        return NO_ROUTES
    backend = backends[lab.backend.name]
    stored = {name_of(n): n for n in view.list("Node")}
    nets = [net for node in stored.values() if (net := node_net(lab, node)) is not None]
    nodes = {
        net.name: node_row(lab, backend, net, stored[net.name])
        for net in nets
        if net.local and is_true(stored[net.name], "Ready")
    }
    known = [net for net in nets if not net.local or net.name in nodes]
    return Routes(
        LabRow(service_ranges(lab, view.list("ServiceCIDR")), lab.wire),
        nodes,
        tuple(backend.peer(net) for net in known),
        tuple(backend.path(net) for net in known),
        overlay_mtu(lab, backend),
    )


def overlay_mtu(lab: Lab, backend: Backend) -> int:
    """What pods get: the link's MTU less the backend's overhead (spec 2.0)."""
    return lab.mtu - backend.overhead


def wire_segments(lab: Lab, backend: Backend) -> int:
    """Segments of a pod's super-packet that go over the wire as one; 0 where nothing limits them.

    A tunnel socket takes what fits into one IPv4 datagram, and 64 segments at most (UDP_SEGMENT).
    """
    if lab.wire != "udp" or not backend.default_port:
        return 0
    return min(DATAGRAM_BYTES_MAX // (lab.mtu - DATAGRAM_HEADERS), UDP_SEGMENTS_MAX)


def node_net(lab: Lab, node: Json) -> NodeNet | None:
    """The node as backends see it, None before it has an address and a pod range."""
    address, cidr = address_or_none(internal_ip(node)), pod_range(node)
    if address is None or cidr is None:
        return None
    return NodeNet(
        name_of(node),
        address,
        cidr.base,
        cidr.length,
        lab.backend.port,
        vtep_mac(node),
        not is_external(node),
    )


def node_row(lab: Lab, backend: Backend, net: NodeNet, node: Json) -> NodeRow:
    """The row of a node of this lab."""
    digest = blake2b(uid_of(node).encode(), digest_size=8).digest()
    return NodeRow(
        name=net.name,
        uid=int.from_bytes(digest, "big") >> 1 or 1,
        address=net.address,
        pod_cidr=net.pod_cidr,
        pod_len=net.pod_len,
        cni_addr=net.pod_cidr + 1,
        tunnel_addr=backend.tunnel_addr(net),
        cluster_cidr=lab.pod_cidr.base,
        cluster_len=lab.pod_cidr.length,
        backend=backend.name,
        vtep_mac=net.mac,
        vni=lab.backend.vni,
        port=net.port,
        mtu=overlay_mtu(lab, backend),
        flows_max=lab.flows_max,
        proxy=proxy_row(lab, net, proxy_mode(lab, node)),
        tracking=TrackingRow(
            lab.conntrack.tcp_be_liberal,
            lab.conntrack.lose_on_port_collision,
            lab.conntrack.udp_race,
        ),
    )


def proxy_row(lab: Lab, net: NodeNet, mode: str) -> ProxyRow:
    """How the service proxy of a node is set up: its mode, and the lab's options (P-04, P-05).

    Ranges of IPv6 say nothing here.
    """
    spec, does = lab.proxy, PROXY_MODES[mode]
    ranges = [
        (net.address, 32) if each == PRIMARY else tolerant_range(each)
        for each in spec.node_port_addresses or does.node_port_addresses
    ]
    return ProxyRow(
        spec.detect_local_mode,
        spec.masquerade_all,
        spec.localhost_node_ports and does.localhost_node_ports,
        tuple([found for found in ranges if found is not None]),
        does.refused_at,
        does.affinity_clients,
        does.affinity_evicts,
        next((s for s in does.schedulers if s == spec.ipvs_scheduler), does.schedulers[0]),
        does.by_entry,
        does.bound,
        does.own_first,
        does.drain_s,
        does.refuses_own,
        does.ranges_first,
        does.drops_rest,
        does.relays,
    )


def pod_row(pod: Json, mtu: int) -> PodRow | None:
    """The row of a pod with a sandbox of its own, None for others."""
    address = address_or_none(text(status(pod), "podIP"))
    if address is None or host_network(pod) or not is_true(pod, SANDBOX_READY):
        return None
    name = row_name(pod)
    return PodRow(name, text(spec(pod), "nodeName"), address, mtu, f"pod/{name}")


def row_name(pod: Json) -> str:
    """A pod's among rows: "namespace/name"."""
    return f"{namespace_of(pod)}/{name_of(pod)}"
