"""What a pod contributes to a service: its endpoint, and the ports that it serves. Spec 7.1."""

from __future__ import annotations

from collections.abc import Iterable

from netsim.api.fields import Json, flag, items, text
from netsim.api.meta import ObjectKey, labels_of, name_of, namespace_of
from netsim.controllers.objects import deleting, finished, is_true, spec, status, uid_of
from netsim.controllers.slices import Family, port_map
from netsim.store.base import View

ZONE_LABEL = "topology.kubernetes.io/zone"


def is_candidate(pod: Json) -> bool:
    """Whether a selected pod is an endpoint at all: it has an address and has not ended (K-02)."""
    return bool(text(status(pod), "podIP")) and not finished(pod)


def publishes_unready(service: Json) -> bool:
    """Whether the service wants its pods whatever their state."""
    return flag(spec(service), "publishNotReadyAddresses")


def target_reference(pod: Json) -> dict[str, object]:
    """Names the pod behind an endpoint."""
    return {
        "kind": "Pod",
        "namespace": namespace_of(pod),
        "name": name_of(pod),
        "uid": uid_of(pod),
    }


def endpoint_hostname(service: Json, pod: Json) -> str:
    """The pod's host name where the service is its subdomain, else empty (K-06)."""
    if text(spec(pod), "subdomain") != name_of(service):
        return ""
    return text(spec(pod), "hostname")


def endpoint(service: Json, pod: Json, node: Json | None) -> dict[str, object]:
    """The pod as an endpoint of a slice (K-03, K-0B)."""
    serving, terminating = is_true(pod, "Ready"), deleting(pod)
    ready = publishes_unready(service) or (serving and not terminating)
    made: dict[str, object] = {
        "addresses": [text(status(pod), "podIP")],
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
        "targetRef": target_reference(pod),
    }
    hostname = endpoint_hostname(service, pod)
    if hostname:
        made["hostname"] = hostname
    if text(spec(pod), "nodeName"):
        made["nodeName"] = text(spec(pod), "nodeName")
    zone = labels_of(node).get(ZONE_LABEL) if node is not None else None
    if zone:
        made["zone"] = zone
    return made


def resolve_port(service_port: Json, pod: Json) -> int | None:
    """The number of the target port in this pod; None if it has no port of that name (K-05)."""
    target = service_port.get("targetPort")
    if not isinstance(target, str):
        number = target or service_port.get("port")
        return number if isinstance(number, int) else None
    protocol = text(service_port, "protocol", "TCP")
    for container in _port_holders(pod):
        for port in items(container, "ports"):
            if port.get("name") == target and text(port, "protocol", "TCP") == protocol:
                number = port.get("containerPort")
                return number if isinstance(number, int) else None
    return None


def _port_holders(pod: Json) -> Iterable[Json]:
    """Regular and restartable init containers."""
    yield from items(spec(pod), "containers")
    for container in items(spec(pod), "initContainers"):
        if text(container, "restartPolicy") == "Always":
            yield container


def endpoint_port(service_port: Json, number: int) -> dict[str, object]:
    """A service's port as a slice has it: the service's name, the pod's number."""
    made: dict[str, object] = {
        "name": text(service_port, "name"),
        "port": number,
        "protocol": text(service_port, "protocol", "TCP"),
    }
    if text(service_port, "appProtocol"):
        made["appProtocol"] = text(service_port, "appProtocol")
    return made


def has_named_ports(service: Json) -> bool:
    """Whether what a pod serves depends on the pod."""
    return any(isinstance(port.get("targetPort"), str) for port in items(spec(service), "ports"))


def families(view: View, service: Json, pods: Iterable[Json]) -> list[Family]:
    """The pods' endpoints by what ports they serve, each family by address.

    A pod on a node that does not exist is left out, unless unready ones are wanted (K-0A).
    """
    ports = items(spec(service), "ports")
    named = has_named_ports(service)
    found: dict[str, Family] = {}
    shared = None if named else _ports(ports, {})
    for pod in pods:
        node_name = text(spec(pod), "nodeName")
        node = view.get(ObjectKey("Node", "", node_name)) if node_name else None
        if node is None and node_name and not publishes_unready(service):
            continue
        own = shared if shared is not None else _ports(ports, pod)
        key = port_map(own) if named else ""
        found.setdefault(key, Family(own, [])).endpoints.append(endpoint(service, pod, node))
    for family in found.values():
        family.endpoints.sort(key=lambda e: str(e["addresses"]))
    return list(found.values())


def _ports(ports: Iterable[Json], pod: Json) -> list[Json]:
    return [
        endpoint_port(port, number)
        for port in ports
        if (number := resolve_port(port, pod)) is not None
    ]
