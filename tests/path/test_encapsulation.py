"""Between nodes: flannel's bytes on the wire, what a node accepts of it, the TTL that arrives."""

from __future__ import annotations

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from netsim.dataplane.records import Meta
from tests.path.lab import (
    PORT,
    VIP,
    Lab,
    cni_addr,
    mac,
    node_addr,
    number,
    pod_addr,
    rebuilt,
    stack_addr,
    tunnel_addr,
)

BACKENDS = ["vxlan", "udp", "host-gw"]
HERE, NEIGHBOUR, THERE = pod_addr(1), pod_addr(1, "b"), pod_addr(2)


def ping(src: str, dst: str, ttl: int = 64, load: bytes = b"0123456789") -> Packet:
    return IP(src=src, dst=dst, ttl=ttl) / UDP(sport=2379, dport=8080) / Raw(load)


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_what_leaves_a_node(backend: str) -> None:
    inner = ping(HERE, THERE, ttl=62 if backend == "udp" else 63)
    with Lab(backend) as lab:
        lab.send("a1", ping(HERE, THERE))
        [sent] = lab.take("wire1")
        assert sent.raw == lab_wrap(backend, inner)
        meta = sent.meta
        assert (meta.outer_src, meta.outer_dst) == (number(node_addr(1)), number(node_addr(2)))
        assert meta.outer_dport == PORT[backend]
        if backend == "vxlan":
            assert 32768 <= meta.outer_sport <= 60999
        else:
            assert meta.outer_sport == PORT[backend]


def lab_wrap(backend: str, inner: Packet) -> bytes:
    """What node 1 puts around a packet for node 2 (offset 28 of spec 2.2's table on)."""
    if backend != "vxlan":
        return bytes(inner)
    ether = Ether(dst=mac(2), src=mac(1), type=0x0800)
    head = bytes(VXLAN(flags=0x08, reserved1=0, vni=1, reserved2=0) / ether)
    assert len(head) == 22
    return head + bytes(inner)


def test_what_arrives_at_a_pod(backend: str) -> None:
    with Lab(backend) as lab:
        got = lab.out("wire1", lab.wrap(ping(THERE, HERE, ttl=63)), "a1")
        assert bytes(got) == bytes(ping(THERE, HERE, ttl=61 if backend == "udp" else 62))


PATHS = [  # from, to, its address, TTL there by backend; spec 2.1 [measured]
    ("a1", "a2", {"vxlan": 62, "udp": 60, "host-gw": 62}),
    ("a1", "b1", {"vxlan": 64, "udp": 64, "host-gw": 64}),
    ("a1", "stack1", {"vxlan": 64, "udp": 64, "host-gw": 64}),
    ("stack1", "a1", {"vxlan": 64, "udp": 64, "host-gw": 64}),
    ("tunnel1", "a2", {"vxlan": 63, "udp": 61, "host-gw": 63}),
    ("stack1", "a2", {"vxlan": 63, "udp": 61, "host-gw": 63}),
    ("a1", "stack2", {"vxlan": 63, "udp": 61, "host-gw": 63}),
]


@pytest.mark.parametrize(("start", "end", "ttl"), PATHS)
def test_ttl_at_the_far_end(backend: str, start: str, end: str, ttl: dict[str, int]) -> None:
    addresses = {
        "a1": HERE,
        "b1": NEIGHBOUR,
        "a2": THERE,
        "stack1": cni_addr(1),
        "stack2": cni_addr(2),
        "tunnel1": tunnel_addr(1),
    }
    with Lab(backend, nodes=2) as lab:
        got = lab.out(start, ping(addresses[start], addresses[end]), end)
        assert got.ttl == ttl[backend]
        assert bytes(got) == bytes(ping(addresses[start], addresses[end], ttl=ttl[backend]))


