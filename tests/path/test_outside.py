"""Services from outside: node ports, external and load balancers' addresses, and the policies."""

from __future__ import annotations

import os

import pytest
from scapy.layers.inet import ICMP, IP, TCP

from netsim.dataplane.rows import FIRST_SET, NONE, Choice, FrontendRow, ProxyRow
from tests.path.clients import REMOTE, A, B, tcp, udp
from tests.path.lab import (
    PLAIN,
    TCP_PROTO,
    UDP_PROTO,
    VIP,
    Lab,
    S,
    cni_addr,
    node_addr,
    number,
    stack_addr,
    tunnel_addr,
)

CLIENT, OTHER = "172.16.0.9", "172.16.0.10"
EXTERNAL = "192.0.2.7"
NODE_PORT = FrontendRow(0, 30080, "node-port")
OUTSIDE = (NODE_PORT, FrontendRow(number(EXTERNAL), 80, "external-ip"))
OPEN = PLAIN._replace(frontends=OUTSIDE)
NOBODY = OPEN._replace(external_local=True, local=Choice(NONE))
FIRST = NOBODY._replace(sets=((0,),), local=Choice(NONE, (("n1", FIRST_SET),)))
WAYS = [(node_addr(1), 30080), (cni_addr(1), 30080), (tunnel_addr(1), 30080), (EXTERNAL, 80)]


@pytest.mark.parametrize(("dst", "port"), WAYS)
def test_a_client_from_outside_is_answered_from_where_it_asked(dst: str, port: int) -> None:
    with Lab() as lab:
        lab.service((REMOTE, 8080), like=OPEN)
        got = lab.out("stack1", tcp(CLIENT, dst, dport=port), "wire1")
        assert (got.src, got.dst, got[TCP].dport) == (tunnel_addr(1), REMOTE, 8080)
        answer = tcp(REMOTE, tunnel_addr(1), 8080, got[TCP].sport, "SA")
        back = lab.out("wire1", lab.wrap(answer), "stack1")
        assert (back.src, back.dst, back[TCP].sport) == (dst, CLIENT, port)


@pytest.mark.parametrize(("dst", "port"), WAYS)
def test_policy_local_keeps_the_address_of_a_client_and_the_packet_here(
    dst: str, port: int
) -> None:
    with Lab() as lab:
        lab.service((A, 8080), (REMOTE, 8080), like=FIRST)
        for sport in range(1000, 1020):
            got = lab.out("stack1", tcp(CLIENT, dst, sport, port), "a1")
            assert (got.src, got.dst) == (CLIENT, A)
        back = lab.out("a1", tcp(A, CLIENT, 8080, 1000, "SA"), "stack1")
        assert (back.src, back.dst, back[TCP].sport) == (dst, CLIENT, port)


@pytest.mark.parametrize(("dst", "port"), WAYS)
def test_policy_local_and_an_endpoint_on_the_node_itself(dst: str, port: int) -> None:
    """Its answers would not come back through here to the address of a client from outside."""
    with Lab() as lab:
        lab.service((node_addr(1), 9080), like=FIRST)
        got = lab.out("stack1", tcp(CLIENT, dst, dport=port), "stack1")
        assert (got.src, got.dst, got[TCP].dport) == (stack_addr(1), node_addr(1), 9080)
        answer = tcp(node_addr(1), stack_addr(1), 9080, got[TCP].sport, "SA")
        back = lab.out("stack1", answer, "stack1")
        assert (back.src, back.dst, back[TCP].sport) == (dst, CLIENT, port)
        assert lab.out("a1", tcp(A, dst, dport=port), "stack1").src == A


