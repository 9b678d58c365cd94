"""Makes the seed corpus of fuzz_pipeline.c: one file per protocol and case, named after it.

Run it again after changing struct record or struct offloads there: `python make_corpus.py corpus`.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_RR
from scapy.layers.l2 import Ether
from scapy.layers.sctp import SCTP, SCTPChunkInit
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

POD0, POD1, STACK, TUNNEL, WIRE = range(5)  # enum fixture_iface
VXLAN_BACKEND, UDP_BACKEND, HOST_GW, RELAYS = range(4)
OFFLOADS, STRANGER, FIX_IPV4, FIX_ICMP, SAME_BATCH, MARK, LATER = (1 << i for i in range(7))
A, B, REMOTE, VIP, NOBODY = "10.244.1.2", "10.244.1.3", "10.244.2.2", "10.96.0.10", "10.96.0.11"
NODE, FAR, WORLD = "192.168.0.1", "10.244.9.9", "8.8.8.8"
FIX = FIX_IPV4 | FIX_ICMP
PARTIAL_TCP, PARTIAL_UDP = (1, 0, 0, 20, 16), (1, 0, 0, 20, 6)

Offloads = tuple[int, int, int, int, int]


def record(
    iface: int, packet: Packet | bytes, flags: int = FIX, offloads: Offloads | None = None
) -> bytes:
    """One packet as fuzz_pipeline.c reads it: struct record, struct offloads, bytes."""
    raw = bytes(packet)
    head = struct.pack(">BBH", iface, flags | (OFFLOADS if offloads else 0), len(raw))
    return head + (struct.pack(">BBHHH", *offloads) if offloads else b"") + raw


def tunnel(packet: Packet | bytes, **changes: int) -> bytes:
    """As the node at 192.168.0.2 would send it over VXLAN."""
    head = VXLAN(flags=changes.get("flags", 8), vni=changes.get("vni", 1))
    ether = Ether(src="02:00:00:00:00:02", dst="02:00:00:00:00:01", type=0x0800)
    return bytes(head / ether) + bytes(packet)


def tcp(src: str, dst: str, sport: int = 1024, dport: int = 80, flags: str = "S") -> Packet:
    """By default the first packet of a connection."""
    return IP(src=src, dst=dst) / TCP(sport=sport, dport=dport, flags=flags)


def udp(src: str, dst: str, sport: int = 1024, dport: int = 53, **ip: int) -> Packet:
    """With fields of the IPv4 header by name."""
    packet = IP(src=src, dst=dst) / UDP(sport=sport, dport=dport) / Raw(b"0123456789abcdef")
    for name, value in ip.items():
        setattr(packet, name, value)
    return packet


def error(src: str, dst: str, quoted: Packet | bytes, kind: int = 3, code: int = 3) -> Packet:
    """An ICMP error about a packet; port unreachable by default."""
    return IP(src=src, dst=dst) / ICMP(type=kind, code=code) / Raw(bytes(quoted))


def conversations() -> dict[str, list[bytes]]:
    """Connections that work, both ways."""
    sctp = SCTP(sport=1024, dport=9) / SCTPChunkInit()
    local = [record(POD0, udp(A, VIP)), record(POD1, udp(B, A, 8080, 1024))]
    tcp_life = [
        record(POD0, tcp(A, B)),
        record(POD1, tcp(B, A, 80, 1024, "SA")),
        record(POD0, tcp(A, B, flags="A")),
        record(POD0, tcp(A, B, flags="FA")),
        record(POD1, tcp(B, A, 80, 1024, "FA")),
        record(POD0, tcp(A, B, flags="A")),
        record(POD0, tcp(A, B), FIX | LATER),
    ]
    return {
        "tcp-life": tcp_life,
        "tcp-service": [record(POD0, tcp(A, VIP)), record(POD0, tcp(A, VIP, flags="A"))],
        "tcp-service-batch": [record(POD0, tcp(A, VIP), FIX | SAME_BATCH) for _ in range(4)],
        "tcp-rejected": [record(POD0, tcp(A, NOBODY))],
        "tcp-node-to-service": [record(STACK, tcp(NODE, VIP)) for _ in range(2)],
        "udp-service": local,
        "udp-service-later": [*local, record(POD0, udp(A, VIP), FIX | LATER | MARK)],
        "udp-no-checksum": [record(POD0, IP(src=A, dst=VIP) / UDP(dport=53, chksum=0))],
        "udp-remote": [record(POD0, udp(A, REMOTE)), record(POD0, udp(A, FAR))],
        "sctp-service": [record(POD0, IP(src=A, dst=VIP) / sctp)],
        "ping": [
            record(POD0, IP(src=A, dst=B) / ICMP(id=5)),
            record(POD1, IP(src=B, dst=A) / ICMP(type=0, id=5)),
            record(POD0, IP(src=A, dst=VIP) / ICMP(id=5)),
        ],
        "world": [record(POD0, udp(A, WORLD)), record(STACK, udp(WORLD, A, 53, 1024))],
        "gre": [record(POD0, IP(src=A, dst=B, proto=47) / Raw(b"x" * 8))],
        "no-service-port": [record(POD0, tcp(A, VIP, dport=81))],
        "leak-to-gateway": [record(POD0, tcp(A, "10.96.77.77"))],
    }


def oddities() -> dict[str, list[bytes]]:
    """Errors, fragments, offloads, tunnels, lies."""
    asked = udp(A, REMOTE, ttl=63)
    first = IP(src=A, dst=VIP, id=7, flags="MF") / UDP(sport=9, dport=53, len=40) / Raw(b"x" * 24)
    last = IP(src=A, dst=VIP, id=7, frag=4, proto=17) / Raw(b"y" * 8)
    bulk = IP(src=A, dst=VIP) / TCP(sport=5, dport=80) / Raw(b"z" * 100)
    return {
        "icmp-error": [record(POD0, udp(A, REMOTE)), record(WIRE, tunnel(error(REMOTE, A, asked)))],
        "icmp-error-service": [
            record(POD0, tcp(A, VIP)),
            record(POD1, error(B, A, tcp(A, B, dport=8080))),
            record(WIRE, tunnel(error(REMOTE, A, tcp(A, REMOTE, dport=8080), 3, 4))),
        ],
        "icmp-error-of-ping": [
            record(POD0, IP(src=A, dst=B) / ICMP(id=5)),
            record(POD1, error(B, A, IP(src=A, dst=B) / ICMP(id=5), 11, 0)),
        ],
        "icmp-error-of-error": [record(POD0, error(A, B, error(B, A, udp(A, B))))],
        "time-exceeded": [record(POD0, udp(A, REMOTE, ttl=1)), record(POD0, udp(A, VIP, ttl=1))],
        "fragments": [record(POD0, first), record(POD0, last), record(POD0, last, FIX | LATER)],
        "fragments-batch": [record(POD0, first), record(POD0, last, FIX | SAME_BATCH)],
        "options": [record(POD0, IP(src=A, dst=B, options=[IPOption_RR()]) / UDP())],
        "gso": [record(POD0, bulk, FIX, (1, 1, 50, 20, 16))],
        "gso-too-big": [record(POD0, bulk, FIX, (1, 1, 1500, 20, 16))],
        "partial-tcp": [record(POD0, tcp(A, VIP), FIX, PARTIAL_TCP)],
        "partial-udp": [record(POD0, udp(A, VIP), FIX, PARTIAL_UDP)],
        "too-big": [record(POD0, IP(src=A, dst=REMOTE, flags="DF") / UDP() / Raw(b"x" * 1500))],
        "tunnel": [record(WIRE, tunnel(udp(REMOTE, A))), record(WIRE, tunnel(tcp(REMOTE, VIP)))],
        "tunnel-stranger": [record(WIRE, tunnel(udp(REMOTE, A)), FIX | STRANGER)],
        "tunnel-vni": [record(WIRE, tunnel(udp(REMOTE, A), vni=2))],
        "tunnel-flags": [record(WIRE, tunnel(udp(REMOTE, A), flags=0x88))],
        "tunnel-short": [record(WIRE, tunnel(b"")[:20])],
        "tunnel-no-pod": [record(WIRE, tunnel(udp(REMOTE, "10.244.1.9")))],
        "tunnel-iface": [record(TUNNEL, udp("10.244.1.0", REMOTE))],
        "truncated": [record(POD0, bytes(udp(A, B))[:27], 0)],
        "stub": [record(POD0, bytes(udp(A, B))[:15], 0)],
    }


def plain_wire() -> dict[str, list[bytes]]:
    """For the backends whose wire carries bare IPv4."""
    return {
        "wire-in": [record(WIRE, udp(REMOTE, A)), record(POD0, udp(A, REMOTE, 53, 1024))],
        "wire-ttl": [record(WIRE, udp(REMOTE, A, ttl=t)) for t in (1, 2, 3)],
        "wire-out-ttl": [record(POD0, udp(A, REMOTE, ttl=t)) for t in (1, 2, 3)],
        "unleased": [record(POD0, udp(A, FAR)), record(POD0, IP(src=A, dst=FAR) / ICMP())],
        "node-to-service": [record(STACK, tcp(NODE, VIP)), record(STACK, udp(NODE, VIP))],
        "error-in": [record(POD0, udp(A, REMOTE)), record(WIRE, error(REMOTE, A, udp(A, REMOTE)))],
    }


def main(folder: Path) -> None:
    """Write every case; files that are there already and not ours stay."""
    folder.mkdir(parents=True, exist_ok=True)
    cases = {f"vxlan-{n}": (VXLAN_BACKEND, c) for n, c in (conversations() | oddities()).items()}
    cases |= {f"udp-{n}": (UDP_BACKEND, c) for n, c in plain_wire().items()}
    cases |= {f"host-gw-{n}": (HOST_GW, c) for n, c in plain_wire().items()}
    cases |= {f"relays-{n}": (RELAYS, c) for n, c in conversations().items() if "service" in n}
    for name, (backend, records) in cases.items():
        (folder / name).write_bytes(bytes([backend]) + b"".join(records))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
