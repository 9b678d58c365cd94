"""The Internet checksum and CRC32c against naive ones, scapy and published vectors."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.sctp import crc32c as scapy_crc32c
from scapy.utils import checksum as scapy_checksum

from netsim.dataplane import _tables


def naive(data: bytes) -> int:
    padded = data + b"\0" * (len(data) % 2)
    words = (padded[i : i + 2] for i in range(0, len(padded), 2))
    total = sum(int.from_bytes(word, "big") for word in words)
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


LENGTHS = [0, 1, 2, 3, 7, 8, 20, 63, 64, 65, 127, 128, 129, 1460, 9001, 65535, 65536]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("fill", [b"\x00", b"\xff", b"\x01\x80\xfe"])
def test_sum_at_every_kind_of_length(length: int, fill: bytes) -> None:
    data = (fill * (length // len(fill) + 1))[:length]
    assert _tables.checksum(data) == naive(data)
    assert _tables.checksum_copy(data, 3) == (data + b"\0", naive(data))


@given(st.binary(max_size=400), st.integers(0, 15))
def test_sum_is_what_scapy_sums_at_any_alignment(data: bytes, offset: int) -> None:
    assert _tables.checksum(data) == scapy_checksum(data) == naive(data)
    assert _tables.checksum_copy(data, offset) == (data + b"\0", naive(data))


@given(st.binary(min_size=1, max_size=400), st.data())
def test_sums_chain_over_even_pieces(data: bytes, draw: st.DataObject) -> None:
    cuts = st.lists(st.integers(0, len(data) // 2).map(lambda n: 2 * n), max_size=4)
    assert _tables.checksum(data, *sorted(draw.draw(cuts))) == naive(data)


@given(st.binary(min_size=8, max_size=64).filter(any), st.data())
def test_incremental_update_is_recomputation(data: bytes, draw: st.DataObject) -> None:
    size, update = draw.draw(st.sampled_from([(2, _tables.update16), (4, _tables.update32)]))
    at = 2 * draw.draw(st.integers(0, (len(data) - size) // 2))
    new = draw.draw(st.binary(min_size=size, max_size=size))
    changed = data[:at] + new + data[at + size :]
    if not any(changed):
        return  # RFC 1624 3: a sum of nothing but zeros does not occur in a packet
    was, to = (int.from_bytes(b, "big") for b in (data[at : at + size], new))
    assert update(naive(data), was, to) == naive(changed)


# RFC 3720 B.4 and the catalogue of CRC algorithms
VECTORS = [
    (b"123456789", 0xE3069283),
    (b"", 0),
    (bytes(32), 0x8A9136AA),
    (b"\xff" * 32, 0x62A8AB43),
    (bytes(range(32)), 0x46DD794E),
    (bytes(range(31, -1, -1)), 0x113FDB5C),
]


@pytest.mark.parametrize(("data", "crc"), VECTORS)
def test_crc32c_of_published_vectors(data: bytes, crc: int) -> None:
    assert _tables.crc32c(data) == crc


@given(st.binary(max_size=300), st.integers(0, 300))
def test_crc32c_is_scapys_and_goes_on_from_any_place(data: bytes, cut: int) -> None:
    whole = _tables.crc32c(data)
    assert _tables.crc32c(data[cut:], _tables.crc32c(data[:cut])) == whole
    on_the_wire = struct.pack("<I", whole)
    assert struct.pack(">I", scapy_crc32c(data)) == on_the_wire  # type: ignore[no-untyped-call]
