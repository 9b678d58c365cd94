"""Packets as a pod's kernel hands them over: any size, L4 checksum partial."""

from __future__ import annotations

import struct

from scapy.layers.inet import IP, TCP, UDP
from scapy.packet import Raw
from scapy.utils import checksum

SRC, DST = "10.244.0.2", "10.244.1.3"


def pseudo(data: bytes) -> int:
    """What a partial checksum holds: the folded pseudo-header sum, not inverted."""
    ip = IP(data)
    body = len(data) - ip.ihl * 4
    raw = data[12:20] + struct.pack("!BBH", 0, ip.proto, body)
    return ~checksum(raw) & 0xFFFF


def header(**fields: object) -> IP:
    """From SRC to DST unless said otherwise."""
    ip = IP(src=SRC, dst=DST)
    for name, value in fields.items():
        ip.setfieldval(name, value)
    return ip


def super_packet(l4: TCP | UDP, payload: bytes, **ip: object) -> bytes:
    """IPv4 packet of any size with a partial L4 checksum."""
    data = bytearray(bytes(header(**ip) / l4 / Raw(payload)))
    at = (data[0] & 15) * 4 + (16 if data[9] == 6 else 6)
    data[at : at + 2] = struct.pack("!H", pseudo(bytes(data)))
    return bytes(data)
