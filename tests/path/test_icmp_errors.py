"""ICMP errors: about the packet as it arrived, translated inside and out, never about errors."""

from __future__ import annotations

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, ICMPerror, IPerror, TCPerror, UDPerror
from scapy.layers.sctp import SCTP
from scapy.packet import Packet, Raw

from tests.path.lab import (
    SCTP_PROTO,
    TCP_PROTO,
    UDP_PROTO,
    VIP,
    Lab,
    cni_addr,
    node_addr,
    pod_addr,
    rebuilt,
    tunnel_addr,
    unwrap,
)

A, B, REMOTE = pod_addr(1), pod_addr(1, "b"), pod_addr(2)
KINDS = [(3, 0), (3, 1), (3, 3), (3, 4), (3, 13), (4, 0), (11, 0), (11, 1), (12, 0)]


def l4(proto: int, sport: int, dport: int) -> Packet:
    if proto == TCP_PROTO:
        return TCP(sport=sport, dport=dport) / Raw(b"GET /")
    if proto == SCTP_PROTO:
        return SCTP(sport=sport, dport=dport, tag=1) / Raw(b"chunk")
    return UDP(sport=sport, dport=dport) / Raw(b"hello")


def error(src: str, dst: str, quoted: bytes, kind: tuple[int, int] = (3, 3)) -> Packet:
    icmp = ICMP(type=kind[0], code=kind[1])
    if kind == (3, 4):
        icmp.nexthopmtu = 1400
    return IP(src=src, dst=dst) / icmp / Raw(quoted)


def good_checksums(packet: Packet) -> None:
    """All of the outer ones, and those of what is quoted whole."""
    assert bytes(IP(bytes(packet)[:20])) == rebuilt_header(packet)
    icmp = bytes(packet)[20:]
    words = sum(int.from_bytes(icmp[i : i + 2].ljust(2, b"\0")) for i in range(0, len(icmp), 2))
    assert words % 0xFFFF == 0
    quoted = IP(icmp[8:])
    if len(icmp) - 8 >= quoted.len:
        assert bytes(quoted) == rebuilt(quoted)


def rebuilt_header(packet: Packet) -> bytes:
    head = IP(bytes(packet)[:20])
    del head.chksum
    return bytes(head)


@pytest.mark.parametrize("proto", [TCP_PROTO, UDP_PROTO, SCTP_PROTO])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hop", [REMOTE, "10.244.2.1", node_addr(2)])
@pytest.mark.parametrize("quote", [8, 500])
def test_errors_about_a_translated_connection(
    proto: int, kind: tuple[int, int], hop: str, quote: int
) -> None:
    with Lab() as lab:
        lab.service((REMOTE, 8080), proto=proto)
        there = lab.out("a1", IP(src=A, dst=VIP) / l4(proto, 40000, 80), "wire1")
        back = error(hop, A, bytes(there)[: 20 + quote], kind)
        got = lab.out("wire1", lab.wrap(back), "a1")
        assert (got.src, got.dst, got.ttl) == (VIP, A, 63)  # as nf_nat does it: the hop is hidden
        assert (got[ICMP].type, got[ICMP].code) == kind
        quoted = got[IPerror]
        assert (quoted.src, quoted.dst) == (A, VIP)
        assert bytes(quoted)[20:24] == (40000).to_bytes(2) + (80).to_bytes(2)
        good_checksums(got)
        if kind == (3, 4):
            assert got[ICMP].nexthopmtu == 1400
        assert lab.stats().icmp_errors_translated == 1


def test_errors_about_what_a_service_answered() -> None:
    """The client's side complains: the endpoint must recognise its own packet."""
    with Lab() as lab:
        lab.service((B, 8080), proto=UDP_PROTO)
        lab.out("a1", IP(src=A, dst=VIP) / UDP(sport=40000, dport=80), "b1")
        answer = lab.out("b1", IP(src=B, dst=A) / UDP(sport=8080, dport=40000) / Raw(b"x"), "a1")
        assert answer.src == VIP
        got = lab.out("a1", error(A, VIP, bytes(answer)), "b1")
        assert (got.src, got.dst) == (A, B)
        assert (got[IPerror].src, got[IPerror].dst) == (B, A)
        assert (got[UDPerror].sport, got[UDPerror].dport) == (8080, 40000)
        good_checksums(got)


def test_errors_about_a_masqueraded_connection() -> None:
    with Lab() as lab:
        lab.service((REMOTE, 8080))
        sent = IP(src=node_addr(1), dst=VIP) / TCP(sport=40000, dport=80)
        lab.out("stack1", IP(src="172.16.0.1", dst=VIP) / TCP(sport=40000, dport=80), "wire1")
        there = lab.out("stack1", sent, "wire1")
        assert there[TCP].sport != 40000
        got = lab.out("wire1", lab.wrap(error("10.244.2.1", there.src, bytes(there))), "stack1")
        assert (got.src, got.dst) == (VIP, node_addr(1))
        assert (got[IPerror].src, got[IPerror].dst) == (node_addr(1), VIP)
        assert (got[TCPerror].sport, got[TCPerror].dport) == (40000, 80)
        good_checksums(got)