def test_another_node_is_answered_by_its_kernel_and_not_by_the_wire() -> None:
    with Lab("host-gw", 2) as lab:
        lab.service((A, 8080), like=FIRST)
        got = lab.out("stack1", tcp(node_addr(2), node_addr(1), dport=30080), "a1")
        assert (got.src, got.dst) == (node_addr(2), A)
        answer = tcp(A, node_addr(2), 8080, got[TCP].sport, "SA")
        back = lab.out("a1", answer, "stack1")
        assert (back.src, back.dst, back[TCP].sport) == (node_addr(1), node_addr(2), 30080)


def test_policy_local_without_an_endpoint_here_is_silence() -> None:
    with Lab() as lab:
        lab.service((REMOTE, 8080), like=NOBODY)
        packet = tcp(CLIENT, node_addr(1), dport=30080)
        assert lab.refuses("stack1", packet) == "no-local-endpoint"
        assert lab.out("b1", tcp(B, node_addr(1), dport=30080), "wire1").src == B
        assert lab.stats().service_rejects == 0


def test_without_any_endpoint_a_client_from_outside_is_refused() -> None:
    with Lab() as lab:
        lab.service(like=NOBODY)
        for dst, port in WAYS:
            got = lab.out("stack1", tcp(CLIENT, dst, dport=port), "stack1")
            assert (got.src, got.dst) == (dst, CLIENT)
            assert (got[ICMP].type, got[ICMP].code) == (3, 3)


def test_a_pod_reaches_itself_through_its_nodes_port() -> None:
    with Lab() as lab:
        lab.service((A, 8080), like=NOBODY)
        got = lab.out("a1", tcp(A, node_addr(1), dport=30080), "a1")
        assert (got.src, got.dst, got[TCP].dport) == (cni_addr(1), A, 8080)


def test_the_port_of_another_node_is_reached_over_the_underlay() -> None:
    with Lab() as lab:
        lab.service((A, 8080), like=OPEN)
        packet = tcp(A, node_addr(2), dport=30080)
        assert bytes(lab.out("a1", packet, "stack1")) == bytes(packet)


@pytest.mark.parametrize("source", ["127.0.0.1", node_addr(1)])
def test_a_node_asks_itself(source: str) -> None:
    dst = "127.0.0.1" if source.startswith("127") else source
    with Lab() as lab:
        lab.service((A, 8080), like=OPEN)
        got = lab.out("stack1", tcp(source, dst, dport=30080), "a1")
        assert (got.src, got.dst) == (cni_addr(1), A)
        back = lab.out("a1", tcp(A, cni_addr(1), 8080, got[TCP].sport, "SA"), "stack1")
        assert (back.src, back.dst, back[TCP].sport) == (dst, source, 30080)


@pytest.mark.parametrize("source", ["127.0.0.1", node_addr(1), CLIENT])
def test_what_is_no_services_goes_back_to_the_stack_untracked(source: str) -> None:
    dst = source if source != CLIENT else node_addr(1)
    with Lab() as lab:
        lab.service((A, 8080), like=OPEN)
        for flags in ("S", "A", "FA", "R"):
            sent = tcp(source, dst, dport=30081, flags=flags)
            assert bytes(lab.out("stack1", sent, "stack1")) == bytes(sent)
        assert lab.engine.flows(lab.nodes[1].id)[0] == []
        assert lab.refuses("stack1", tcp(CLIENT, "192.0.2.99")) == "loop"


@pytest.mark.parametrize(("where", "source"), [("a1", A), ("tunnel1", tunnel_addr(1))])
def test_loopback_is_for_the_nodes_own_stack(where: str, source: str) -> None:
    with Lab() as lab:
        lab.service((B, 8080), like=OPEN)
        assert lab.refuses(where, tcp(source, "127.0.0.1", dport=30080)) == "bad-address"
        assert lab.refuses("stack1", tcp("127.0.0.1", CLIENT)) == "bad-address"


