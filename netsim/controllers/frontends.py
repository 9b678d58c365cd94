"""Where a Service is reached beside its cluster IP, and on what terms. Spec 3.1, 3.8.

What kube-proxy tolerates is tolerated: addresses with leading zeros are read as decimal, those of
the other family and nonsense are passed over (P-96, P-112).
"""

from __future__ import annotations

from typing import NamedTuple

from netsim.api.addresses import Cidr, address_or_none, parse_address
from netsim.api.fields import Json, items, mapping, number, text, texts
from netsim.api.meta import metadata
from netsim.controllers.objects import spec, status
from netsim.dataplane.rows import FrontendRow

# Labels by which a service says that this proxy is not to look at it (P-02, P-08).
OPT_OUT = frozenset(("service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless"))
DEFAULT_AFFINITY_S = 10800
NODE_PORT_TYPES = ("NodePort", "LoadBalancer")


class Terms(NamedTuple):
    """What holds for all ports of a service; `outside` are addresses and their kinds."""

    address: int
    affinity_s: int
    internal_local: bool = False
    external_local: bool = False
    node_ports: bool = False
    outside: tuple[tuple[int, str], ...] = ()
    ranges: tuple[tuple[int, int], ...] = ()


def tolerant_address(written: str) -> int | None:
    """The address of a text, leading zeros or not; None if it is no IPv4 address."""
    octets = written.strip().split(".")
    plain = [octet.lstrip("0") or "0" if octet.isascii() else octet for octet in octets]
    return address_or_none(".".join(plain)) if all(octets) else None


def tolerant_range(written: str) -> tuple[int, int] | None:
    """Prefix and length of a range, host bits cut off; None if it is none of IPv4."""
    address, _, length = written.strip().partition("/")
    base = tolerant_address(address)
    if base is None or not (length.isascii() and length.isdigit()) or int(length) > 32:
        return None
    found = Cidr(base, int(length)).aligned()
    return found.base, found.length


def is_proxied(service: Json) -> bool:
    """Whether the service has an address that packets can be sent to (P-01 to P-03, P-08)."""
    fields = spec(service)
    if fields.get("type") == "ExternalName" or text(fields, "clusterIP") in ("", "None"):
        return False
    return OPT_OUT.isdisjoint(mapping(metadata(service), "labels"))


def affinity_s(fields: Json) -> int:
    """Seconds of sessionAffinity ClientIP, 0 without (P-34). `fields` are a service's spec."""
    if fields.get("sessionAffinity") != "ClientIP":
        return 0
    config = mapping(mapping(fields, "sessionAffinityConfig"), "clientIP")
    return number(config, "timeoutSeconds", DEFAULT_AFFINITY_S)


def read_terms(service: Json) -> Terms:
    """The terms of a proxied service. ValueError: its cluster IP is no address."""
    fields = spec(service)
    kind = text(fields, "type", "ClusterIP")
    address, local = parse_address(text(fields, "clusterIP")), "Local"
    internal_local = fields.get("internalTrafficPolicy") == local
    if kind == "ClusterIP" and "externalIPs" not in fields:  # what most services are
        return Terms(address, affinity_s(fields), internal_local)
    outside = [(found, "external-ip") for found in _addresses(texts(fields, "externalIPs"))]
    if kind == "LoadBalancer":
        outside += [(found, "load-balancer") for found in _addresses(_ingress(service))]
    accessible = bool(fields.get("externalIPs")) or kind in NODE_PORT_TYPES
    ranges = [tolerant_range(each) for each in texts(fields, "loadBalancerSourceRanges")]
    return Terms(
        address,
        affinity_s(fields),
        internal_local,
        accessible and text(fields, "externalTrafficPolicy") == local,
        kind in NODE_PORT_TYPES,
        tuple(reversed(dict(reversed(outside)).items())),  # of one address the first counts
        tuple([found for found in ranges if found is not None]),
    )


def passed_over(service: Json) -> list[str]:
    """Addresses and ranges that the proxy can do nothing with, each with its field."""
    fields, kind = spec(service), text(spec(service), "type", "ClusterIP")
    if not is_proxied(service) or (kind == "ClusterIP" and "externalIPs" not in fields):
        return []
    written = {"spec.externalIPs": texts(fields, "externalIPs")}
    if kind == "LoadBalancer":
        written["status.loadBalancer.ingress"] = tuple(filter(None, _ingress(service)))
    found = [
        f"{field}: {each}"
        for field, values in written.items()
        for each in values
        if not tolerant_address(each)
    ]
    ranges = texts(fields, "loadBalancerSourceRanges")
    found += [
        f"spec.loadBalancerSourceRanges: {each}" for each in ranges if tolerant_range(each) is None
    ]
    return found


def _addresses(written: tuple[str, ...]) -> list[int]:
    return [found for each in written if (found := tolerant_address(each))]


def _ingress(service: Json) -> tuple[str, ...]:
    """Addresses of the load balancer that packets may be caught for (P-06, P-77)."""
    balancer = mapping(status(service), "loadBalancer")
    return tuple(
        [
            text(ingress, "ip")
            for ingress in items(balancer, "ingress")
            if text(ingress, "ipMode", "VIP") != "Proxy"
        ]
    )


def frontends(terms: Terms, port: Json) -> tuple[FrontendRow, ...]:
    """Addresses and ports of a service port, its cluster IP's left out."""
    if not terms.outside and not terms.node_ports:
        return ()
    at = number(port, "port")
    found = [FrontendRow(addr, at, kind) for addr, kind in terms.outside if addr != terms.address]
    node_port = number(port, "nodePort")
    if terms.node_ports and node_port:
        found.append(FrontendRow(0, node_port, "node-port"))
    return tuple(found)
