"""The in-process wire: outer headers, super-packets, gone nodes, several workers."""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw
from scapy.utils import rdpcap

from netsim.dataplane.records import Meta
from tests.io.cluster import MTUS, Backend, Cluster, fabric, mac

A, B = "10.244.0.2", "10.244.1.2"
NA, NB = "192.168.0.1", "192.168.0.2"
BACKENDS: list[Backend] = ["vxlan", "udp", "host-gw"]


def wire_capture(c: Cluster, packet: bytes, path: Path, meta: Meta | None = None) -> list[Packet]:
    """What node 0's wire shows when its pod sends a packet."""
    with path.open("wb") as f:
        capture = c.engine.capture_start(c.wires[0], os.dup(f.fileno()))
    c.engine.inject(c.pods[0], packet, meta)
    c.engine.step(1)
    c.engine.capture_stop(capture)
    return list(rdpcap(str(path)))


def udp_packet(size: int = 100, ttl: int = 64, ident: int = 1) -> bytes:
    ip = IP(src=A, dst=B, ttl=ttl, id=ident)
    return bytes(ip / UDP(sport=5000, dport=53) / Raw(bytes(size)))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_packet_crosses_with_its_ttl_as_the_backend_has_it(backend: Backend) -> None:
    c = fabric(backend)
    c.engine.inject(c.pods[0], udp_packet())
    c.engine.step(1)
    got = c.engine.extract(c.pods[1])
    assert got is not None
    want = IP(udp_packet(ttl={"vxlan": 62, "host-gw": 62, "udp": 60}[backend]))
    assert got[0] == bytes(want)


def test_vxlan_bytes_on_the_wire_are_what_scapy_builds(tmp_path: Path) -> None:
    (seen,) = wire_capture(fabric("vxlan"), udp_packet(), tmp_path / "w.pcapng")
    assert 32768 <= seen[UDP].sport <= 60999
    want = (
        IP(src=NA, dst=NB, ttl=64, id=seen.id)
        / UDP(sport=seen[UDP].sport, dport=8472)
        / VXLAN(flags=8, vni=1)
        / Ether(src=mac(0), dst=mac(1), type=0x800)
        / IP(udp_packet(ttl=63))
    )
    assert bytes(seen) == bytes(want)


def test_flannel_udp_bytes_on_the_wire_are_what_scapy_builds(tmp_path: Path) -> None:
    (seen,) = wire_capture(fabric("udp"), udp_packet(), tmp_path / "w.pcapng")
    want = (
        IP(src=NA, dst=NB, ttl=64, id=seen.id, flags="DF")
        / UDP(sport=8285, dport=8285)
        / Raw(udp_packet(ttl=62))
    )
    assert bytes(seen) == bytes(want)


def test_host_gw_packets_cross_bare(tmp_path: Path) -> None:
    (seen,) = wire_capture(fabric("host-gw"), udp_packet(), tmp_path / "w.pcapng")
    assert bytes(seen) == udp_packet(ttl=63)


def super_packet(size: int, mss: int) -> tuple[bytes, Meta]:
    """TCP with a partial checksum, as a pod's kernel sends it."""
    data = bytearray(bytes(IP(src=A, dst=B, flags="DF") / TCP(flags="A") / Raw(bytes(size))))
    pseudo = sum(struct.unpack("!6H", bytes(data[12:20]) + struct.pack("!HH", 6, len(data) - 20)))
    data[36:38] = struct.pack("!H", pseudo % 0xFFFF)
    return bytes(data), Meta(1, True, False, mss, 20, 16, 40)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_super_packet_crosses_whole(backend: Backend) -> None:
    c = fabric(backend)
    mss = MTUS[backend] - 40
    packet, meta = super_packet(44 * mss, mss)
    c.engine.inject(c.pods[0], packet, meta)
    c.engine.step(1)
    got = c.engine.extract(c.pods[1])
    assert got is not None
    assert (got[0][40:], got[1].gso_size, got[1].needs_csum) == (packet[40:], mss, True)
    assert c.engine.extract(c.pods[1]) is None
    assert c.engine.iface_stats(c.wires[1]).rx_segments == 44


