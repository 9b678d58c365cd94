"""Messages arrive as they were sent, however the stream is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.dataplane import messages as m
from netsim.dataplane.plan import plan
from netsim.dataplane.records import (
    EngineInfo,
    FlowFilter,
    FlowKey,
    FlowRecord,
    IfaceStats,
    NodeStats,
    TraceFilter,
)
from netsim.dataplane.rows import Tables
from tests.dataplane.strategies import tables

KEY = FlowKey(0x0AF40102, 0x0A600001, 40000, 80, 6)
FLOW = FlowRecord(KEY, KEY, "established", True, False, True, True, 7, 2**63)
STATS = NodeStats({"spoofed": 3}, *range(13))

REQUESTS: list[m.Message] = [
    m.Hello(2, 2**63, "udp"),
    m.GetTables(),
    m.GetStats(),
    m.GetFlows("n1"),
    m.GetFlows("n1", 5, FlowFilter(KEY, state="ESTABLISHED")),
    m.ClearFlows("n1"),
    m.Trace("", TraceFilter(dport=80)),
    m.Trace("n1", None),
    m.TraceDrain(),
    m.CaptureStart("pod/default/web", 96),
    m.CaptureStop(4),
    m.GetInfo(),
    m.GetRevisions(),
]
REPLIES: list[m.Message] = [
    m.Welcome(1, "a", 2),
    m.Applied({"n1": 4}, ["pod default/x: gone"]),
    m.Stats({"n1": STATS}, {"pod/default/web": IfaceStats(*range(7))}),
    m.Flows([FLOW], 5, {7: "default/web:http"}),
    m.Decisions([m.Decision(1, 2, 3, "n1", "a", "b", "c", "", 4, 5, KEY, KEY)], 0),
    m.CaptureStarted(1),
    m.CaptureStopped(10, 1),
    m.Info(EngineInfo(1, 2, 3, 4, 5, "epoll", 1), 6, 7.5, 8),
    m.Revisions({"n1": 3}),
    m.Done(),
    m.Failed("not-found", "node n9 is not here"),
]


@pytest.mark.parametrize("message", REQUESTS, ids=lambda x: type(x).__name__)
def test_requests_arrive_as_sent(message: m.Message) -> None:
    body = m.take(bytearray(m.pack(message)))
    assert body is not None
    assert m.request_decoder.decode(body) == message


@pytest.mark.parametrize("message", REPLIES, ids=lambda x: type(x).__name__)
def test_replies_arrive_as_sent(message: m.Message) -> None:
    body = m.take(bytearray(m.pack(message)))
    assert body is not None
    assert m.reply_decoder.decode(body) == message


@given(tables())
def test_rows_arrive_as_rows(desired: Tables) -> None:
    apply = m.Apply(plan(Tables(), desired), 9)
    assert m.request_decoder.decode(m.encoder.encode(apply)) == apply
    told = m.TablesAre(desired)
    assert m.reply_decoder.decode(m.encoder.encode(told)) == told


@given(st.lists(st.sampled_from(REQUESTS), max_size=5), st.data())
def test_the_stream_may_be_cut_anywhere(sent: list[m.Message], data: st.DataObject) -> None:
    stream = b"".join(m.pack(message) for message in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    buffer, arrived = bytearray(), []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        buffer += stream[begin:end]
        while (body := m.take(buffer)) is not None:
            arrived.append(m.request_decoder.decode(body))
    assert arrived == sent
    assert not buffer


def test_an_impossible_length_is_refused() -> None:
    with pytest.raises(ValueError, match="message of 4294967295 bytes"):
        m.take(bytearray(b"\xff\xff\xff\xff"))
