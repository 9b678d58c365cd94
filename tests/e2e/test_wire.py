"""What is on a node's eth0, by the real tcpdump and tshark: flannel's udp and vxlan backends.

The scene is the classic picture of flannel: 10.0.46.2:2379 on 192.168.8.227 asks 10.0.90.2:8080 on
192.168.8.228.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.utils import rdpcap

from netsim import Lab
from netsim.api import manifests
from netsim.api.fields import Json, mapping, text
from netsim.lab.topology import Source
from tests.e2e.tcpdump import GOOD, dissected, tcpdump

pytestmark = pytest.mark.linux

CHEATSHEET = Path(__file__).parents[2] / "examples" / "cheatsheet.yaml"
ASK = ["curl", "-sS", "--local-port", "2379", "http://10.0.90.2:8080/clientip"]
OUTER = ("192.168.8.227", "192.168.8.228")
INNER = ("10.0.46.2", "10.0.90.2")
FIELDS = [
    "frame.protocols",
    "ip.src",
    "ip.dst",
    "ip.ttl",
    "ip.flags.df",
    "ip.dsfield",
    "ip.len",
    "ip.checksum.status",
    "udp.srcport",
    "udp.dstport",
    "udp.length",
    "udp.checksum",
    "udp.checksum.status",
    "tcp.srcport",
    "tcp.dstport",
    "tcp.len",
    "tcp.checksum.status",
    "vxlan.flags",
    "vxlan.vni",
    "eth.src",
    "eth.dst",
    "eth.type",
    "_ws.malformed",
    "_ws.expert.severity",
]
EXPERT_WARNING = 0x600000


def cheatsheet(backend: str) -> list[Json]:
    """The example's objects, with another backend."""
    objects = [entry.obj for entry in manifests.load([str(CHEATSHEET)]).objects]
    return [
        {**o, "spec": {**mapping(o, "spec"), "backend": backend}} if o["kind"] == "Lab" else o
        for o in objects
    ]


def conversation(lab: Lab, tmp_path: Path, port: int, *, offloads: bool = False) -> Path:
    """The example's request, as it is on the asking node's eth0.

    Without `offloads` the nodes complete the outer checksums themselves; with them, as with a real
    network card, a capture shows what the card would complete.
    """
    file = tmp_path / "eth0.pcap"
    if not offloads:
        for node in ("node1", "node2"):
            lab.run(f"node/{node}", ["ethtool", "-K", "eth0", "tx", "off"])
    with tcpdump(lab, "node1", f"udp port {port}", file):
        assert lab.run("client", ASK).stdout == "10.0.46.2:2379"
    return file


def vtep_mac(lab: Lab, node: str) -> str:
    annotations = mapping(mapping(lab.get("node", node), "metadata"), "annotations")
    data = json.loads(text(annotations, "flannel.alpha.coreos.com/backend-data"))
    assert data["VNI"] == 1
    return str(data["VtepMAC"])


def assert_well_formed(packet: dict[str, list[str]]) -> None:
    """Every checksum of every layer is good, and tshark finds nothing to complain about."""
    assert not packet["_ws.malformed"]
    assert all(int(s) < EXPERT_WARNING for s in packet["_ws.expert.severity"]), packet
    for layer in ("ip", "udp", "tcp"):
        states = packet[f"{layer}.checksum.status"]
        assert states == [GOOD] * len(states), (layer, packet)


def test_the_udp_backend_is_the_picture_byte_for_byte(
    netsim_lab: Callable[[Source], Lab], tmp_path: Path
) -> None:
    lab = netsim_lab(CHEATSHEET)
    packets = rdpcap(str(conversation(lab, tmp_path, 8285)))
    assert len(packets) >= 8  # three to open, two of data, three to close
    asked = [p for p in packets if p[IP].src == OUTER[0]]
    assert {p[IP].dst for p in asked} == {OUTER[1]}
    assert {(p[IP].src, p[IP].dst) for p in packets if p not in asked} == {OUTER[::-1]}
    for packet in packets:
        outer, out = packet[IP], packet in asked
        assert (outer.ttl, outer.tos, outer.flags, outer.ihl) == (64, 0, "DF", 5)
        assert (packet[UDP].sport, packet[UDP].dport) == (8285, 8285)
        assert packet[UDP].chksum != 0
        payload = bytes(packet[UDP].payload)
        assert payload[0] == 0x45
        inner = IP(payload)
        assert (inner.src, inner.dst) == (INNER if out else INNER[::-1])
        assert (inner[TCP].sport, inner[TCP].dport) == ((2379, 8080) if out else (8080, 2379))
        # the node forwards (63), its proxy forwards (62); the far proxy is still to come
        assert inner.ttl == 62
        # nothing else: the datagram is the packet, whose checksums are right
        assert bytes(inner) == payload
        assert len(payload) == inner.len == packet[UDP].len - 8 == outer.len - 28
        del inner.chksum, inner[TCP].chksum
        assert bytes(inner) == payload


