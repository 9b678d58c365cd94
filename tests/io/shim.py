"""The C functions that cut, join and describe super-packets, as Python calls on bytes."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

NEEDS_CSUM = 1
GSO_TCPV4 = 1
GSO_UDP_L4 = 5
GSO_ECN = 0x80
ROOM = 1 << 18
SEGMENTS = 65536


class _Meta(ctypes.Structure):
    _fields_ = (
        ("len", ctypes.c_uint32),
        ("flags", ctypes.c_uint16),
        ("gso_size", ctypes.c_uint16),
        ("hdr_len", ctypes.c_uint16),
        ("csum_offset", ctypes.c_uint16),
        ("gso_type", ctypes.c_uint8),
    )


@dataclass(frozen=True)
class Packet:
    data: bytes
    flags: int = 0
    gso_type: int = 0
    gso_size: int = 0
    hdr_len: int = 0
    csum_offset: int = 0


class Shim:
    """One loaded library; buffers are reused from call to call."""

    def __init__(self, path: Path) -> None:
        self._c = ctypes.CDLL(str(path))
        self._c.shim_join.restype = ctypes.c_size_t
        self._out = ctypes.create_string_buffer(32 << 20)
        self._sizes = (ctypes.c_uint16 * SEGMENTS)()
        self._meta = _Meta()

    def _split(self, count: int) -> list[bytes]:
        pieces, at = [], 0
        raw = memoryview(self._out)
        for size in self._sizes[:count]:
            pieces.append(bytes(raw[at : at + size]))
            at += size
        return pieces

    def _packet(self, m: _Meta | None = None, at: int = 0) -> Packet:
        m = m or self._meta
        return Packet(
            bytes(memoryview(self._out)[at : at + m.len]),
            m.flags,
            m.gso_type,
            m.gso_size,
            m.hdr_len,
            m.csum_offset,
        )

    def cut(self, data: bytes, gso_size: int, *, tunnel: int = 0, room: int = 65507) -> list[bytes]:
        count = self._c.shim_cut(
            data,
            len(data),
            ctypes.c_size_t(tunnel),
            gso_size,
            ctypes.c_size_t(room),
            self._out,
            self._sizes,
        )
        return self._split(count)

    def fragment(self, data: bytes, mtu: int, *, tunnel: int = 0) -> list[bytes]:
        count = self._c.shim_fragment(
            data, len(data), ctypes.c_size_t(tunnel), mtu, self._out, self._sizes
        )
        return self._split(count)

    def join(self, data: bytes, segment: int, *, tunnel: int = 0) -> tuple[int, Packet]:
        used = self._c.shim_join(
            data,
            ctypes.c_size_t(len(data)),
            ctypes.c_size_t(tunnel),
            segment,
            self._out,
            ctypes.byref(self._meta),
        )
        return used, self._packet()

    def join_datagrams(self, datagrams: Sequence[bytes], *, partial: bool = True) -> list[Packet]:
        """What tun_receive() makes of packets that it reads one after the other."""
        sizes = (ctypes.c_uint16 * len(datagrams))(*map(len, datagrams))
        metas = (_Meta * len(datagrams))()
        made = self._c.shim_join_datagrams(
            b"".join(datagrams), sizes, len(datagrams), int(partial), self._out, metas
        )
        packets, at = [], 0
        for meta in metas[:made]:
            packets.append(self._packet(meta, at))
            at += meta.len
        return packets

    def complete(self, data: bytes, *, tunnel: int = 0) -> bytes:
        self._c.shim_complete(
            data, len(data), ctypes.c_size_t(tunnel), self._out, ctypes.byref(self._meta)
        )
        return self._packet().data

    def accept(self, vnet: bytes, data: bytes) -> Packet | None:
        good = self._c.shim_accept(vnet, data, len(data), self._out, ctypes.byref(self._meta))
        return self._packet() if good else None

    def describe(self, packet: Packet) -> bytes:
        meta = _Meta(
            flags=packet.flags,
            gso_type=packet.gso_type,
            gso_size=packet.gso_size,
            hdr_len=packet.hdr_len,
        )
        self._c.shim_describe(packet.data, len(packet.data), ctypes.byref(meta), self._out)
        return bytes(memoryview(self._out)[:10])
