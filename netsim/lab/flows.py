"""Tracked connections as clients of the lab see them: chosen by a query, a line of JSON each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Protocol

import msgspec

from netsim.api.addresses import format_address, parse_address
from netsim.dataplane.messages import Flows
from netsim.dataplane.records import FlowFilter, FlowKey
from netsim.dataplane.rows import PROTOCOLS
from netsim.errors import UsageError
from netsim.server.client import ApiClient

PROTOCOL_NAMES = {number: name for name, number in PROTOCOLS.items()}
PROTOCOL_MAX, PORT_MAX = 255, 65535
NS_PER_S = 1_000_000_000
# What may be asked for, beside `node`: a field of a flow's keys, or of the flow.
MATCHES = (
    "protocol",
    "state",
    "src",
    "dst",
    "sport",
    "dport",
    "replySrc",
    "replyDst",
    "replySport",
    "replyDport",
)


class Tuple(msgspec.Struct, frozen=True, rename="camel"):
    """One direction. Of ICMP the source port of requests is the identifier."""

    source: str
    destination: str
    source_port: int
    destination_port: int


class Flow(msgspec.Struct, frozen=True, rename="camel"):
    """A tracked connection; `service` is empty if the destination was not translated."""

    node: str
    protocol: str
    state: str
    original: Tuple
    reply: Tuple
    translated: bool
    masqueraded: bool
    replied: bool
    assured: bool
    service: str
    expires_seconds: int

    @property
    def protocol_number(self) -> int:
        """IANA's."""
        return _protocol(self.protocol)


class Source(Protocol):
    """Hands out a node's connections part by part: the data plane's client."""

    def flows(self, node: str, match: FlowFilter) -> AsyncIterator[Flows]:
        """The connections that match."""
        ...


_encoder, _decoder = msgspec.json.Encoder(), msgspec.json.Decoder(Flow)


def flow_filter(query: Mapping[str, str]) -> FlowFilter:
    """What a query of MATCHES means. UsageError names the one that is wrong."""
    return FlowFilter(
        FlowKey(
            _address(query, "src"),
            _address(query, "dst"),
            _number(query, "sport", PORT_MAX),
            _number(query, "dport", PORT_MAX),
            _protocol(query.get("protocol", "")),
        ),
        FlowKey(
            _address(query, "replySrc"),
            _address(query, "replyDst"),
            _number(query, "replySport", PORT_MAX),
            _number(query, "replyDport", PORT_MAX),
            0,
        ),
        query.get("state", "").upper(),
    )


async def flow_lines(
    source: Source, nodes: Sequence[str], match: FlowFilter
) -> AsyncIterator[bytes]:
    """The connections of nodes as lines of JSON, in pieces as the data plane hands them out."""
    for node in nodes:
        async for part in source.flows(node, match):
            yield _encoder.encode_lines(_flows(node, part))


def tracked(api: ApiClient, nodes: Sequence[str], match: Mapping[str, str | int]) -> Iterator[Flow]:
    """Connections of nodes (none named: of all) that match. NotFoundError, UsageError."""
    query: dict[str, str | int | None] = {"node": ",".join(nodes) or None, **match}
    for line in api.stream("GET", "/netsim/flows", query):
        yield _decoder.decode(line)


def _flows(node: str, part: Flows) -> list[Flow]:
    return [
        Flow(
            node,
            PROTOCOL_NAMES.get(flow.original.proto, str(flow.original.proto)),
            flow.state,
            _tuple(flow.original),
            _tuple(flow.reply),
            flow.translated,
            flow.masqueraded,
            flow.seen_reply,
            flow.assured,
            part.services.get(flow.service, ""),
            max(0, (flow.expires_ns - part.now_ns) // NS_PER_S),
        )
        for flow in part.flows
    ]


def _tuple(key: FlowKey) -> Tuple:
    return Tuple(format_address(key.src), format_address(key.dst), key.sport, key.dport)


def _address(query: Mapping[str, str], name: str) -> int:
    try:
        return parse_address(query[name]) if name in query else 0
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from None


def _number(query: Mapping[str, str], name: str, highest: int) -> int:
    value = query.get(name, "0")
    if not (value.isascii() and value.isdecimal() and int(value[:9]) <= highest):
        raise UsageError(f"{name}: {value!r} is not a number up to {highest}")
    return int(value)


def _protocol(name: str) -> int:
    known = PROTOCOLS.get(name.upper())
    return _number({"protocol": name or "0"}, "protocol", PROTOCOL_MAX) if known is None else known
