"""kube-proxy's rules in nftables mode: table `ip kube-proxy`, as `nft list table` prints it.

A map finds the service; without affinity its chain is one rule, with affinity every endpoint has a
chain and a set of clients. As of kube-proxy 1.36; spec 3.12.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, collapse_addresses
from typing import NamedTuple

from netsim.api.addresses import Cidr, format_address, parse_address
from netsim.dataplane.rows import PROTOCOLS
from netsim.rules.names import nft_name
from netsim.rules.proxied import BRIDGE, LOOPBACK, MARK, POD_PREFIX, Proxied, ServicePort

TABLE = "ip kube-proxy"
# A table of an earlier life goes first, in the same transaction.
HEAD = f"table {TABLE}\ndelete table {TABLE}\n"
AFFINITY_MAX = 65535  # clients of an endpoint (P-37)
SET_MASQUERADE = f"meta mark set meta mark | {MARK:#010x}"
SERVICE_KEY = "ip daddr . meta l4proto . th dport"
SERVICE_TYPE = "ipv4_addr . inet_proto . inet_service : verdict"
NODE_PORT_TYPE = "inet_proto . inet_service : verdict"

# Sets and maps that are always there: kind, type, comment.
CONTAINERS = {
    "cluster-ips": ("set", "ipv4_addr", "Active ClusterIPs"),
    "nodeport-ips": ("set", "ipv4_addr", "IPs that accept NodePort traffic"),
    "hairpin-connections": (
        "set",
        "ipv4_addr . ipv4_addr . inet_proto . inet_service",
        "service hairpin connections",
    ),
    "no-endpoint-services": (
        "map",
        SERVICE_TYPE,
        "vmap to drop or reject packets to services with no endpoints",
    ),
    "no-endpoint-nodeports": (
        "map",
        NODE_PORT_TYPE,
        "vmap to drop or reject packets to service nodeports with no endpoints",
    ),
    "firewall-ips": (
        "map",
        SERVICE_TYPE,
        "destinations that are subject to LoadBalancerSourceRanges",
    ),
    "service-ips": ("map", SERVICE_TYPE, "ClusterIP, ExternalIP and LoadBalancer IP traffic"),
    "service-nodeports": ("map", NODE_PORT_TYPE, "NodePort traffic"),
}
# Chains at the kernel's hooks: type, hook, priority, and where they lead.
NEW = "ct state new jump"
CHECKS = (f"{NEW} service-endpoints-check", f"{NEW} cluster-ips-check")
HOOKED = {
    "filter-prerouting-pre-dnat": ("filter", "prerouting", "dstnat - 10", f"{NEW} firewall-check"),
    "filter-output-pre-dnat": ("filter", "output", "-110", f"{NEW} firewall-check"),
    "filter-input": (
        *("filter", "input", "filter"),
        *(f"{NEW} nodeport-endpoints-check", f"{NEW} service-endpoints-check"),
    ),
    "filter-forward": ("filter", "forward", "filter", *CHECKS),
    "filter-output": ("filter", "output", "filter", *CHECKS),
    "nat-prerouting": ("nat", "prerouting", "dstnat", "jump services"),
    "nat-output": ("nat", "output", "-100", "jump services"),
    "nat-postrouting": ("nat", "postrouting", "srcnat", "jump masquerading"),
}
HOST_TYPE, HOSTS_A_LINE = "ipv4_addr", 2  # of sets of this type
UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def duration(seconds: int) -> str:
    """As nft writes it: 3h, 1m30s."""
    text = ""
    for unit, size in UNITS:
        count, seconds = divmod(seconds, size)
        text += f"{count}{unit}" if count else ""
    return text


def one_of(values: Sequence[str]) -> str:
    """An anonymous set; a single value needs none."""
    return values[0] if len(values) == 1 else f"{{ {', '.join(values)} }}"


class Element(NamedTuple):
    """Of a set, or with a value of a map; what a key is made of stands between dots."""

    key: str
    value: str = ""
    comment: str = ""

    @property
    def order(self) -> bytes:
        """What nft sorts by: numbers, but of several parts the last byte counts first."""
        parts = [_number(part) for part in self.key.split(" . ")]
        return parts[0] if len(parts) == 1 else b"".join(parts)[::-1]

    def __str__(self) -> str:
        comment = f' comment "{self.comment}"' if self.comment else ""
        return f"{self.key}{comment}{f' : {self.value}' if self.value else ''}"


def _number(part: str) -> bytes:
    """A part of a key as the kernel keeps it: four bytes each."""
    if "." in part:
        return parse_address(part).to_bytes(4, "big")
    if part.isdigit():
        return int(part).to_bytes(2, "big") + bytes(2)
    return bytes([PROTOCOLS[part.upper()], 0, 0, 0])


class Renderer:
    """The table of one node."""

    def __init__(self, known: Proxied) -> None:
        self._known = known
        self._elements: dict[str, set[Element]] = {name: set() for name in CONTAINERS}
        self._chains: dict[str, list[str]] = {}
        self._affinity: dict[str, int] = {}  # timeouts by set

    def text(self) -> str:
        """All of it."""
        self._frame()
        for port in self._known.ports:
            self._ways_in(port)
            self._no_endpoints(port)
            self._chains_of(port)
        parts = [
            *(_container(n, *CONTAINERS[n], held) for n, held in self._elements.items()),
            *(_affinity_set(*found) for found in self._affinity.items()),
            *(_chain(name, [_hook(*HOOKED[name][:3]), *HOOKED[name][3:]]) for name in HOOKED),
            *(_chain(name, rules) for name, rules in self._chains.items()),
        ]
        body = "\n\n".join(parts)
        return f'{HEAD}table {TABLE} {{\n\tcomment "rules for kube-proxy"\n{body}\n}}\n'

    def _frame(self) -> None:
        """What does not depend on services."""
        local, at_node_port = self._node_ports()
        self._chains = {
            "services": [
                *self._internal_masquerade(),
                f"{SERVICE_KEY} vmap @service-ips",
                f"{local}{at_node_port} vmap @service-nodeports",
            ],
            "masquerading": [
                f"meta mark & {MARK:#010x} != 0x00000000 "
                f"meta mark set meta mark ^ {MARK:#010x} masquerade fully-random",
                "ct status dnat ip saddr . ip daddr . meta l4proto . th dport "
                "@hairpin-connections masquerade fully-random",
            ],
            "reject-chain": [
                'comment "helper for @no-endpoint-services / @no-endpoint-nodeports"',
                "reject",
            ],
            "service-endpoints-check": [f"{SERVICE_KEY} vmap @no-endpoint-services"],
            "nodeport-endpoints-check": [f"{at_node_port} vmap @no-endpoint-nodeports"],
            "firewall-check": [f"{SERVICE_KEY} vmap @firewall-ips"],
            "cluster-ips-check": [
                "ip daddr @cluster-ips reject"
                ' comment "Reject traffic to invalid ports of ClusterIPs"',
                f"ip daddr {_either(self._known.service_ranges)} drop"
                ' comment "Drop traffic to unallocated ClusterIPs"',
            ],
        }

    def _node_ports(self) -> tuple[str, str]:
        """Conditions: that an address is local, where not even that is known; of a node port.

        Never at 127.0.0.1; without ranges at the node's own address, this mode's default (P-04).
        """
        node, addresses = self._known.node, self._known.node_port_addresses
        if not node.proxy.node_port_ranges:
            addresses = (node.address,)
        if addresses is None:
            del self._elements["nodeport-ips"]
            return "fib daddr type local ", f"ip daddr != {LOOPBACK} meta l4proto . th dport"
        usable = [a for a in addresses if not LOOPBACK.contains(a)]
        self._elements["nodeport-ips"] = {Element(format_address(a)) for a in usable}
        return "", "ip daddr @nodeport-ips meta l4proto . th dport"

    def _internal_masquerade(self) -> list[str]:
        """What comes from beyond the pods to a cluster IP is masqueraded (3.6)."""
        if self._known.node.proxy.masquerade_all:
            others, why = "", "masquerade all clusterIP traffic"
        elif (found := self._detect("!= ")) is not None:
            others, why = f"{found} ", "masquerade clusterIP traffic from outside cluster"
        else:
            return []
        return [f'ip daddr @cluster-ips {others}{SET_MASQUERADE} comment "{why}"']

    def _detect(self, negation: str) -> str | None:
        """The condition that a packet is from a pod, or is not; None: nobody can tell."""
        if (pods := self._known.local_range) is not None:
            return f"ip saddr {negation}{pods}"
        interfaces = {"BridgeInterface": BRIDGE, "InterfaceNamePrefix": f"{POD_PREFIX}*"}
        name = interfaces.get(self._known.node.proxy.detector)
        return None if name is None else f'iifname {negation}"{name}"'

    def _ways_in(self, port: ServicePort) -> None:
        """Which chains packets to the service go to."""
        self._elements["cluster-ips"].add(Element(port.address))
        if port.has_internal:
            chain = _name("local" if port.internal_local else "service", port)
            self._add("service-ips", port, [port.address], f"goto {chain}")
        if port.has_endpoints:
            external = f"goto {_name('external', port)}"
            self._add("service-ips", port, [*port.external, *port.balancers], external)
            self._add_node_port("service-nodeports", port, external)
        if port.guarded:
            firewall = f"goto {_name('firewall', port)}"
            self._add("firewall-ips", port, port.balancers, firewall)

    def _no_endpoints(self, port: ServicePort) -> None:
        """What is refused or dropped."""
        verdict, refused = "drop" if port.has_endpoints else "goto reject-chain", []
        if not port.has_internal:
            refused.append(port.address)
        if not port.has_external:
            refused += [*port.external, *port.balancers]
            self._add_node_port("no-endpoint-nodeports", port, verdict, port.name)
        self._add("no-endpoint-services", port, refused, verdict, port.name)

    def _add(
        self, name: str, port: ServicePort, to: Iterable[str], value: str, comment: str = ""
    ) -> None:
        for address in to:
            key = f"{address} . {port.protocol} . {port.port}"
            self._elements[name].add(Element(key, value, comment))

    def _add_node_port(self, name: str, port: ServicePort, value: str, comment: str = "") -> None:
        if port.node_port:
            key = f"{port.protocol} . {port.node_port}"
            self._elements[name].add(Element(key, value, comment))

    def _chains_of(self, port: ServicePort) -> None:
        """The service's own chains, and the endpoints that may reach themselves."""
        if port.has_endpoints and port.has_frontends:
            self._chains[_name("external", port)] = self._external(port)
        if port.guarded:
            allowed = one_of(_by_number(port.sources(self._known.node.address)))
            self._chains[_name("firewall", port)] = [f"ip saddr != {allowed} drop"]
        if port.uses_cluster:
            self._chains[_name("service", port)] = self._choice(port, port.cluster)
        if port.uses_local:
            self._chains[_name("local", port)] = self._choice(port, port.local)
        for endpoint in port.reachable:
            self._endpoint(port, endpoint)

    def _external(self, port: ServicePort) -> list[str]:
        """Ways in beside the cluster IP: masqueraded, or with the short cuts of policy Local."""
        cluster = _name("service", port)
        if not port.external_local:
            return [SET_MASQUERADE, f"goto {cluster}"]
        rules = []
        if (pods := self._detect("")) is not None:
            rules.append(f'{pods} goto {cluster} comment "short-circuit pod traffic"')
        own = "fib saddr type local"
        rules.append(f'{own} {SET_MASQUERADE} comment "masquerade local traffic"')
        rules.append(f'{own} goto {cluster} comment "short-circuit local traffic"')
        if port.has_external:
            rules.append(f"goto {_name('local', port)}")
        return rules

    def _choice(self, port: ServicePort, endpoints: Sequence[str]) -> list[str]:
        """Affinity first, then each with the same chance (P-21)."""
        count = len(endpoints)
        if not port.affinity_s:
            known = ", ".join(f"{i} : {e.replace(':', ' . ')}" for i, e in enumerate(endpoints))
            choice = f"numgen random mod {count} map {{ {known} }}"
            return [f"meta l4proto {port.protocol} dnat ip to {choice}"]
        chains = [_name("endpoint", port, endpoint) for endpoint in endpoints]
        ways = ", ".join(f"{i} : goto {chain}" for i, chain in enumerate(chains))
        return [
            *(
                f"ip saddr @{_name('affinity', port, endpoint)} goto {chain}"
                for endpoint, chain in zip(endpoints, chains, strict=True)
            ),
            f"numgen random mod {count} vmap {{ {ways} }}",
        ]

    def _endpoint(self, port: ServicePort, endpoint: str) -> None:
        address, _, target = endpoint.partition(":")
        if self._known.is_local(address):
            pair = Element(f"{address} . {address} . {port.protocol} . {target}")
            self._elements["hairpin-connections"].add(pair)
        if port.affinity_s:
            clients = _name("affinity", port, endpoint)
            self._affinity[clients] = port.affinity_s
            self._chains[_name("endpoint", port, endpoint)] = [
                f"update @{clients} {{ ip saddr }}",
                f"meta l4proto {port.protocol} dnat to {endpoint}",
            ]