def test_tshark_finds_nothing_wrong_with_the_udp_backend(
    netsim_lab: Callable[[Source], Lab], tmp_path: Path
) -> None:
    file = conversation(netsim_lab(CHEATSHEET), tmp_path, 8285)
    packets = dissected(file, "udp.port==8285,ip", FIELDS)
    assert len(packets) >= 8
    for packet in packets:
        assert_well_formed(packet)
        assert packet["frame.protocols"][0].startswith("eth:ethertype:ip:udp:ip:tcp")
        assert packet["ip.ttl"] == ["64", "62"]
        assert packet["ip.checksum.status"] == [GOOD, GOOD]
        assert packet["udp.checksum.status"] == packet["tcp.checksum.status"] == [GOOD]


def test_tshark_finds_flannel_vxlan_as_the_kernel_makes_it(
    netsim_lab: Callable[[Source], Lab], tmp_path: Path
) -> None:
    lab = netsim_lab(cheatsheet("vxlan"))
    macs = vtep_mac(lab, "node1"), vtep_mac(lab, "node2")
    packets = dissected(conversation(lab, tmp_path, 8472), "udp.port==8472,vxlan", FIELDS)
    assert len(packets) >= 8
    source_ports: dict[str, set[str]] = {}
    for packet in packets:
        out = packet["ip.src"][0] == OUTER[0]
        assert_well_formed(packet)
        assert packet["frame.protocols"][0].startswith("eth:ethertype:ip:udp:vxlan:eth")
        pairs = zip(packet["ip.src"], packet["ip.dst"], strict=True)
        expected = [OUTER, INNER] if out else [OUTER[::-1], INNER[::-1]]
        assert list(pairs) == expected
        assert packet["ip.ttl"] == ["64", "63"]
        assert packet["ip.flags.df"] == ["0", "1"]  # the inner one is the TCP stack's own
        assert packet["ip.dsfield"][0] == "0x00"
        assert packet["udp.dstport"] == ["8472"]
        assert int(packet["udp.checksum"][0], 16) != 0
        assert packet["ip.checksum.status"] == [GOOD, GOOD]
        assert packet["udp.checksum.status"] == packet["tcp.checksum.status"] == [GOOD]
        assert packet["vxlan.flags"] == ["0x0800"]
        assert packet["vxlan.vni"] == ["1"]
        assert int(packet["ip.len"][0]) - int(packet["ip.len"][1]) == 50
        assert int(packet["udp.length"][0]) == int(packet["ip.len"][0]) - 20
        assert packet["eth.type"] == ["0x0800", "0x0800"]
        inner_macs = packet["eth.src"][1], packet["eth.dst"][1]
        assert inner_macs == (macs if out else macs[::-1])
        ports = ("2379", "8080") if out else ("8080", "2379")
        assert (packet["tcp.srcport"], packet["tcp.dstport"]) == ([ports[0]], [ports[1]])
        source_ports.setdefault(packet["ip.src"][0], set()).update(packet["udp.srcport"])
    assert all(len(ports) == 1 for ports in source_ports.values()), "one flow, one source port"


def test_inner_checksums_are_complete_whatever_the_nodes_eth0_offloads(
    netsim_lab: Callable[[Source], Lab], tmp_path: Path
) -> None:
    lab = netsim_lab(cheatsheet("vxlan"))
    file = conversation(lab, tmp_path, 8472, offloads=True)
    packets = dissected(file, "udp.port==8472,vxlan", FIELDS)
    assert len(packets) >= 8
    for packet in packets:
        assert packet["ip.checksum.status"] == [GOOD, GOOD]
        assert packet["tcp.checksum.status"] == [GOOD]


@pytest.mark.parametrize("backend", ["udp", "vxlan"])
def test_a_capture_of_the_lab_shows_what_tcpdump_shows(
    netsim_lab: Callable[[Source], Lab], tmp_path: Path, backend: str
) -> None:
    lab = netsim_lab(cheatsheet(backend))
    port = {"udp": 8285, "vxlan": 8472}[backend]
    with lab.capture("node/node1", tmp_path / "own.pcapng"):
        theirs = rdpcap(str(conversation(lab, tmp_path, port)))
    own = [p for p in rdpcap(str(tmp_path / "own.pcapng")) if UDP in p and p[UDP].dport == port]
    assert [bytes(p) for p in own] == [bytes(p) for p in theirs]
