"""What both kinds of rules are made from: rows, as the proxy of one node sees them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from netsim.api.addresses import Cidr, format_address, parse_address
from netsim.dataplane.rows import (
    PROTOCOLS,
    EndpointRow,
    LabRow,
    NodeRow,
    ServiceKey,
    ServiceRow,
)

MARK = 0x4000  # of what is to be masqueraded
LOOPBACK = Cidr.parse("127.0.0.0/8")
LOCALHOST = parse_address("127.0.0.1")
# Interfaces by which pods are told from others, under the names that they have on our nodes.
BRIDGE, POD_PREFIX = "cni0", "veth"
PROTOCOL_NAMES = {number: name.lower() for name, number in PROTOCOLS.items()}


def endpoint_text(row: EndpointRow) -> str:
    """`addr:port`."""
    return f"{format_address(row.addr)}:{row.port}"


class ServicePort(NamedTuple):
    """A service port with the endpoints that this node may use, as text and sorted as text (P-20).

    `cluster` are those of policy Cluster, `local` those of policy Local; `external` and `balancers`
    are addresses, `node_port` is 0 where there is none.
    """

    name: str
    protocol: str
    address: str
    port: int
    affinity_s: int
    cluster: tuple[str, ...]
    local: tuple[str, ...]
    internal_local: bool
    external_local: bool
    external: tuple[str, ...]
    balancers: tuple[str, ...]
    node_port: int
    ranges: tuple[Cidr, ...]

    @property
    def has_frontends(self) -> bool:
        """Whether it is reached beside its cluster IP."""
        return bool(self.external or self.balancers or self.node_port)

    @property
    def has_endpoints(self) -> bool:
        """Whether there is an endpoint that can be used anywhere."""
        return bool(self.cluster or self.local)

    @property
    def has_internal(self) -> bool:
        """Whether what is for its cluster IP reaches anybody."""
        return bool(self.local) if self.internal_local else self.has_endpoints

    @property
    def has_external(self) -> bool:
        """Whether what comes from beyond the cluster reaches anybody."""
        return bool(self.local) if self.external_local else self.has_endpoints

    @property
    def uses_cluster(self) -> bool:
        """Whether anything is sent to the endpoints of policy Cluster."""
        return bool(self.cluster) and (not self.internal_local or self.has_frontends)

    @property
    def uses_local(self) -> bool:
        """Whether anything is sent to the endpoints of policy Local."""
        return bool(self.local) and (self.internal_local or self.external_local)

    @property
    def reachable(self) -> list[str]:
        """All endpoints that something is sent to."""
        cluster = self.cluster if self.uses_cluster else ()
        return sorted({*cluster, *(self.local if self.uses_local else ())})

    @property
    def guarded(self) -> bool:
        """Whether its load balancers' addresses are for some sources only."""
        return bool(self.balancers and self.ranges)

    def sources(self, node: int) -> list[str]:
        """Who may use load balancers' addresses, as prefixes (P-70, P-73); `node`: its address."""
        found = [str(each) for each in self.ranges]
        if any(each.contains(node) for each in self.ranges):
            found += [f"{address}/32" for address in self.balancers]
        return found


def service_port(row: ServiceRow, node: str) -> ServicePort:
    """A row as a node's proxy sees it."""
    is_local = row.internal_local or row.external_local
    local = row.usable(node, local=True) if is_local else ()
    at: dict[str, list[str]] = {"external-ip": [], "load-balancer": []}
    for front in row.frontends:
        at.get(front.kind, []).append(format_address(front.addr))
    return ServicePort(
        row.name,
        PROTOCOL_NAMES[row.proto],
        format_address(row.addr),
        row.port,
        row.affinity_s,
        tuple(sorted(map(endpoint_text, row.usable(node)))),
        tuple(sorted(map(endpoint_text, local))),
        row.internal_local,
        row.external_local,
        tuple(at["external-ip"]),
        tuple(at["load-balancer"]),
        next((front.port for front in row.frontends if front.kind == "node-port"), 0),
        tuple([Cidr(*each) for each in row.ranges]),
    )


@dataclass(frozen=True, slots=True)
class Proxied:
    """Everything that a node's proxy knows, in the order in which it is written.

    `health`: by "ns/name" of a Service, the port of its health check. `endpoints` counts those of
    all service ports, usable or not.
    """

    node: NodeRow
    service_ranges: tuple[Cidr, ...]
    ports: tuple[ServicePort, ...]
    endpoints: int = 0
    health: Mapping[str, int] = field(default_factory=dict)

    @property
    def node_port_addresses(self) -> tuple[int, ...] | None:
        """The node's addresses that have node ports, None: all (P-04)."""
        node, ranges = self.node, self.node.proxy.node_port_ranges
        if not ranges or any(length == 0 for _, length in ranges):
            return None
        own = dict.fromkeys((LOCALHOST, node.address, node.cni_addr, node.tunnel_addr))
        return tuple([a for a in own if any(Cidr(*each).contains(a) for each in ranges)])

    def is_local(self, address: str) -> bool:
        """Whether an endpoint's address is one of this node's pods or the node's own."""
        found, node = parse_address(address), self.node
        return found == node.address or Cidr(node.pod_cidr, node.pod_len).contains(found)

    @property
    def local_range(self) -> Cidr | None:
        """The sources that are pods, where a range tells."""
        node = self.node
        known = {
            "ClusterCIDR": Cidr(node.cluster_cidr, node.cluster_len),
            "NodeCIDR": Cidr(node.pod_cidr, node.pod_len),
        }
        return known.get(node.proxy.detector)


def proxied(
    node: NodeRow, lab: LabRow, services: Mapping[ServiceKey, ServiceRow], health: Mapping[str, int]
) -> Proxied:
    """What the proxy of a node knows when its data plane runs these rows."""
    ports = [row for row in services.values() if not row.is_host_port]
    rows: Iterable[ServiceRow] = sorted(ports, key=lambda row: (row.name, row.key))
    return Proxied(
        node,
        tuple([Cidr(*each) for each in lab.service_ranges]),
        tuple([service_port(row, node.name) for row in rows]),
        sum(len(row.endpoints) for row in ports),
        health,
    )