@pytest.mark.parametrize("ttl", [1, 2, 3, 4, 5])
def test_udp_proxies_swallow_what_runs_out_of_ttl(ttl: int) -> None:
    where = {1: ("n1", "ttl"), 2: ("n1", "proxy"), 3: ("n2", "proxy"), 4: ("n2", "ttl")}
    with Lab("udp", nodes=2) as lab:
        lab.send("a1", ping(HERE, THERE, ttl=ttl))
        arrived = lab.take("a2")
        errors = [e.ip.src for e in lab.take("a1")]
        drops = {n: lab.drops(n) for n in (1, 2)}
        if ttl not in where:
            assert arrived[0].ip.ttl == 1
            return
        node, why = where[ttl]
        assert not arrived
        if why == "proxy":  # silence: traceroute shows a hole
            assert not errors
            assert drops[int(node[1])] == {"tunnel-ttl": 1}
        else:
            assert errors == [cni_addr(1) if node == "n1" else tunnel_addr(2)]


def from_peer(src: str = node_addr(2)) -> Meta:
    return Meta(outer_src=number(src), outer_dst=number(node_addr(1)), outer_dport=8472)


def vxlan(**changes: object) -> Packet:
    fields: dict[str, object] = {"flags": 8, "vni": 1, "dst": mac(1), "type": 0x0800} | changes
    head = VXLAN(flags=fields["flags"], vni=fields["vni"], reserved2=fields.get("reserved2", 0))
    return head / Ether(src=mac(2), dst=fields["dst"], type=fields["type"]) / ping(THERE, HERE)


REFUSED = [
    ("wrong VNI", vxlan(vni=2), from_peer(), "tunnel-vni"),
    ("VNI in the reserved byte", vxlan(vni=0, reserved2=1), from_peer(), "tunnel-vni"),
    ("no VNI flag", vxlan(flags=0), from_peer(), "tunnel-bad"),
    ("group policy flag", vxlan(flags=0x88), from_peer(), "tunnel-bad"),
    ("another node's MAC", vxlan(dst=mac(3)), from_peer(), "tunnel-mac"),
    ("broadcast", vxlan(dst="ff:ff:ff:ff:ff:ff"), from_peer(), "tunnel-mac"),
    ("ARP", vxlan(type=0x0806), from_peer(), "tunnel-bad"),
    ("IPv6", vxlan(type=0x86DD), from_peer(), "tunnel-bad"),
    ("from a stranger", vxlan(), from_peer("192.168.8.99"), "tunnel-stranger"),
    ("from the node itself", vxlan(), from_peer(node_addr(1)), "tunnel-stranger"),
]


@pytest.mark.parametrize(("what", "packet", "meta", "why"), REFUSED, ids=[r[0] for r in REFUSED])
def test_vxlan_packets_that_are_refused(what: str, packet: Packet, meta: Meta, why: str) -> None:
    with Lab() as lab:
        assert lab.refuses("wire1", packet, meta) == why


def test_vxlan_packets_shorter_than_their_headers() -> None:
    whole = bytes(vxlan())
    with Lab() as lab:
        for length in range(22):
            assert lab.refuses("wire1", whole[:length]) == "tunnel-short"
        for length in range(22, 42):
            assert lab.refuses("wire1", whole[:length]) == "truncated"


def test_reserved_vxlan_bytes_are_ignored() -> None:
    with Lab() as lab:
        packet = VXLAN(flags=8, reserved1=7, vni=1, reserved2=9)
        packet = packet / Ether(src=mac(2), dst=mac(1)) / ping(THERE, HERE)
        assert lab.out("wire1", packet, "a1").ttl == 63


@pytest.mark.parametrize("backend", ["udp"])
def test_udp_tunnel_refuses_strangers_and_stubs(backend: str) -> None:
    with Lab(backend) as lab:
        packet = ping(THERE, HERE)
        assert lab.refuses("wire1", packet, from_peer("192.168.8.99")) == "tunnel-stranger"
        assert lab.refuses("wire1", bytes(packet)[:19]) == "tunnel-short"
        assert lab.refuses("wire1", bytes(packet)[:27]) == "truncated"
        assert lab.refuses("wire1", bytes(ping(THERE, HERE, ttl=0))) == "tunnel-ttl"


