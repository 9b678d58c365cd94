"""Refusals that nobody can be told of, and tables and queues that are full: counted by reason."""

from __future__ import annotations

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.packet import Packet, Raw

from tests.path.lab import VIP, Lab, pod_addr

A, B, REMOTE = pod_addr(1), pod_addr(1, "b"), pod_addr(2)
STRANGER = "8.8.8.8"  # behind no peer: an error has no way back

UNTOLD = [
    ("no-endpoint", IP(src=STRANGER, dst=VIP) / TCP(dport=80)),
    ("no-pod", IP(src=STRANGER, dst="10.244.1.77") / UDP()),
    ("no-route", IP(src=STRANGER, dst="10.244.9.9") / UDP()),
    ("ttl-exceeded", IP(src=STRANGER, dst=A, ttl=1) / UDP()),
    ("too-big", IP(src=STRANGER, dst=A, flags="DF") / UDP() / Raw(b"x" * 1500)),
]


@pytest.mark.parametrize(("why", "packet"), UNTOLD, ids=[u[0] for u in UNTOLD])
def test_a_sender_that_can_not_be_told(why: str, packet: Packet) -> None:
    with Lab() as lab:
        lab.service()
        assert lab.refuses("wire1", lab.wrap(packet)) == why
        assert lab.stats().icmp_errors_sent == 0


def first_fragment(number: int) -> Packet:
    return IP(src=A, dst=B, id=number, flags="MF") / UDP(sport=number) / Raw(b"x" * 8)


def test_a_stream_of_datagrams_in_fragments_never_stops() -> None:
    with Lab() as lab:
        for number in range(1, 4000):
            lab.put("a1", first_fragment(number))
            lab.put("a1", IP(src=A, dst=B, id=number, frag=2, proto=17) / Raw(b"y"))
            lab.run()
            assert len(lab.take("b1")) == 2
        late = IP(src=A, dst=B, id=1, frag=3, proto=17) / Raw(b"y")
        assert lab.refuses("a1", late) == "fragment-orphan"  # the table is bounded


def test_a_receiver_that_does_not_read() -> None:
    packet = IP(src=A, dst=B) / UDP(sport=1, dport=2)
    with Lab() as lab:
        for _ in range(3):
            for _ in range(2000):
                lab.put("a1", packet)
            lab.run()
        assert lab.drops() == {"iface-full": 6000 - 4096}
        assert lab.engine.iface_stats(lab.iface("b1")).tx_drops == 6000 - 4096
        assert len(lab.take("b1")) == 4096