# detector, where from, source, masqueraded to
DETECTORS = [
    ("ClusterCIDR", "a1", A, ""),
    ("ClusterCIDR", "stack1", "10.244.2.7", ""),
    ("NodeCIDR", "a1", A, ""),
    ("NodeCIDR", "stack1", "10.244.2.7", cni_addr(1)),
    ("BridgeInterface", "a1", A, ""),
    ("BridgeInterface", "stack1", cni_addr(1), cni_addr(1)),
    ("InterfaceNamePrefix", "stack1", "10.244.1.9", cni_addr(1)),
    ("None", "stack1", CLIENT, ""),
]


@pytest.mark.parametrize(("detector", "where", "source", "shown"), DETECTORS)
def test_detectors_tell_pods_from_others(
    detector: str, where: str, source: str, shown: str
) -> None:
    with Lab(proxy=ProxyRow(detector)) as lab:
        lab.service((B, 8080))
        assert lab.out(where, tcp(source, VIP), "b1").src == (shown or source)


def test_affinity_is_of_the_service_port_however_it_is_reached() -> None:
    """P-33, and P-30: what comes from 127.0.0.1 is another client."""
    ends = [(f"10.244.2.{n}", 8080) for n in range(2, 34)]
    with Lab() as lab:
        lab.service(*ends, affinity_s=60, like=OPEN)
        first = lab.out("a1", tcp(A, VIP, 1), "wire1").dst
        for sport, (dst, port) in enumerate(WAYS, 2):
            assert lab.out("a1", tcp(A, dst, sport, port), "wire1").dst == first
        here = {
            lab.out("stack1", tcp(a, a, 9, 30080), "wire1").dst for a in (node_addr(1), "127.0.0.1")
        }
        assert len(here) == 2


def test_affinity_is_with_each_endpoint_and_the_first_of_those_at_hand_has_it() -> None:
    """P-36, P-43: what policy Local gave counts under policy Cluster, and the other way round."""
    ends = [(B, 8080), *[(f"10.244.2.{n}", 8080) for n in range(2, 34)]]
    with Lab() as lab:
        lab.service(*ends, affinity_s=60, like=FIRST)
        far = lab.out("stack1", tcp(CLIENT, VIP, 1), "wire1").dst  # one chance in 33 to be B
        assert lab.out("stack1", tcp(CLIENT, EXTERNAL, 2), "b1").dst == B
        assert lab.out("stack1", tcp(CLIENT, VIP, 3), "b1").dst == B  # earlier in the list
        lab.now += 50
        assert lab.out("stack1", tcp(CLIENT, EXTERNAL, 4), "b1").dst == B
        lab.service(*ends[1:], affinity_s=60)
        lab.now += 5
        assert lab.out("stack1", tcp(CLIENT, VIP, 5), "wire1").dst == far


def test_a_range_opens_a_load_balancer_and_nothing_else() -> None:
    balancer = FrontendRow(number("203.0.113.1"), 80, "load-balancer")
    with Lab() as lab:
        ranges = ((number("172.16.0.8"), 31),)
        lab.service((A, 8080), like=OPEN._replace(frontends=(*OUTSIDE, balancer), ranges=ranges))
        assert lab.out("stack1", tcp(CLIENT, "203.0.113.1"), "a1").dst == A
        for where, source in [("stack1", OTHER), ("stack1", node_addr(1)), ("b1", B)]:
            assert lab.refuses(where, tcp(source, "203.0.113.1")) == "source-range"
        for dst, port in WAYS:
            assert lab.out("stack1", tcp(OTHER, dst, dport=port), "a1").dst == A
        lab.service(like=PLAIN._replace(frontends=(balancer,), ranges=ranges))
        assert ICMP in lab.out("stack1", tcp(OTHER, "203.0.113.1", 5), "stack1")


def test_udp_that_was_no_services_is_one_when_a_service_comes() -> None:
    """P-81: the connection that began without is not kept to."""
    with Lab() as lab:
        sent = udp(A, EXTERNAL)
        assert lab.out("a1", sent, "stack1").dst == EXTERNAL
        lab.service((REMOTE, 53), proto=UDP_PROTO, vip="10.96.0.99")
        assert lab.out("a1", sent, "stack1").dst == EXTERNAL
        lab.service((REMOTE, 53), proto=UDP_PROTO, like=OPEN)
        assert lab.out("a1", sent, "wire1").dst == REMOTE
        assert lab.stats().flows_stale == 1


