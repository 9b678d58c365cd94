"""Services: who gets a connection, what its packets look like on both ways, and for how long."""

from __future__ import annotations

from collections import Counter
from math import comb

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.sctp import SCTP, SCTPChunkInit
from scapy.packet import Packet, Raw

from tests.path.lab import (
    FAR,
    SCTP_PROTO,
    TCP_PROTO,
    UDP_PROTO,
    VIP,
    Lab,
    cni_addr,
    node_addr,
    number,
    pod_addr,
    rebuilt,
    tunnel_addr,
)

A, B, REMOTE = pod_addr(1), pod_addr(1, "b"), pod_addr(2)
FOUR = [(f"10.244.2.{10 + i}", 8080 + i) for i in range(4)]


def tcp(src: str, dst: str, sport: int = 40000, dport: int = 80, flags: str = "S") -> Packet:
    return IP(src=src, dst=dst) / TCP(sport=sport, dport=dport, flags=flags)


def udp(src: str, dst: str, sport: int = 40000, dport: int = 80, load: bytes = b"hello") -> Packet:
    return IP(src=src, dst=dst) / UDP(sport=sport, dport=dport) / Raw(load)


def sctp(src: str, dst: str, sport: int = 40000, dport: int = 80) -> Packet:
    return IP(src=src, dst=dst) / SCTP(sport=sport, dport=dport, tag=7) / SCTPChunkInit()


MAKERS = {"tcp": (tcp, TCP_PROTO), "udp": (udp, UDP_PROTO), "sctp": (sctp, SCTP_PROTO)}


