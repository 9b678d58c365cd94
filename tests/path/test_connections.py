"""Connections: one decision each, also within a batch; ports, states, limits."""

from __future__ import annotations

import pytest
from scapy.layers.inet import ICMP, IP, TCP

from tests.path.clients import FOUR, MAKERS, REMOTE, A, B, choose, tcp, udp
from tests.path.lab import (
    UDP_PROTO,
    VIP,
    Lab,
    number,
    tunnel_addr,
)


@pytest.fixture(params=list(MAKERS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_connection_keeps_its_endpoint() -> None:
    with Lab() as lab:
        lab.service(*FOUR)
        got = {lab.out("a1", tcp(A, VIP), "wire1").dst for _ in range(20)}
        assert len(got) == 1


def test_packets_of_a_new_connection_in_one_batch_stay_together(kind: str) -> None:
    make, proto = MAKERS[kind]
    with Lab() as lab:
        lab.service(*FOUR, proto=proto)
        for sport in range(5000, 5020):
            for _ in range(64):
                lab.put("a1", make(A, VIP, sport=sport))
            lab.run()
            sent = lab.take("wire1")
            assert len(sent) == 64
            assert len({(s.frame.dst, s.raw[38:42], s.raw[42:46]) for s in sent}) == 1
        assert lab.stats().flows_new == 20
        assert lab.stats().service_hits == 20


def test_a_refused_connection_is_forgotten_at_once() -> None:
    with Lab() as lab:
        lab.service((B, 8080))
        lab.out("a1", tcp(A, VIP), "b1")
        assert lab.out("b1", tcp(B, A, 8080, 40000, "RA"), "a1").src == VIP
        assert lab.engine.flows(lab.nodes[1].id)[0] == []
        lab.out("a1", tcp(A, VIP), "b1")
        lab.out("b1", tcp(B, A, 8080, 40000, "SA"), "a1")
        lab.out("b1", tcp(B, A, 8080, 40000, "R"), "a1")
        assert [f.state for f in lab.engine.flows(lab.nodes[1].id)[0]] == ["CLOSE"]


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
            [flow] = lab.engine.flows(lab.nodes[1].id)[0]
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


def test_flows_say_what_was_decided() -> None:
    with Lab() as lab:
        lab.service((REMOTE, 8080))
        lab.out("a1", tcp(A, VIP), "wire1")
        [flow] = lab.engine.flows(lab.nodes[1].id)[0]
        assert flow.original == (number(A), number(VIP), 40000, 80, 6)
        assert flow.reply == (number(REMOTE), number(A), 8080, 40000, 6)
        assert (flow.service, flow.translated, flow.masqueraded) == (7, True, False)


def test_what_the_nodes_own_kernel_answers_passes_untracked() -> None:
    """A pod's request to another node's address came in by that node's eth0, not through here."""
    with Lab() as lab:
        answer = tcp("172.16.0.9", A, flags="SA", sport=80, dport=40000)
        assert lab.out("tunnel1", answer, "a1").dst == A
        assert lab.stats().flows_new == 0
        lab.put("b1", tcp(B, A, flags="SA"))
        lab.run()
        assert lab.stats().drops["flow-invalid"] == 1


def test_an_icmp_error_of_the_nodes_own_kernel_passes() -> None:
    with Lab() as lab:
        error = IP(src="172.16.0.9", dst=A) / ICMP(type=3, code=3) / udp(A, "172.16.0.9")
        assert lab.out("tunnel1", error, "a1").src == "172.16.0.9"
