"""What the API refuses about Services, EndpointSlices and Endpoints."""

from __future__ import annotations

from collections.abc import Iterator

from netsim.api import rules
from netsim.api.fields import Json, items, mapping, number, strings, text, texts
from netsim.api.names import (
    dns_label_errors,
    dns_subdomain_errors,
    label_key_errors,
    port_name_errors,
)
from netsim.api.problems import (
    Path,
    Problem,
    duplicate,
    forbidden,
    invalid,
    required,
    warning,
)
from netsim.api.services import (
    NODE_PORT_MAX,
    NODE_PORT_MIN,
    externally_accessible,
    needs_health_check,
)

SERVICE_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
AFFINITY_MAX_S = 86_400
ENDPOINTS_MAX = 1000
ADDRESSES_MAX = 100
PORTS_MAX = 100
DISTRIBUTIONS = ("PreferClose", "PreferSameNode", "PreferSameZone")
SPEC: Path = ("spec",)


def check_service(obj: Json) -> Iterator[Problem]:
    """A Service."""
    spec = mapping(obj, "spec")
    kind = text(spec, "type", "ClusterIP")
    ports = items(spec, "ports")
    if not ports and text(spec, "clusterIP") != "None" and kind != "ExternalName":
        yield required((*SPEC, "ports"))
    yield from rules.one_of((*SPEC, "type"), kind, SERVICE_TYPES)
    yield from _check_ports(ports, kind)
    yield from rules.check_labels((*SPEC, "selector"), strings(spec, "selector"))
    yield from _check_affinity(spec)
    yield from _check_cluster_ip(spec, kind)
    yield from _check_families(spec)
    yield from _check_policies(obj, spec)
    yield from _check_outside(spec, kind)
    if kind == "ExternalName":
        name = text(spec, "externalName").removesuffix(".")
        yield from rules.needed((*SPEC, "externalName"), name, dns_subdomain_errors)


def _check_ports(ports: tuple[Json, ...], kind: str) -> Iterator[Problem]:
    names: set[str] = set()
    taken: set[tuple[int, str]] = set()
    node_ports: set[tuple[int, str]] = set()
    for index, entry in enumerate(ports):
        at = (*SPEC, "ports", index)
        yield from _check_port(entry, at, kind)
        name, protocol = text(entry, "name"), text(entry, "protocol", "TCP")
        if name:
            yield from rules.syntax((*at, "name"), name, dns_label_errors)
        elif len(ports) > 1:
            hint = "a Service with more than one port needs a name for each"
            yield required((*at, "name"), hint=hint)
        if name and name in names:
            yield duplicate((*at, "name"), name)
        names.add(name)
        key = (number(entry, "port"), protocol)
        if key[0] and key in taken:
            yield duplicate(at, {"port": key[0], "protocol": protocol})
        taken.add(key)
        node_port = (number(entry, "nodePort"), protocol)
        if node_port[0] and node_port in node_ports:
            yield duplicate((*at, "nodePort"), node_port[0])
        node_ports.add(node_port)


def _check_port(entry: Json, where: Path, kind: str) -> Iterator[Problem]:
    value = entry.get("port")
    yield from rules.port((*where, "port"), 0 if value is None else value)
    protocol = text(entry, "protocol")
    yield from rules.one_of((*where, "protocol"), protocol, rules.PROTOCOL_NAMES)
    target = entry.get("targetPort")
    if target not in (None, 0, ""):  # all three mean: the port itself
        yield from rules.port_or_name((*where, "targetPort"), target, port_name_errors)
    application = text(entry, "appProtocol")
    if application:
        yield from rules.syntax((*where, "appProtocol"), application, label_key_errors)
    node_port = number(entry, "nodePort")
    if node_port and kind == "ClusterIP":
        yield forbidden((*where, "nodePort"), "may not be used when `type` is 'ClusterIP'")
    elif node_port:
        yield from _check_node_port(node_port, (*where, "nodePort"))


def _check_node_port(port: int, where: Path) -> Iterator[Problem]:
    if not NODE_PORT_MIN <= port <= NODE_PORT_MAX:
        valid = f"{NODE_PORT_MIN}-{NODE_PORT_MAX}"
        detail = f"provided port is not in the valid range. The range of valid ports is {valid}"
        yield invalid(where, port, detail)


