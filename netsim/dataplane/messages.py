"""Messages between control and the data plane process, and how they lie on the socket.

A stream socket; each message is its length (4 bytes, network order) and MessagePack. Requests are
answered one by one in order, each with its own answer or with `Failed`. Rows and records travel as
they are. A descriptor that belongs to a message goes with that message's bytes (SCM_RIGHTS).
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import msgspec

from netsim.dataplane.records import (
    EngineInfo,
    FlowFilter,
    FlowKey,
    FlowRecord,
    IfaceStats,
    NodeStats,
    TraceFilter,
)
from netsim.dataplane.rows import Changes, Tables

LENGTH_BYTES = 4
LENGTH_MAX = 1 << 30


class Message(msgspec.Struct, frozen=True, tag=True):
    """What travels; the class's name is its tag."""


class Hello(Message, frozen=True):
    """From control, first of all: what the engine must be. Answer: Welcome.

    Failed if it runs otherwise: the process then ends, and the next one will do.
    """

    workers: int
    seed: int
    wire: str
    io: str = "auto"
    polling: str = "sleep"


class Welcome(Message, frozen=True):
    """`boot_id` is new in every process; `revision` is what was published last, 0 for nothing."""

    pid: int
    boot_id: str
    revision: int


class GetTables(Message, frozen=True):
    """What is applied, for a control that has just started. Answer: TablesAre."""


class TablesAre(Message, frozen=True):
    """Rows that are in place."""

    tables: Tables


class Apply(Message, frozen=True):
    """Put changes in place and publish them as `revision`. Answer: Applied.

    Changes are to what the connection knows: nothing at first (what the first Apply does not name
    is removed), or what TablesAre has told.
    """

    changes: Changes
    revision: int


class Applied(Message, frozen=True):
    """Every node runs the revision. `problems`: one line per row that was left out, and why.

    With problems, what is applied is not what was asked: send the same again, or ask GetTables.
    """

    revisions: dict[str, int]
    problems: list[str]


class GetStats(Message, frozen=True):
    """Counters. Answer: Stats."""


class Stats(Message, frozen=True):
    """By node name, and by iface: "pod/NS/NAME" or "node/NAME/cni", "/tunnel", "/wire"."""

    nodes: dict[str, NodeStats]
    ifaces: dict[str, IfaceStats]


class GetFlows(Message, frozen=True):
    """A part of a node's tracked connections, from `cursor` on. Answer: Flows."""

    node: str
    cursor: int = 0
    match: FlowFilter | None = None


class Flows(Message, frozen=True):
    """`now_ns` is the clock that `expires_ns` is on; `services` names the ids that occur.

    `cursor` is where the next part begins, 0 after the last; a part may be empty.
    """

    flows: list[FlowRecord]
    now_ns: int
    services: dict[int, str]
    cursor: int = 0


class ClearFlows(Message, frozen=True):
    """Forget the connections of a node. Answer: Done."""

    node: str


class Trace(Message, frozen=True):
    """Mark packets that match, at one node or (empty name) all; None: no more. Answer: Done."""

    node: str
    match: TraceFilter | None


class TraceDrain(Message, frozen=True):
    """Take decision records out. Answer: Decisions."""


class Decision(NamedTuple):
    """What one stage did with one marked packet, in names.

    `subject` is what the event is about: a service, peer, iface, route kind or drop reason; empty
    where there is nothing to name. `detail` is as csrc/trace.h says.
    """

    time_ns: int
    revision: int
    trace_id: int
    node: str
    iface: str
    stage: str
    event: str
    subject: str
    detail: int
    length: int
    before: FlowKey
    after: FlowKey


class Decisions(Message, frozen=True):
    """Oldest first; `missed` were overwritten before they were drained."""

    records: list[Decision]
    missed: int


class CaptureStart(Message, frozen=True):
    """Write pcapng to the descriptor that comes along. Answer: CaptureStarted.

    `target` is an iface as in Stats, "pod/NS/NAME" or "node/NAME" (its wire). The capture ends
    with CaptureStop, when the file's reader goes, or with the connection that asked for it.
    """

    target: str
    snaplen: int = 0


class CaptureStarted(Message, frozen=True):
    """The capture runs."""

    id: int


class CaptureStop(Message, frozen=True):
    """End a capture. Answer: CaptureStopped."""

    id: int


class CaptureStopped(Message, frozen=True):
    """Packets written to the file, and those that it had no room for."""

    captured: int
    missed: int


class GetInfo(Message, frozen=True):
    """Memory and I/O. Answer: Info."""


class Info(Message, frozen=True):
    """`open_files` are the process's descriptors."""

    engine: EngineInfo
    pid: int
    uptime_s: float
    open_files: int


class GetRevisions(Message, frozen=True):
    """Answer: Revisions."""


class Revisions(Message, frozen=True):
    """The revision that each node runs."""

    nodes: dict[str, int]


class Done(Message, frozen=True):
    """It is done."""


class Failed(Message, frozen=True):
    """The request was refused; `kind` is not-found, invalid or failed."""

    kind: str
    text: str


Request = (
    Hello
    | GetTables
    | Apply
    | GetStats
    | GetFlows
    | ClearFlows
    | Trace
    | TraceDrain
    | CaptureStart
    | CaptureStop
    | GetInfo
    | GetRevisions
)
Reply = (
    Welcome
    | TablesAre
    | Applied
    | Stats
    | Flows
    | Decisions
    | CaptureStarted
    | CaptureStopped
    | Info
    | Revisions
    | Done
    | Failed
)
T = TypeVar("T")

encoder = msgspec.msgpack.Encoder()
request_decoder: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
reply_decoder: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)


def pack(message: Message) -> bytes:
    """A message as it lies on the socket."""
    body = encoder.encode(message)
    return len(body).to_bytes(LENGTH_BYTES) + body


def take(buffer: bytearray) -> bytes | None:
    """Remove the first whole message from what has been received; None if there is none yet.

    ValueError: the length can not be right.
    """
    length = int.from_bytes(buffer[:LENGTH_BYTES])
    if length > LENGTH_MAX:
        raise ValueError(f"message of {length} bytes")
    end = LENGTH_BYTES + length
    if len(buffer) < max(end, LENGTH_BYTES):
        return None
    body = bytes(buffer[LENGTH_BYTES:end])
    del buffer[:end]
    return body
