"""What clients send to services, and where it goes."""

from __future__ import annotations

from typing import Protocol

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.sctp import SCTP, SCTPChunkInit
from scapy.packet import Packet, Raw

from tests.path.lab import (
    SCTP_PROTO,
    TCP_PROTO,
    UDP_PROTO,
    VIP,
    Lab,
    pod_addr,
)

A, B, REMOTE = pod_addr(1), pod_addr(1, "b"), pod_addr(2)
FOUR = [(f"10.244.2.{10 + i}", 8080 + i) for i in range(4)]


def tcp(src: str, dst: str, sport: int = 40000, dport: int = 80, flags: str = "S") -> Packet:
    return IP(src=src, dst=dst) / TCP(sport=sport, dport=dport, flags=flags)


def udp(src: str, dst: str, sport: int = 40000, dport: int = 80, load: bytes = b"hello") -> Packet:
    return IP(src=src, dst=dst) / UDP(sport=sport, dport=dport) / Raw(load)


def sctp(src: str, dst: str, sport: int = 40000, dport: int = 80) -> Packet:
    return IP(src=src, dst=dst) / SCTP(sport=sport, dport=dport, tag=7) / SCTPChunkInit()


class Maker(Protocol):
    def __call__(self, src: str, dst: str, sport: int = ..., dport: int = ...) -> Packet: ...


MAKERS: dict[str, tuple[Maker, int]] = {
    "tcp": (tcp, TCP_PROTO),
    "udp": (udp, UDP_PROTO),
    "sctp": (sctp, SCTP_PROTO),
}


def choose(lab: Lab, sport: int, src: str = A, dport: int = 80, start: str = "a1") -> str:
    return str(lab.out(start, tcp(src, VIP, sport=sport, dport=dport), "wire1").dst)
