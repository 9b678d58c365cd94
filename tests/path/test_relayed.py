"""Nodes that relay: what is for a Service goes to a port of their own, and comes back from it."""

from __future__ import annotations

import pytest
from scapy.layers.inet import TCP, UDP

from netsim.dataplane.rows import NOBODY, FrontendRow, ProxyRow, RelayRow
from tests.path.clients import MAKERS, A, B, tcp, udp
from tests.path.lab import PLAIN, UDP_PROTO, VIP, Lab, cni_addr, node_addr, number, stack_addr

RELAYS = ProxyRow(relays=True)
CLIENT, EXTERNAL, BALANCER = "172.16.0.9", "192.0.2.7", "192.0.2.8"
PORT = 12345
OPEN = PLAIN._replace(
    frontends=(
        FrontendRow(0, 30080, "node-port"),
        FrontendRow(number(EXTERNAL), 80, "external-ip"),
        FrontendRow(number(BALANCER), 80, "load-balancer"),
    ),
    relay=RelayRow(PORT, ()),
)
# where from, who asks, and who the relay sees: the node itself under another name
WAYS = [
    ("a1", A, VIP, 80, A),
    ("a1", A, node_addr(1), 30080, A),
    ("a1", A, EXTERNAL, 80, A),
    ("stack1", node_addr(1), VIP, 80, stack_addr(1)),
    ("stack1", node_addr(1), node_addr(1), 30080, stack_addr(1)),
    ("stack1", cni_addr(1), VIP, 80, stack_addr(1)),
    ("stack1", "127.0.0.1", "127.0.0.1", 30080, stack_addr(1)),
    ("stack1", CLIENT, node_addr(1), 30080, CLIENT),
    ("stack1", CLIENT, BALANCER, 80, CLIENT),
]


@pytest.mark.parametrize(("where", "src", "dst", "port", "seen"), WAYS)
def test_every_way_in_leads_to_the_relay_and_back(
    where: str, src: str, dst: str, port: int, seen: str
) -> None:
    with Lab(proxy=RELAYS) as lab:
        lab.service((B, 8080), like=OPEN)
        got = lab.out(where, tcp(src, dst, dport=port), "stack1")
        assert (got.src, got.dst, got[TCP].dport) == (seen, cni_addr(1), PORT)
        answer = tcp(cni_addr(1), seen, PORT, got[TCP].sport, "SA")
        back = lab.out("stack1", answer, where)
        assert (back.src, back.dst, back[TCP].sport) == (dst, src, port)


def test_policies_source_ranges_and_endpoints_are_for_the_relay_to_mind() -> None:
    like = OPEN._replace(
        internal_local=True,
        external_local=True,
        cluster=NOBODY,
        local=NOBODY,
        ranges=((number("198.51.100.0"), 24),),
    )
    with Lab(proxy=RELAYS) as lab:
        lab.service(like=like)
        for n, (where, src, dst, port, seen) in enumerate(WAYS):
            got = lab.out(where, tcp(src, dst, 2000 + n, port), "stack1")
            assert (got.src, got.dst) == (seen, cni_addr(1))


def test_what_has_no_relay_is_not_served() -> None:
    with Lab(proxy=RELAYS) as lab:
        make, proto = MAKERS["sctp"]
        lab.service((B, 8080), proto=proto, like=OPEN._replace(relay=None))
        assert lab.refuses("a1", make(A, VIP)) == "no-service-port"


def test_nodes_that_do_not_relay_never_use_the_port() -> None:
    with Lab() as lab:
        lab.service((B, 8080), like=OPEN)
        for sport in range(1000, 1050):
            assert lab.out("a1", tcp(A, VIP, sport), "b1").dst == B
        lab.service(like=OPEN)
        lab.out("a1", tcp(A, VIP), "a1")
        assert lab.stats().service_rejects == 1


def test_datagrams_follow_a_relay_to_another_port() -> None:
    with Lab(proxy=RELAYS) as lab:
        lab.service((B, 8080), proto=UDP_PROTO, like=OPEN)
        assert lab.out("a1", udp(A, VIP), "stack1")[UDP].dport == PORT
        lab.service((B, 8080), proto=UDP_PROTO, like=OPEN._replace(relay=RelayRow(PORT + 1, ())))
        assert lab.out("a1", udp(A, VIP), "stack1")[UDP].dport == PORT + 1


def test_decisions_name_the_port() -> None:
    with Lab(proxy=RELAYS) as lab:
        lab.service((B, 8080), like=OPEN)
        lab.put("a1", tcp(A, VIP), lab.from_peer(2, mark=True))
        lab.run()
        [record] = [r for r in lab.trace() if r.event == "service-relayed"]
        assert (record.object, record.detail) == (7, PORT)


def test_host_ports_are_not_the_proxys() -> None:
    """They are the CNI plugin portmap's, in every mode."""
    with Lab(proxy=RELAYS) as lab:
        like = PLAIN._replace(is_host_port=True)
        lab.service((B, 8080), vip=node_addr(1), port=8888, id_=0, like=like)
        got = lab.out("stack1", tcp(CLIENT, node_addr(1), dport=8888), "b1")
        assert (got.src, got.dst, got[TCP].dport) == (CLIENT, B, 8080)
        back = lab.out("b1", tcp(B, CLIENT, 8080, got[TCP].sport, "SA"), "stack1")
        assert (back.src, back[TCP].sport) == (node_addr(1), 8888)
