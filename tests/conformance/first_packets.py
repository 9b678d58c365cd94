"""First packets of connections, made and read byte by byte: there are very many of them."""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

from scapy.layers.inet import IP
from scapy.layers.sctp import SCTP, SCTPChunkInit

TCP, UDP, SCTP_PROTO, ICMP = 6, 17, 132, 1
NUMBERS = {"TCP": TCP, "UDP": UDP, "SCTP": SCTP_PROTO}
UNREACHABLE, RST = 3, 0x04
LOAD = b"question"


class Ends(NamedTuple):
    """Where a packet is from and to."""

    src: str
    dst: str
    sport: int
    dport: int
    protocol: int

    @property
    def back(self) -> Ends:
        """Of an answer."""
        return Ends(self.dst, self.src, self.dport, self.sport, self.protocol)


def checksum(data: bytes) -> int:
    words: tuple[int, ...] = struct.unpack(f"!{len(data) // 2}H", data)
    total = sum(words)
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def packet(ends: Ends, flags: int = 0x02) -> bytes:
    """A SYN (or other TCP `flags`), a datagram, an INIT."""
    src, dst = socket.inet_aton(ends.src), socket.inet_aton(ends.dst)
    if ends.protocol == SCTP_PROTO:
        made = IP(src=ends.src, dst=ends.dst) / SCTP(sport=ends.sport, dport=ends.dport)
        return bytes(made / SCTPChunkInit(init_tag=1))
    pseudo = src + dst
    if ends.protocol == TCP:
        inner = struct.pack("!HHIIBBHHH", ends.sport, ends.dport, 1, 0, 0x50, flags, 1024, 0, 0)
        value = checksum(pseudo + struct.pack("!HH", TCP, len(inner)) + inner)
        inner = inner[:16] + struct.pack("!H", value) + inner[18:]
    else:
        inner = struct.pack("!HHHH", ends.sport, ends.dport, 8 + len(LOAD), 0) + LOAD
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(inner), 0, 0x4000, 64, ends.protocol, 0)
    value = checksum(head + pseudo)
    return head[:10] + struct.pack("!H", value) + pseudo + inner


def ends_of(data: bytes) -> Ends:
    """Of a packet with a transport header; ports of ICMP are type and code."""
    at = (data[0] & 15) * 4
    if data[9] == ICMP:
        sport, dport = data[at], data[at + 1]
    else:
        sport, dport = struct.unpack_from("!HH", data, at)
    src, dst = socket.inet_ntoa(data[12:16]), socket.inet_ntoa(data[16:20])
    return Ends(src, dst, sport, dport, data[9])


def is_refusal(data: bytes) -> bool:
    """Whether it tells the sender that nobody listens: an ICMP error, or a reset."""
    if data[9] == ICMP:
        return data[20] == UNREACHABLE
    return data[9] == TCP and bool(data[20 + 13] & RST)
