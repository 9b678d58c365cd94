"""UDP datagrams joined on both ways into the data plane: each comes out as it went in, once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.packet import Raw

from tests.io.packets import header, super_packet
from tests.io.shim import GSO_UDP_L4, NEEDS_CSUM, Packet, Shim

TUNNEL = bytes(range(22))
ANY_ID = slice(4, 6)  # and the header's checksum, bytes 10 and 11, which covers it


def datagram(size: int, fill: int = 0, *, sport: int = 1000, **ip: object) -> bytes:
    """With a partial checksum, as a pod's kernel hands it over."""
    fields = {"flags": "DF", "id": 0, **ip}
    return super_packet(UDP(sport=sport, dport=53), bytes([fill]) * size, **fields)


def complete(data: bytes) -> bytes:
    """The same as a wire carries it, built by scapy."""
    ip = IP(data)
    del ip.chksum, ip[UDP].chksum
    return bytes(ip)


def without_id(data: bytes) -> bytes:
    return data[:4] + data[6:10] + data[12:]


def cut(shim: Shim, packet: Packet, tunnel: bytes = b"") -> list[bytes]:
    """What leaves for one packet: the datagrams that it stands for, checksums complete."""
    if packet.gso_type:
        return shim.cut(packet.data, packet.gso_size, tunnel=len(tunnel))
    return [packet.data]


sizes = st.one_of(st.just(64), st.just(64), st.integers(0, 1400))
variants = st.sampled_from(
    [{}, {}, {}, {}, {"sport": 7}, {"flags": 0}, {"ttl": 31}, {"tos": 8}, {"id": 9}, {"ttl": 63}]
)
datagrams = st.lists(
    st.builds(
        lambda size, fill, how: datagram(size, fill, **how), sizes, st.integers(0, 255), variants
    ),
    min_size=1,
    max_size=80,
)


@given(datagrams)
def test_what_a_pod_sends_is_cut_into_what_it_sent(shim: Shim, sent: list[bytes]) -> None:
    out = [
        piece if packet.gso_type else shim.complete(piece)
        for packet in shim.join_datagrams(sent)
        for piece in cut(shim, packet)
    ]
    assert list(map(without_id, out)) == [without_id(complete(d)) for d in sent]


@given(st.integers(8, 1400), st.integers(1, 200))
def test_a_run_of_one_size_is_one_packet_up_to_the_limits(
    shim: Shim, size: int, count: int
) -> None:
    run = [datagram(size)] * (count + 1)
    packets = shim.join_datagrams(run)
    most = min(64, (60000 - 28) // size)
    assert len(packets) == -(-len(run) // most)
    for packet in packets[:-1]:
        assert len(packet.data) == 28 + most * size
        assert packet.flags == NEEDS_CSUM
        assert (packet.gso_type, packet.gso_size) == (GSO_UDP_L4, size)
        assert (packet.hdr_len, packet.csum_offset) == (28, 6)
        assert IP(packet.data).len == len(packet.data)


@pytest.mark.parametrize(
    ("what", "odd"),
    [
        ("too short to be a segment", datagram(7)),
        ("other port", datagram(64, sport=2)),
        ("other source", datagram(64, src="10.244.0.9")),
        ("other destination", datagram(64, dst="10.244.0.9")),
        ("other TOS", datagram(64, tos=4)),
        ("other TTL", datagram(64, ttl=63)),
        ("may be fragmented", datagram(64, flags=0)),
        ("a fragment", datagram(64, flags="MF")),
        ("IPv4 options", datagram(60, options=[b"\x01" * 4])),
        ("TCP", bytes(header(flags="DF") / Raw(bytes(72)))),
        ("checksum that is not the pseudo-header's", datagram(64)[:26] + b"\1\2" + bytes(64)),
        ("padding behind it", datagram(64) + b"\0"),
    ],
)
def test_a_datagram_of_another_kind_stays_alone(shim: Shim, what: str, odd: bytes) -> None:
    made = shim.join_datagrams([datagram(64), datagram(64), odd, datagram(64)])
    assert [len(p.data) for p in made] == [156, len(odd), 92], what
    assert made[1].data == odd


def test_a_shorter_datagram_is_the_last_of_its_run(shim: Shim) -> None:
    made = shim.join_datagrams([datagram(64), datagram(60), datagram(64), datagram(64)])
    assert [len(p.data) for p in made] == [28 + 124, 28 + 128]


def test_a_longer_datagram_begins_a_run_of_its_own(shim: Shim) -> None:
    made = shim.join_datagrams([datagram(64), datagram(64), datagram(65), datagram(64)])
    assert [len(p.data) for p in made] == [28 + 128, 28 + 129]


def test_complete_checksums_are_left_alone(shim: Shim) -> None:
    whole = [complete(datagram(64))] * 3
    assert [p.data for p in shim.join_datagrams(whole, partial=False)] == whole


def test_short_ttls_are_left_alone_for_each_is_answered(shim: Shim) -> None:
    assert len(shim.join_datagrams([datagram(64, ttl=31)] * 3)) == 3


@given(datagrams, st.data())
def test_what_a_wire_brings_is_cut_into_what_it_brought(
    shim: Shim, sent: list[bytes], data: st.DataObject
) -> None:
    """Damaged bytes included: what is joined had right checksums, everything else is as it was."""
    tunnel = data.draw(st.sampled_from([b"", TUNNEL]))
    size = data.draw(st.sampled_from([len(d) for d in sent]))
    wire = bytearray(
        b"".join(
            tunnel + (complete(d) + bytes(size))[:size] if len(d) != size else tunnel + complete(d)
            for d in sent
        )
    )
    for _ in range(data.draw(st.integers(0, 3))):
        wire[data.draw(st.integers(0, len(wire) - 1))] ^= data.draw(st.integers(1, 255))
    wire = wire[: data.draw(st.integers(1, len(wire)))]
    segment, at = len(tunnel) + size, 0
    while at < len(wire):
        used, packet = shim.join(bytes(wire[at:]), segment, tunnel=len(tunnel))
        assert 0 < used <= len(wire) - at
        before = [
            bytes(wire[n : n + segment][: at + used - n]) for n in range(at, at + used, segment)
        ]
        if packet.gso_type:
            assert len(before) > 1
        after = cut(shim, packet, tunnel)
        skip = len(tunnel)
        assert [p[:skip] + without_id(p[skip:]) for p in after] == [
            p[:skip] + without_id(p[skip:]) for p in before
        ]
        at += used


def test_datagrams_of_a_wire_are_joined(shim: Shim) -> None:
    wire = [TUNNEL + complete(datagram(64, n, id=n * 77)) for n in range(10)]
    wire.append(TUNNEL + complete(datagram(30)))
    used, packet = shim.join(b"".join(wire), len(wire[0]), tunnel=22)
    assert used == sum(map(len, wire))
    assert len(packet.data) == 22 + 28 + 64 * 10 + 30
    assert (packet.flags, packet.gso_type, packet.gso_size) == (NEEDS_CSUM, GSO_UDP_L4, 64)


@pytest.mark.parametrize("change", [b"\0\0", b"\1\2"])
def test_a_wire_s_datagram_without_a_right_checksum_is_not_joined(
    shim: Shim, change: bytes
) -> None:
    """None must stay none, and a wrong one wrong."""
    good = complete(datagram(64))
    bad = good[:26] + change + good[28:]
    assert shim.join(good + bad + good, 92) == (92, Packet(good))
    assert shim.join(bad + good + good, 92) == (92, Packet(bad))
    assert shim.join(good + good + bad, 92)[0] == 184
