"""Where packets of known flows leave follows the tables and ifaces as they are now."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.packet import Packet

from netsim.dataplane.records import RouteRecord
from netsim.dataplane.resolve import local_routes
from tests.path.lab import Lab, node_addr, number, pod_addr

HERE, NEIGHBOUR, THERE = pod_addr(1), pod_addr(1, "b"), pod_addr(2)
BACKENDS = ["vxlan", "udp", "host-gw"]


def ask(dst: str, sport: int = 2000) -> Packet:
    return IP(src=HERE, dst=dst) / UDP(sport=sport, dport=9)


def know(lab: Lab, dst: str, where: str) -> None:
    """Three packets of one flow, the last of which go where the first one went."""
    for _ in range(3):
        lab.send("a1", ask(dst))
        assert len(lab.take(where)) == 1


def own_routes(lab: Lab, *more: RouteRecord) -> Sequence[RouteRecord]:
    node = lab.nodes[1]
    pods = {number(pod_addr(1, pod)): iface for pod, iface in node.pods.items()}
    return [*local_routes(node.row, pods), *more]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_peer_that_moves_is_followed(backend: str) -> None:
    with Lab(backend) as lab:
        know(lab, THERE, "wire1")
        moved = lab.peers[1]._replace(address=number("192.168.8.240"))
        lab.engine.peers([lab.peers[0], moved])
        lab.send("a1", ask(THERE))
        [sent] = lab.take("wire1")
        assert sent.meta.outer_dst == number("192.168.8.240")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_route_that_goes_is_missed_by_the_next_packet(backend: str) -> None:
    with Lab(backend) as lab:
        know(lab, THERE, "wire1")
        lab.engine.routes([RouteRecord(number("10.244.0.0"), 16, "unreachable")])
        lab.send("a1", ask(THERE))
        assert lab.take("wire1") == []
        [error] = lab.take("a1")
        assert (error.ip[ICMP].type, error.ip[ICMP].code) == (3, 0)


def test_a_shorter_route_takes_over_when_the_longer_goes() -> None:
    with Lab() as lab:
        know(lab, THERE, "wire1")
        lab.engine.routes([RouteRecord(0, 0, "peer", 0), RouteRecord(number(THERE), 32, "stack")])
        know(lab, THERE, "stack1")


def test_an_own_pod_inside_a_peers_range_is_found() -> None:
    own = "10.244.2.77"
    with Lab() as lab:
        know(lab, THERE, "wire1")
        pod = RouteRecord(number(own), 32, "pod", lab.iface("b1"))
        lab.engine.node_routes(lab.nodes[1].id, own_routes(lab, pod))
        for _ in range(2):
            know(lab, own, "b1")
            know(lab, THERE, "wire1")
        lab.engine.node_routes(lab.nodes[1].id, own_routes(lab))
        know(lab, own, "wire1")


def test_pods_of_one_range_are_told_apart_on_arrival() -> None:
    with Lab() as lab:
        for _ in range(3):
            for pod in "ab":
                packet = IP(src=THERE, dst=pod_addr(1, pod)) / UDP(sport=9, dport=9)
                assert lab.out("wire1", lab.wrap(packet), f"{pod}1").dst == pod_addr(1, pod)


def test_a_pod_that_goes_receives_nothing_more() -> None:
    packet = IP(src=THERE, dst=NEIGHBOUR) / UDP(sport=9, dport=9)
    with Lab() as lab:
        for _ in range(3):
            lab.out("wire1", lab.wrap(packet), "b1")
        lab.engine.iface_remove(lab.iface("b1"))
        lab.send("wire1", lab.wrap(packet))
        assert lab.drops()["iface-down"] == 1


def test_nodes_of_one_underlay_range_are_told_apart() -> None:
    """host-gw: what is masqueraded is answered to nodes' addresses, which one route covers."""
    with Lab("host-gw", nodes=1) as lab:
        peer, other = node_addr(2), "192.168.8.99"
        for _ in range(3):
            lab.send("a1", ask(peer))
            lab.send("a1", ask(other))
        assert [sent.ip.dst for sent in lab.take("wire1")] == [peer] * 3
        assert [sent.ip.dst for sent in lab.take("stack1")] == [other] * 3


def test_the_mtu_holds_for_known_flows() -> None:
    with Lab() as lab:
        know(lab, THERE, "wire1")
        fits = lab.mtu - len(ask(THERE))
        lab.send("a1", ask(THERE) / (b"x" * fits))
        assert len(lab.take("wire1")) == 1
        big = ask(THERE) / (b"x" * (fits + 1))
        big[IP].flags = "DF"
        lab.send("a1", big)
        [error] = lab.take("a1")
        assert (error.ip[ICMP].type, error.ip[ICMP].code) == (3, 4)
