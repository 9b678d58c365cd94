"""What differs between modes of kube-proxy: Services' addresses, node ports, affinity."""

from __future__ import annotations

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.inet import UDP as UDP_LAYER
from scapy.packet import Packet

from netsim.api.addresses import parse_address
from netsim.api.lab_spec import Lab as LabObject
from netsim.api.proxy_modes import PROXY_MODES
from netsim.backends.base import NodeNet
from netsim.controllers.routes import proxy_row
from netsim.dataplane.rows import FrontendRow, ProxyRow, RelayRow
from tests.path.clients import REMOTE, A, B, tcp, udp
from tests.path.lab import PLAIN, UDP_PROTO, VIP, Lab, cni_addr, node_addr, number, tunnel_addr

MODES = sorted(PROXY_MODES)
CLIENT, EXTERNAL = "172.16.0.9", "192.0.2.7"
NODE_PORT = FrontendRow(0, 30080, "node-port")
RELAY = RelayRow(12345, ())
OPEN = PLAIN._replace(
    frontends=(NODE_PORT, FrontendRow(number(EXTERNAL), 80, "external-ip")), relay=RELAY
)


def proxy(mode: str) -> ProxyRow:
    """As the control side makes it for node 1."""
    addr = parse_address(tunnel_addr(1))
    net = NodeNet("n1", parse_address(node_addr(1)), addr, 24, 8472, bytes(6), local=True)
    return proxy_row(LabObject.parse({}), net, mode)


def ping(src: str, dst: str) -> Packet:
    return IP(src=src, dst=dst) / ICMP(type=8, id=7, seq=1) / b"are you there"


def answer(lab: Lab, where: str, packet: Packet) -> str:
    """ "refused", "silence", "routed" to the node's stack, or the endpoint that it went to."""
    lab.send(where, packet)
    found = {w: got for w in lab.everywhere if (got := lab.take(w))}
    if not found:
        return "silence"
    [(out, [sent])] = found.items()
    if out == where and sent.ip.haslayer(ICMP) and sent.ip[ICMP].type != 8:
        assert (sent.ip[ICMP].type, sent.ip[ICMP].code, sent.ip.dst) == (3, 3, packet.src)
        return "refused"
    return "routed" if sent.ip.dst == packet.dst else str(sent.ip.dst)


PROBES = {
    "closed port": tcp(A, VIP, dport=81),
    "other protocol": udp(A, VIP, dport=80),
    "ping": ping(A, VIP),
    "ping without endpoints": ping(A, "10.96.0.77"),
    "no endpoints": tcp(A, "10.96.0.77"),
    "unallocated address": tcp(A, "10.96.99.99"),
    "ping unallocated address": ping(A, "10.96.99.99"),
    "closed port of an external address": tcp(A, EXTERNAL, dport=81),
    "node port, primary address": tcp(A, node_addr(1), dport=30080),
    "node port, another address": tcp(A, cni_addr(1), dport=30080),
}
SERVED = {
    "no endpoints": "refused",
    "unallocated address": "silence",
    "ping unallocated address": "silence",
    "node port, primary address": B,
}
EXPECTED = {
    "iptables": SERVED
    | dict.fromkeys(("closed port", "other protocol", "ping", "ping without endpoints"), "silence")
    | {"closed port of an external address": "routed", "node port, another address": B},
    "ipvs": SERVED
    | dict.fromkeys(
        (
            "closed port",
            "other protocol",
            "ping",
            "ping without endpoints",
            "closed port of an external address",
        ),
        "refused",
    )
    | {"node port, another address": B},
    "userspace": SERVED  # all of these services are relayed, at cni0's address
    | dict.fromkeys(("closed port", "other protocol", "ping", "ping without endpoints"), "silence")
    | dict.fromkeys(("no endpoints", "node port, primary address"), cni_addr(1))
    | {"closed port of an external address": "routed", "node port, another address": "routed"},
    "nftables": SERVED
    | dict.fromkeys(("closed port", "other protocol", "ping", "ping without endpoints"), "refused")
    | {"closed port of an external address": "routed", "node port, another address": "routed"},
}


@pytest.mark.parametrize("mode", MODES)
def test_what_a_pod_is_told(mode: str) -> None:
    with Lab(proxy=proxy(mode)) as lab:
        lab.service((B, 8080), like=OPEN)
        lab.service(vip="10.96.0.77", id_=8, like=PLAIN._replace(relay=RELAY))
        assert {name: answer(lab, "a1", packet) for name, packet in PROBES.items()} == (
            EXPECTED[mode]
        )


LEAKS = dict.fromkeys(MODES, "leak-to-gateway") | {"nftables": "no-service-port"}


