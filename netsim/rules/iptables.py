"""kube-proxy's rules in iptables mode, in the words of `iptables-save`. Spec 3.2, 3.6 to 3.8.

Of each rule the order of its parts is the one in which `iptables-save` prints them, of a table's
chains that of their names, and odds are rounded as the kernel does it: text that was loaded and
saved again is the same text.
"""

from __future__ import annotations

from netsim.api.addresses import format_address
from netsim.rules.names import iptables_name
from netsim.rules.proxied import BRIDGE, LOCALHOST, LOOPBACK, MARK, POD_PREFIX, Proxied, ServicePort

LARGE_CLUSTER_ENDPOINTS = 1000  # of all services; from more on rules have fewer comments (P-58)
CANARY = "KUBE-PROXY-CANARY"  # in every table: whether somebody has flushed it (P-94)
BUILT_IN = {
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
}
NEW = "-m conntrack --ctstate NEW "
MASQUERADE = "KUBE-MARK-MASQ"
NODE_PORTS_NOTE = "kubernetes service nodeports; NOTE: this must be the last rule in this chain"

# How packets come to kube-proxy's chains: chain, condition, comment, target.
JUMPS = {
    "filter": (
        ("INPUT", "", "", "KUBE-FIREWALL"),
        ("INPUT", NEW, "kubernetes load balancer firewall", "KUBE-PROXY-FIREWALL"),
        ("INPUT", "", "kubernetes health check service ports", "KUBE-NODEPORTS"),
        ("INPUT", NEW, "kubernetes externally-visible service portals", "KUBE-EXTERNAL-SERVICES"),
        ("FORWARD", NEW, "kubernetes load balancer firewall", "KUBE-PROXY-FIREWALL"),
        ("FORWARD", "", "kubernetes forwarding rules", "KUBE-FORWARD"),
        ("FORWARD", NEW, "kubernetes service portals", "KUBE-SERVICES"),
        ("FORWARD", NEW, "kubernetes externally-visible service portals", "KUBE-EXTERNAL-SERVICES"),
        ("OUTPUT", "", "", "KUBE-FIREWALL"),
        ("OUTPUT", NEW, "kubernetes load balancer firewall", "KUBE-PROXY-FIREWALL"),
        ("OUTPUT", NEW, "kubernetes service portals", "KUBE-SERVICES"),
    ),
    "nat": (
        ("PREROUTING", "", "kubernetes service portals", "KUBE-SERVICES"),
        ("OUTPUT", "", "kubernetes service portals", "KUBE-SERVICES"),
        ("POSTROUTING", "", "kubernetes postrouting rules", "KUBE-POSTROUTING"),
    ),
}
CHAINS = {
    "filter": (
        *("KUBE-EXTERNAL-SERVICES", "KUBE-FIREWALL", "KUBE-FORWARD", "KUBE-NODEPORTS"),
        *("KUBE-PROXY-FIREWALL", "KUBE-SERVICES"),
    ),
    "nat": (MASQUERADE, "KUBE-NODEPORTS", "KUBE-POSTROUTING", "KUBE-SERVICES"),
}


def probability(left: int) -> str:
    """The odds of the first of `left` endpoints, as kube-proxy writes them (P-20)."""
    return f"{1 / left:.10f}"


def saved_probability(left: int) -> str:
    """The same as the kernel keeps them, in 31 bits, and `iptables-save` prints them."""
    return f"{round(float(probability(left)) * 2**31) / 2**31:.11f}"


def comment(text: str) -> str:
    """A comment; every one of ours needs quotes."""
    return f'-m comment --comment "{text}" '


