"""Decisions: the engine's trace records with its ids turned into names. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from netsim.dataplane.messages import Decision
from netsim.dataplane.records import TraceRecord

EXTERNAL_NODE = 2**32 - 1
KINDS = dict(enumerate(("pod", "stack", "peer", "unreachable", "service-range")))  # route_kind
ICMP_TYPES = {3: "unreachable", 11: "time-exceeded", 12: "parameter-problem"}


class Names(NamedTuple):
    """What the numbers of one moment stand for."""

    nodes: Mapping[int, str]
    ifaces: Mapping[int, str]
    services: Mapping[int, str]
    reasons: Mapping[int, str]
    kinds: Mapping[int, str] = KINDS
    icmp_types: Mapping[int, str] = ICMP_TYPES


# Which numbers an event's object is one of; events that are not here have no object.
OBJECTS = {
    "decapsulated": "nodes",
    "encapsulated": "nodes",
    "flow-hit": "services",
    "flow-stale": "services",
    "flow-related": "services",
    "service-chosen": "services",
    "service-affine": "services",
    "service-relayed": "services",
    "service-rejected": "services",
    "routed": "kinds",
    "replied": "icmp_types",
    "forwarded": "ifaces",
    "dropped": "reasons",
}


def subject(record: TraceRecord, names: Names) -> str:
    """What the event is about; empty where it is about nothing (a flow without a service too)."""
    table: Mapping[int, str] = getattr(names, OBJECTS.get(record.event, ""), {})
    return table.get(record.object, str(record.object) if table and record.object else "")


def decision(record: TraceRecord, names: Names) -> Decision:
    """A record in names. Ids of what is gone meanwhile become numbers."""
    return Decision(
        record.time_ns,
        record.revision,
        record.trace_id,
        names.nodes.get(record.node, str(record.node)),
        names.ifaces.get(record.iface, str(record.iface)),
        record.stage,
        record.event,
        subject(record, names),
        record.detail,
        record.length,
        record.before,
        record.after,
    )
