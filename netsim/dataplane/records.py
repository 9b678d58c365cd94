"""Records: what the binding takes and returns besides rows, as NamedTuples with host order numbers.

Where rows.py names nodes and pods by name, records name them by the engine's ids. Drop reasons,
stages, events, states and kinds are the C core's own names for them.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Role = Literal["pod", "stack", "tunnel", "wire"]
RouteKind = Literal["pod", "stack", "peer", "unreachable", "service-range"]


class RouteRecord(NamedTuple):
    """A route of the shared table or a node's own.

    `target` is the pod's iface id (kind `pod`) or the position among the peers (kind `peer`).
    """

    prefix: int
    length: int
    kind: RouteKind
    target: int = 0


class PeerRecord(NamedTuple):
    """The far end of a wire. `node` is its engine id, None if it is not in this process."""

    address: int
    port: int
    mac: bytes
    node: int | None


class FlowKey(NamedTuple):
    """What names a connection in one direction; for ICMP echo the ports hold the identifier."""

    src: int
    dst: int
    sport: int
    dport: int
    proto: int


class FlowRecord(NamedTuple):
    """One tracked connection: as it arrived, and as answers arrive.

    `service` is the service row's id, 0 if the destination was not translated; `expires_ns` is on
    the engine's clock (CLOCK_MONOTONIC, or the steps').
    """

    original: FlowKey
    reply: FlowKey
    state: str
    translated: bool
    masqueraded: bool
    seen_reply: bool
    assured: bool
    service: int
    expires_ns: int


ANY_KEY = FlowKey(0, 0, 0, 0, 0)


class FlowFilter(NamedTuple):
    """Which connections are meant: what is zero in a key, and no state, match any."""

    original: FlowKey = ANY_KEY
    reply: FlowKey = ANY_KEY
    state: str = ""


class TraceRecord(NamedTuple):
    """What one stage did with one marked packet; `object` and `detail` depend on `event`."""

    time_ns: int
    revision: int
    trace_id: int
    node: int
    iface: int
    stage: str
    event: str
    object: int
    detail: int
    length: int
    before: FlowKey
    after: FlowKey


class TraceFilter(NamedTuple):
    """Which packets to mark; zero matches anything. `limit` packets are marked, 0: all."""

    src: int = 0
    dst: int = 0
    sport: int = 0
    dport: int = 0
    proto: int = 0
    limit: int = 0


class NodeStats(NamedTuple):
    """Counters of one node since it was added; `drops` has every reason's name."""

    drops: dict[str, int]
    packets: int
    flows: int  # known now
    flows_new: int
    flows_expired: int
    flows_stale: int
    service_hits: int
    service_rejects: int
    affinity_hits: int
    affinity_evicted: int
    masquerade_collisions: int
    localhost_node_ports: int
    icmp_errors_sent: int
    icmp_errors_translated: int


class IfaceStats(NamedTuple):
    """Counters of one iface: rx is into the node, tx out of it."""

    rx_packets: int
    rx_bytes: int
    tx_packets: int
    tx_bytes: int
    rx_segments: int
    tx_segments: int
    tx_drops: int


class EngineInfo(NamedTuple):
    """Memory in bytes, pieces of retired memory that still wait, and how I/O is done."""

    tables_bytes: int
    flows_bytes: int
    retired_waiting: int
    services: int
    workers: int
    io: str  # "io_uring" or "epoll"
    io_errno: int  # what io_uring was refused with; 0: it was not, or nobody asked for it


class Meta(NamedTuple):
    """What accompanies a packet at an in-memory iface: virtio's fields and the outer addresses."""

    gso_type: int = 0
    needs_csum: bool = False
    mark: bool = False
    gso_size: int = 0
    csum_start: int = 0
    csum_offset: int = 0
    hdr_len: int = 0
    outer_src: int = 0
    outer_dst: int = 0
    outer_sport: int = 0
    outer_dport: int = 0