class Table:
    """Chains and their rules."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._chains: dict[str, list[str]] = {chain: [] for chain in BUILT_IN[name]}
        for chain in (CANARY, *CHAINS.get(name, ())):
            self._chains[chain] = []
        for chain, condition, text, target in JUMPS.get(name, ()):
            self.add(chain, f"{condition}{comment(text) if text else ''}-j {target}")

    def add(self, chain: str, rule: str) -> None:
        """Append a rule; a chain begins with its first."""
        self._chains.setdefault(chain, []).append(f"-A {chain} {rule}")

    def lines(self) -> list[str]:
        """As they are saved."""
        built_in = BUILT_IN[self._name]
        own = sorted(self._chains.keys() - set(built_in))
        return [
            f"*{self._name}",
            *(f":{chain} ACCEPT [0:0]" for chain in built_in),
            *(f":{chain} - [0:0]" for chain in own),
            *(rule for chain in (*built_in, *own) for rule in self._chains[chain]),
            "COMMIT",
        ]


class Renderer:
    """The tables of one node."""

    def __init__(self, known: Proxied) -> None:
        self._known = known
        self._filter, self._nat = Table("filter"), Table("nat")
        self._terse = known.endpoints > LARGE_CLUSTER_ENDPOINTS

    def text(self) -> str:
        """All of it."""
        self._frame()
        for port in self._known.ports:
            self._ways_in(port)
            self._filters(port)
            self._chains_of(port)
        self._node_ports()
        tables = (Table("mangle"), self._filter, self._nat)
        return "".join(f"{line}\n" for table in tables for line in table.lines())

    def _frame(self) -> None:
        """What does not depend on services."""
        mark = f"{MARK:#x}"
        self._nat.add(MASQUERADE, f"-j MARK --set-xmark {mark}/{mark}")
        after = "KUBE-POSTROUTING"
        self._nat.add(after, f"-m mark ! --mark {mark}/{mark} -j RETURN")
        self._nat.add(after, f"-j MARK --set-xmark {mark}/0x0")
        why = comment("kubernetes service traffic requiring SNAT")
        self._nat.add(after, f"{why}-j MASQUERADE --random-fully")
        if self._known.node.proxy.localhost_node_ports:
            why = comment("block incoming localnet connections")
            state = "-m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT"
            self._filter.add("KUBE-FIREWALL", f"! -s {LOOPBACK} -d {LOOPBACK} {why}{state} -j DROP")
        forward = "KUBE-FORWARD"
        if not self._known.node.tracking.invalid_passes:
            self._filter.add(forward, "-m conntrack --ctstate INVALID -j DROP")
        why = comment("kubernetes forwarding rules")
        self._filter.add(forward, f"{why}-m mark --mark {mark}/{mark} -j ACCEPT")
        why = comment("kubernetes forwarding conntrack rule")
        self._filter.add(forward, f"{why}-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")

    def _node_ports(self) -> None:
        """The end of KUBE-SERVICES."""
        jump = f"{comment(NODE_PORTS_NOTE)}%s-j KUBE-NODEPORTS"
        localhost = self._known.node.proxy.localhost_node_ports
        addresses = self._known.node_port_addresses
        if addresses is None:
            but = "" if localhost else f"! -d {LOOPBACK} "
            self._nat.add("KUBE-SERVICES", but + jump % "-m addrtype --dst-type LOCAL ")
            return
        for address in addresses:
            if localhost or address != LOCALHOST:
                self._nat.add("KUBE-SERVICES", f"-d {format_address(address)}/32 {jump % ''}")

    def _ways_in(self, port: ServicePort) -> None:
        """Which chains packets to the service go to, in table nat."""
        if port.has_internal:
            chain = _name("SVL" if port.internal_local else "SVC", port)
            self._nat.add("KUBE-SERVICES", _at(port, port.address, "cluster IP", chain))
        if not port.has_endpoints:
            return
        external = _name("EXT", port)
        for address in port.external:
            self._nat.add("KUBE-SERVICES", _at(port, address, "external IP", external))
        chain = _name("FW", port) if port.guarded else external
        for address in port.balancers:
            self._nat.add("KUBE-SERVICES", _at(port, address, "loadbalancer IP", chain))
        if port.node_port:
            match = f"{comment(port.name)}-m {port.protocol} --dport {port.node_port}"
            self._nat.add("KUBE-NODEPORTS", f"-p {port.protocol} {match} -j {external}")

    def _filters(self, port: ServicePort) -> None:
        """What is refused, dropped or accepted before all other filters, in table filter."""
        why = "has no local endpoints" if port.has_endpoints else "has no endpoints"
        target = "DROP" if port.has_endpoints else "REJECT --reject-with icmp-port-unreachable"
        if not port.has_internal:
            self._filter.add("KUBE-SERVICES", _at(port, port.address, why, target))
        if not port.has_external:
            for address in (*port.external, *port.balancers):
                self._filter.add("KUBE-EXTERNAL-SERVICES", _at(port, address, why, target))
            if port.node_port:
                to = f"-m {port.protocol} --dport {port.node_port}"
                match = f"{comment(f'{port.name} {why}')}-m addrtype --dst-type LOCAL {to}"
                self._filter.add(
                    "KUBE-EXTERNAL-SERVICES", f"-p {port.protocol} {match} -j {target}"
                )
        if port.guarded and port.has_endpoints:
            why = f"traffic not accepted by {_name('FW', port)}"
            for address in port.balancers:
                self._filter.add("KUBE-PROXY-FIREWALL", _at(port, address, why, "DROP"))
        if health := self._known.health.get(port.name.partition(":")[0]):
            why = comment(f"{port.name} health check node port")
            self._filter.add("KUBE-NODEPORTS", f"-p tcp {why}-m tcp --dport {health} -j ACCEPT")

    def _chains_of(self, port: ServicePort) -> None:
        """The service's own chains, in table nat."""
        if port.has_internal:
            self._internal_masquerade(port)
        if port.has_endpoints and port.has_frontends:
            self._external(port)
        if port.guarded and port.has_endpoints:
            chain, external = _name("FW", port), _name("EXT", port)
            why = comment(f"{port.name} loadbalancer IP")
            for source in port.sources(self._known.node.address):
                self._nat.add(chain, f"{_from(source)}{why}-j {external}")
            why = f"other traffic to {port.name} will be dropped by KUBE-PROXY-FIREWALL"
            self._nat.add(chain, comment(why).rstrip())
        if port.uses_cluster:
            self._choice(port, _name("SVC", port), port.cluster)
        if port.uses_local:
            self._choice(port, _name("SVL", port), port.local)
        for endpoint in port.reachable:
            self._endpoint(port, endpoint)

    def _internal_masquerade(self, port: ServicePort) -> None:
        """What comes from beyond the pods to a cluster IP is masqueraded (3.6)."""
        others = ("", "") if self._known.node.proxy.masquerade_all else self._detect("! ")
        if others is not None:
            chain = _name("SVL" if port.internal_local else "SVC", port)
            source, iface = others
            rule = _at(port, port.address, "cluster IP", MASQUERADE, iface)
            self._nat.add(chain, f"{source}{rule}")

    def _external(self, port: ServicePort) -> None:
        """Ways in beside the cluster IP: masqueraded, or with the short cuts of policy Local."""
        chain, cluster = _name("EXT", port), _name("SVC", port)
        where = f"{port.name} external destinations"
        if port.external_local:
            pods = self._detect("")
            if pods is not None:
                why = comment(f"pod traffic for {where}")
                self._nat.add(chain, f"{''.join(pods)}{why}-j {cluster}")
            own = "-m addrtype --src-type LOCAL"
            why = comment(f"masquerade LOCAL traffic for {where}")
            self._nat.add(chain, f"{why}{own} -j {MASQUERADE}")
            why = comment(f"route LOCAL traffic for {where}")
            self._nat.add(chain, f"{why}{own} -j {cluster}")
        else:
            why = comment(f"masquerade traffic for {where}")
            self._nat.add(chain, f"{why}-j {MASQUERADE}")
        if port.has_external:
            target = _name("SVL", port) if port.external_local else cluster
            self._nat.add(chain, f"-j {target}")

    def _detect(self, negation: str) -> tuple[str, str] | None:
        """The condition that a packet is from a pod, or is not; None: nobody can tell.

        As what is said before a rule's destination, and after it.
        """
        if (pods := self._known.local_range) is not None:
            return f"{negation}-s {pods} ", ""
        interfaces = {"BridgeInterface": BRIDGE, "InterfaceNamePrefix": f"{POD_PREFIX}+"}
        name = interfaces.get(self._known.node.proxy.detector)
        return None if name is None else ("", f"{negation}-i {name} ")

    def _choice(self, port: ServicePort, chain: str, endpoints: tuple[str, ...]) -> None:
        """Affinity first, then each of those left with the same chance (3.3, 3.4)."""
        ways = [(self._note(f"{port.name} -> {e}"), _name("SEP", port, e)) for e in endpoints]
        if port.affinity_s:
            known = f"-m recent --rcheck --seconds {port.affinity_s} --reap"
            for why, target in ways:
                self._nat.add(chain, f"{why}{known} {_list(target)} -j {target}")
        for left, (why, target) in zip(range(len(ways), 0, -1), ways, strict=True):
            odds = f"-m statistic --mode random --probability {saved_probability(left)} "
            self._nat.add(chain, f"{why}{odds if left > 1 else ''}-j {target}")

    def _endpoint(self, port: ServicePort, endpoint: str) -> None:
        """One endpoint: who reaches itself is masqueraded; remembered; translated."""
        chain, why = _name("SEP", port, endpoint), self._note(port.name)
        address = endpoint.partition(":")[0]
        self._nat.add(chain, f"-s {address}/32 {why}-j {MASQUERADE}")
        remember = f"-m recent --set {_list(chain)} " if port.affinity_s else ""
        translate = f"-m {port.protocol} -j DNAT --to-destination {endpoint}"
        self._nat.add(chain, f"-p {port.protocol} {why}{remember}{translate}")

    def _note(self, text: str) -> str:
        """A comment that large clusters do without (P-58)."""
        return "" if self._terse else comment(text)


def _name(kind: str, port: ServicePort, endpoint: str = "") -> str:
    return iptables_name(kind, port.name, port.protocol, endpoint)


def _from(source: str) -> str:
    """A source; all sources go unsaid."""
    return "" if source.endswith("/0") else f"-s {source} "


def _at(port: ServicePort, address: str, why: str, target: str, iface: str = "") -> str:
    """A rule for packets to the service port at an address."""
    match = f"{comment(f'{port.name} {why}')}-m {port.protocol} --dport {port.port}"
    return f"-d {address}/32 {iface}-p {port.protocol} {match} -j {target}"


def _list(name: str) -> str:
    """An affinity list."""
    return f"--name {name} --mask 255.255.255.255 --rsource"


def render(known: Proxied) -> str:
    """Tables mangle, filter and nat, for iptables-restore."""
    return Renderer(known).text()