def test_arp_inside_the_tunnel_needs_no_parser() -> None:
    with Lab() as lab:
        frame = VXLAN(flags=8, vni=1) / Ether(src=mac(2), dst=mac(1)) / ARP()
        assert lab.refuses("wire1", frame) == "tunnel-bad"


def test_padding_after_the_packet_is_cut_off(backend: str) -> None:
    with Lab(backend) as lab:
        got = lab.out("wire1", lab.wrap(bytes(ping(THERE, HERE)) + b"\0" * 18), "a1")
        assert bytes(got) == rebuilt(got)
        assert len(bytes(got)) == len(ping(THERE, HERE))


def test_flows_spread_over_outer_source_ports_and_keep_theirs() -> None:
    with Lab() as lab:
        ports: dict[int, set[int]] = {}
        for _ in range(3):
            for sport in range(1000, 1200):
                lab.send("a1", IP(src=HERE, dst=THERE) / UDP(sport=sport, dport=9))
                [sent] = lab.take("wire1")
                ports.setdefault(sport, set()).add(sent.meta.outer_sport)
        assert all(len(used) == 1 for used in ports.values())
        assert len({port for used in ports.values() for port in used}) > 150


def test_packets_do_not_go_back_where_they_came_from(backend: str) -> None:
    with Lab(backend) as lab:
        assert lab.refuses("wire1", lab.wrap(ping(THERE, pod_addr(2, "b")))) == "loop"
        assert lab.refuses("stack1", ping(node_addr(1), "8.8.8.8")) == "loop"
        assert lab.refuses("tunnel1", ping(tunnel_addr(1), "8.8.8.8")) == "loop"


def test_a_pod_that_is_not_here_is_unreachable(backend: str) -> None:
    with Lab(backend) as lab:
        packet = ping(THERE, "10.244.1.77", ttl=60)
        lab.send("wire1", lab.wrap(packet))
        [sent] = lab.take("wire1")
        error = IP(sent.raw[22:] if backend == "vxlan" else sent.raw)
        assert (error.dst, error.type, error.code) == (THERE, 3, 1)
        assert error.src == (node_addr(1) if backend == "host-gw" else tunnel_addr(1))


def test_host_gw_over_the_kernel_leaves_peers_to_the_stack() -> None:
    with Lab("host-gw", wire=False) as lab:
        out = lab.out("a1", ping(HERE, THERE), "stack1")
        assert bytes(out) == bytes(ping(HERE, THERE))
        back = lab.out("stack1", ping(THERE, HERE, ttl=62), "a1")
        assert back.ttl == 62


def test_host_gw_over_the_kernel_serves_the_node_itself() -> None:
    """Masqueraded to an address in the pod range, so that answers come back through cni0."""
    with Lab("host-gw", wire=False) as lab:
        lab.service((THERE, 8080))
        syn = IP(src=node_addr(1), dst=VIP) / TCP(sport=40000, dport=80)
        got = lab.out("stack1", syn, "stack1")
        assert (got.src, got.dst, got[TCP].dport) == (stack_addr(1), THERE, 8080)
        answer = IP(src=THERE, dst=got.src) / TCP(sport=8080, dport=got[TCP].sport, flags="SA")
        back = lab.out("stack1", answer, "stack1")
        assert (back.src, back.dst, back[TCP].sport) == (VIP, node_addr(1), 80)


@pytest.mark.parametrize("size", [1472, 1473])
def test_the_udp_proxy_truncates_what_its_device_could_not_take(size: int) -> None:
    big = IP(src=THERE, dst=HERE) / UDP() / Raw(b"x" * (size - 28))
    with Lab("udp") as lab:
        if size > lab.mtu:
            assert lab.refuses("wire1", bytes(big)) == "truncated"
        else:
            lab.out("wire1", bytes(big), "a1")