def test_tcp_that_was_no_services_goes_on() -> None:
    with Lab() as lab:
        lab.out("a1", tcp(A, EXTERNAL), "stack1")
        lab.service((REMOTE, 80), like=OPEN)
        assert lab.out("a1", tcp(A, EXTERNAL), "stack1").dst == EXTERNAL


def test_udp_stays_with_what_serves_while_new_connections_go_elsewhere() -> None:
    """P-80: an endpoint that terminates, and serves, keeps what it has."""
    with Lab() as lab:
        lab.service((REMOTE, 53), proto=UDP_PROTO)
        lab.out("a1", udp(A, VIP), "wire1")
        later = PLAIN._replace(sets=((0,),), cluster=Choice(FIRST_SET))
        lab.service((B, 53), (REMOTE, 53), proto=UDP_PROTO, like=later)
        assert lab.out("a1", udp(A, VIP), "wire1").dst == REMOTE
        assert lab.out("a1", udp(A, VIP, 7), "b1").dst == B
        lab.service((B, 53), proto=UDP_PROTO)
        assert lab.out("a1", udp(A, VIP), "b1").dst == B


def test_a_node_port_is_not_a_port_of_every_address() -> None:
    with Lab() as lab:
        lab.service((A, 8080), like=OPEN)
        for dst in (stack_addr(1), VIP, node_addr(2), CLIENT):
            lab.send("b1", tcp(B, dst, dport=30080))
            assert all(sent.ip.dst != A for where in lab.everywhere for sent in lab.take(where))
        assert IP(bytes(tcp(B, VIP))).dst == VIP


@pytest.mark.parametrize(("dst", "port"), [*WAYS, (VIP, 80)])
def test_udp_moves_from_an_endpoint_that_left_however_it_came(dst: str, port: int) -> None:
    other = "10.244.2.99"
    with Lab() as lab:
        for proto, id_ in ((UDP_PROTO, 7), (TCP_PROTO, 8)):
            lab.service((REMOTE, 8080), proto=proto, id_=id_, like=OPEN)
        lab.out("stack1", udp(CLIENT, dst, dport=port), "wire1")
        lab.out("stack1", tcp(CLIENT, dst, dport=port), "wire1")
        for proto, id_ in ((UDP_PROTO, 7), (TCP_PROTO, 8)):
            lab.service((other, 8080), proto=proto, id_=id_, like=OPEN)
        assert lab.out("stack1", udp(CLIENT, dst, dport=port), "wire1").dst == other
        assert lab.out("stack1", tcp(CLIENT, dst, dport=port), "wire1").dst == REMOTE


def test_a_restarted_data_plane_knows_what_a_node_ports_flows_were_for() -> None:
    memory = os.memfd_create("flows")
    with Lab(arena_fd=memory) as lab:
        lab.service((REMOTE, 8080), proto=UDP_PROTO, like=OPEN)
        lab.out("stack1", udp(CLIENT, node_addr(1), dport=30080), "wire1")
        lab.out("a1", udp(A, "8.8.8.8"), "stack1")
    with Lab(arena_fd=memory) as lab:
        lab.service((REMOTE, 8080), (B, 8080), proto=UDP_PROTO, like=OPEN)
        assert lab.engine.adopt_flows(round(lab.now * S)) == 2
        got = lab.out("stack1", udp(CLIENT, node_addr(1), dport=30080), "wire1")
        assert got.dst == REMOTE
        assert lab.out("a1", udp(A, "8.8.8.8"), "stack1").dst == "8.8.8.8"
        assert lab.stats().flows_stale == 0
    os.close(memory)
