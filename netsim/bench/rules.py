"""kube-proxy's rules as text for iptables-restore and nft. Pure.

One measured service, and as many others as are asked for, which come before it: with iptables the
packet of a new connection passes them all. In nftables a map finds the service (spec of kube-proxy
1.31: one rule a service, no chain per endpoint without affinity).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

SERVICE = "10.96.0.10"
POD_RANGE = "10.244.0.0/16"
PORT = 5201
PORTS = (("echo", "TCP"), ("sink", "TCP"), ("datagrams", "UDP"), ("ask", "TCP"))  # from PORT on
OTHER_PORT = 80


class ServicePort(NamedTuple):
    """One port of a service and the endpoints behind it, which serve the same port."""

    name: str
    address: str
    port: int
    protocol: str
    endpoints: tuple[str, ...]


def measured(endpoints: Sequence[str]) -> list[ServicePort]:
    """The service that the load asks."""
    return [
        ServicePort(f"bench-{name}", SERVICE, PORT + offset, protocol.lower(), tuple(endpoints))
        for offset, (name, protocol) in enumerate(PORTS)
    ]


def other(index: int, endpoints: int, version: int = 0) -> ServicePort:
    """A service that nobody asks; another `version` has another last endpoint."""
    first = index * endpoints
    addresses = [_address("10.128.0.0", first + i) for i in range(endpoints)]
    if version:
        addresses[-1] = _address("10.160.0.0", index + version)
    address = _address("10.97.0.0", index)
    return ServicePort(f"other-{index}", address, OTHER_PORT, "tcp", tuple(addresses))


def _address(base: str, offset: int) -> str:
    number = int.from_bytes(bytes(map(int, base.split("."))), "big") + offset
    return ".".join(map(str, number.to_bytes(4, "big")))


def others(count: int, endpoints: int) -> list[ServicePort]:
    """So many of them."""
    return [other(i, endpoints) for i in range(count)]


def iptables(services: Sequence[ServicePort]) -> str:
    """All that kube-proxy would restore."""
    lines = ["*nat", ":KUBE-SERVICES -", ":KUBE-MARK-MASQ -", ":KUBE-POSTROUTING -"]
    for service in services:
        lines += [f":{chain} -" for chain in iptables_chains(service)]
    lines += [
        "-A PREROUTING -j KUBE-SERVICES",
        "-A OUTPUT -j KUBE-SERVICES",
        "-A POSTROUTING -j KUBE-POSTROUTING",
        "-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000",
        "-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN",
        "-A KUBE-POSTROUTING -j MASQUERADE --random-fully",
    ]
    lines += [f"-A KUBE-SERVICES {_to(s)} -j KUBE-SVC-{s.name}" for s in services]
    for service in services:
        lines += _iptables_service(service)
    lines += [
        "COMMIT",
        "*filter",
        "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    ]
    return "\n".join([*lines, "COMMIT", ""])


def iptables_change(service: ServicePort) -> str:
    """What kube-proxy restores, with --noflush, when one service has changed."""
    lines = ["*nat", *(f":{chain} -" for chain in iptables_chains(service))]
    return "\n".join([*lines, *_iptables_service(service), "COMMIT", ""])


def iptables_chains(service: ServicePort) -> list[str]:
    """The service's chain, then one per endpoint."""
    endpoints = [f"KUBE-SEP-{service.name}-{i}" for i in range(len(service.endpoints))]
    return [f"KUBE-SVC-{service.name}", *endpoints]


def _to(service: ServicePort) -> str:
    return f"-d {service.address}/32 -p {service.protocol} --dport {service.port}"


def _iptables_service(service: ServicePort) -> Iterator[str]:
    chain, *chains = iptables_chains(service)
    yield f"-A {chain} ! -s {POD_RANGE} {_to(service)} -j KUBE-MARK-MASQ"
    for i, endpoint in enumerate(chains):
        left = len(chains) - i
        odds = f"-m statistic --mode random --probability {1 / left:.10f} " if left > 1 else ""
        yield f"-A {chain} {odds}-j {endpoint}"
    for name, address in zip(chains, service.endpoints, strict=True):
        target = f"{address}:{service.port}"
        yield f"-A {name} -s {address}/32 -j KUBE-MARK-MASQ"
        yield f"-A {name} -p {service.protocol} -j DNAT --to-destination {target}"


NFT_HEAD = """\
table ip kube-proxy {
 map service-ips { type ipv4_addr . inet_proto . inet_service : verdict; }
 set cluster-ips { type ipv4_addr; }
 chain mark-for-masquerade { meta mark set meta mark or 0x4000; }
 chain masquerading {
  meta mark and 0x4000 == 0 return
  meta mark set meta mark xor 0x4000
  masquerade fully-random
 }
 chain services { ip daddr . meta l4proto . th dport vmap @service-ips; }
 chain cluster-ips-check { ip daddr @cluster-ips reject; ip daddr 10.96.0.0/12 drop; }
 chain nat-prerouting { type nat hook prerouting priority dstnat; jump services; }
 chain nat-output { type nat hook output priority -100; jump services; }
 chain nat-postrouting { type nat hook postrouting priority srcnat; jump masquerading; }
 chain filter-forward {
  type filter hook forward priority -110; ct state new jump cluster-ips-check
 }
 chain filter-output {
  type filter hook output priority -110; ct state new jump cluster-ips-check
 }
}
"""


def nft(services: Sequence[ServicePort]) -> str:
    """All that kube-proxy's nftables mode would load."""
    lines = [f"add chain ip kube-proxy {_nft_chain(s)}" for s in services]
    for service in services:
        lines += _nft_rules(service)
    keys = [f"{s.address} . {s.protocol} . {s.port} : goto {_nft_chain(s)}" for s in services]
    addresses = sorted({s.address for s in services})
    lines += _elements("service-ips", keys) + _elements("cluster-ips", addresses)
    return "\n".join([NFT_HEAD, *lines, ""])


def nft_change(service: ServicePort) -> str:
    """The transaction when one service has changed."""
    flush = f"flush chain ip kube-proxy {_nft_chain(service)}"
    return "\n".join([flush, *_nft_rules(service), ""])


def _nft_chain(service: ServicePort) -> str:
    return f"service-{service.name}"


def _nft_rules(service: ServicePort) -> list[str]:
    add = f"add rule ip kube-proxy {_nft_chain(service)}"
    to = f"ip daddr {service.address} {service.protocol} dport {service.port}"
    return [
        f"{add} {to} ip saddr != {POD_RANGE} jump mark-for-masquerade",
        f"{add} meta l4proto {service.protocol} dnat ip to {_nft_choice(service)}",
    ]


def _nft_choice(service: ServicePort) -> str:
    """One endpoint needs no choice: without a map of its own a service loads in constant time."""
    count, port = len(service.endpoints), service.port
    if count == 1:
        return f"{service.endpoints[0]}:{port}"
    choice = ", ".join(f"{i} : {a} . {port}" for i, a in enumerate(service.endpoints))
    return f"numgen random mod {count} map {{ {choice} }}"


ELEMENTS_MAX = 1000  # of one line, which netlink must carry in one message


def _elements(name: str, elements: Sequence[str]) -> list[str]:
    return [
        f"add element ip kube-proxy {name} {{ {', '.join(elements[i : i + ELEMENTS_MAX])} }}"
        for i in range(0, len(elements), ELEMENTS_MAX)
    ]
