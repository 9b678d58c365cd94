"""Which endpoint: equal chances, affinity, and endpoints that come and go."""

from __future__ import annotations

from collections import Counter
from math import comb

from scapy.layers.inet import ICMP, UDP

from tests.path.clients import FOUR, REMOTE, A, B, choose, tcp, udp
from tests.path.lab import (
    UDP_PROTO,
    VIP,
    Lab,
)


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
            outside = [lab.out(f"stack{n}", tcp("172.16.0.1", VIP), f"wire{n}").dst for n in (1, 2)]
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


def test_affinity_does_not_wait_for_an_endpoint_that_comes_back() -> None:
    chosen = set()
    for seed in range(20):
        with Lab(seed=seed) as lab:
            lab.service(*FOUR, affinity_s=10800)
            first = choose(lab, 1000)
            lab.service(*[e for e in FOUR if e[0] != first], affinity_s=10800)
            lab.service(*FOUR, affinity_s=10800)
            chosen.add(choose(lab, 1001) == first)
    assert chosen == {True, False}


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


def test_what_a_udp_endpoint_still_answers_after_it_left_arrives() -> None:
    with Lab() as lab:
        lab.service((REMOTE, 8080), proto=UDP_PROTO)
        lab.out("a1", udp(A, VIP), "wire1")
        lab.service(("10.244.2.99", 8080), proto=UDP_PROTO)
        back = lab.out("wire1", lab.wrap(udp(REMOTE, A, 8080, 40000)), "a1")
        assert (back.src, back[UDP].sport) == (VIP, 80)
        assert lab.out("a1", udp(A, VIP), "wire1").dst == "10.244.2.99"


def test_udp_to_a_service_that_lost_its_endpoints_is_refused() -> None:
    with Lab() as lab:
        key = lab.service((REMOTE, 8080), proto=UDP_PROTO)
        lab.out("a1", udp(A, VIP), "wire1")
        lab.service(proto=UDP_PROTO)
        assert lab.out("a1", udp(A, VIP), "a1")[ICMP].code == 3
        lab.service((REMOTE, 8080), proto=UDP_PROTO)
        assert lab.out("a1", udp(A, VIP), "wire1").dst == REMOTE
        lab.engine.service_remove(key)
        assert lab.refuses("a1", udp(A, VIP)) == "leak-to-gateway"


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
