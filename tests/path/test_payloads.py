"""What rides along: checksums of every kind, super-packets, fragments."""

from __future__ import annotations

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.sctp import SCTP
from scapy.packet import Packet, Raw

from netsim.dataplane.records import Meta
from tests.path.lab import SCTP_PROTO, UDP_PROTO, VIP, Lab, made, pieces, pod_addr, rebuilt

A, B, REMOTE = pod_addr(1), pod_addr(1, "b"), pod_addr(2)


def folded(data: bytes) -> int:
    words = sum(int.from_bytes(data[i : i + 2].ljust(2, b"\0")) for i in range(0, len(data), 2))
    while words >> 16:
        words = (words & 0xFFFF) + (words >> 16)
    return words


def pseudo(src: str, dst: str, proto: int, length: int) -> int:
    """What a partial checksum field holds."""
    head = bytes(IP(src=src, dst=dst))[12:20]
    return folded(head + bytes([0, proto]) + length.to_bytes(2))


def test_no_checksum_stays_no_checksum() -> None:
    with Lab() as lab:
        lab.service((B, 8080), proto=UDP_PROTO)
        sent = IP(src=A, dst=VIP) / UDP(sport=9, dport=80, chksum=0) / Raw(b"x")
        assert lab.out("a1", sent, "b1")[UDP].chksum == 0
        answer = IP(src=B, dst=A) / UDP(sport=8080, dport=9, chksum=0)
        assert lab.out("b1", answer, "a1")[UDP].chksum == 0


def test_a_checksum_that_comes_out_zero_is_sent_as_ones() -> None:
    """Find the payload word for which the translated packet's sum is zero."""
    base = IP(src=A, dst=B) / UDP(sport=9, dport=8080, chksum=0) / Raw(b"\0\0")
    summed = folded(bytes(base)[20:]) + pseudo(A, B, UDP_PROTO, 10)
    word = (0xFFFF - summed % 0xFFFF) % 0xFFFF
    with Lab() as lab:
        lab.service((B, 8080), proto=UDP_PROTO)
        sent = IP(src=A, dst=VIP) / UDP(sport=9, dport=80) / Raw(word.to_bytes(2))
        got = lab.out("a1", sent, "b1")
        assert got[UDP].chksum == 0xFFFF
        back = IP(src=B, dst=A) / UDP(sport=8080, dport=9) / Raw(b"ok")
        assert bytes(lab.out("b1", back, "a1")) == rebuilt(
            IP(src=VIP, dst=A) / UDP(sport=80, dport=9) / Raw(b"ok")
        )


def test_a_wrong_checksum_stays_wrong() -> None:
    """By the same difference: netsim does not launder corruption."""
    for layer, proto in ((TCP, 6), (UDP, 17), (SCTP, 132)):
        with Lab() as lab:
            lab.service((B, 8080), proto=proto)
            good = IP(src=A, dst=VIP) / layer(sport=9, dport=80) / Raw(b"payload!")
            bad = bytearray(bytes(good))
            bad[-1] ^= 0x40
            got = bytearray(bytes(lab.out("a1", bytes(bad), "b1")))
            got[-1] ^= 0x40
            there = IP(src=A, dst=B) / layer(sport=9, dport=8080) / Raw(b"payload!")
            assert bytes(got) == bytes(there)


def test_sctp_checksums_are_crc32c() -> None:
    with Lab() as lab:
        lab.service((REMOTE, 8080), proto=SCTP_PROTO)
        for size in (0, 1, 3, 64, 1001):
            sent = IP(src=A, dst=VIP) / SCTP(sport=9, dport=80, tag=77) / Raw(b"z" * size)
            got = lab.out("a1", sent, "wire1")
            payload = SCTP(sport=9, dport=8080, tag=77) / Raw(b"z" * size)
            assert bytes(got) == bytes(IP(src=A, dst=REMOTE, ttl=63) / payload)


def test_partial_checksums_cover_addresses_only() -> None:
    meta = Meta(needs_csum=True, csum_start=20, csum_offset=16)
    with Lab() as lab:
        lab.service((B, 8080))
        start = pseudo(A, VIP, 6, 24)
        sent = IP(src=A, dst=VIP) / TCP(sport=9, dport=80, chksum=start) / Raw(b"data")
        lab.send("a1", sent, meta)
        [got] = lab.take("b1")
        assert got.meta == meta
        assert got.ip[TCP].chksum == pseudo(A, B, 6, 24)
        assert (got.ip.dst, got.ip[TCP].dport) == (B, 8080)


def super_packet(src: str, dst: str, size: int, **fields: object) -> Packet:
    tcp = made(TCP, **({"sport": 9, "dport": 80, "flags": "A"} | fields))
    return IP(src=src, dst=dst, flags="DF") / tcp / Raw(b"x" * size)


GSO = Meta(gso_type=1, needs_csum=True, gso_size=1410, csum_start=20, csum_offset=16, hdr_len=40)