def _either(ranges: Iterable[Cidr]) -> str:
    """Several ranges as a set, as nft lists it: in order, and none within another."""
    found = [str(each) for each in collapse_addresses(IPv4Network(str(cidr)) for cidr in ranges)]
    return found[0] if len(found) == 1 else f"{{ {', '.join(found)} }}"


def _name(kind: str, port: ServicePort, endpoint: str = "") -> str:
    return nft_name(kind, port.name, port.protocol, endpoint)


def _by_number(sources: Iterable[str]) -> list[str]:
    """Prefixes in the order of a set, hosts without their length."""
    ranges = sorted({Cidr.parse(source) for source in sources})
    return [str(each).removesuffix("/32") for each in ranges]


def _container(name: str, kind: str, type_: str, comment: str, held: Iterable[Element]) -> str:
    lines = [f"\t{kind} {name} {{", f"\t\ttype {type_}", f'\t\tcomment "{comment}"']
    found = [str(element) for element in sorted(held, key=lambda element: element.order)]
    if found:
        wide = HOSTS_A_LINE if type_ == HOST_TYPE else 1
        rows = [", ".join(found[at : at + wide]) for at in range(0, len(found), wide)]
        lines.append("\t\telements = { " + ",\n\t\t\t     ".join(rows) + " }")
    return "\n".join([*lines, "\t}"])


def _affinity_set(name: str, timeout_s: int) -> str:
    fields = ("type ipv4_addr", f"size {AFFINITY_MAX}", "flags dynamic,timeout")
    lines = (f"\tset {name} {{", *(f"\t\t{field}" for field in fields))
    return "\n".join([*lines, f"\t\ttimeout {duration(timeout_s)}", "\t}"])


def _hook(kind: str, hook: str, priority: str) -> str:
    return f"type {kind} hook {hook} priority {priority}; policy accept;"


def _chain(name: str, rules: Sequence[str]) -> str:
    return "\n".join([f"\tchain {name} {{", *(f"\t\t{rule}" for rule in rules), "\t}"])


def render(known: Proxied) -> str:
    """The table, for `nft -f`."""
    return Renderer(known).text()
