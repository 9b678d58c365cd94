"""TUN devices, UDP sockets, packet sockets: real programs in namespaces of a child process."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TypedDict

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.vxlan import VXLAN
from scapy.utils import PcapNgReader

from netsim.dataplane._core import engine_io
from netsim.dataplane.io_methods import ENVIRONMENT
from tests.io.cluster import MTUS
from tests.io.peers import SEPARATE_BYTES
from tests.io.real_lab import Result

pytestmark = [
    pytest.mark.linux,
    pytest.mark.parametrize("io", ["io_uring", "epoll"], indirect=True),
    pytest.mark.usefixtures("io"),
]
B = "10.244.1.2"
WIRES = [("fabric", "vxlan"), ("fabric", "udp"), ("udp", "vxlan"), ("udp", "udp")]
TTL = {"vxlan": 62, "udp": 60}


@pytest.fixture
def io(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The method that labs of the test use."""
    method = str(request.param)
    if method == "io_uring" and engine_io()[0] != method:
        pytest.skip("this kernel has no io_uring of 6.7")
    monkeypatch.setenv(ENVIRONMENT, method)


class Report(TypedDict):
    results: list[Result]
    drops: list[dict[str, int]]
    pods: list[dict[str, int]]
    wires: list[dict[str, int]]


def lab(wire: str, backend: str, *commands: str) -> Report:
    """Run commands in the first pod of a lab of its own; see real_lab.py."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.io.real_lab", wire, backend, *commands],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    report: Report = json.loads(done.stdout)
    return report


def peer(name: str) -> str:
    """A program of peers.py, as a command."""
    return f"{sys.executable} -m tests.io.peers {name}"


@pytest.mark.skipif(shutil.which("ping") is None, reason="needs ping")
@pytest.mark.parametrize(("wire", "backend"), WIRES)
def test_ping_passes_up_to_the_mtu_and_in_fragments_beyond(wire: str, backend: str) -> None:
    mtu = MTUS["vxlan" if backend == "vxlan" else "udp"]
    report = lab(
        wire,
        backend,
        f"ping -c 2 -i 0.1 {B}",
        f"ping -c 1 -M do -s {mtu - 28} {B}",
        f"ping -c 1 -W 0.2 -M do -s {mtu - 27} {B}",
        f"ping -c 1 -s 20000 {B}",
    )
    assert [r["code"] == 0 for r in report["results"]] == [True, True, False, True]
    assert f"ttl={TTL[backend]} " in report["results"][0]["out"]
    assert report["drops"] == [{}, {}]


@pytest.mark.parametrize(("wire", "backend"), WIRES)
def test_a_bulk_stream_arrives_whole_and_in_super_packets(wire: str, backend: str) -> None:
    report = lab(wire, backend, "b:" + peer("sink"), peer("bulk"))
    assert report["results"] == [{"code": 0, "out": "True\n"}]
    assert report["drops"] == [{}, {}]
    sent, received = report["pods"]
    assert sent["rx_segments"] > 5 * sent["rx_packets"]
    assert received["tx_segments"] > 5 * received["tx_packets"]


@pytest.mark.parametrize(("wire", "backend"), WIRES)
def test_datagrams_sent_by_one_call_arrive_one_by_one(wire: str, backend: str) -> None:
    report = lab(wire, backend, "b:" + peer("datagrams"), peer("segmented"))
    assert report["results"] == [{"code": 0, "out": f"{[1000] * 39 + [999]}\n"}]


@pytest.mark.parametrize(("wire", "backend"), WIRES)
def test_datagrams_sent_in_a_row_arrive_as_they_were(wire: str, backend: str) -> None:
    """Joined or not on the way: the far end's kernel delivers each with its own size and bytes."""
    report = lab(wire, backend, "b:" + peer("datagrams"), peer("separate"))
    assert report["results"] == [{"code": 0, "out": f"{SEPARATE_BYTES}\n"}]
    assert report["drops"] == [{}, {}]


def test_a_pool_that_runs_empty_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POOL", "48")  # fewer than a batch: what comes joined takes more
    report = lab("udp", "vxlan", "b:" + peer("datagrams"), peer("segmented"))
    assert report["results"][0]["code"] == 0
    assert report["drops"] == [{}, {}]


def test_a_packet_socket_capture_shows_what_is_on_the_link(tmp_path: Path) -> None:
    path = tmp_path / "eth0.pcapng"
    one = f"ping -c 1 {B}"  # sent before the answer to another, it might leave in one with that
    lab("udp", "vxlan", f"capture {path}", one, one, one)
    with PcapNgReader(str(path)) as reader:
        packets = [p for p in reader.read_all() if UDP in p]
    outer = [(p[IP].src, p[IP].dst, int(p[IP].flags), p[IP].ttl, p.direction) for p in packets]
    there = ("192.168.0.1", "192.168.0.2", 0, 64, 2)
    back = ("192.168.0.2", "192.168.0.1", 0, 64, 1)
    assert outer == [there, back] * 3
    assert all(p[UDP].dport == 8472 and p[VXLAN].vni == 1 for p in packets)
    assert packets[0][VXLAN].payload[IP].dst == B


def test_flannel_udp_sets_df_and_uses_its_port_both_ways(tmp_path: Path) -> None:
    path = tmp_path / "eth0.pcapng"
    lab("udp", "udp", f"capture {path}", f"ping -c 1 {B}")
    with PcapNgReader(str(path)) as reader:
        packets = [p for p in reader.read_all() if UDP in p]
    assert [(p[UDP].sport, p[UDP].dport, int(p[IP].flags)) for p in packets] == [
        (8285, 8285, 2),
        (8285, 8285, 2),
    ]
    assert bytes(packets[0][UDP].payload)[0] == 0x45


@pytest.mark.parametrize(("backend", "arrives"), [("vxlan", True), ("udp", False)])
def test_outer_packets_over_the_link_mtu_are_fragmented_or_dropped(
    backend: str, arrives: bool
) -> None:
    """VXLAN leaves DF clear, flannel udp sets it. The kernel cuts no datagrams beyond the MTU."""
    report = lab(
        "udp",
        backend,
        "b:" + peer("datagrams"),
        "node:ip link set eth0 mtu 1000",
        peer("segmented"),
    )
    assert (report["results"][1]["code"] == 0) == arrives
    assert report["drops"][0] == ({} if arrives else {"too-big": 40})
