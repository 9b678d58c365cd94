"""For any packet: one verdict, well-formed output, translation there and back is the identity."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.sctp import SCTP
from scapy.packet import Packet, Raw

from netsim.dataplane.records import Meta, TraceRecord
from tests.path.lab import (
    SCTP_PROTO,
    TCP_PROTO,
    UDP_PROTO,
    VIP,
    Lab,
    Sent,
    cni_addr,
    node_addr,
    number,
    pod_addr,
    tunnel_addr,
    unwrap,
)

A, B, REMOTE = pod_addr(1), pod_addr(1, "b"), pod_addr(2)
ADDRESSES = [A, B, REMOTE, VIP, "10.96.0.11", cni_addr(1), tunnel_addr(1), tunnel_addr(2)]
ADDRESSES += [node_addr(1), node_addr(2), "10.244.1.9", "10.244.9.9", "8.8.8.8", "127.0.0.1"]
ADDRESSES += ["224.0.0.1", "255.255.255.255", "0.0.0.0", "10.99.0.1"]
PORTS = [0, 1, 80, 81, 700, 8080, 40000, 65535]
BACKENDS = st.sampled_from(["vxlan", "udp", "host-gw"])
WHERE = st.sampled_from(["a1", "b1", "stack1", "tunnel1", "wire1"])

ports = st.sampled_from(PORTS)
payloads = st.binary(max_size=40).map(Raw)
transports = st.one_of(
    st.builds(TCP, sport=ports, dport=ports, flags=st.integers(0, 255)),
    st.builds(UDP, sport=ports, dport=ports),
    st.builds(SCTP, sport=ports, dport=ports),
    st.builds(ICMP, type=st.integers(0, 19), code=st.integers(0, 4), id=ports),
    st.just(Raw(b"")),
)
headers = st.builds(
    IP,
    src=st.sampled_from(ADDRESSES),
    dst=st.sampled_from(ADDRESSES),
    ttl=st.sampled_from([0, 1, 2, 3, 64, 255]),
    id=st.integers(0, 3),
    flags=st.sampled_from(["", "DF", "MF"]),
    frag=st.sampled_from([0, 0, 0, 1, 2, 8191]),
)
plain = st.builds(lambda head, l4, load: bytes(head / l4 / load), headers, transports, payloads)
quoting = st.builds(
    lambda head, kind, quoted: bytes(head / ICMP(type=kind) / Raw(quoted)),
    headers,
    st.sampled_from([3, 4, 5, 11, 12]),
    plain,
)


def flipped(raw: bytes, at: int, bits: int) -> bytes:
    damaged = bytearray(raw)
    damaged[at % len(raw)] ^= bits
    return bytes(damaged)


damaged = st.builds(flipped, plain, st.integers(0, 200), st.integers(1, 255))
metas = st.builds(
    lambda gso, partial, size, start, offset: Meta(
        gso_type=gso, needs_csum=partial, gso_size=size, csum_start=start, csum_offset=offset
    ),
    st.sampled_from([0, 0, 1, 5, 0x81]),
    st.booleans(),
    st.sampled_from([0, 1, 1400]),
    st.sampled_from([0, 20, 24]),
    st.sampled_from([6, 8, 16]),
)
traffic = st.lists(
    st.tuples(WHERE, st.one_of(plain, plain, quoting, damaged, st.binary(max_size=60)), metas),
    min_size=1,
    max_size=20,
)


def well_formed(where: str, sent: Sent, backend: str) -> None:
    raw = sent.raw[22:] if where.startswith("wire") and backend == "vxlan" else sent.raw
    assert len(raw) == int.from_bytes(raw[2:4])
    head = raw[: (raw[0] & 15) * 4]
    words = sum(int.from_bytes(head[i : i + 2]) for i in range(0, len(head), 2))
    assert words % 0xFFFF == 0


def populated(backend: str) -> Lab:
    lab = Lab(backend)
    ends = [(A, 8080), (B, 8080), (REMOTE, 8080)]
    lab.service(*ends)
    lab.service(*ends, proto=UDP_PROTO, affinity_s=10, id_=8)
    lab.service(*ends, proto=SCTP_PROTO, id_=9)
    lab.service(vip="10.96.0.11", id_=10)
    return lab


def enter(lab: Lab, where: str, raw: bytes, meta: Meta, *, mark: bool = False) -> None:
    if where == "wire1":
        peer = lab.from_peer(2)
        meta = meta._replace(outer_src=peer.outer_src, outer_dst=peer.outer_dst)
        raw = lab.wrap(raw)
    lab.put(where, raw, meta._replace(mark=mark))


@given(BACKENDS, traffic)
def test_every_packet_ends_in_exactly_one_way(
    backend: str, packets: list[tuple[str, bytes, Meta]]
) -> None:
    with populated(backend) as lab:
        for where, raw, meta in packets:
            enter(lab, where, raw, meta)
        lab.run()
        sent = {where: lab.take(where) for where in lab.everywhere}
        for where, found in sent.items():
            for one in found:
                well_formed(where, one, backend)
        stats = lab.stats()
        assert stats.packets == len(packets)
        assert stats.packets == sum(stats.drops.values()) + sum(len(f) for f in sent.values())


@given(BACKENDS, traffic)
def test_decision_records_agree_with_what_happened(
    backend: str, packets: list[tuple[str, bytes, Meta]]
) -> None:
    with populated(backend) as lab:
        for where, raw, meta in packets:
            enter(lab, where, raw, meta, mark=True)
        lab.run()
        records: dict[int, list[TraceRecord]] = {}
        for record in lab.trace():
            records.setdefault(record.trace_id, []).append(record)
        assert len(records) == len(packets)
        ends = Counter((r[-1].event, r[-1].object) for r in records.values())
        sent = Counter(
            {("forwarded", lab.iface(w)): n for w in lab.everywhere if (n := len(lab.take(w)))}
        )
        assert +Counter({k: n for k, n in ends.items() if k[0] == "forwarded"}) == sent
        drops = sum(n for (event, _), n in ends.items() if event == "dropped")
        assert drops == sum(lab.drops().values())
        for told in records.values():
            assert told[0].event == "accepted"
            assert told[0].stage == "receive"
            assert {r.event for r in told[:-1]}.isdisjoint({"forwarded", "dropped"})


def swapped(packet: Packet) -> bytes:
    """The answer with the same payload: addresses and ports change places, sums stay the same."""
    raw = bytes(packet)
    return raw[:12] + raw[16:20] + raw[12:16] + raw[22:24] + raw[20:22] + raw[24:]


def without_ttl(raw: bytes) -> bytes:
    return raw[:8] + raw[9:10] + raw[12:]


clients = st.sampled_from([("a1", A), ("stack1", node_addr(1)), ("stack1", "172.16.0.3")])
ends = st.sampled_from([("a1", A), ("b1", B), ("wire1", REMOTE)])


@given(
    clients, ends, st.sampled_from([TCP_PROTO, UDP_PROTO]), ports, st.integers(0, 0xFFFF), payloads
)
def test_there_and_back_is_the_identity(
    client: tuple[str, str], end: tuple[str, str], proto: int, sport: int, chksum: int, load: Raw
) -> None:
    """Any checksum, right or wrong; 0 and 0xffff are the same number to TCP."""
    layer = TCP(flags="S") if proto == TCP_PROTO else UDP()
    layer.sport, layer.dport, layer.chksum = sport, 80, chksum
    sent = IP(src=client[1], dst=VIP, ttl=60) / layer / load
    with Lab() as lab:
        lab.service((end[1], 8080), proto=proto)
        there = lab.out(client[0], sent, end[0])
        assert (there.dst, there.payload.dport) == (end[1], 8080)
        answer = bytearray(swapped(there))
        if proto == TCP_PROTO:  # SYN becomes SYN+ACK without changing the sum
            answer[33] |= 0x10
        if end[0] == "wire1":
            answer = bytearray(lab.wrap(bytes(answer)))
        back = lab.out(end[0], bytes(answer), client[0])
        same = bytearray(swapped(back))
        if proto == TCP_PROTO:
            same[33] &= 0xEF
            for raw in (same, expected := bytearray(bytes(sent))):
                if raw[36:38] == b"\xff\xff":
                    raw[36:38] = b"\0\0"
            assert without_ttl(bytes(same)) == without_ttl(bytes(expected))
        else:
            assert without_ttl(bytes(same)) == without_ttl(bytes(sent))


@given(clients, ends, st.sampled_from([TCP_PROTO, UDP_PROTO, SCTP_PROTO]), ports, payloads)
def test_an_error_quotes_what_its_receiver_sent(
    client: tuple[str, str], end: tuple[str, str], proto: int, sport: int, load: Raw
) -> None:
    layer = {TCP_PROTO: TCP, UDP_PROTO: UDP, SCTP_PROTO: SCTP}[proto](sport=sport, dport=80)
    sent = IP(src=client[1], dst=VIP, ttl=60) / layer / load
    with Lab() as lab:
        lab.service((end[1], 8080), proto=proto)
        there = lab.out(client[0], sent, end[0])
        error = bytes(IP(src=end[1], dst=there.src) / ICMP(type=3, code=3) / Raw(bytes(there)))
        back = lab.out(end[0], lab.wrap(error) if end[0] == "wire1" else error, client[0])
        assert (back.src, back.dst) == (VIP, client[1])
        assert without_ttl(bytes(back)[28:]) == without_ttl(bytes(sent))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=200))
def test_a_connection_never_changes_its_endpoint(sends: list[tuple[int, int]]) -> None:
    """Whatever the batches: packets of one five-tuple go one way while the flow lives."""
    with Lab() as lab:
        lab.service(*[(f"10.244.2.{i}", 8080) for i in range(2, 12)], proto=UDP_PROTO)
        gone: dict[int, set[int]] = {}
        for sport, pause in sends:
            lab.put("a1", IP(src=A, dst=VIP) / UDP(sport=1000 + sport, dport=80))
            if pause == 0:
                lab.run()
        lab.run()
        for sent in lab.take("wire1"):
            packet = unwrap(sent, "vxlan")
            gone.setdefault(packet.sport, set()).add(number(packet.dst))
        assert all(len(ends) == 1 for ends in gone.values())
        assert lab.stats().flows_new == len(gone)