def test_errors_about_a_ping_through_masquerade() -> None:
    """No service has ICMP: the identifier would only move if two pings collided."""
    with Lab() as lab:
        there = lab.out("a1", IP(src=A, dst=REMOTE) / ICMP(id=77) / Raw(b"ping"), "wire1")
        got = lab.out("wire1", lab.wrap(error("10.244.2.1", A, bytes(there), (11, 0))), "a1")
        assert got.src == "10.244.2.1"
        assert got[ICMPerror].id == 77
        good_checksums(got)


def test_errors_about_untranslated_connections_pass_as_they_are() -> None:
    with Lab() as lab:
        there = lab.out("a1", IP(src=A, dst=REMOTE) / UDP(sport=1, dport=2), "wire1")
        sent = error("10.244.2.1", A, bytes(there), (11, 0))
        got = lab.out("wire1", lab.wrap(sent), "a1")
        sent.ttl = 63
        assert bytes(got) == bytes(sent)
        assert lab.stats().icmp_errors_translated == 0


def test_an_endpoint_quotes_a_udp_packet_without_checksum() -> None:
    with Lab() as lab:
        lab.service((REMOTE, 8080), proto=UDP_PROTO)
        there = lab.out("a1", IP(src=A, dst=VIP) / UDP(sport=4, dport=80, chksum=0), "wire1")
        assert there[UDP].chksum == 0
        got = lab.out("wire1", lab.wrap(error(REMOTE, A, bytes(there))), "a1")
        assert got[UDPerror].chksum == 0


UDP_SENT = IP(src=A, dst=REMOTE, ttl=63) / UDP(sport=1, dport=2)
UNRELATED = [
    ("another port", error(REMOTE, A, bytes(IP(src=A, dst=REMOTE) / UDP(sport=1, dport=3)))),
    ("another protocol", error(REMOTE, A, bytes(IP(src=A, dst=REMOTE) / TCP(sport=1, dport=2)))),
    ("to somebody else", error(REMOTE, B, bytes(UDP_SENT))),
    ("a later fragment", error(REMOTE, A, bytes(IP(src=A, dst=REMOTE, frag=1) / Raw(b"x" * 8)))),
    (
        "another error",
        error(REMOTE, A, bytes(IP(src=A, dst=REMOTE) / ICMP(type=3) / Raw(bytes(UDP_SENT)))),
    ),
]


@pytest.mark.parametrize(("what", "packet"), UNRELATED, ids=[u[0] for u in UNRELATED])
def test_errors_about_nothing_that_is_known(what: str, packet: Packet) -> None:
    with Lab() as lab:
        lab.out("a1", IP(src=A, dst=REMOTE) / UDP(sport=1, dport=2), "wire1")
        assert lab.refuses("wire1", lab.wrap(packet)) == "icmp-unrelated"


def test_malformed_errors() -> None:
    whole = error(REMOTE, A, bytes(UDP_SENT))
    options = bytearray(bytes(UDP_SENT))
    options[0] = 0x4F
    six = bytearray(bytes(UDP_SENT))
    six[0] = 0x65
    with Lab() as lab:
        lab.out("a1", IP(src=A, dst=REMOTE) / UDP(sport=1, dport=2), "wire1")
        for quoted in (b"", bytes(UDP_SENT)[:27], bytes(options), bytes(six)):
            packet = error(REMOTE, A, quoted)
            assert lab.refuses("wire1", lab.wrap(packet)) == "bad-l4"
        whole[ICMP].chksum = 1
        assert lab.refuses("wire1", lab.wrap(whole)) == "bad-l4"
        redirect = IP(src=REMOTE, dst=A) / ICMP(type=5, gw="10.244.2.9") / Raw(bytes(UDP_SENT))
        assert lab.refuses("wire1", lab.wrap(redirect)) == "icmp-unrelated"
        router = IP(src=REMOTE, dst=A) / ICMP(type=9) / Raw(b"x" * 8)
        assert lab.refuses("wire1", lab.wrap(router)) == "icmp-unrelated"


# What the node itself has to say.


def test_time_exceeded_at_the_first_hop() -> None:
    with Lab() as lab:
        for sent in (
            IP(src=A, dst=REMOTE, ttl=1, tos=0x10) / UDP(sport=1, dport=33434) / Raw(b"x" * 600),
            IP(src=A, dst=REMOTE, ttl=1, tos=0x10) / ICMP(id=5),
            IP(src=A, dst=REMOTE, ttl=0, tos=0x10) / TCP(sport=1),
        ):
            got = lab.out("a1", sent, "a1")
            assert (got.src, got.dst, got.ttl, got.tos) == (cni_addr(1), A, 64, 0xD0)
            assert (got[ICMP].type, got[ICMP].code) == (11, 0)
            assert len(got) == min(576, 28 + len(sent))
            assert bytes(got)[28:] == bytes(sent)[: len(got) - 28]
            good_checksums(got)
        assert lab.engine.flows(lab.nodes[1].id)[0] == []


