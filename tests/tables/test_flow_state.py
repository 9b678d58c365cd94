"""States and timeouts of connections, against Linux's conntrack as its sources state it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.dataplane import _tables
from netsim.dataplane._tables import Arena, FlowTable

S = 1_000_000_000
TCP, UDP, ICMP, SCTP, GRE = 6, 17, 1, 132, 47
FLAGS = {"F": 1, "S": 2, "R": 4, "P": 8, "A": 16, "U": 32, "E": 64, "C": 128}
SHORT = {
    "sSS": "SYN_SENT",
    "sSR": "SYN_RECV",
    "sES": "ESTABLISHED",
    "sFW": "FIN_WAIT",
    "sCW": "CLOSE_WAIT",
    "sLA": "LAST_ACK",
    "sTW": "TIME_WAIT",
    "sCL": "CLOSE",
    "sS2": "SYN_SENT2",
}

# nf_conntrack_proto_tcp.c: by direction and kind, in the order of SHORT; IV invalid, IG ignored
KERNEL = {
    (False, "S"): "sSS sIG sIG sIG sIG sIG sSS sSS sS2",
    (False, "SA"): "sIV sSR sIV sIV sIV sIV sIV sIV sSR",
    (False, "FA"): "sIV sFW sFW sLA sLA sLA sTW sCL sIV",
    (False, "A"): "sIV sES sES sCW sCW sTW sTW sCL sIV",
    (False, "R"): "sCL sCL sCL sCL sCL sCL sCL sCL sCL",
    (True, "S"): "sS2 sIV sIV sIV sIV sIV sSS sIV sS2",
    (True, "SA"): "sSR sIG sIG sIG sIG sIG sIG sIG sSR",
    (True, "FA"): "sIV sFW sFW sLA sLA sLA sTW sCL sIV",
    (True, "A"): "sIG sSR sES sCW sCW sTW sTW sCL sIG",
    (True, "R"): "sCL sCL sCL sCL sCL sCL sCL sCL sCL",
}


def bits(flags: str) -> int:
    return sum(FLAGS[c] for c in flags)


def connection(proto: int, state: str, now: int = 0) -> tuple[FlowTable, list[_tables.Key]]:
    """A table with one flow, and its keys by direction."""
    table = FlowTable(Arena(-1, 1 << 20), 1, 10, 1)
    keys = [(1, 2, 3, 4, proto), (9, 1, 4, 3, proto)]
    table.insert(keys[0], keys[1], state, now)
    return table, keys


@pytest.mark.parametrize("reply", [False, True])
@pytest.mark.parametrize("kind", ["S", "SA", "FA", "A", "R"])
@pytest.mark.parametrize("old", SHORT)
def test_tcp_steps_as_the_kernels_table_says(old: str, kind: str, reply: bool) -> None:
    expected = KERNEL[reply, kind].split()[list(SHORT).index(old)]
    for extra in ["", "P", "E", "C"]:
        table, keys = connection(TCP, SHORT[old])
        before = table.walk(1)[0]
        result = table.advance(keys[reply], bits(kind + extra), S)
        after = table.walk(1)[0]
        if expected == "sIV":
            assert (result, after) == ("invalid", before)
        elif expected == "sIG":
            assert (result, after[5]) == (SHORT[old], before[5])
            assert after[3] == reply  # an answer was seen all the same
        elif expected == "sSS" and old != "sSS":
            assert (result, after) == ("reopens", before)
        elif expected == "sSS":  # said again: renews nothing
            assert (result, after) == ("SYN_SENT", before)
        else:
            timeout = _tables.timeout_s(TCP, SHORT[expected], reply)
            assert (result, after[5]) == (SHORT[expected], S + timeout * S)


KINDS = {"S", "SU", "SA", "FA", "FAU", "A", "AU", "R", "RA"}


@given(st.sets(st.sampled_from("FSRAU")), st.sets(st.sampled_from("PEC")))
def test_tcp_flags_that_do_not_go_together_are_invalid(flags: set[str], extra: set[str]) -> None:
    sensible = any(set(kind) == flags for kind in KINDS)
    table, keys = connection(TCP, "ESTABLISHED")
    result = table.advance(keys[1], bits("".join(flags | extra)), S)
    reply_syn = flags in ({"S"}, {"S", "U"})  # fits no answer in an established connection
    assert (result == "invalid") == (not sensible or reply_syn)


FIRST = [
    (TCP, "S", "SYN_SENT"),
    (TCP, "SEC", "SYN_SENT"),
    (TCP, "A", "ESTABLISHED"),  # nf_conntrack_tcp_loose
    (TCP, "PA", "ESTABLISHED"),
    (TCP, "SA", None),
    (TCP, "R", None),
    (TCP, "RA", None),
    (TCP, "FA", None),
    (TCP, "SF", None),
    (TCP, "", None),
    (TCP, "FPU", None),
    (UDP, "", "NEW"),
    (ICMP, "R", "NEW"),
    (SCTP, "", "NEW"),
    (GRE, "", "NEW"),
]


@pytest.mark.parametrize(("proto", "flags", "state"), FIRST)
def test_what_may_begin_a_connection(proto: int, flags: str, state: str | None) -> None:
    assert _tables.first_state(proto, bits(flags)) == state


# (direction, flags, state afterwards, seconds it then lives without another packet)
OPEN = [
    (1, "SA", "SYN_RECV", 60),
    (0, "A", "ESTABLISHED", 86400),
    (1, "PA", "ESTABLISHED", 86400),
]
LIVES: list[tuple[str, str, list[tuple[int, str, str, int]]]] = [
    (
        "the opener closes",
        "SYN_SENT",
        [
            *OPEN,
            (0, "FA", "FIN_WAIT", 120),
            (1, "A", "CLOSE_WAIT", 3600),
            (1, "FA", "LAST_ACK", 30),
            (0, "A", "TIME_WAIT", 120),
            (1, "A", "TIME_WAIT", 120),
            (0, "S", "reopens", 120),
        ],
    ),
    (
        "the other side closes",
        "SYN_SENT",
        [
            *OPEN,
            (1, "FA", "FIN_WAIT", 120),
            (0, "FA", "LAST_ACK", 30),
            (1, "A", "TIME_WAIT", 120),
        ],
    ),
    (
        "both open at once",
        "SYN_SENT",
        [
            (1, "S", "SYN_SENT2", 120),
            (0, "SA", "SYN_RECV", 60),
            (1, "SA", "SYN_RECV", 59),  # passes, renews nothing
            (0, "A", "ESTABLISHED", 86400),
        ],
    ),
    (
        "refused, then tried again from the same port",
        "SYN_SENT",
        [(1, "RA", "CLOSE", 10), (0, "S", "reopens", 10)],
    ),
    ("reset", "SYN_SENT", [*OPEN, (0, "R", "CLOSE", 10), (1, "A", "CLOSE", 10)]),
    (
        "picked up in the middle: short-lived until an answer is seen",
        "ESTABLISHED",
        [
            (0, "A", "ESTABLISHED", 300),
            (1, "A", "ESTABLISHED", 86400),
            (0, "A", "ESTABLISHED", 86400),
        ],
    ),
    (
        "a client that lost its memory: SYN into an established connection passes, renews nothing",
        "SYN_SENT",
        [*OPEN, (0, "S", "ESTABLISHED", 86399), (1, "A", "ESTABLISHED", 86400)],
    ),
]


@pytest.mark.parametrize(("name", "first", "packets"), LIVES, ids=[c[0] for c in LIVES])
def test_life_of_a_tcp_connection(
    name: str, first: str, packets: list[tuple[int, str, str, int]]
) -> None:
    table, keys = connection(TCP, first)
    for second, (reply, flags, state, lives_s) in enumerate(packets, start=1):
        now = second * S
        assert table.advance(keys[reply], bits(flags), now) == state
        if state != "reopens":
            assert table.find(keys[0], now + lives_s * S - 1) is not None
            assert table.find(keys[0], now + lives_s * S) is None


@pytest.mark.parametrize(
    ("proto", "alone_s", "answered_s", "state"),
    [
        (UDP, 30, 30, "REPLIED"),  # a stream only after two seconds
        (ICMP, 30, 30, "REPLIED"),
        (SCTP, 30, 210, "ESTABLISHED"),
        (GRE, 600, 600, "REPLIED"),
        (0, 600, 600, "REPLIED"),
        (255, 600, 600, "REPLIED"),
    ],
)
def test_protocols_without_states(proto: int, alone_s: int, answered_s: int, state: str) -> None:
    table, keys = connection(proto, "NEW")
    assert table.find(keys[0], alone_s * S - 1) is not None
    assert table.find(keys[1], alone_s * S) is None
    assert table.advance(keys[0], 0, S) == "NEW"
    assert table.advance(keys[1], 0, S) == state
    flow = table.walk(S)[0]
    assert (flow[3], flow[4], flow[5]) == (True, False, S + answered_s * S)
    assert table.advance(keys[0], 0, 3 * S) == state
    assert table.walk(S)[0][4]  # assured: not a probe


def test_udp_is_a_stream_when_it_goes_on_for_two_seconds() -> None:
    table, keys = connection(UDP, "NEW", 100 * S)
    for at_s, way, lives_s, assured in [
        (100.5, 0, 30, False),
        (101, 1, 30, False),
        (101.5, 0, 30, False),  # a question and its answer: DNS
        (104, 1, 120, True),
        (166.5, 0, 120, True),  # once a stream, always one
    ]:
        now = round(at_s * S)
        table.advance(keys[way], 0, now)
        flow = table.walk(now)[0]
        assert (flow[5] - now, flow[4]) == (lives_s * S, assured), at_s


def test_a_stream_that_is_answered_late_is_not_one_yet() -> None:
    table, keys = connection(UDP, "NEW", 100 * S)
    table.advance(keys[1], 0, 105 * S)
    assert table.walk(105 * S)[0][5] == 135 * S
    table.advance(keys[0], 0, 106 * S)
    assert table.walk(106 * S)[0][5] == 226 * S


def test_tcp_is_assured_once_the_handshake_is_complete() -> None:
    table, keys = connection(TCP, "SYN_SENT")
    table.advance(keys[1], bits("SA"), S)
    assert not table.walk(S)[0][4]
    table.advance(keys[0], bits("A"), S)
    assert table.walk(S)[0][4]