def test_a_super_packet_too_long_for_an_outer_header_is_cut() -> None:
    c = fabric("vxlan")
    packet, meta = super_packet(65495, 1410)
    c.engine.inject(c.pods[0], packet, meta)
    c.engine.step(1)
    payload = 0
    for _ in range(47):
        got = c.engine.extract(c.pods[1])
        assert got is not None
        assert IP(got[0])[TCP].seq == payload
        assert len(got[0]) <= 1450
        payload += len(got[0]) - 40
    assert payload == 65495
    assert c.engine.extract(c.pods[1]) is None


def test_a_packet_over_the_mtu_without_df_arrives_in_fragments() -> None:
    c = fabric("vxlan")
    c.engine.inject(c.pods[0], udp_packet(3000, ident=7))
    c.engine.step(1)
    fragments = []
    while (got := c.engine.extract(c.pods[1])) is not None:
        fragments.append(IP(got[0]))
    assert [(f.frag * 8, f.len - 20, int(f.flags)) for f in fragments] == [
        (0, 1424, 1),
        (1424, 1424, 1),
        (2848, 160, 0),
    ]
    assert b"".join(bytes(f.payload) for f in fragments)[8:] == bytes(3000)


def test_packets_to_a_node_that_has_gone_are_counted() -> None:
    c = fabric("vxlan", 3)
    c.engine.node_remove(c.nodes[1])
    c.engine.inject(c.pods[0], udp_packet())
    c.engine.step(1)
    assert c.engine.node_stats(c.nodes[0]).drops["iface-down"] == 1


def test_nodes_on_different_workers_exchange_packets_in_order() -> None:
    c = fabric("vxlan", 2, workers=2)
    c.engine.start()
    for n in range(500):
        c.engine.inject(c.pods[0], bytes(IP(src=A, dst=B) / ICMP(id=1, seq=n)))
    seen: list[int] = []
    deadline = time.monotonic() + 20
    while len(seen) < 500 and time.monotonic() < deadline:
        got = c.engine.extract(c.pods[1])
        if got is not None:
            seen.append(IP(got[0])[ICMP].seq)
    assert seen == list(range(500))
    assert c.engine.info().workers == 2
    c.engine.close()


def test_a_worker_that_sleeps_reports_the_published_revision_without_waking() -> None:
    c = fabric("vxlan", 2, workers=2)
    c.engine.start()
    c.engine.publish(77)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if {c.engine.node_revision(n) for n in c.nodes} == {77}:
            break
    assert {c.engine.node_revision(n) for n in c.nodes} == {77}
    c.engine.close()


def test_a_node_that_moves_takes_its_connections_and_loses_nothing() -> None:
    c = fabric("vxlan", 2, workers=2)
    c.engine.start()
    sent = 0
    for round_ in range(20):
        for ident in range(50):
            c.engine.inject(c.pods[0], udp_packet(ident=ident))
            sent += 1
        c.engine.node_move(c.nodes[round_ % 2], round_ // 2 % 2)
    until = time.monotonic() + 10
    while c.engine.iface_stats(c.pods[1]).tx_packets < sent and time.monotonic() < until:
        time.sleep(0.01)
    assert c.engine.iface_stats(c.pods[1]).tx_packets == sent
    assert [c.engine.node_stats(n).flows_new for n in c.nodes] == [1, 1]
    with pytest.raises(ValueError, match="node"):
        c.engine.node_move(c.nodes[0], 2)
    with pytest.raises(LookupError):
        c.engine.node_move(99, 0)
    assert c.engine.balance() == 0
    c.engine.close()


def test_workers_with_little_to_do_are_joined() -> None:
    c = fabric("vxlan", 3, workers=3)
    c.engine.start()
    moved = []
    for _ in range(4):
        time.sleep(0.05)  # in which nothing is done
        moved.append(c.engine.balance())
    assert moved[0] == 1
    assert moved[1] in (1, 2)  # whichever worker had two
    assert moved[2:] == [0, 0]
    c.engine.inject(c.pods[0], udp_packet())
    until = time.monotonic() + 10
    while not c.engine.iface_stats(c.pods[1]).tx_packets and time.monotonic() < until:
        time.sleep(0.01)
    assert c.engine.iface_stats(c.pods[1]).tx_packets == 1
    c.engine.close()
