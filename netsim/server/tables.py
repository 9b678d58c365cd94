"""The columns of every kind, as data, and Table objects made from them.

The same tables are what kubectl shows and what `netsim get` shows. Columns of priority 1 appear
only with `-o wide`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from netsim.api.fields import Json, mapping, number, strings, text, texts
from netsim.api.lab_spec import Lab
from netsim.api.meta import metadata
from netsim.server import cells
from netsim.server.ages import age
from netsim.server.cells import NONE, Cell, spec, status
from netsim.server.query import Include

AGE_TEXT = "Time since the object was created."


class Column(NamedTuple):
    """A column: how it is named and what it says about an object at a time."""

    name: str
    cell: Callable[[Json, datetime], Cell]
    type: str = "string"
    priority: int = 0
    text: str = ""
    format: str = ""

    def definition(self) -> dict[str, object]:
        """As `columnDefinitions` has it."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.text,
            "priority": self.priority,
        }


def _plain(cell: Callable[[Json], Cell]) -> Callable[[Json, datetime], Cell]:
    return lambda obj, _: cell(obj)


def _column(name: str, cell: Callable[[Json], Cell], text: str = "") -> Column:
    return Column(name, _plain(cell), text=text)


def _wide(name: str, cell: Callable[[Json], Cell], text: str = "") -> Column:
    return Column(name, _plain(cell), priority=1, text=text)


def _count(name: str, cell: Callable[[Json], Cell], text: str = "") -> Column:
    return Column(name, _plain(cell), "integer", text=text)


def _restarts(obj: Json, now: datetime) -> Cell:
    count, last = cells.pod_restarts(obj), cells.last_restart(obj)
    return f"{count} ({age(last, now)} ago)" if count and last else str(count)


NAME = Column("Name", _plain(cells.name), format="name", text="The object's name.")
AGE = Column("Age", lambda o, now: age(text(metadata(o), "creationTimestamp"), now), text=AGE_TEXT)
TEMPLATE = (
    _wide("Containers", lambda o: cells.containers(o, "name"), "Containers of each pod."),
    _wide("Images", lambda o: cells.containers(o, "image"), "Their images, which a lab ignores."),
    _wide("Selector", cells.selector, "Which pods belong to it."),
)

COLUMNS: Mapping[str, tuple[Column, ...]] = {
    "Lab": (
        NAME,
        _column("Backend", lambda o: Lab.parse(o).backend.name, "How nodes are joined."),
        _column("Wire", lambda o: Lab.parse(o).wire, "What carries packets."),
        _column("Pod-CIDR", lambda o: str(Lab.parse(o).pod_cidr), "Addresses of pods."),
        _column("Service-CIDR", lambda o: str(Lab.parse(o).service_cidr), "ClusterIPs."),
        AGE,
    ),
    "Node": (
        NAME,
        _column("Status", cells.node_status, "Whether the node is ready."),
        _column("Roles", cells.node_roles, "Roles, from labels."),
        AGE,
        _column("Version", lambda o: cells.node_info(o, "kubeletVersion"), "Of the node agent."),
        _wide("Internal-IP", lambda o: cells.address(o, "InternalIP"), "On the underlay."),
        _wide("External-IP", lambda o: cells.address(o, "ExternalIP"), "From outside."),
        _wide("Pod-CIDR", lambda o: text(spec(o), "podCIDR") or NONE, "Addresses of its pods."),
    ),
    "Namespace": (
        NAME,
        _column("Status", lambda o: text(status(o), "phase") or "Active", "Active, Terminating."),
        AGE,
    ),
    "ServiceCIDR": (
        NAME,
        _column("CIDRs", lambda o: ",".join(texts(spec(o), "cidrs")), "ClusterIPs."),
        AGE,
    ),
    "Pod": (
        NAME,
        _column("Ready", cells.pod_ready, "Ready containers of all."),
        _column("Status", cells.pod_status, "The phase, or what is in its way."),
        Column("Restarts", _restarts, text="How often containers were started again."),
        AGE,
        _wide("IP", lambda o: text(status(o), "podIP") or NONE, "The pod's address."),
        _wide("Node", lambda o: text(spec(o), "nodeName") or NONE, "Where the pod runs."),
    ),
    "Service": (
        NAME,
        _column("Type", lambda o: text(spec(o), "type") or "ClusterIP", "How it is exposed."),
        _column("Cluster-IP", lambda o: text(spec(o), "clusterIP") or NONE, "Its address."),
        _column("External-IP", cells.external_addresses, "Addresses outside the cluster."),
        _column("Port(s)", cells.service_ports, "Ports and protocols."),
        AGE,
        _wide("Selector", lambda o: cells.pairs(strings(spec(o), "selector")), "Pods behind it."),
    ),
    "Endpoints": (
        NAME,
        _column("Endpoints", cells.endpoints_addresses, "Ready addresses with ports."),
        AGE,
    ),
    "EndpointSlice": (
        NAME,
        _column("AddressType", lambda o: text(o, "addressType"), "IPv4, IPv6 or FQDN."),
        _column("Ports", cells.slice_ports, "Port numbers."),
        _column("Endpoints", cells.slice_endpoints, "Addresses."),
        AGE,
    ),
    "Deployment": (
        NAME,
        _column(
            "Ready",
            lambda o: f"{number(status(o), 'readyReplicas')}/{number(spec(o), 'replicas', 1)}",
            "Ready pods of those wanted.",
        ),
        _count("Up-to-date", lambda o: number(status(o), "updatedReplicas"), "Of this template."),
        _count("Available", lambda o: number(status(o), "availableReplicas"), "Ready long enough."),
        AGE,
        *TEMPLATE,
    ),
    "ReplicaSet": (
        NAME,
        _count("Desired", lambda o: number(spec(o), "replicas", 1), "Pods wanted."),
        _count("Current", lambda o: number(status(o), "replicas"), "Pods that exist."),
        _count("Ready", lambda o: number(status(o), "readyReplicas"), "Pods that are ready."),
        AGE,
        *TEMPLATE,
    ),
}


def columns(kind: str) -> tuple[Column, ...]:
    """The columns of a kind; name and age for one without its own."""
    return COLUMNS.get(kind, (NAME, AGE))


def table(
    kind: str,
    objects: Sequence[Json],
    now: datetime,
    *,
    include: Include = "Metadata",
    list_metadata: Json | None = None,
    header: bool = True,
) -> dict[str, object]:
    """A `meta.k8s.io/v1` Table with one row per object.

    `include` says what each row carries besides its cells; without `header` the columns are not
    defined again (later events of a watch).
    """
    shown = columns(kind)
    rows = [
        {"cells": [c.cell(obj, now) for c in shown], **_row_object(obj, include)} for obj in objects
    ]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": list_metadata if list_metadata is not None else {},
        "columnDefinitions": [c.definition() for c in shown] if header else None,
        "rows": rows,
    }


def _row_object(obj: Json, include: Include) -> dict[str, object]:
    if include == "None":
        return {}
    if include == "Object":
        return {"object": obj}
    head = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
    return {"object": {**head, "metadata": dict(mapping(obj, "metadata"))}}
