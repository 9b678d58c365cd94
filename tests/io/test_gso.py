"""Super-packets cut and joined, against scapy and naive twins."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.packet import Raw
from scapy.utils import checksum

from tests.io.packets import DST, SRC, header, super_packet
from tests.io.shim import GSO_ECN, GSO_TCPV4, NEEDS_CSUM, Packet, Shim

TUNNEL = bytes(range(22))
TIMESTAMPS = [("NOP", None), ("NOP", None), ("Timestamp", (7, 9))]


def naive_cut(data: bytes, size: int) -> list[bytes]:
    """Each segment built by scapy from its fields, lengths and checksums filled in by it."""
    ip = IP(data)
    l4 = ip[TCP] if TCP in ip else ip[UDP]
    payload = bytes(l4.payload)
    out = []
    for n, at in enumerate(range(0, len(payload), size)):
        head = l4.copy()
        head.remove_payload()
        del head.chksum
        if TCP in ip:
            head.seq = (l4.seq + at) % 2**32
            flags = int(l4.flags)
            if at + size < len(payload):
                flags &= ~0x09  # FIN, PSH: on the last
            if at:
                flags &= ~0x80  # CWR: on the first
            head.flags = flags
        else:
            del head.len
        outer = ip.copy()
        outer.remove_payload()
        del outer.len, outer.chksum
        outer.id = (ip.id + n) % 2**16
        out.append(bytes(outer / head / Raw(payload[at : at + size])))
    return out


flag_sets = st.sampled_from(["A", "PA", "FA", "FPA", "AE", "AC", "PAC"])
tcp_headers = st.builds(
    lambda flags, seq, stamps, window: TCP(
        sport=40000, dport=80, flags=flags, seq=seq, ack=77, window=window, options=stamps
    ),
    flag_sets,
    st.one_of(st.integers(0, 2**32 - 1), st.just(2**32 - 100)),
    st.sampled_from([[], TIMESTAMPS]),
    st.integers(0, 65535),
)
payloads = st.builds(
    lambda n, seed: (seed * (n // 4 + 1))[:n],
    st.integers(1, 9000),
    st.binary(min_size=4, max_size=9),
)
ips = st.fixed_dictionaries(
    {"id": st.integers(0, 65535), "flags": st.sampled_from(["DF", 0]), "tos": st.integers(0, 255)}
)
sizes = st.integers(8, 1460)
tunnels = st.sampled_from([b"", TUNNEL])
SLOW = settings(max_examples=40, deadline=None)  # scapy builds each segment


@SLOW
@given(tcp_headers, payloads, ips, st.integers(200, 1460), tunnels)
def test_tcp_is_cut_into_the_segments_that_scapy_builds(
    shim: Shim, tcp: TCP, payload: bytes, ip: dict[str, object], size: int, tunnel: bytes
) -> None:
    data = super_packet(tcp, payload, **ip)
    cut = shim.cut(tunnel + data, size, tunnel=len(tunnel))
    assert cut == [tunnel + s for s in naive_cut(data, size)]


@SLOW
@given(payloads, ips, st.integers(200, 1460), tunnels)
def test_udp_is_cut_into_the_datagrams_that_scapy_builds(
    shim: Shim, payload: bytes, ip: dict[str, object], size: int, tunnel: bytes
) -> None:
    data = super_packet(UDP(sport=5000, dport=53), payload, **ip)
    cut = shim.cut(tunnel + data, size, tunnel=len(tunnel))
    assert cut == [tunnel + s for s in naive_cut(data, size)]


def test_ip_options_are_repeated_in_every_segment(shim: Shim) -> None:
    data = super_packet(TCP(flags="A"), bytes(3000))
    with_options = bytes([0x46]) + data[1:20] + bytes([148, 4, 0, 0]) + data[20:]
    cut = shim.cut(with_options, 1000)
    assert [s[20:24] for s in cut] == [bytes([148, 4, 0, 0])] * 3
    assert all(checksum(s[:24]) == 0 for s in cut)


@pytest.mark.parametrize("room", [1500, 3000, 65507])
def test_cutting_goes_on_where_a_full_buffer_stopped_it(shim: Shim, room: int) -> None:
    data = super_packet(TCP(flags="PA", seq=5), bytes(i & 255 for i in range(64000)))
    assert shim.cut(data, 1398, room=room) == naive_cut(data, 1398)


def test_a_send_has_at_most_64_segments_worth_of_bytes(shim: Shim) -> None:
    data = super_packet(UDP(sport=1, dport=2), bytes(64 * 200))
    assert len(shim.cut(data, 64)) == 200


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x45" + bytes(10),
        bytes([0x44]) + bytes(60),
        bytes([0x4F]) + bytes(30),
        bytes([0x45]) + bytes(8) + bytes([6]) + bytes(60),  # TCP with data offset 0
        bytes([0x45]) + bytes(8) + bytes([1]) + bytes(60),  # ICMP
        bytes([0x65]) + bytes(8) + bytes([6]) + bytes(60),
    ],
)
def test_what_is_no_tcp_or_udp_packet_is_not_cut(shim: Shim, data: bytes) -> None:
    assert shim.cut(data, 100) == []


@given(tcp_headers, payloads, ips, sizes, tunnels)
def test_joining_what_was_cut_gives_it_back(
    shim: Shim, tcp: TCP, payload: bytes, ip: dict[str, object], size: int, tunnel: bytes
) -> None:
    data = super_packet(tcp, payload, **ip)
    wire = b"".join(shim.cut(tunnel + data, size, tunnel=len(tunnel)))
    segment = len(data) - len(payload) + size + len(tunnel)
    used, joined = shim.join(wire, segment, tunnel=len(tunnel))
    if len(payload) <= size:  # one segment: left as it is, checksum complete
        assert (used, joined) == (len(wire), Packet(wire))
        return
    assert used == len(wire)
    assert joined.data == tunnel + data
    assert joined.flags == NEEDS_CSUM
    assert joined.gso_type & ~GSO_ECN == GSO_TCPV4
    assert bool(joined.gso_type & GSO_ECN) == bool(tcp.flags & 0x80)
    assert joined.gso_size == size
    assert joined.hdr_len == len(data) - len(payload)
    assert joined.csum_offset == 16


@settings(deadline=None)
@given(tcp_headers, payloads, ips, st.integers(8, 700), tunnels, st.data())
def test_damaged_segments_are_never_joined_into_something_else(
    shim: Shim,
    tcp: TCP,
    payload: bytes,
    ip: dict[str, object],
    size: int,
    tunnel: bytes,
    data: st.DataObject,
) -> None:
    """Cutting whatever came out again gives the bytes that went in."""
    packet = super_packet(tcp, payload, **ip)
    wire = bytearray(b"".join(shim.cut(tunnel + packet, size, tunnel=len(tunnel))))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(wire) - 1))
        wire[at] ^= data.draw(st.integers(1, 255))
    wire = wire[: data.draw(st.integers(1, len(wire)))]
    segment = len(packet) - len(payload) + size + len(tunnel)
    at = 0
    while at < len(wire):
        used, out = shim.join(bytes(wire[at:]), segment, tunnel=len(tunnel))
        assert 0 < used <= len(wire) - at
        before = bytes(wire[at : at + used])
        if used <= segment:
            assert out == Packet(before)
        else:
            assert b"".join(shim.cut(out.data, out.gso_size, tunnel=len(tunnel))) == before
        at += used


@given(st.binary(min_size=1, max_size=4000), st.integers(1, 65535), st.integers(0, 40))
def test_joining_any_bytes_consumes_them_safely(
    shim: Shim, data: bytes, segment: int, tunnel: int
) -> None:
    at = 0
    while at < len(data):
        used, out = shim.join(data[at:], segment, tunnel=tunnel)
        assert used > 0
        assert out.data == data[at : at + used]
        at += used


def segments(count: int, **change: object) -> list[TCP]:
    """TCP headers of a run of 100-byte segments; `change` is made to the last."""
    run = [TCP(sport=1, dport=2, flags="A", seq=1 + 100 * n, ack=5, window=9) for n in range(count)]
    for field, value in change.items():
        setattr(run[-1], field, value)
    return run


@pytest.mark.parametrize(
    ("what", "change", "ip_change"),
    [
        ("gap in the sequence", {"seq": 999}, {}),
        ("other acknowledgement", {"ack": 6}, {}),
        ("other window", {"window": 10}, {}),
        ("other port", {"sport": 3}, {}),
        ("SYN", {"flags": "SA"}, {}),
        ("RST", {"flags": "RA"}, {}),
        ("URG", {"flags": "UA"}, {}),
        ("ECE changes", {"flags": "AE"}, {}),
        ("CWR later", {"flags": "AC"}, {}),
        ("other source", {}, {"src": "10.244.0.9"}),
        ("other TTL", {}, {"ttl": 9}),
        ("other TOS", {}, {"tos": 9}),
        ("fragment", {}, {"flags": "MF"}),
        ("identification jumps", {}, {"id": 77}),
    ],
)
def test_a_segment_of_another_kind_ends_the_run(
    shim: Shim, what: str, change: dict[str, object], ip_change: dict[str, object]
) -> None:
    packets = [
        bytes(header(**{"id": n, **(ip_change if n == 2 else {})}) / t / bytes(100))
        for n, t in enumerate(segments(3, **change))
    ]
    used, _ = shim.join(b"".join(packets), 140)
    assert used == 280, what


def test_push_ends_a_run_and_is_kept(shim: Shim) -> None:
    run = segments(3)
    run[1].flags = "PA"
    packets = [bytes(IP(src=SRC, dst=DST, id=n) / t / bytes(100)) for n, t in enumerate(run)]
    used, joined = shim.join(b"".join(packets), 140)
    assert used == 280
    assert IP(joined.data)[TCP].flags == "PA"


def test_fixed_identification_with_df_is_joined(shim: Shim) -> None:
    packets = [bytes(IP(src=SRC, dst=DST, id=0, flags="DF") / t / bytes(100)) for t in segments(3)]
    assert shim.join(b"".join(packets), 140)[0] == 420


def test_joining_stops_at_the_longest_ipv4_packet(shim: Shim) -> None:
    run = [TCP(flags="A", seq=1400 * n) for n in range(47)]
    packets = [bytes(IP(src=SRC, dst=DST, id=n) / t / bytes(1400)) for n, t in enumerate(run)]
    used, joined = shim.join(b"".join(packets)[:65700], 1440)
    assert used == 45 * 1440
    assert len(joined.data) <= 65535


@given(st.sampled_from([TCP(flags="PA"), UDP(sport=9, dport=10)]), st.binary(max_size=300), tunnels)
def test_a_partial_checksum_is_completed_as_scapy_computes_it(
    shim: Shim, l4: TCP | UDP, payload: bytes, tunnel: bytes
) -> None:
    want = bytes(IP(src=SRC, dst=DST) / l4 / Raw(payload))
    done = shim.complete(tunnel + super_packet(l4, payload), tunnel=len(tunnel))
    assert done == tunnel + want


def reassemble(fragments: list[bytes]) -> tuple[bytes, bool]:
    """Naive: payloads by offset; whether more fragments are to come after them."""
    body, more = bytearray(), True
    for f in fragments:
        ip = IP(f)
        assert ip.frag * 8 == len(body)
        assert ip.len == len(f)
        assert checksum(f[: ip.ihl * 4]) == 0
        body += f[ip.ihl * 4 :]
        more = bool(ip.flags & 1)
    return bytes(body), more


@given(st.integers(0, 9000), st.integers(68, 9000), st.integers(0, 65535), tunnels)
def test_fragments_reassemble_to_what_was_cut(
    shim: Shim, size: int, mtu: int, ident: int, tunnel: bytes
) -> None:
    data = bytes(IP(src=SRC, dst=DST, id=ident) / UDP() / Raw(bytes(i & 255 for i in range(size))))
    pieces = shim.fragment(tunnel + data, mtu, tunnel=len(tunnel))
    assert all(p.startswith(tunnel) for p in pieces)
    fragments = [p[len(tunnel) :] for p in pieces]
    assert all(len(f) <= mtu for f in fragments)
    assert all(IP(f).id == ident for f in fragments)
    assert reassemble(fragments) == (data[20:], False)


def test_a_fragment_is_cut_into_fragments_of_the_whole(shim: Shim) -> None:
    middle = bytes(IP(src=SRC, dst=DST, id=4, flags="MF", frag=100, proto=17) / Raw(bytes(3000)))
    fragments = [IP(f) for f in shim.fragment(middle, 1020)]
    assert [(f.frag, int(f.flags)) for f in fragments] == [(100, 1), (225, 1), (350, 1)]


def test_later_fragments_lose_the_options_that_are_not_copied(shim: Shim) -> None:
    record_route = bytes([7, 7, 4, 0, 0, 0, 0])
    security = bytes([130, 5, 1, 2, 3])
    head = bytearray(bytes(IP(src=SRC, dst=DST, proto=17) / Raw(bytes(2000))))
    head[0] = 0x48
    data = bytes(head[:20]) + record_route + security + bytes(head[20:])
    first, second = shim.fragment(data, 1500)
    assert first[20:32] == record_route + security
    assert second[20:32] == bytes([1] * 7) + security


@pytest.mark.parametrize("mtu", [0, 19, 20, 27])
def test_an_mtu_that_holds_no_payload_cuts_nothing(shim: Shim, mtu: int) -> None:
    assert shim.fragment(bytes(IP(src=SRC, dst=DST) / Raw(bytes(100))), mtu) == []
