"""Captures: readable by everything, complete or counted, and never in the way."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.packet import Raw
from scapy.utils import PcapNgReader

from tests.io.cluster import Cluster, fabric

A, B = "10.244.0.2", "10.244.1.2"
SECTION, INTERFACE, STATISTICS, PACKET = 0x0A0D0D0A, 1, 5, 6


def blocks(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Naive reader: (type, body) of each block; every length must agree."""
    at = 0
    while at < len(data):
        kind, length = struct.unpack_from("<II", data, at)
        assert length % 4 == 0
        assert struct.unpack_from("<I", data, at + length - 4) == (length,)
        yield kind, data[at + 8 : at + length - 4]
        at += length
    assert at == len(data)


def options(body: bytes) -> dict[int, bytes]:
    out, at = {}, 0
    while at < len(body):
        code, length = struct.unpack_from("<HH", body, at)
        if code == 0:
            break
        out[code] = body[at + 4 : at + 4 + length]
        at += 4 + (length + 3) // 4 * 4
    return out


def ping(seq: int, size: int = 56) -> bytes:
    return bytes(IP(src=A, dst=B) / ICMP(id=7, seq=seq) / Raw(bytes(size)))


def captured(c: Cluster, iface: int, path: Path, packets: list[bytes], snaplen: int = 0) -> bytes:
    capture = c.engine.capture_start(iface, os.open(path, os.O_WRONLY | os.O_CREAT), snaplen)
    for n, packet in enumerate(packets):
        c.engine.inject(c.pods[0], packet)
        c.engine.step((n + 1) * 10**9 + 5)
    assert c.engine.capture_stop(capture) == (len(packets), 0)
    return path.read_bytes()


