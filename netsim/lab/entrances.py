"""How packets for Services from outside come to the data plane: through a node's kernel.

Service ranges, and addresses of Services that no node has, are routed to cni0. A node port is at
the node's own addresses, which its kernel would deliver to its own programs: rules before the local
table send packets to 30000-32767 to cni0 first, and what comes from there is delivered.
What is for no Service thus reaches the programs after a detour (stage_is_detour() in csrc). The
rules cost every packet of a node a little, so they are made when the first node port is. Host ports
have a rule each, for the nodes and addresses that serve them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from netsim.api.addresses import Cidr
from netsim.api.lab_spec import Lab
from netsim.api.services import NODE_PORT_MAX, NODE_PORT_MIN
from netsim.backends.base import NodeNet
from netsim.controllers.changes import Tracker
from netsim.controllers.frontends import is_proxied, read_terms
from netsim.controllers.host_port_rows import LOCALHOST, LOOPBACK, reached_at
from netsim.controllers.host_ports import HostPort
from netsim.controllers.membership import Name, name_in
from netsim.dataplane.rows import PROTOCOLS, ProxyRow
from netsim.linux import net
from netsim.linux.net import RT_TABLE_LOCAL, Route, Rule
from netsim.linux.netlink import Netlink
from netsim.store.base import View

NODE_PORT_TABLE, HOST_PORT_TABLE = 30, 31
TRANSPORTS = [PROTOCOLS[name] for name in ("TCP", "UDP", "SCTP")]
RULES = (
    Rule(1, RT_TABLE_LOCAL, device="cni0"),
    *(Rule(2, NODE_PORT_TABLE, proto, (NODE_PORT_MIN, NODE_PORT_MAX)) for proto in TRANSPORTS),
    Rule(3, RT_TABLE_LOCAL),
)
KERNELS_LOCAL = Rule(0, RT_TABLE_LOCAL)
# The kernel does not forward what it has found a socket for already; with node ports it would.
SYSCTLS = (
    ("ipv4/tcp_early_demux", "0"),
    ("ipv4/udp_early_demux", "0"),
    ("ipv4/conf/cni0/accept_local", "1"),
    ("ipv4/conf/cni0/route_localnet", "1"),
)


class Entrances(NamedTuple):
    """What the Services together ask of nodes: ports, and the addresses they are reached at.

    Once there were `node_ports`, there are: connections outlive the last Service with one (P-11).
    `ranges` are those of cluster IPs.
    """

    node_ports: bool = False
    addresses: frozenset[int] = frozenset()
    ranges: tuple[Cidr, ...] = ()


class Watcher:
    """The entrances of all services, at the price of what changed."""

    def __init__(self) -> None:
        self._tracker = Tracker("Service")
        self._of: dict[Name, Entrances] = {}
        self.entrances = Entrances()

    def advance(self, view: View) -> Entrances:
        """The entrances of the view's services."""
        gone, new = self._tracker.advance(view)
        if not gone and not new:
            return self.entrances
        for service in gone:
            self._of.pop(name_in(service), None)
        for service in new:
            if is_proxied(service):
                terms = read_terms(service)
                addresses = frozenset([address for address, _ in terms.outside])
                if terms.node_ports or addresses:
                    self._of[name_in(service)] = Entrances(terms.node_ports, addresses)
        every = self._of.values()
        self.entrances = Entrances(
            self.entrances.node_ports or any(each.node_ports for each in every),
            frozenset().union(*[each.addresses for each in every]),
        )
        return self.entrances


def foreign(lab: Lab, entrances: Entrances) -> list[int]:
    """Addresses that need routes of their own: not in a range that is routed already."""
    ranges = (lab.node_cidr, lab.pod_cidr, lab.load_balancer_cidr, *entrances.ranges)
    return sorted(a for a in entrances.addresses if not any(cidr.contains(a) for cidr in ranges))


def node_routes(
    lab: Lab, node: NodeNet, proxy: ProxyRow, entrances: Entrances, addresses: set[int]
) -> list[Route]:
    """A node's routes to Services; `addresses` are its own."""
    more = [Cidr(address, 32) for address in foreign(lab, entrances)]
    every = (*entrances.ranges, lab.load_balancer_cidr, *more)
    routes = [Route(*cidr, "cni0", src=node.address) for cidr in every]
    if not entrances.node_ports:
        return routes
    ranges = [Cidr(*each) for each in proxy.node_port_ranges] or [Cidr(0, 0)]
    served = [a for a in sorted(addresses) if any(cidr.contains(a) for cidr in ranges)]
    own = [(Cidr(address, 32), address) for address in served]
    if proxy.localhost_node_ports:
        own.append((LOOPBACK, LOCALHOST))
    routes += [Route(*cidr, "cni0", src=src, table=NODE_PORT_TABLE) for cidr, src in own]
    return routes


def host_port_rules(ports: Iterable[HostPort], addresses: Collection[int]) -> frozenset[Rule]:
    """The rules that send packets to a node's host ports to cni0; `addresses` are its own."""
    return frozenset(
        Rule(2, HOST_PORT_TABLE, PROTOCOLS[port.protocol], (port.port, port.port), "", address)
        for port in ports
        for address in reached_at(port, addresses)
    )


def host_port_routes(addresses: Iterable[int]) -> list[Route]:
    """Where those rules look; what the node itself asks comes from the address that it asks."""
    at = [*((Cidr(address, 32), address) for address in sorted(addresses)), (LOOPBACK, LOCALHOST)]
    return [Route(*cidr, "cni0", src=src, table=HOST_PORT_TABLE) for cidr, src in at]


def divert_host_ports(what: str, rules: Collection[Rule]) -> None:
    """Make the rules for host ports in the calling thread's namespace, and no others.

    The kernel keeps off these ports: answers to connections that the node has made from one would
    be taken for questions.
    """
    if rules:
        divert(what)
    ports = sorted({rule.ports[0] for rule in rules})
    net.sysctl("ipv4/ip_local_reserved_ports", ",".join(map(str, ports)) + "\n")
    with Netlink() as netlink:
        net.sync_rules(netlink, what, HOST_PORT_TABLE, rules)


def divert(what: str) -> None:
    """Make the rules in the calling thread's namespace, if they are not there."""
    with Netlink() as netlink:
        if RULES[-1] in net.rules(netlink):
            return
        for name, value in SYSCTLS:
            net.sysctl(name, value)
        netlink.execute([net.rule_add(what, rule) for rule in RULES])
        netlink.execute([net.rule_delete(what, KERNELS_LOCAL)])
