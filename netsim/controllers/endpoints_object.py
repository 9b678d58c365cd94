"""The Endpoints object of a service, and what another one's would be as slices. K-04, K-01."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from netsim.api.fields import EMPTY, Json, items, mapping, text
from netsim.api.meta import annotations_of, labels_of, name_of, namespace_of
from netsim.controllers.base import Create, Update, Write
from netsim.controllers.members import (
    Member,
    endpoint_hostname,
    endpoint_port,
    has_named_ports,
    publishes_unready,
    resolve_port,
)
from netsim.controllers.objects import deleting, spec, with_metadata
from netsim.controllers.slices import TRIGGER_TIME, Family, port_map

MAX_ADDRESSES = 1000
CAPACITY = "endpoints.kubernetes.io/over-capacity"
MANAGED_BY = "endpoints.kubernetes.io/managed-by"
CONTROLLER = "endpoint-controller"
HEADLESS = "service.kubernetes.io/headless"
SKIP_MIRROR = "endpointslice.kubernetes.io/skip-mirror"

Address = tuple[str, str]


def reconcile(
    stored: Json | None, service: Json, members: Iterable[Member], trigger_time: str
) -> list[Write]:
    """The write that brings the service's Endpoints object in line, if one is due."""
    found, truncated = subsets(service, members)
    labels = {**labels_of(service), MANAGED_BY: CONTROLLER}
    labels.pop(HEADLESS, None)
    if text(spec(service), "clusterIP") == "None":
        labels[HEADLESS] = ""
    annotations = {
        k: v
        for k, v in (annotations_of(stored) if stored is not None else {}).items()
        if k != CAPACITY
    }
    if truncated:
        annotations[CAPACITY] = "truncated"
    if (
        stored is not None
        and list(items(stored, "subsets")) == found
        and labels_of(stored) == labels
        and annotations_of(stored) == annotations
    ):
        return []
    if trigger_time:
        annotations[TRIGGER_TIME] = trigger_time
    name, namespace = name_of(service), namespace_of(service)
    base = stored or {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": name, "namespace": namespace},
    }
    made = with_metadata(base, labels=labels, annotations=annotations or None)
    made["subsets"] = found
    return [Create(made) if stored is None else Update(made)]


def subsets(service: Json, members: Iterable[Member]) -> tuple[list[Json], bool]:
    """The subsets, and whether addresses had to be left out.

    Ports that the same addresses serve, equally ready, share a subset. Ready addresses are kept
    first when there are more than 1000.
    """
    name, unready = name_of(service), publishes_unready(service)
    shared = None if has_named_ports(service) else _port_lists(service, EMPTY)
    addresses: dict[Address, Json] = {}
    by_port: dict[tuple[object, object], tuple[list[Json], dict[Address, bool]]] = {}
    for member in members:
        if member.terminating and not unready:
            continue
        key = (member.ip, member.uid)
        addresses[key] = _address(name, member)
        for ports in _port_lists(service, member.pod) if shared is None else shared:
            first = ports[0] if ports else EMPTY
            port = (first.get("name"), first.get("port"))
            by_port.setdefault(port, (ports, {}))[1][key] = unready or member.serving
    merged: dict[frozenset[tuple[Address, bool]], list[Json]] = {}
    for ports, states in by_port.values():
        merged.setdefault(frozenset(states.items()), []).extend(ports)
    total = {state for states in merged for state in states}
    kept = _kept(total)
    made: list[Json] = [
        _subset(addresses, states & kept, ports) for states, ports in merged.items()
    ]
    return sorted(filter(None, made), key=lambda s: str(s.get("ports"))), len(kept) < len(total)


def _port_lists(service: Json, pod: Json) -> list[list[Json]]:
    """One list per port that the pod serves; a service without ports has one empty list."""
    ports = items(spec(service), "ports")
    if not ports:
        return [[]]
    return [
        [{k: v for k, v in endpoint_port(port, number).items() if v != ""}]
        for port in ports
        if (number := resolve_port(port, pod)) is not None
    ]


def _kept(members: set[tuple[Address, bool]]) -> set[tuple[Address, bool]]:
    ordered = sorted(members, key=lambda m: (not m[1], m[0]))
    return set(ordered[:MAX_ADDRESSES])


def _address(service: str, member: Member) -> dict[str, object]:
    made: dict[str, object] = {"ip": member.ip}
    hostname = endpoint_hostname(service, member)
    if hostname:
        made["hostname"] = hostname
    if member.node:
        made["nodeName"] = member.node
    made["targetRef"] = member.reference
    return made


def _subset(
    addresses: Mapping[Address, Json], members: Iterable[tuple[Address, bool]], ports: list[Json]
) -> dict[str, object]:
    """A subset; empty fields are left out, and a subset without addresses is empty."""
    ordered = sorted(members)
    fields: dict[str, object] = {
        "addresses": [addresses[key] for key, ready in ordered if ready],
        "notReadyAddresses": [addresses[key] for key, ready in ordered if not ready],
        "ports": sorted(ports, key=str),
    }
    return {k: v for k, v in fields.items() if v} if ordered else {}


def is_mirrored(endpoints: Json) -> bool:
    """Whether a hand-made Endpoints object is to be seen as slices."""
    return labels_of(endpoints).get(SKIP_MIRROR) != "true" and not deleting(endpoints)


def mirror_families(endpoints: Json) -> list[Family]:
    """The slices' content for a hand-made Endpoints object: a family per port map."""
    found: dict[str, Family] = {}
    for subset in items(endpoints, "subsets"):
        ports = [
            {"name": text(p, "name"), "port": p.get("port"), "protocol": text(p, "protocol", "TCP")}
            for p in items(subset, "ports")
        ]
        family = found.setdefault(port_map(ports), Family(ports, []))
        for field, ready in (("addresses", True), ("notReadyAddresses", False)):
            members = items(subset, field)[: MAX_ADDRESSES - len(family.endpoints)]
            family.endpoints += [_mirrored(address, ready=ready) for address in members]
    return list(found.values())


def _mirrored(address: Json, *, ready: bool) -> dict[str, object]:
    made: dict[str, object] = {
        "addresses": [text(address, "ip")],
        "conditions": {"ready": ready},
    }
    for field in ("hostname", "nodeName"):
        if text(address, field):
            made[field] = text(address, field)
    if mapping(address, "targetRef"):
        made["targetRef"] = mapping(address, "targetRef")
    return made
