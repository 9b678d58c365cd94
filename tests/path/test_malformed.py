"""Packets that lie: each is dropped, for the reason that fits, and counted once."""

from __future__ import annotations

import pytest
from scapy.layers.inet import (
    ICMP,
    IP,
    TCP,
    UDP,
    IPOption_LSRR,
    IPOption_NOP,
    IPOption_RR,
    IPOption_SSRR,
    IPOption_Timestamp,
)
from scapy.layers.sctp import SCTP
from scapy.packet import Packet, Raw

from netsim.dataplane.records import Meta
from tests.path.lab import VIP, Lab, made, pod_addr

A, B, REMOTE = pod_addr(1), pod_addr(1, "b"), pod_addr(2)
GSO_TCP, GSO_UDP, GSO_ECN = 1, 5, 0x80


def ip(**fields: object) -> Packet:
    return made(IP, **({"src": A, "dst": B} | fields))


def checksummed(raw: bytes) -> bytes:
    """A header whose checksum is right, whatever else is wrong."""
    ihl = max(5, raw[0] & 15) * 4
    head = raw[:10] + b"\0\0" + raw[12:ihl]
    words = sum(int.from_bytes(head[i : i + 2]) for i in range(0, len(head), 2))
    while words >> 16:
        words = (words & 0xFFFF) + (words >> 16)
    return raw[:10] + (words ^ 0xFFFF).to_bytes(2) + raw[12:]


def changed(packet: Packet, at: int, value: bytes) -> bytes:
    raw = bytes(packet)
    return checksummed(raw[:at] + value + raw[at + len(value) :])


def optioned(options: bytes) -> bytes:
    raw = bytes(ip() / UDP())
    words = 5 + len(options) // 4
    total = (len(raw) + len(options)).to_bytes(2)
    return checksummed(bytes([0x40 | words, 0]) + total + raw[4:20] + options + raw[20:])


UDP_PACKET = ip() / UDP(sport=1, dport=2) / Raw(b"12345678")
TCP_PACKET = ip() / TCP(sport=1, dport=2)
BAD = [
    ("nothing", b"", "truncated"),
    ("half a header", bytes(UDP_PACKET)[:19], "truncated"),
    ("version 6", changed(UDP_PACKET, 0, b"\x65"), "bad-version"),
    ("version 0", changed(UDP_PACKET, 0, b"\x05"), "bad-version"),
    ("header of 16 bytes", changed(UDP_PACKET, 0, b"\x44"), "bad-header"),
    ("total length below the header", changed(UDP_PACKET, 2, b"\0\x13"), "bad-header"),
    ("total length zero", changed(UDP_PACKET, 2, b"\0\0"), "bad-header"),
    ("total length beyond the packet", changed(UDP_PACKET, 2, b"\0\xff"), "truncated"),
    ("header beyond the packet", changed(ip() / UDP(), 0, b"\x4f"), "bad-header"),
    ("header checksum", bytes(ip(chksum=1) / UDP()), "bad-checksum"),
    ("option of length zero", optioned(b"\x44\0\0\0"), "bad-options"),
    ("option of length one", optioned(b"\x44\1\0\0"), "bad-options"),
    ("option beyond the header", optioned(b"\x44\5\0\0"), "bad-options"),
    ("option without a length", optioned(b"\1\1\1\x44"), "bad-options"),
    ("loose source route", bytes(ip(options=IPOption_LSRR(routers=[B])) / UDP()), "bad-options"),
    ("strict source route", bytes(ip(options=IPOption_SSRR(routers=[B])) / UDP()), "bad-options"),
    ("from nowhere", bytes(ip(src="0.0.0.0") / UDP()), "bad-address"),
    ("from loopback", bytes(ip(src="127.0.0.1") / UDP()), "bad-address"),
    ("from multicast", bytes(ip(src="224.0.0.1") / UDP()), "bad-address"),
    ("from broadcast", bytes(ip(src="255.255.255.255") / UDP()), "bad-address"),
    ("to nowhere", bytes(ip(dst="0.1.2.3") / UDP()), "bad-address"),
    ("to loopback", bytes(ip(dst="127.0.0.1") / UDP()), "bad-address"),
    ("to multicast", bytes(ip(dst="224.0.0.251") / UDP()), "multicast"),
    ("IGMP report", bytes(ip(dst="224.0.0.22", proto=2) / Raw(bytes(16))), "multicast"),
    ("to class E", bytes(ip(dst="240.0.0.1") / UDP()), "bad-address"),
    ("to broadcast", bytes(ip(dst="255.255.255.255") / UDP()), "multicast"),
    ("to itself", bytes(ip(dst=A) / UDP()), "bad-address"),
    ("another pod's source", bytes(ip(src=B, dst=A) / UDP()), "spoofed"),
    ("a service's source", bytes(ip(src=VIP) / UDP()), "spoofed"),
    ("UDP header cut", bytes(ip(proto=17) / Raw(b"1234567")), "bad-l4"),
    ("UDP length 7", bytes(ip() / UDP(len=7) / Raw(b"1234")), "bad-l4"),
    ("UDP length beyond the packet", bytes(ip() / UDP(len=13) / Raw(b"1234")), "bad-l4"),
    ("TCP header cut", bytes(ip(proto=6) / Raw(b"x" * 19)), "bad-l4"),
    ("TCP data offset 4", bytes(ip() / TCP(dataofs=4)), "bad-l4"),
    ("TCP data offset beyond", bytes(ip() / TCP(dataofs=6)), "bad-l4"),
    ("SCTP header cut", bytes(ip(proto=132) / Raw(b"x" * 11)), "bad-l4"),
    ("ICMP header cut", bytes(ip(proto=1) / Raw(b"\x08\0\0\0\0\0\0")), "bad-l4"),
    ("fragment beyond 64 KiB", bytes(ip(frag=8191, proto=17) / Raw(b"x" * 8)), "bad-header"),
    ("empty fragment", bytes(ip(frag=1, proto=17)), "bad-header"),
    ("odd fragment", bytes(ip(flags="MF", proto=17) / Raw(b"x" * 9)), "bad-header"),
    ("fragment over TCP's flags", bytes(ip(frag=1, proto=6) / Raw(b"x" * 8)), "bad-l4"),
    ("TCP header in two fragments", bytes(ip(flags="MF", proto=6) / Raw(b"x" * 16)), "bad-l4"),
    ("later fragment first", bytes(ip(frag=2, proto=17) / Raw(b"x" * 8)), "fragment-orphan"),
]


