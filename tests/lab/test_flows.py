"""Tracked connections: what a query means, and their lines as conntrack-tools print them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from netsim.cli.conntrack import conntrack_line
from netsim.dataplane.messages import Flows
from netsim.dataplane.records import FlowFilter, FlowKey, FlowRecord
from netsim.errors import UsageError
from netsim.lab.flows import MATCHES, Flow, flow_filter, flow_lines

POD, VIP, POD2 = 0x0AF40102, 0x0A600001, 0x0AF40203
NOW_NS = 50_000_000_000


def record(proto: int, state: str, *flags: str, ports: tuple[int, int] = (40000, 80)) -> FlowRecord:
    sport, dport = ports
    return FlowRecord(
        FlowKey(POD, VIP, sport, dport, proto),
        FlowKey(POD2, POD, 8080 if dport else 0, sport, proto),
        state,
        translated="translated" in flags,
        masqueraded=False,
        seen_reply="seen_reply" in flags,
        assured="assured" in flags,
        service=7 if "translated" in flags else 0,
        expires_ns=NOW_NS + 119_900_000_000,
    )


class Client:
    """Hands out parts, as the data plane does."""

    def __init__(self, *parts: list[FlowRecord]) -> None:
        self.parts = parts

    async def flows(self, node: str, match: FlowFilter) -> AsyncIterator[Flows]:
        assert (node, match) == ("node1", FlowFilter())
        for part in self.parts:
            yield Flows(part, NOW_NS, {7: "default/web:http"})


def listed(*parts: list[FlowRecord]) -> list[Flow]:
    async def gather() -> bytes:
        lines = flow_lines(Client(*parts), ["node1"], FlowFilter())
        return b"".join([line async for line in lines])

    return [msgspec.json.decode(line, type=Flow) for line in asyncio.run(gather()).splitlines()]


BACK = "src=10.244.2.3 dst=10.244.1.2 "
LINES = [
    (
        record(6, "SYN_SENT", "translated"),
        "tcp      6 119 SYN_SENT src=10.244.1.2 dst=10.96.0.1 sport=40000 dport=80 [UNREPLIED] "
        + BACK
        + "sport=8080 dport=40000 mark=0 use=1",
    ),
    (
        record(17, "REPLIED", "seen_reply", "assured"),
        "udp      17 119 src=10.244.1.2 dst=10.96.0.1 sport=40000 dport=80 "
        + BACK
        + "sport=8080 dport=40000 [ASSURED] mark=0 use=1",
    ),
    (
        record(132, "NEW"),
        "sctp     132 119 COOKIE_WAIT src=10.244.1.2 dst=10.96.0.1 sport=40000 dport=80 "
        "[UNREPLIED] " + BACK + "sport=8080 dport=40000 mark=0 use=1",
    ),
    (
        record(1, "REPLIED", "seen_reply", ports=(77, 0)),
        "icmp     1 119 src=10.244.1.2 dst=10.96.0.1 type=8 code=0 id=77 "
        + BACK
        + "type=0 code=0 id=77 mark=0 use=1",
    ),
    (
        record(47, "NEW", ports=(0, 0)),
        "unknown  47 119 src=10.244.1.2 dst=10.96.0.1 [UNREPLIED] " + BACK + "mark=0 use=1",
    ),
]


def test_lines_are_those_of_conntrack() -> None:
    assert [conntrack_line(flow) for flow in listed([r for r, _ in LINES])] == [t for _, t in LINES]


def test_parts_become_one_list_with_names() -> None:
    one, two = record(6, "SYN_SENT", "translated"), record(17, "NEW")
    assert [(f.node, f.service) for f in listed([one], [], [two])] == [
        ("node1", "default/web:http"),
        ("node1", ""),
    ]


def test_a_query_names_fields_of_both_keys() -> None:
    asked = dict.fromkeys(MATCHES, "9") | {
        "protocol": "udp",
        "state": "new",
        "src": "10.244.1.2",
        "dst": "10.96.0.1",
        "replySrc": "10.244.2.3",
        "replyDst": "10.244.1.2",
    }
    assert flow_filter({}) == FlowFilter()
    assert flow_filter(asked) == FlowFilter(
        FlowKey(POD, VIP, 9, 9, 17), FlowKey(POD2, POD, 9, 9, 0), "NEW"
    )
    assert flow_filter({"protocol": "47"}).original.proto == 47


@pytest.mark.parametrize(
    ("name", "value"),
    [("src", "10.0.0.300"), ("replyDst", ""), ("sport", "65536"), ("dport", "http"),
     ("replySport", "-1"), ("protocol", "quic"), ("protocol", "256"), ("sport", "9" * 5000)],
)  # fmt: skip
def test_nonsense_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=f"^{name}: "):
        flow_filter({name: value})