def _check_affinity(spec: Json) -> Iterator[Problem]:
    affinity = text(spec, "sessionAffinity", "None")
    yield from rules.one_of((*SPEC, "sessionAffinity"), affinity, ("ClientIP", "None"))
    where = (*SPEC, "sessionAffinityConfig")
    if affinity == "None" and mapping(spec, "sessionAffinityConfig"):
        yield forbidden(where, "must not be set when session affinity is None")
    elif affinity == "ClientIP":
        config = mapping(mapping(spec, "sessionAffinityConfig"), "clientIP")
        timeout = config.get("timeoutSeconds")
        if isinstance(timeout, int) and not 0 < timeout <= AFFINITY_MAX_S:
            detail = f"must be greater than 0 and less than {AFFINITY_MAX_S}"
            yield invalid((*where, "clientIP", "timeoutSeconds"), timeout, detail)


def _check_cluster_ip(spec: Json, kind: str) -> Iterator[Problem]:
    first, listed = text(spec, "clusterIP"), texts(spec, "clusterIPs")
    if kind == "ExternalName":
        if first or listed:
            yield forbidden((*SPEC, "clusterIPs"), "may not be set for ExternalName services")
        return
    if first == "None" or "None" in listed:
        if kind in ("NodePort", "LoadBalancer"):
            detail = f"may not be set to 'None' for {kind} services"
            yield _cluster_ip(invalid((*SPEC, "clusterIPs", 0), "None", detail))
    elif first:
        for problem in rules.ipv4((*SPEC, "clusterIPs", 0), first):
            yield _cluster_ip(problem)
    if listed and first and listed[0] != first:
        detail = "first value must match `clusterIP`"
        yield invalid((*SPEC, "clusterIPs"), list(listed), detail)
    if len(listed) > 1:
        detail = "may only hold one value: dual stack is not supported yet"
        yield invalid((*SPEC, "clusterIPs"), list(listed), detail)


def _cluster_ip(problem: Problem) -> Problem:
    """The API names clusterIPs[0]; people write clusterIP."""
    return problem.placed_at((*SPEC, "clusterIP"))


def _check_families(spec: Json) -> Iterator[Problem]:
    for index, family in enumerate(texts(spec, "ipFamilies")):
        where = (*SPEC, "ipFamilies", index)
        yield from rules.one_of(where, family, ("IPv4", "IPv6"))
        if family == "IPv6":
            yield invalid(where, family, "not configured on this cluster")
    policy = text(spec, "ipFamilyPolicy")
    where = (*SPEC, "ipFamilyPolicy")
    known = ("SingleStack", "PreferDualStack", "RequireDualStack")
    yield from rules.one_of(where, policy, known)
    if policy == "RequireDualStack":
        yield invalid(where, policy, "this cluster is not configured for dual-stack services")


def _check_policies(obj: Json, spec: Json) -> Iterator[Problem]:
    policies = ("Cluster", "Local")
    external = text(spec, "externalTrafficPolicy")
    yield from rules.one_of((*SPEC, "externalTrafficPolicy"), external, policies)
    internal = text(spec, "internalTrafficPolicy")
    yield from rules.one_of((*SPEC, "internalTrafficPolicy"), internal, policies)
    if external and not externally_accessible(obj):
        detail = "may only be set for externally-accessible services"
        yield invalid((*SPEC, "externalTrafficPolicy"), external, detail)
    port = number(spec, "healthCheckNodePort")
    where = (*SPEC, "healthCheckNodePort")
    if port and not needs_health_check(obj):
        detail = (
            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        )
        yield invalid(where, port, detail)
    elif port:
        yield from _check_node_port(port, where)
    yield from rules.one_of(
        (*SPEC, "trafficDistribution"), text(spec, "trafficDistribution"), DISTRIBUTIONS
    )


def _check_outside(spec: Json, kind: str) -> Iterator[Problem]:
    """Addresses from outside, and what only load balancers have."""
    for index, address in enumerate(texts(spec, "externalIPs")):
        yield from rules.external_address((*SPEC, "externalIPs", index), address)
    only = "may only be used when `type` is 'LoadBalancer'"
    ranges = texts(spec, "loadBalancerSourceRanges")
    where = (*SPEC, "LoadBalancerSourceRanges")  # as the API names it
    if ranges and kind != "LoadBalancer":
        yield forbidden(where, only).placed_at((*SPEC, "loadBalancerSourceRanges"))
    for index, value in enumerate(ranges):
        for problem in rules.any_cidr((*where, index), value):
            yield problem.placed_at((*SPEC, "loadBalancerSourceRanges", index))
    for name in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
        if spec.get(name) is not None and kind != "LoadBalancer":
            yield forbidden((*SPEC, name), only)
    if text(spec, "loadBalancerClass"):
        at = (*SPEC, "loadBalancerClass")
        yield from rules.syntax(at, text(spec, "loadBalancerClass"), label_key_errors)