@pytest.mark.parametrize(("what", "raw", "why"), BAD, ids=[b[0] for b in BAD])
def test_dropped_for_a_reason(what: str, raw: bytes, why: str) -> None:
    with Lab() as lab:
        assert lab.refuses("a1", raw) == why
        assert lab.stats().packets == 1
        assert lab.engine.flows(lab.nodes[1].id)[0] == []


GOOD = [
    ("options", ip(options=[IPOption_NOP(), IPOption_RR(), IPOption_Timestamp()]) / UDP()),
    ("UDP without checksum", ip() / UDP(chksum=0) / Raw(b"x")),
    ("UDP shorter than the packet", ip() / UDP(len=9) / Raw(b"xyz")),
    ("port zero", ip() / UDP(sport=0, dport=0)),
    ("another protocol", ip(proto=47) / Raw(b"")),
    ("TCP options", ip() / TCP(options=[("MSS", 1400), ("SAckOK", b"")])),
    ("a wrong TCP checksum", ip() / TCP(chksum=1)),
    ("SCTP", ip() / SCTP(sport=1, dport=2)),
    ("timestamp request", ip() / ICMP(type=13, id=5)),
]


@pytest.mark.parametrize(("what", "packet"), GOOD, ids=[g[0] for g in GOOD])
def test_passed_as_it_is(what: str, packet: Packet) -> None:
    with Lab() as lab:
        assert bytes(lab.out("a1", packet, "b1")) == bytes(packet)


def tcp_meta(
    *, csum_start: int = 20, csum_offset: int = 16, gso_type: int = 0, gso_size: int = 0
) -> Meta:
    return Meta(gso_type, True, False, gso_size, csum_start, csum_offset)


BAD_OFFLOADS = [
    ("checksum starts elsewhere", TCP_PACKET, tcp_meta(csum_start=24)),
    ("checksum starts at zero", TCP_PACKET, tcp_meta(csum_start=0)),
    ("checksum lies elsewhere", TCP_PACKET, tcp_meta(csum_offset=6)),
    ("checksum beyond the packet", TCP_PACKET, tcp_meta(csum_offset=60000)),
    ("partial ICMP", ip() / ICMP(), tcp_meta(csum_offset=2)),
    ("partial unknown protocol", ip(proto=47) / Raw(b"x" * 40), tcp_meta()),
    ("partial fragment", ip(flags="MF") / TCP() / Raw(b"x" * 4), tcp_meta()),
    ("segments without size", TCP_PACKET, tcp_meta(gso_type=GSO_TCP)),
    ("segments without checksum", TCP_PACKET, Meta(gso_type=GSO_TCP, gso_size=1000)),
    ("UDP segments of TCP", TCP_PACKET, tcp_meta(gso_type=GSO_UDP, gso_size=1000)),
    ("unknown segments", TCP_PACKET, tcp_meta(gso_type=99, gso_size=1000)),
    ("TCP segments of UDP", UDP_PACKET, tcp_meta(csum_offset=6, gso_type=GSO_TCP, gso_size=9)),
    ("segments of SCTP", ip() / SCTP(), tcp_meta(csum_offset=8, gso_type=GSO_TCP, gso_size=9)),
]


@pytest.mark.parametrize(("what", "packet", "meta"), BAD_OFFLOADS, ids=[b[0] for b in BAD_OFFLOADS])
def test_a_vnet_header_that_lies(what: str, packet: Packet, meta: Meta) -> None:
    with Lab() as lab:
        assert lab.refuses("a1", packet, meta) == "bad-l4"


def test_a_pod_that_is_gone() -> None:
    with Lab() as lab:
        lab.engine.iface_remove(lab.iface("b1"))
        lab.send("a1", UDP_PACKET)
        assert lab.drops() == {"iface-down": 1}
