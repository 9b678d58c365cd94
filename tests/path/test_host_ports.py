"""Host ports: a node's address and port lead to a pod, as portmap's rules do."""

from __future__ import annotations

import pytest
from scapy.layers.inet import TCP, UDP
from scapy.packet import Packet

from netsim.dataplane.rows import FIRST_SET, NONE, Choice, ProxyRow, ServiceRow
from tests.path.clients import REMOTE, A, B, sctp, tcp, udp
from tests.path.lab import (
    PLAIN,
    TCP_PROTO,
    UDP_PROTO,
    Lab,
    cni_addr,
    node_addr,
    tunnel_addr,
)

CLIENT, HOST = "172.16.0.9", node_addr(1)
SCTP_PROTO = 132
HOST_PORT = PLAIN._replace(is_host_port=True)


def hold(
    lab: Lab,
    *pods: tuple[str, int],
    at: str = HOST,
    proto: int = TCP_PROTO,
    like: ServiceRow = HOST_PORT,
) -> None:
    """Have port 8000 of an address lead to a pod."""
    lab.service(*pods, vip=at, port=8000, proto=proto, id_=proto, like=like)


def test_a_client_from_outside_keeps_its_address() -> None:
    with Lab() as lab:
        hold(lab, (A, 8080))
        got = lab.out("stack1", tcp(CLIENT, HOST, 1000, 8000), "a1")
        assert (got.src, got.dst, got[TCP].dport) == (CLIENT, A, 8080)
        back = lab.out("a1", tcp(A, CLIENT, 8080, 1000, "SA"), "stack1")
        assert (back.src, back.dst, back[TCP].sport) == (HOST, CLIENT, 8000)


def test_pods_keep_theirs_but_where_one_reaches_itself() -> None:
    with Lab() as lab:
        hold(lab, (A, 8080))
        for source, where, seen in ((B, "b1", B), (A, "a1", cni_addr(1))):
            got = lab.out(where, tcp(source, HOST, 1000, 8000), "a1")
            assert (got.src, got.dst, got[TCP].dport) == (seen, A, 8080)


def test_a_node_asks_itself_in_its_bridges_name() -> None:
    with Lab() as lab:
        hold(lab, (A, 8080))
        got = lab.out("stack1", tcp(HOST, HOST, 1000, 8000), "a1")
        assert (got.src, got.dst) == (cni_addr(1), A)
        back = lab.out("a1", tcp(A, cni_addr(1), 8080, got[TCP].sport, "SA"), "stack1")
        assert (back.src, back.dst, back[TCP].sport) == (HOST, HOST, 8000)


def test_protocols_are_different_ports() -> None:
    with Lab() as lab:
        hold(lab, (A, 8080))
        hold(lab, (B, 8080), proto=UDP_PROTO)
        hold(lab, (B, 8081), proto=SCTP_PROTO)
        assert lab.out("stack1", tcp(CLIENT, HOST, 1, 8000), "a1").dst == A
        got = lab.out("stack1", udp(CLIENT, HOST, 1, 8000), "b1")
        assert (got.src, got[UDP].dport) == (CLIENT, 8080)
        assert lab.out("stack1", sctp(CLIENT, HOST, 1, 8000), "b1").dst == B


def test_a_port_of_a_loopback_address_is_the_nodes_own() -> None:
    """Its row is shared: here n1 has A, n2 another pod."""
    own = Choice(NONE, (("n1", FIRST_SET), ("n2", FIRST_SET + 1)))
    row = HOST_PORT._replace(sets=((0,), (1,)), cluster=own, local=own)
    with Lab() as lab:
        hold(lab, (A, 8080), (REMOTE, 8080), at="127.0.0.1", like=row)
        for sport in range(1000, 1010):
            got = lab.out("stack1", tcp("127.0.0.1", "127.0.0.1", sport, 8000), "a1")
            assert (got.src, got.dst) == (cni_addr(1), A)
        assert lab.stats().localhost_node_ports == 0, "it is no node port"


MODES = [ProxyRow(refused_at=where) for where in ("nowhere", "cluster-ips", "services")]


@pytest.mark.parametrize("proxy", MODES, ids=lambda proxy: proxy.refused_at)
def test_other_ports_of_the_address_stay_the_nodes(proxy: ProxyRow) -> None:
    """Whatever the mode says of addresses of Services: this is none."""
    with Lab(proxy=proxy) as lab:
        hold(lab, (A, 8080))
        for source, where in ((CLIENT, "stack1"), (B, "b1")):
            sent: Packet = tcp(source, HOST, 1000, 8001)
            assert bytes(lab.out(where, sent, "stack1")) == bytes(sent)


def test_it_is_reached_from_another_node() -> None:
    with Lab() as lab:
        hold(lab, (REMOTE, 8080), at=node_addr(2))
        got = lab.out("a1", tcp(A, node_addr(2), 1000, 8000), "wire1")
        assert (got.src, got.dst) == (A, REMOTE)
        own = lab.out("stack1", tcp(HOST, node_addr(2), 1000, 8000), "wire1")
        assert own.src == tunnel_addr(1)