def check_service_update(new: Json, old: Json) -> Iterator[Problem]:
    """A changed clusterIP (K-68); an empty one keeps what was allocated. K-63 likewise."""
    ports = [number(mapping(o, "spec"), "healthCheckNodePort") for o in (old, new)]
    if needs_health_check(old) and needs_health_check(new) and all(ports) and len(set(ports)) > 1:
        yield forbidden((*SPEC, "healthCheckNodePort"), rules.IMMUTABLE)
    before, after = mapping(old, "spec"), mapping(new, "spec")
    if "ExternalName" in (text(before, "type"), text(after, "type")):
        return
    classes = [text(part, "loadBalancerClass") for part in (before, after)]
    both = all(text(part, "type") == "LoadBalancer" for part in (before, after))
    if both and len(set(classes)) > 1:
        detail = "may not change once set"
        yield invalid((*SPEC, "loadBalancerClass"), classes[1] or None, detail)
    was, wanted = text(before, "clusterIP"), text(after, "clusterIP")
    if was and wanted and was != wanted:
        hint = "delete the Service and create it again"
        detail = "may not change once set"
        yield _cluster_ip(invalid((*SPEC, "clusterIPs", 0), [wanted], detail, hint))


def check_slice(obj: Json) -> Iterator[Problem]:
    """An EndpointSlice."""
    family = text(obj, "addressType")
    if not family:
        yield required(("addressType",), hint="addressType: IPv4")
    yield from rules.one_of(("addressType",), family, ("FQDN", "IPv4", "IPv6"))
    if family in ("FQDN", "IPv6"):
        yield warning(("addressType",), f"{family} endpoints are not used")
    endpoints = items(obj, "endpoints")
    if len(endpoints) > ENDPOINTS_MAX:
        yield invalid(("endpoints",), len(endpoints), f"must have at most {ENDPOINTS_MAX} items")
    for index, endpoint in enumerate(endpoints[:ENDPOINTS_MAX]):
        where = ("endpoints", index, "addresses")
        addresses = texts(endpoint, "addresses")
        if not addresses:
            yield required(where, "must contain at least 1 address")
        if len(addresses) > ADDRESSES_MAX:
            yield invalid(where, len(addresses), f"must have at most {ADDRESSES_MAX} items")
        for number_, address in enumerate(addresses if family == "IPv4" else ()):
            yield from rules.endpoint_address((*where, number_), address)
        hostname = text(endpoint, "hostname")
        if hostname:
            yield from rules.syntax(("endpoints", index, "hostname"), hostname, dns_label_errors)
    yield from _check_endpoint_ports(items(obj, "ports"), ("ports",))


def check_slice_update(new: Json, old: Json) -> Iterator[Problem]:
    """A changed addressType."""
    if text(new, "addressType") != text(old, "addressType"):
        yield invalid(("addressType",), text(new, "addressType"), rules.IMMUTABLE)


def _check_endpoint_ports(ports: tuple[Json, ...], where: Path) -> Iterator[Problem]:
    names: set[str] = set()
    if len(ports) > PORTS_MAX:
        yield invalid(where, len(ports), f"must have at most {PORTS_MAX} items")
    for index, entry in enumerate(ports):
        at = (*where, index)
        name = text(entry, "name")
        if name:
            yield from rules.syntax((*at, "name"), name, dns_label_errors)
        if name in names:
            yield duplicate((*at, "name"), name)
        names.add(name)
        if entry.get("port") is not None:
            yield from rules.port((*at, "port"), entry["port"])
        protocol = text(entry, "protocol")
        yield from rules.one_of((*at, "protocol"), protocol, rules.PROTOCOL_NAMES)


def check_endpoints(obj: Json) -> Iterator[Problem]:
    """An Endpoints object."""
    for index, subset in enumerate(items(obj, "subsets")):
        where = ("subsets", index)
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            yield required(where, "must specify `addresses` or `notReadyAddresses`")
        for name in ("addresses", "notReadyAddresses"):
            for number_, address in enumerate(items(subset, name)):
                at = (*where, name, number_, "ip")
                if not text(address, "ip"):
                    yield required(at)
                else:
                    yield from rules.endpoint_address(at, text(address, "ip"))
        ports = items(subset, "ports")
        yield from _check_endpoint_ports(ports, (*where, "ports"))
        for port_number, entry in enumerate(ports):
            at_port = (*where, "ports", port_number)
            if entry.get("port") is None:
                yield required((*at_port, "port"))
            if len(ports) > 1 and not text(entry, "name"):
                yield required((*at_port, "name"))
