"""What a pod contributes to a service: its endpoint, and the ports that it serves. Spec 7.1."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from netsim.api.fields import EMPTY, Json, flag, items, text
from netsim.api.meta import labels_of, name_of, namespace_of
from netsim.controllers.objects import condition, deleting, finished, spec, status, uid_of
from netsim.controllers.slices import Family, port_map

ZONE_LABEL = "topology.kubernetes.io/zone"


class Member(NamedTuple):
    """A pod as services see it, read once per state of the pod.

    `reference` names the pod behind an endpoint; `since` is when `serving` changed, RFC 3339.
    """

    pod: Json
    name: str
    labels: Mapping[str, str]
    ip: str
    uid: str
    node: str
    serving: bool
    terminating: bool
    since: str
    reference: Json


def read_member(pod: Json) -> Member | None:
    """The pod as a member of services; None if it is none.

    A member has an address and has not ended (K-02).
    """
    ip = text(status(pod), "podIP")
    if not ip or finished(pod):
        return None
    name, uid, ready = name_of(pod), uid_of(pod), condition(pod, "Ready")
    return Member(
        pod,
        name,
        labels_of(pod),
        ip,
        uid,
        text(spec(pod), "nodeName"),
        ready.get("status") == "True",
        deleting(pod),
        text(ready, "lastTransitionTime"),
        {"kind": "Pod", "namespace": namespace_of(pod), "name": name, "uid": uid},
    )


def publishes_unready(service: Json) -> bool:
    """Whether the service wants its pods whatever their state."""
    return flag(spec(service), "publishNotReadyAddresses")


def endpoint_hostname(service: str, member: Member) -> str:
    """The pod's host name where the service is its subdomain, else empty (K-06)."""
    fields = spec(member.pod)
    return text(fields, "hostname") if fields.get("subdomain") == service else ""


# What trafficDistribution asks for: the endpoints of one's own zone, or node before that (K-0C).
SAME_ZONE = ("PreferClose", "PreferSameZone")
SAME_NODE = "PreferSameNode"


def hints(distribution: str, node: str, zone: str) -> dict[str, object]:
    """For whom a ready endpoint is meant; empty for everybody (K-0C)."""
    made: dict[str, object] = {}
    if zone and distribution in (*SAME_ZONE, SAME_NODE):
        made["forZones"] = [{"name": zone}]
    if node and distribution == SAME_NODE:
        made["forNodes"] = [{"name": node}]
    return made


def endpoint(service: Json, member: Member, zone: str, *, unready: bool) -> dict[str, object]:
    """The pod as an endpoint of a slice (K-03, K-0B); `unready` if it is wanted anyway."""
    ready = unready or (member.serving and not member.terminating)
    made: dict[str, object] = {
        "addresses": [member.ip],
        "conditions": {
            "ready": ready,
            "serving": member.serving,
            "terminating": member.terminating,
        },
        "targetRef": member.reference,
    }
    hostname = endpoint_hostname(name_of(service), member)
    if hostname:
        made["hostname"] = hostname
    if member.node:
        made["nodeName"] = member.node
    if zone:
        made["zone"] = zone
    distribution = text(spec(service), "trafficDistribution")
    if distribution and ready:
        meant = hints(distribution, member.node, zone)
        if meant:
            made["hints"] = meant
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


def families(service: Json, members: Iterable[Member], zones: Mapping[str, str]) -> list[Family]:
    """The members' endpoints by what ports they serve, each family by address.

    `zones` has every node, with its zone or an empty text. A pod on a node that does not exist is
    left out, unless unready ones are wanted (K-0A).
    """
    ports = items(spec(service), "ports")
    unready, named = publishes_unready(service), has_named_ports(service)
    shared = Family([] if named else _ports(ports, EMPTY), [])
    found: dict[str, Family] = {}
    for member in members:
        zone = zones.get(member.node)
        if zone is None and member.node and not unready:
            continue
        family = shared
        if named:
            own = _ports(ports, member.pod)
            family = found.setdefault(port_map(own), Family(own, []))
        family.endpoints.append(endpoint(service, member, zone or "", unready=unready))
    made = [family for family in (shared, *found.values()) if family.endpoints]
    for family in made:
        family.endpoints.sort(key=lambda e: str(e["addresses"]))
    return made


def _ports(ports: Iterable[Json], pod: Json) -> list[Json]:
    return [
        endpoint_port(port, number)
        for port in ports
        if (number := resolve_port(port, pod)) is not None
    ]