@pytest.mark.parametrize(
    ("backend", "hop"),
    [("vxlan", tunnel_addr(2)), ("udp", tunnel_addr(2)), ("host-gw", node_addr(2))],
)
def test_traceroute_between_pods_shows_both_nodes(backend: str, hop: str) -> None:
    found = []
    with Lab(backend, nodes=2) as lab:
        for ttl in range(1, 8):
            probe = (
                IP(src=A, dst=REMOTE, ttl=ttl) / UDP(sport=5, dport=33434 + ttl) / Raw(b"x" * 32)
            )
            lab.send("a1", probe)
            if lab.take("a2"):
                break
            found += [s.ip.src for s in lab.take("a1")]
    assert found == [cni_addr(1), hop]


def test_time_exceeded_through_a_service_names_the_service() -> None:
    """The far node's error crosses the near node's translation, as the near node's own does."""
    with Lab(nodes=2) as lab:
        lab.service((REMOTE, 8080), proto=UDP_PROTO)
        for ttl in (1, 2):
            got = lab.out("a1", IP(src=A, dst=VIP, ttl=ttl) / UDP(sport=5, dport=80), "a1")
            assert (got.src, got[ICMP].type) == (VIP, 11)
            assert (got[IPerror].dst, got[UDPerror].dport) == (VIP, 80)


def test_too_big_for_the_overlay_through_a_service_names_the_service() -> None:
    with Lab() as lab:
        lab.service((REMOTE, 8080), proto=UDP_PROTO)
        big = IP(src=A, dst=VIP, flags="DF") / UDP(sport=5, dport=80) / Raw(b"x" * 1423)
        got = lab.out("a1", big, "a1")
        assert (got.src, got[ICMP].code, got[ICMP].nexthopmtu) == (VIP, 4, 1450)
        assert bytes(got)[28:] == bytes(big)[: len(got) - 28]


def test_too_big_for_the_overlay() -> None:
    for backend, mtu in (("vxlan", 1450), ("udp", 1472), ("host-gw", 1500)):
        with Lab(backend) as lab:
            fits = IP(src=A, dst=REMOTE, flags="DF") / UDP(sport=1) / Raw(b"x" * (mtu - 28))
            assert len(lab.out("a1", fits, "wire1")) == mtu
            got = lab.out("a1", fits / Raw(b"y"), "a1")
            assert (got.src, got[ICMP].type, got[ICMP].code) == (cni_addr(1), 3, 4)
            assert got[ICMP].nexthopmtu == mtu
            good_checksums(got)


def test_too_big_for_the_receiving_pod() -> None:
    with Lab() as lab:
        big = IP(src=REMOTE, dst=A, flags="DF") / UDP(sport=1) / Raw(b"x" * 1423)
        lab.send("wire1", lab.wrap(big))
        [sent] = lab.take("wire1")
        got = unwrap(sent, "vxlan")
        assert (got.src, got.dst, got[ICMP].code, got[ICMP].nexthopmtu) == (
            tunnel_addr(1),
            REMOTE,
            4,
            1450,
        )


def test_what_may_be_fragmented_is_left_to_the_iface() -> None:
    with Lab() as lab:
        assert lab.out("a1", IP(src=A, dst=REMOTE) / UDP() / Raw(b"x" * 1500), "wire1").len == 1528


NEVER = [
    ("an error", error(A, REMOTE, bytes(IP(src=REMOTE, dst=A) / UDP(sport=2, dport=1)))),
    ("a later fragment", IP(src=A, dst=REMOTE, frag=4, id=9, proto=17) / Raw(b"x" * 8)),
]


@pytest.mark.parametrize(("what", "packet"), NEVER, ids=[n[0] for n in NEVER])
def test_no_error_about(what: str, packet: Packet) -> None:
    with Lab() as lab:
        lab.out("a1", IP(src=A, dst=REMOTE) / UDP(sport=1, dport=2), "wire1")
        first = IP(src=A, dst=REMOTE, flags="MF", id=9) / UDP(sport=1, dport=2) / Raw(b"x" * 24)
        lab.out("a1", first, "wire1")
        packet.ttl = 1
        assert lab.refuses("a1", packet) == "ttl-exceeded"


def test_a_sender_behind_no_peer_is_not_told() -> None:
    with Lab() as lab:
        assert lab.refuses("wire1", lab.wrap(UDP_SENT / Raw(b"x"))) == "loop"
        stranger = IP(src="8.8.8.8", dst=A, ttl=1) / UDP()
        assert lab.refuses("wire1", lab.wrap(stranger)) == "ttl-exceeded"