@pytest.fixture(params=list(MAKERS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def expected(sent: Packet, *, ttl: int = 64, **fields: object) -> bytes:
    """`sent` with other addresses and ports, all checksums computed anew."""
    made = sent.copy()
    made.ttl = ttl
    for name, value in fields.items():
        setattr(made if name in ("src", "dst") else made.payload, name, value)
    return rebuilt(made)


def test_to_an_endpoint_on_another_node_and_back(kind: str) -> None:
    make, proto = MAKERS[kind]
    with Lab() as lab:
        lab.service((REMOTE, 8080), proto=proto)
        got = lab.out("a1", make(A, VIP), "wire1")
        assert bytes(got) == expected(make(A, VIP), ttl=63, dst=REMOTE, dport=8080)
        answer = make(REMOTE, A, 8080, 40000)
        if kind == "tcp":
            answer = tcp(REMOTE, A, 8080, 40000, "SA")
        back = lab.out("wire1", lab.wrap(answer), "a1")
        assert bytes(back) == expected(answer, ttl=63, src=VIP, sport=80)
        assert lab.stats().service_hits == 1


def test_to_an_endpoint_on_the_same_node_and_back(kind: str) -> None:
    make, proto = MAKERS[kind]
    with Lab() as lab:
        lab.service((B, 8080), proto=proto)
        got = lab.out("a1", make(A, VIP), "b1")
        assert bytes(got) == expected(make(A, VIP), ttl=63, dst=B, dport=8080)
        answer = make(B, A, 8080, 40000) if kind != "tcp" else tcp(B, A, 8080, 40000, "SA")
        back = lab.out("b1", answer, "a1")
        assert bytes(back) == expected(answer, ttl=63, src=VIP, sport=80)


def test_a_pod_reaches_itself_masqueraded(kind: str) -> None:
    make, proto = MAKERS[kind]
    with Lab() as lab:
        lab.service((A, 8080), proto=proto)
        got = lab.out("a1", make(A, VIP), "a1")
        assert bytes(got) == expected(make(A, VIP), ttl=63, src=cni_addr(1), dst=A, dport=8080)
        answer = make(A, cni_addr(1), 8080, 40000)
        if kind == "tcp":
            answer = tcp(A, cni_addr(1), 8080, 40000, "SA")
        back = lab.out("a1", answer, "a1")
        assert bytes(back) == expected(answer, ttl=63, src=VIP, dst=A, sport=80)
        [flow] = lab.engine.flows(lab.nodes[1].id)
        assert flow.masqueraded
        assert flow.translated


MASQUERADES = [  # sender, its address, endpoint, where it comes out, backend, source there; spec 3.6
    ("a1", A, REMOTE, "wire1", "vxlan", A),
    ("a1", A, B, "b1", "vxlan", A),
    ("stack1", node_addr(1), A, "a1", "vxlan", cni_addr(1)),
    ("stack1", node_addr(1), REMOTE, "wire1", "vxlan", tunnel_addr(1)),
    ("stack1", node_addr(1), REMOTE, "wire1", "udp", tunnel_addr(1)),
    ("stack1", node_addr(1), REMOTE, "wire1", "host-gw", node_addr(1)),
    ("stack1", "172.16.0.9", A, "a1", "vxlan", cni_addr(1)),
    ("stack1", cni_addr(1), A, "a1", "vxlan", cni_addr(1)),
    ("tunnel1", tunnel_addr(1), REMOTE, "wire1", "vxlan", tunnel_addr(1)),
]


@pytest.mark.parametrize(("start", "src", "endpoint", "end", "backend", "shown"), MASQUERADES)
def test_source_that_the_endpoint_sees(
    start: str, src: str, endpoint: str, end: str, backend: str, shown: str
) -> None:
    with Lab(backend) as lab:
        lab.service((endpoint, 8080))
        got = lab.out(start, tcp(src, VIP), end)
        assert (got.src, got.dst, got[TCP].sport) == (shown, endpoint, 40000)
        answer = tcp(endpoint, shown, 8080, 40000, "SA")
        to = "a1" if start == "a1" else "stack1"
        back = lab.out(end, lab.wrap(answer) if end == "wire1" else answer, to)
        assert (back.src, back.dst, back[TCP].sport) == (VIP, src, 80)


def test_host_gw_answers_find_the_masquerading_node() -> None:
    with Lab("host-gw", nodes=2) as lab:
        lab.service((REMOTE, 8080))
        got = lab.out("stack1", tcp(node_addr(1), VIP), "a2")
        assert (got.src, got.dst) == (node_addr(1), REMOTE)
        back = lab.out("a2", tcp(REMOTE, node_addr(1), 8080, got[TCP].sport, "SA"), "stack1")
        assert (back.src, back.dst, back[TCP].sport) == (VIP, node_addr(1), 80)


def test_no_endpoints_is_refused_at_once() -> None:
    for make, proto in MAKERS.values():
        with Lab() as lab:
            lab.service(proto=proto)
            sent = make(A, VIP)
            got = lab.out("a1", sent, "a1")
            assert (got.src, got.dst, got.ttl, got.tos) == (cni_addr(1), A, 64, 0xC0)
            assert (got[ICMP].type, got[ICMP].code) == (3, 3)
            assert bytes(got)[28:] == bytes(sent)  # as it was sent
            assert bytes(got) == rebuilt_error(got)
            stats = lab.stats()
            assert (stats.service_rejects, stats.icmp_errors_sent) == (1, 1)
            assert lab.engine.flows(lab.nodes[1].id) == []


def rebuilt_error(error: Packet) -> bytes:
    """Outer checksums anew, the quote as it is."""
    head = error.copy()
    quote = bytes(error)[28:]
    del head.chksum
    del head.len
    icmp = head[ICMP]
    icmp.remove_payload()
    del icmp.chksum
    return bytes(head / Raw(quote))


def test_the_node_itself_is_refused_in_the_name_of_the_service() -> None:
    """Its kernel would drop what claims to come from an address of its own."""
    with Lab() as lab:
        lab.service()
        got = lab.out("stack1", tcp(node_addr(1), VIP), "stack1")
        assert (got.src, got.dst, got[ICMP].type, got[ICMP].code) == (VIP, node_addr(1), 3, 3)


def test_what_no_service_listens_on_times_out(kind: str) -> None:
    make, _ = MAKERS[kind]
    with Lab() as lab:
        lab.service((REMOTE, 8080))
        assert lab.refuses("a1", make(A, VIP, dport=81)) == "no-service-port"
        assert lab.refuses("a1", make(A, "10.96.7.7")) == "no-service-port"


def test_protocols_on_one_port_are_different_services() -> None:
    with Lab() as lab:
        lab.service((REMOTE, 8080))
        assert lab.refuses("a1", udp(A, VIP)) == "no-service-port"
        lab.service((B, 53), proto=UDP_PROTO, id_=8)
        assert lab.out("a1", udp(A, VIP), "b1")[UDP].dport == 53
        assert lab.out("a1", tcp(A, VIP), "wire1")[TCP].dport == 8080


def test_ping_of_a_cluster_ip_gets_no_answer() -> None:
    with Lab() as lab:
        lab.service((REMOTE, 8080))
        assert lab.refuses("a1", IP(src=A, dst=VIP) / ICMP()) == "no-service-port"


def test_a_thousand_connections_spread_evenly() -> None:
    n, p = 1000, 0.25
    chance = [comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
    # the band that each of the four counts is in with probability 99.9 %
    low = next(k for k in range(n) if sum(chance[: k + 1]) > 0.0005)
    high = next(k for k in range(n, 0, -1) if sum(chance[k:]) > 0.0005)
    with Lab() as lab:
        lab.service(*FOUR)
        picked: Counter[str] = Counter()
        for i in range(n):
            picked[lab.out("a1", tcp(A, VIP, sport=10000 + i), "wire1").dst] += 1
        assert sorted(picked) == [addr for addr, _ in FOUR]
        assert all(low <= count <= high for count in picked.values()), picked


def test_same_seed_same_choices() -> None:
    def choices(seed: int) -> list[str]:
        with Lab(seed=seed) as lab:
            lab.service(*FOUR)
            return [lab.out("a1", tcp(A, VIP, sport=s), "wire1").dst for s in range(1000, 1040)]

    assert choices(1) == choices(1)
    assert choices(1) != choices(2)


def test_a_connection_keeps_its_endpoint() -> None:
    with Lab() as lab:
        lab.service(*FOUR)
        got = {lab.out("a1", tcp(A, VIP), "wire1").dst for _ in range(20)}
        assert len(got) == 1


@pytest.mark.parametrize("make", [tcp, udp, sctp])
def test_packets_of_a_new_connection_in_one_batch_stay_together(make: object) -> None:
    proto = {tcp: TCP_PROTO, udp: UDP_PROTO, sctp: SCTP_PROTO}[make]  # type: ignore[index]
    with Lab() as lab:
        lab.service(*FOUR, proto=proto)
        for sport in range(5000, 5020):
            for _ in range(64):
                lab.put("a1", make(A, VIP, sport=sport))  # type: ignore[operator]
            lab.run()
            sent = lab.take("wire1")
            assert len(sent) == 64
            assert len({(s.frame.dst, s.raw[38:42], s.raw[42:46]) for s in sent}) == 1
        assert lab.stats().flows_new == 20
        assert lab.stats().service_hits == 20


def test_a_batch_of_a_masqueraded_connection_keeps_one_source_port() -> None:
    with Lab() as lab:
        lab.service((REMOTE, 8080))
        lab.out("stack1", tcp("172.16.0.1", VIP), "wire1")
        for _ in range(64):
            lab.put("stack1", tcp("172.16.0.2", VIP))
        lab.run()
        ports = {s.raw[42:44] for s in lab.take("wire1")}
        assert len(ports) == 1
        assert ports != {(40000).to_bytes(2)}
        assert lab.stats().masquerade_collisions == 1


def test_masqueraded_ports_stay_in_their_class() -> None:
    classes = {80: range(1, 512), 700: range(512, 1024), 40000: range(1024, 65536)}
    for sport, allowed in classes.items():
        with Lab() as lab:
            lab.service((REMOTE, 8080))
            seen = []
            for i in range(50):
                got = lab.out("stack1", tcp(f"172.16.0.{i}", VIP, sport=sport), "wire1")
                seen.append(got[TCP].sport)
                answer = tcp(REMOTE, tunnel_addr(1), 8080, got[TCP].sport, "SA")
                back = lab.out("wire1", lab.wrap(answer), "stack1")
                assert (back.dst, back[TCP].dport) == (f"172.16.0.{i}", sport)
            assert len(set(seen)) == 50
            assert seen[0] == sport
            assert all(port in allowed for port in seen)


def test_out_of_source_ports() -> None:
    """The lowest class has 511 ports for one endpoint; then the search gives up."""
    with Lab() as lab:
        lab.service((REMOTE, 8080))
        for i in range(2000):
            lab.put("stack1", tcp(f"172.16.{i >> 8}.{i & 255}", VIP, sport=80))
        lab.run()
        assert lab.drops()["no-source-port"] == 2000 - len(lab.take("wire1")) >= 2000 - 511


def test_direct_connection_beside_a_translated_one_gets_another_port() -> None:
    """Both would have the same answers' key; the kernel moves the source port, and so do we."""
    with Lab() as lab:
        lab.service((REMOTE, 8080))
        lab.out("a1", tcp(A, VIP), "wire1")
        got = lab.out("a1", tcp(A, REMOTE, dport=8080), "wire1")
        assert got.src == A
        assert got[TCP].sport != 40000
        answer = tcp(REMOTE, A, 8080, got[TCP].sport, "SA")
        back = lab.out("wire1", lab.wrap(answer), "a1")
        assert (back.src, back[TCP].sport, back[TCP].dport) == (REMOTE, 8080, 40000)


def choose(lab: Lab, sport: int, src: str = A, dport: int = 80, start: str = "a1") -> str:
    return str(lab.out(start, tcp(src, VIP, sport=sport, dport=dport), "wire1").dst)


def test_affinity_sends_a_client_to_one_endpoint() -> None:
    with Lab() as lab:
        lab.service(*FOUR, affinity_s=10800)
        assert len({choose(lab, 1000 + i) for i in range(100)}) == 1
        assert lab.stats().affinity_hits == 99


def test_affinity_within_one_batch() -> None:
    with Lab() as lab:
        lab.service(*FOUR, affinity_s=10800)
        for sport in range(1000, 1064):
            lab.put("a1", tcp(A, VIP, sport=sport))
        lab.run()
        assert len({s.raw[38:42] for s in lab.take("wire1")}) == 1


def test_affinity_ends_after_its_timeout_without_new_connections() -> None:
    picks = []
    for seed in range(40):
        with Lab(seed=seed) as lab:
            lab.service(*FOUR, affinity_s=100)
            first = choose(lab, 1000)
            lab.now += 99
            assert choose(lab, 1001) == first  # renews
            lab.now += 99
            assert choose(lab, 1002) == first
            lab.now += 101
            picks.append(choose(lab, 1003) == first)
    assert 0 < picks.count(True) < 40  # one in four by chance


def test_packets_of_a_connection_do_not_renew_affinity() -> None:
    picks = []
    for seed in range(40):
        with Lab(seed=seed) as lab:
            lab.service(*FOUR, affinity_s=100, proto=UDP_PROTO)
            first = lab.out("a1", udp(A, VIP), "wire1").dst
            for _ in range(20):
                lab.now += 10
                assert lab.out("a1", udp(A, VIP), "wire1").dst == first
            picks.append(lab.out("a1", udp(A, VIP, sport=2), "wire1").dst == first)
    assert 0 < picks.count(True) < 40


def test_affinity_is_per_service_port_client_and_node() -> None:
    apart: Counter[str] = Counter()
    for seed in range(40):
        with Lab(seed=seed, nodes=2, carry=False) as lab:
            ends = [(f"10.244.3.{i}", 8080) for i in range(1, 5)]
            lab.service(*ends, affinity_s=100)
            lab.service(*ends, affinity_s=100, port=81, id_=8)
            first = choose(lab, 1000)
            apart["port"] += choose(lab, 1000, dport=81) != first
            apart["client"] += choose(lab, 1000, src=B, start="b1") != first
            outside = [
                lab.out(f"stack{n}", tcp("172.16.0.1", VIP), f"wire{n}").dst for n in (1, 2)
            ]
            apart["node"] += outside[0] != outside[1]
    assert all(15 < apart[what] < 40 for what in ("port", "client", "node")), apart


def test_affinity_forgets_an_endpoint_that_left() -> None:
    with Lab() as lab:
        lab.service(*FOUR, affinity_s=10800)
        first = choose(lab, 1000)
        rest = [e for e in FOUR if e[0] != first]
        lab.service(*rest, affinity_s=10800)
        second = choose(lab, 1001)
        assert second != first
        assert {choose(lab, 1002 + i) for i in range(20)} == {second}


def test_affinity_turned_off_and_on_acts_on_new_connections() -> None:
    with Lab() as lab:
        lab.service(*FOUR)
        assert len({choose(lab, 1000 + i) for i in range(50)}) == 4
        lab.service(*FOUR, affinity_s=10)
        assert len({choose(lab, 2000 + i) for i in range(50)}) == 1
        lab.service(*FOUR)
        assert len({choose(lab, 3000 + i) for i in range(50)}) == 4


def test_udp_moves_when_its_endpoint_leaves_and_tcp_stays() -> None:
    with Lab() as lab:
        lab.service((REMOTE, 8080))
        lab.service((REMOTE, 8080), proto=UDP_PROTO, id_=8)
        lab.out("a1", tcp(A, VIP), "wire1")
        lab.out("a1", udp(A, VIP), "wire1")
        other = "10.244.2.99"
        lab.service((other, 8080))
        lab.service((other, 8080), proto=UDP_PROTO, id_=8)
        assert lab.out("a1", tcp(A, VIP), "wire1").dst == REMOTE
        assert lab.out("a1", udp(A, VIP), "wire1").dst == other
        assert lab.stats().flows_stale == 1
        assert lab.out("a1", tcp(A, VIP, sport=2), "wire1").dst == other


def test_udp_to_a_service_that_lost_its_endpoints_is_refused() -> None:
    with Lab() as lab:
        key = lab.service((REMOTE, 8080), proto=UDP_PROTO)
        lab.out("a1", udp(A, VIP), "wire1")
        lab.service(proto=UDP_PROTO)
        assert lab.out("a1", udp(A, VIP), "a1")[ICMP].code == 3
        lab.service((REMOTE, 8080), proto=UDP_PROTO)
        assert lab.out("a1", udp(A, VIP), "wire1").dst == REMOTE
        lab.engine.service_remove(key)
        assert lab.refuses("a1", udp(A, VIP)) == "no-service-port"


def test_udp_stays_while_its_endpoint_stays() -> None:
    with Lab() as lab:
        lab.service((REMOTE, 8080), proto=UDP_PROTO)
        lab.out("a1", udp(A, VIP), "wire1")
        lab.service((REMOTE, 8080), *FOUR, proto=UDP_PROTO)
        assert {lab.out("a1", udp(A, VIP), "wire1").dst for _ in range(10)} == {REMOTE}
        assert lab.stats().flows_stale == 0


def test_a_batch_of_a_stale_udp_flow_moves_as_one() -> None:
    with Lab() as lab:
        lab.service((REMOTE, 8080), proto=UDP_PROTO)
        lab.out("a1", udp(A, VIP), "wire1")
        lab.service(*FOUR, proto=UDP_PROTO)
        for _ in range(64):
            lab.put("a1", udp(A, VIP))
        lab.run()
        assert len({s.raw[38:42] for s in lab.take("wire1")}) == 1
        assert lab.stats().flows_stale == 1


def handshake(lab: Lab, sport: int = 40000) -> str:
    addr = choose(lab, sport)
    lab.out("wire1", lab.wrap(tcp(addr, A, 8080, sport, "SA")), "a1")
    lab.out("a1", tcp(A, VIP, sport, 80, "A"), "wire1")
    return addr


def close(lab: Lab, addr: str, sport: int = 40000) -> None:
    lab.out("a1", tcp(A, VIP, sport, 80, "FA"), "wire1")
    lab.out("wire1", lab.wrap(tcp(addr, A, 8080, sport, "FA")), "a1")
    lab.out("a1", tcp(A, VIP, sport, 80, "A"), "wire1")


def test_a_new_connection_from_the_same_port_after_the_last_one_closed() -> None:
    picks = set()
    with Lab() as lab:
        lab.service(*[(addr, 8080) for addr, _ in FOUR])
        for _ in range(40):
            addr = handshake(lab)
            picks.add(addr)
            close(lab, addr)
            [flow] = lab.engine.flows(lab.nodes[1].id)
            assert flow.state == "TIME_WAIT"
        assert len(picks) == 4
        assert lab.stats().flows_new == 40


def test_established_connections_live_a_day_without_packets() -> None:
    with Lab() as lab:
        lab.service((REMOTE, 8080))
        handshake(lab)
        lab.now += 24 * 3600 - 1
        lab.service((FOUR[0][0], 8080))
        assert lab.out("a1", tcp(A, VIP, flags="PA"), "wire1").dst == REMOTE


def test_packets_that_fit_no_connection() -> None:
    with Lab() as lab:
        lab.service((REMOTE, 8080))
        assert lab.refuses("a1", tcp(A, VIP, flags="SA")) == "flow-invalid"
        assert lab.refuses("a1", tcp(A, VIP, flags="R")) == "flow-invalid"
        assert lab.refuses("a1", tcp(A, VIP, flags="SF")) == "flow-invalid"
        assert lab.refuses("a1", IP(src=A, dst=REMOTE) / ICMP(type=0, id=3)) == "flow-invalid"


def test_a_reset_right_behind_its_syn_in_one_batch() -> None:
    with Lab() as lab:
        lab.service(*FOUR)
        lab.put("a1", tcp(A, VIP))
        lab.put("a1", tcp(A, VIP, flags="R"))
        lab.run()
        syn, reset = lab.take("wire1")
        assert syn.raw[38:42] == reset.raw[38:42]


def test_request_and_answer_in_one_batch() -> None:
    """Not what a network does, but what a batch can hold."""
    with Lab() as lab:
        lab.service((B, 8080), proto=UDP_PROTO)
        lab.put("a1", udp(A, VIP))
        lab.put("b1", udp(B, A, 8080, 40000))
        lab.run()
        [request], [answer] = lab.take("b1"), lab.take("a1")
        assert request.ip.dst == B
        assert answer.ip.src in (VIP, B)
        lab.put("a1", IP(src=A, dst=B) / ICMP(id=9))
        lab.put("b1", IP(src=B, dst=A) / ICMP(type=0, id=9))
        lab.run()
        assert len(lab.take("b1")) == 1
        assert lab.drops().get("flow-invalid", 0) + len(lab.take("a1")) == 1


def test_a_full_table_refuses_and_counts() -> None:
    with Lab(flows_max=8) as lab:
        lab.service((REMOTE, 8080))
        for i in range(8):
            lab.out("a1", tcp(A, VIP, sport=1000 + i), "wire1")
        assert lab.refuses("a1", tcp(A, VIP, sport=2000)) == "flow-full"
        lab.out("a1", tcp(A, VIP, sport=1003), "wire1")  # those known go on
        lab.now += 3600
        lab.engine.expire(round(lab.now * 1e9))
        lab.out("a1", tcp(A, VIP, sport=2000), "wire1")


def test_pods_reach_each_other_and_the_world_untouched() -> None:
    with Lab() as lab:
        for packet, to in [(tcp(A, B), "b1"), (tcp(A, "8.8.8.8"), "stack1")]:
            got = lab.out("a1", packet, to)
            assert bytes(got) == bytes(packet)


@pytest.mark.parametrize("backend", ["vxlan", "udp", "host-gw"])
def test_no_node_has_the_destination(backend: str) -> None:
    with Lab(backend) as lab:
        sent = udp(A, FAR, load=b"x" * 100)
        got = lab.out("a1", sent, "a1")
        assert (got[ICMP].type, got[ICMP].code, got.dst) == (3, 0, A)
        if backend == "udp":  # flanneld's own: spec 2.1
            assert (got.src, got.ttl, got.tos) == (tunnel_addr(1), 8, 0)
            assert bytes(got)[28:] == bytes(sent)[:28]
            assert lab.refuses("a1", IP(src=A, dst=FAR) / ICMP()) == "no-route"
        else:
            assert (got.src, got.ttl) == (cni_addr(1), 64)
            assert bytes(got)[28:] == bytes(sent)
            assert lab.out("a1", IP(src=A, dst=FAR) / ICMP(), "a1")[ICMP].type == 3


def test_flows_say_what_was_decided() -> None:
    with Lab() as lab:
        lab.service((REMOTE, 8080))
        lab.out("a1", tcp(A, VIP), "wire1")
        [flow] = lab.engine.flows(lab.nodes[1].id)
        assert flow.original == (number(A), number(VIP), 40000, 80, 6)
        assert flow.reply == (number(REMOTE), number(A), 8080, 40000, 6)
        assert (flow.service, flow.translated, flow.masqueraded) == (7, True, False)