@pytest.mark.parametrize(("dst", "to"), [(B, "b1"), (REMOTE, "wire1"), (VIP, "wire1")])
def test_super_packets_stay_whole(dst: str, to: str) -> None:
    with Lab() as lab:
        lab.service((REMOTE, 8080))
        lab.send("a1", super_packet(A, dst, 60000), GSO)
        [got] = lab.take(to)
        assert len(got.raw) == 60040 + (22 if to == "wire1" else 0)
        assert (got.meta.gso_type, got.meta.gso_size, got.meta.hdr_len) == (1, 1410, 40)
        assert got.meta.needs_csum


def test_super_packets_cross_the_wire_as_such() -> None:
    with Lab(nodes=2) as lab:
        lab.send("a1", super_packet(A, REMOTE, 60000), GSO)
        [got] = lab.take("a2")
        assert got.meta == GSO
        assert (len(got.raw), got.ip.ttl) == (60040, 62)


def test_a_segment_that_fits_the_mtu_exactly() -> None:
    with Lab() as lab:
        lab.send("a1", super_packet(A, REMOTE, 5000), GSO)
        assert len(lab.take("wire1")) == 1
        lab.send("a1", super_packet(A, REMOTE, 5000), GSO._replace(gso_size=1411))
        [error] = lab.take("a1")
        assert error.ip[ICMP].nexthopmtu == 1450
        assert error.meta == Meta()


def test_segments_count_their_real_header() -> None:
    """Twelve bytes of TCP options: hdr_len of the vnet header is not believed."""
    options = [("NOP", None), ("NOP", None), ("Timestamp", (1, 2))]
    with Lab() as lab:
        meta = GSO._replace(hdr_len=20)
        lab.send("a1", super_packet(A, REMOTE, 5000, options=options), meta)
        assert [e.ip[ICMP].code for e in lab.take("a1")] == [4]


@pytest.mark.parametrize("order", ["in order", "first in the middle of a batch"])
def test_fragments_follow_the_first(order: str) -> None:
    whole = IP(src=A, dst=VIP, id=77) / UDP(sport=9, dport=80) / Raw(bytes(range(256)) * 12)
    parts = pieces(whole)
    ends = [(f"10.244.2.{i}", 8080) for i in range(2, 10)]
    with Lab() as lab:
        lab.service(*ends, proto=UDP_PROTO)
        if order != "in order":
            lab.put("a1", parts[1])  # orphan: arrived before the first
        for piece in parts:
            lab.put("a1", piece)
        lab.run()
        got = [IP(s.raw[22:]) for s in lab.take("wire1")]
        assert len(got) == len(parts)
        assert len({p.dst for p in got}) == 1
        assert lab.drops() == ({} if order == "in order" else {"fragment-orphan": 1})
        for sent, arrived in zip(parts, got, strict=True):
            assert (arrived.frag, arrived.flags, arrived.ttl) == (sent.frag, sent.flags, 63)
            assert bytes(arrived)[28:] == bytes(sent)[28:]
        data = b"".join(bytes(p.payload) for p in got)
        again = IP(src=A, dst=got[0].dst) / UDP(data)
        assert again[UDP].dport == 8080
        assert bytes(again) == rebuilt(again)  # the checksum of the whole datagram is right


def test_fragments_of_an_answer_look_like_the_service() -> None:
    with Lab() as lab:
        lab.service((B, 8080), proto=UDP_PROTO)
        lab.out("a1", IP(src=A, dst=VIP) / UDP(sport=9, dport=80), "b1")
        whole = IP(src=B, dst=A, id=5) / UDP(sport=8080, dport=9) / Raw(b"z" * 3000)
        for piece in pieces(whole):
            assert lab.out("b1", piece, "a1").src == VIP


def test_fragments_are_forgotten_after_half_a_minute() -> None:
    whole = IP(src=A, dst=B, id=5) / UDP(sport=1, dport=9) / Raw(b"z" * 3000)
    first, second, *_ = pieces(whole)
    with Lab() as lab:
        lab.out("a1", first, "b1")
        lab.now += 29
        lab.out("a1", second, "b1")
        lab.now += 2
        assert lab.refuses("a1", second) == "fragment-orphan"


def test_fragmented_pings_pass() -> None:
    whole = IP(src=A, dst=REMOTE, id=5) / ICMP(id=3) / Raw(b"z" * 3000)
    with Lab() as lab:
        for piece in pieces(whole):
            lab.out("a1", piece, "wire1")
        assert len(lab.engine.flows(lab.nodes[1].id)[0]) == 1


def test_fragmented_errors_and_sctp_to_a_service_are_refused() -> None:
    with Lab() as lab:
        lab.service((B, 8080), proto=SCTP_PROTO)
        piece = IP(src=A, dst=VIP, flags="MF") / SCTP(sport=1, dport=80) / Raw(b"z" * 100)
        assert lab.refuses("a1", piece) == "bad-l4"
        piece = IP(src=A, dst=B, flags="MF") / ICMP(type=3) / Raw(b"z" * 64)
        assert lab.refuses("a1", piece) == "icmp-unrelated"


def test_later_fragments_do_not_move_the_state_of_tcp() -> None:
    whole = IP(src=A, dst=B, id=5) / TCP(sport=1, dport=9, flags="S") / Raw(b"z" * 3000)
    with Lab() as lab:
        for piece in pieces(whole):
            lab.out("a1", piece, "b1")
        [flow] = lab.engine.flows(lab.nodes[1].id)[0]
        assert flow.state == "SYN_SENT"