@pytest.mark.parametrize("mode", MODES)
def test_what_no_service_has_leaves_by_the_default_route_or_is_dropped(mode: str) -> None:
    """P-113; a pod, and what comes over the wire."""
    with Lab(proxy=proxy(mode)) as lab:
        lab.service((B, 8080))
        for packet in (tcp(A, "10.96.99.99"), ping(A, "10.96.99.99")):
            assert lab.refuses("a1", packet) == LEAKS[mode]
        assert lab.refuses("wire1", lab.wrap(tcp(REMOTE, "10.96.99.99"))) == LEAKS[mode]
        assert lab.refuses("stack1", tcp(node_addr(1), "10.96.99.99")) == LEAKS[mode]
        like = PLAIN._replace(relay=RELAY)
        key = lab.service((B, 8080), vip="10.96.99.99", id_=8, like=like)
        served = cni_addr(1) if mode == "userspace" else B
        assert answer(lab, "a1", tcp(A, "10.96.99.99", 2)) == served
        lab.engine.service_remove(key)
        assert lab.refuses("a1", tcp(A, "10.96.99.99", 3)) == LEAKS[mode]


@pytest.mark.parametrize("mode", MODES)
def test_an_address_closes_with_its_last_service(mode: str) -> None:
    with Lab(proxy=proxy(mode)) as lab:
        closed = EXPECTED[mode]["closed port"]
        first = lab.service((B, 8080))
        second = lab.service((B, 8080), proto=UDP_PROTO, id_=8)
        assert answer(lab, "a1", ping(A, VIP)) == closed
        lab.engine.service_remove(first)
        assert answer(lab, "a1", ping(A, VIP)) == closed
        assert answer(lab, "a1", tcp(A, VIP, 2)) == closed
        lab.engine.service_remove(second)
        assert answer(lab, "a1", ping(A, VIP)) == "silence"


def test_who_is_refused_learns_it_from_the_node_and_without_a_flow() -> None:
    with Lab(proxy=proxy("nftables")) as lab:
        lab.service((REMOTE, 8080))
        got = lab.out("a1", tcp(A, VIP, dport=81), "a1")
        assert (got.src, got[ICMP].type, got[ICMP].code) == (cni_addr(1), 3, 3)
        assert lab.engine.flows(lab.nodes[1].id)[0] == []
        assert lab.stats().service_rejects == 1
        assert lab.out("stack1", tcp(node_addr(1), VIP, dport=81), "stack1").src == VIP
        hop = tcp(A, VIP, dport=81)
        hop.ttl = 1
        assert lab.out("a1", hop, "a1")[ICMP].type == 11


def test_a_service_that_comes_opens_its_port() -> None:
    with Lab(proxy=proxy("nftables")) as lab:
        lab.service((B, 8080))
        assert answer(lab, "a1", udp(A, VIP, dport=53)) == "refused"
        lab.service((B, 53), port=53, proto=UDP_PROTO, id_=8)
        assert answer(lab, "a1", udp(A, VIP, dport=53)) == B
        assert lab.out("b1", udp(B, A, 53, 1000), "a1")[UDP_LAYER].sport == 53


# clients that an endpoint is remembered for, and who loses when there is one more
CAPACITY = [("iptables", 100, "first"), ("nftables", 65535, "nobody")]


@pytest.mark.parametrize(("mode", "clients", "loser"), CAPACITY)
def test_affinity_is_lost_beyond_the_capacity_of_the_mode(
    mode: str, clients: int, loser: str
) -> None:
    """P-37: one hundred clients and one more of one endpoint."""
    assert PROXY_MODES[mode].affinity_clients == clients
    ends = [(f"10.244.2.{n}", 8080) for n in range(2, 12)]
    addresses = [f"172.16.{n // 200}.{n % 200 + 1}" for n in range(101)]
    with Lab(proxy=proxy(mode)) as lab:
        lab.service(ends[0], affinity_s=600)
        for client in addresses:
            lab.now += 0.001
            lab.out("stack1", tcp(client, VIP), "wire1")
        lab.service(*ends, affinity_s=600)
        hits = lab.stats().affinity_hits
        for client in addresses[1:]:
            assert lab.out("stack1", tcp(client, VIP, 2), "wire1").dst == ends[0][0]
        lab.out("stack1", tcp(addresses[0], VIP, 2), "wire1")
        kept = 100 if loser == "first" else 101
        assert lab.stats().affinity_hits - hits == kept
        lab.now += 601
        before = lab.stats().affinity_hits
        lab.out("stack1", tcp(addresses[5], VIP, 3), "wire1")
        assert lab.stats().affinity_hits == before