def test_a_capture_is_a_section_an_interface_packets_and_statistics(tmp_path: Path) -> None:
    c = fabric("vxlan")
    data = captured(c, c.pods[0], tmp_path / "p.pcapng", [ping(1), ping(2, 57)])
    found = list(blocks(data))
    assert [kind for kind, _ in found] == [SECTION, INTERFACE, PACKET, PACKET, STATISTICS]
    assert options(found[0][1][16:])[4] == b"netsim"
    assert struct.unpack_from("<HHI", found[1][1]) == (101, 0, 262144)
    description = options(found[1][1][8:])
    assert (description[2], description[3], description[9]) == (b"default/p0", b"n0", b"\x09")
    for (_, body), (n, packet) in zip(found[2:4], [(1, ping(1)), (2, ping(2, 57))], strict=True):
        _, high, low, kept, original = struct.unpack_from("<IIIII", body)
        assert (high << 32) + low == n * 10**9 + 5
        assert (kept, original) == (len(packet), len(packet))
        assert body[20 : 20 + kept] == packet
        assert options(body[20 + (kept + 3) // 4 * 4 :]) == {2: struct.pack("<I", 2)}  # outbound
    counts = options(found[4][1][12:])
    assert (counts[4], counts[5]) == (struct.pack("<Q", 2), struct.pack("<Q", 0))


@pytest.mark.parametrize(
    ("where", "direction"), [("pods", [2, 1]), ("wires", [2, 1])], ids=["pod", "wire"]
)
def test_directions_are_those_of_the_pod_or_node(
    tmp_path: Path, where: str, direction: list[int]
) -> None:
    for n, want in enumerate(direction):
        c = fabric("vxlan")
        iface = (c.pods if where == "pods" else c.wires)[n]
        captured(c, iface, tmp_path / f"{n}.pcapng", [ping(1)])
        with PcapNgReader(str(tmp_path / f"{n}.pcapng")) as reader:
            (packet,) = reader.read_all()
        assert packet.direction == want


def test_snaplen_keeps_the_beginning_and_says_how_long_the_packet_was(tmp_path: Path) -> None:
    c = fabric("vxlan")
    data = captured(c, c.pods[0], tmp_path / "p.pcapng", [ping(1, 500)], snaplen=64)
    body = next(body for kind, body in blocks(data) if kind == PACKET)
    assert struct.unpack_from("<II", body, 12) == (64, 528)


@pytest.mark.skipif(shutil.which("tshark") is None, reason="needs tshark")
def test_tshark_dissects_a_wire_with_good_checksums(tmp_path: Path) -> None:
    c = fabric("vxlan")
    packet = bytes(IP(src=A, dst=B) / UDP(sport=5000, dport=53) / Raw(bytes(100)))
    captured(c, c.wires[0], tmp_path / "w.pcapng", [packet])
    out = subprocess.run(
        ["tshark", "-r", str(tmp_path / "w.pcapng"), "-d", "udp.port==8472,vxlan", "-T", "fields"]
        + ["-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"]
        + [a for f in FIELDS for a in ("-e", f)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert out.split("\t") == [
        "eth0", "192.168.0.1,10.244.0.2", "192.168.0.2,10.244.1.2", "1", "1,1", "1,1", "64,63"
    ]  # fmt: skip


FIELDS = [
    "frame.interface_name",
    "ip.src",
    "ip.dst",
    "vxlan.vni",
    "ip.checksum.status",
    "udp.checksum.status",
    "ip.ttl",
]


@pytest.mark.skipif(shutil.which("capinfos") is None, reason="needs capinfos")
def test_capinfos_reads_the_statistics(tmp_path: Path) -> None:
    c = fabric("vxlan")
    captured(c, c.pods[0], tmp_path / "p.pcapng", [ping(n) for n in range(10)])
    out = subprocess.run(
        ["capinfos", str(tmp_path / "p.pcapng")], capture_output=True, text=True, check=True
    ).stdout
    for words in ("Number of packets:   10", "Name = default/p0", "netsim", "nanoseconds (9)"):
        assert words in out


def test_two_captures_of_one_iface_both_see_it(tmp_path: Path) -> None:
    c = fabric("vxlan")
    paths = [tmp_path / "a", tmp_path / "b"]
    ids = [c.engine.capture_start(c.pods[0], os.open(p, os.O_WRONLY | os.O_CREAT)) for p in paths]
    c.engine.inject(c.pods[0], ping(1))
    c.engine.step(1)
    assert c.engine.capture_stop(ids[0]) == (1, 0)
    c.engine.inject(c.pods[0], ping(2))
    c.engine.step(2)
    assert c.engine.capture_stop(ids[1]) == (2, 0)


def test_a_capture_outlives_its_iface(tmp_path: Path) -> None:
    c = fabric("vxlan")
    capture = c.engine.capture_start(c.pods[0], os.open(tmp_path / "p", os.O_WRONLY | os.O_CREAT))
    c.engine.inject(c.pods[0], ping(1))
    c.engine.step(1)
    c.engine.iface_remove(c.pods[0])
    assert c.engine.capture_stop(capture) == (1, 0)
    with pytest.raises(LookupError):
        c.engine.capture_stop(capture)


def test_packets_reach_a_pipe_without_being_asked_for() -> None:
    c = fabric("vxlan")
    reader, writer = os.pipe()
    capture = c.engine.capture_start(c.pods[0], writer)
    c.engine.inject(c.pods[0], ping(1))
    c.engine.step(1)
    data = b""
    while ping(1) not in data:
        data += os.read(reader, 65536)
    c.engine.capture_stop(capture)
    os.close(reader)


def test_a_reader_that_goes_ends_the_capture_and_nothing_else() -> None:
    c = fabric("vxlan")
    reader, writer = os.pipe()
    capture = c.engine.capture_start(c.pods[0], writer)
    os.close(reader)
    for n in range(200):
        c.engine.inject(c.pods[0], ping(n, 1000))
        c.engine.step(n)
    assert len([1 for _ in range(200) if c.engine.extract(c.pods[1])]) == 200
    c.engine.capture_stop(capture)


def test_a_reader_that_sleeps_loses_packets_and_they_are_counted() -> None:
    c = fabric("udp")
    reader, writer = os.pipe()
    capture = c.engine.capture_start(c.pods[0], writer)
    big = bytes(IP(src=A, dst="10.244.9.9", flags="DF") / ICMP() / Raw(bytes(60000)))
    for n in range(250):
        c.engine.inject(c.pods[0], big)
        c.engine.step(n)
    before = time.monotonic()
    seen, missed = c.engine.capture_stop(capture)
    assert time.monotonic() - before < 10
    assert missed > 0
    assert seen + missed == 250
    os.close(reader)


def test_captures_end_with_their_engine(tmp_path: Path) -> None:
    c = fabric("vxlan")
    path = tmp_path / "p"
    c.engine.capture_start(c.pods[0], os.open(path, os.O_WRONLY | os.O_CREAT))
    c.engine.inject(c.pods[0], ping(1))
    c.engine.step(1)
    c.engine.close()
    assert [kind for kind, _ in blocks(path.read_bytes())][-1] == STATISTICS
