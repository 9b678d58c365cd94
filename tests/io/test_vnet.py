"""Virtio headers: what the bytes do not confirm is refused, what they do is taken over."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.packet import Raw

from tests.io.packets import DST, SRC, super_packet
from tests.io.shim import GSO_ECN, GSO_TCPV4, GSO_UDP_L4, NEEDS_CSUM, Packet, Shim


def vnet(
    flags: int = 0, gso: int = 0, hdr_len: int = 0, size: int = 0, start: int = 0, offset: int = 0
) -> bytes:
    return struct.pack("=BBHHHH", flags, gso, hdr_len, size, start, offset)


TCP_BIG = super_packet(TCP(flags="A"), bytes(4000))
UDP_BIG = super_packet(UDP(sport=1, dport=2), bytes(4000))


@pytest.mark.parametrize(
    ("what", "header", "data"),
    [
        ("checksum outside", vnet(1, start=4030, offset=16), TCP_BIG),
        ("checksum wraps", vnet(1, start=65535, offset=65535), TCP_BIG),
        ("super-packet without checksum", vnet(0, GSO_TCPV4, 40, 1400), TCP_BIG),
        ("TCP segmentation of UDP", vnet(1, GSO_TCPV4, 28, 1400, 20, 6), UDP_BIG),
        ("UDP segmentation of TCP", vnet(1, GSO_UDP_L4, 40, 1400, 20, 16), TCP_BIG),
        ("TCP's ECN on UDP", vnet(1, GSO_UDP_L4 | GSO_ECN, 28, 1400, 20, 6), UDP_BIG),
        ("unknown segmentation", vnet(1, 4, 40, 1400, 20, 16), TCP_BIG),
        ("size zero", vnet(1, GSO_TCPV4, 40, 0, 20, 16), TCP_BIG),
        ("tiny size", vnet(1, GSO_TCPV4, 40, 7, 20, 16), TCP_BIG),
        ("size beyond any packet", vnet(1, GSO_TCPV4, 40, 65535, 20, 16), TCP_BIG),
        (
            "data offset zero",
            vnet(1, GSO_TCPV4, 40, 100, 20, 16),
            TCP_BIG[:32] + b"\0" + TCP_BIG[33:],
        ),
        ("headers only", vnet(1, GSO_TCPV4, 40, 100, 20, 16), TCP_BIG[:40]),
    ],
)
def test_a_lying_vnet_header_is_refused(shim: Shim, what: str, header: bytes, data: bytes) -> None:
    assert shim.accept(header, data) is None, what


@pytest.mark.parametrize(
    ("header", "data", "want"),
    [
        (vnet(), TCP_BIG, Packet(TCP_BIG)),
        (vnet(2), TCP_BIG, Packet(TCP_BIG)),
        (vnet(1, 0, 0, 0, 20, 16), TCP_BIG, Packet(TCP_BIG, NEEDS_CSUM, csum_offset=16)),
        (
            vnet(1, GSO_TCPV4 | GSO_ECN, 9999, 1400, 20, 16),
            TCP_BIG,
            Packet(TCP_BIG, NEEDS_CSUM, GSO_TCPV4 | GSO_ECN, 1400, 40, 16),
        ),
        (
            vnet(1, GSO_UDP_L4, 28, 1400, 20, 6),
            UDP_BIG,
            Packet(UDP_BIG, NEEDS_CSUM, GSO_UDP_L4, 1400, 28, 6),
        ),
        (  # all of it fits one segment
            vnet(1, GSO_TCPV4, 40, 4000, 20, 16),
            TCP_BIG,
            Packet(TCP_BIG, NEEDS_CSUM, csum_offset=16),
        ),
    ],
)
def test_what_a_true_vnet_header_says_is_taken_over_and_said_again(
    shim: Shim, header: bytes, data: bytes, want: Packet
) -> None:
    got = shim.accept(header, data)
    assert got == want
    again = shim.accept(shim.describe(want), data)
    assert again == want


def test_a_checksum_inside_a_pods_own_tunnel_is_completed_at_once(shim: Shim) -> None:
    inner = super_packet(TCP(flags="A"), b"inner")
    data = bytes(IP(src=SRC, dst=DST, proto=4) / Raw(inner))
    got = shim.accept(vnet(1, 0, 0, 0, 40, 16), data)
    assert got is not None
    assert got.flags == 0
    assert got.data[20:] == shim.complete(inner)


@given(st.binary(min_size=10, max_size=10), st.binary(max_size=200))
def test_any_vnet_header_over_any_bytes_is_safe(shim: Shim, header: bytes, data: bytes) -> None:
    got = shim.accept(header, data)
    assert got is None or len(got.data) == len(data)
