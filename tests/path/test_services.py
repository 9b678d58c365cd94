"""Services: what packets look like to the client, to the endpoint, and to nobody."""

from __future__ import annotations

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.packet import Packet, Raw

from tests.path.clients import MAKERS, REMOTE, A, B, tcp, udp
from tests.path.lab import (
    FAR,
    UDP_PROTO,
    VIP,
    Lab,
    cni_addr,
    node_addr,
    rebuilt,
    stack_addr,
    tunnel_addr,
)


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
        assert bytes(got) == expected(make(A, VIP), dst=B, dport=8080)  # a bridge
        answer = make(B, A, 8080, 40000) if kind != "tcp" else tcp(B, A, 8080, 40000, "SA")
        back = lab.out("b1", answer, "a1")
        assert bytes(back) == expected(answer, src=VIP, sport=80)


def test_a_pod_reaches_itself_masqueraded(kind: str) -> None:
    make, proto = MAKERS[kind]
    with Lab() as lab:
        lab.service((A, 8080), proto=proto)
        got = lab.out("a1", make(A, VIP), "a1")
        assert bytes(got) == expected(make(A, VIP), src=cni_addr(1), dst=A, dport=8080)
        answer = make(A, cni_addr(1), 8080, 40000)
        if kind == "tcp":
            answer = tcp(A, cni_addr(1), 8080, 40000, "SA")
        back = lab.out("a1", answer, "a1")
        assert bytes(back) == expected(answer, src=VIP, dst=A, sport=80)
        [flow] = lab.engine.flows(lab.nodes[1].id)[0]
        assert flow.masqueraded
        assert flow.translated


# sender, its address, endpoint, where it comes out, backend, source there (spec 3.6)
MASQUERADES = [
    ("a1", A, REMOTE, "wire1", "vxlan", A),
    ("a1", A, B, "b1", "vxlan", A),
    ("stack1", node_addr(1), A, "a1", "vxlan", cni_addr(1)),
    ("stack1", node_addr(1), REMOTE, "wire1", "vxlan", tunnel_addr(1)),
    ("stack1", node_addr(1), REMOTE, "wire1", "udp", tunnel_addr(1)),
    ("stack1", node_addr(1), REMOTE, "wire1", "host-gw", node_addr(1)),
    ("stack1", "172.16.0.9", A, "a1", "vxlan", cni_addr(1)),
    ("stack1", cni_addr(1), A, "a1", "vxlan", cni_addr(1)),
    ("tunnel1", tunnel_addr(1), REMOTE, "wire1", "vxlan", tunnel_addr(1)),
    ("stack1", node_addr(1), node_addr(1), "stack1", "vxlan", stack_addr(1)),
    ("stack1", node_addr(1), node_addr(2), "stack1", "udp", stack_addr(1)),
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
            assert lab.engine.flows(lab.nodes[1].id)[0] == []


def test_a_ttl_that_ends_here_is_told_before_a_refusal() -> None:
    with Lab() as lab:
        lab.service(proto=UDP_PROTO)
        got = lab.out("a1", IP(src=A, dst=VIP, ttl=1) / UDP(sport=1, dport=80), "a1")
        assert (got.src, got[ICMP].type) == (cni_addr(1), 11)
        got = lab.out("stack1", IP(src=node_addr(1), dst=VIP, ttl=1) / UDP(dport=80), "stack1")
        assert (got.src, got[ICMP].type) == (VIP, 3)


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
        assert lab.refuses("a1", make(A, "10.96.7.7")) == "leak-to-gateway"


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


def test_pods_reach_each_other_and_the_world_untouched() -> None:
    with Lab() as lab:
        for packet, to in [(tcp(A, B), "b1"), (tcp(A, "8.8.8.8"), "stack1")]:
            got = lab.out("a1", packet, to)
            assert bytes(got) == bytes(packet)


@pytest.mark.parametrize(
    ("where", "source", "seen"), [("a1", A, A), ("stack1", node_addr(1), stack_addr(1))]
)
def test_an_endpoint_on_another_node_is_reached_past_the_wire(
    where: str, source: str, seen: str
) -> None:
    """host-gw: its answer comes by the underlay, to pods' range or the node's last address."""
    with Lab("host-gw", nodes=2) as lab:
        lab.service((node_addr(2), 9080))
        got = lab.out(where, tcp(source, VIP), "stack1")
        assert (got.src, got.dst) == (seen, node_addr(2))


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
