"""One node of ours, one that is only a kernel VXLAN device: they exchange everything, both ways."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from netsim import Lab
from netsim.api.fields import mapping
from netsim.lab.topology import Source
from tests.e2e import kernel_node as kernel
from tests.e2e import world
from tests.e2e.kernel_node import Space
from tests.e2e.tcpdump import GOOD, dissected, tcpdump
from tests.e2e.world import program

pytestmark = pytest.mark.linux

OURS = "10.244.0.2"
UDP_PORT = "7000"
MTU = 1450
BULK = "40M"
MTU_HEADERS = 28  # of an ICMP echo or a datagram


@pytest.fixture(scope="module")
def lab(module_lab: Callable[[Source], Lab]) -> Lab:
    return module_lab(
        [
            world.lab("vxlan", nodes=1),
            kernel.external_node(),
            world.pod("ours", 1, OURS),
            world.pod("udp", 1, "10.244.0.3", program("udp_server.py", UDP_PORT)),
        ]
    )


@pytest.fixture(scope="module")
def spaces(lab: Lab) -> Iterator[tuple[Space, Space]]:
    with kernel.kernel_node(lab) as made:
        yield made


@pytest.fixture
def node(spaces: tuple[Space, Space]) -> Space:
    return spaces[0]


@pytest.fixture
def theirs(spaces: tuple[Space, Space]) -> Space:
    return spaces[1]


@contextmanager
def reading(process: subprocess.Popen[str], until: str) -> Iterator[None]:
    """A server that has said `until`, killed at the end."""
    assert process.stdout
    try:
        assert any(until in line for line in process.stdout), f"ended before {until!r}"
        yield
    finally:
        process.terminate()
        process.wait(world.TIMEOUT_S)
        process.stdout.close()


def test_ping_crosses_both_ways_with_flannel_s_ttl(lab: Lab, theirs: Space) -> None:
    ours = lab.run("ours", ["ping", "-c2", "-i0.1", "-W2", kernel.POD]).stdout
    assert "2 received" in ours
    assert ours.count("ttl=62") == 2
    back = theirs.run("ping", "-c2", "-i0.1", "-W2", OURS).stdout
    assert "2 received" in back
    assert back.count("ttl=62") == 2


def test_traceroute_shows_the_nodes_both_ways(lab: Lab, theirs: Space) -> None:
    argv = ["traceroute", "-n", "-q1", "-w2", "-m5"]
    there = lab.run("ours", [*argv, kernel.POD]).stdout.splitlines()[1:]
    assert [line.split()[1] for line in there] == ["10.244.0.1", kernel.DEVICE_ADDRESS, kernel.POD]
    back = theirs.run(*argv, OURS).stdout.splitlines()[1:]
    assert [line.split()[1] for line in back] == [kernel.GATEWAY, "10.244.0.0", OURS]


@pytest.mark.parametrize("reverse", [[], ["--reverse"]], ids=["to the kernel", "from the kernel"])
@pytest.mark.parametrize("listener", ["theirs", "ours"])
def test_tcp_bulk_crosses(lab: Lab, theirs: Space, listener: str, reverse: list[str]) -> None:
    server = ["iperf3", "--server", "--one-off", "--forceflush"]
    client = ["iperf3", "-J", "-n", BULK, *reverse, "--client"]
    if listener == "theirs":
        with reading(theirs.popen(*server), "Server listening"):
            done = lab.run("ours", [*client, kernel.POD])
    else:
        with reading(lab.popen("ours", server, stdout=subprocess.PIPE), "Server listening"):
            done = theirs.run(*client, OURS)
    end = json.loads(done.stdout)["end"]  # what is under way when iperf3 stops does not count
    assert end["sum_sent"]["bytes"] >= 40 << 20
    assert end["sum_received"]["bytes"] >= 32 << 20


@pytest.mark.parametrize("size", [0, 1, MTU - MTU_HEADERS], ids=["empty", "one", "full MTU"])
def test_datagrams_cross_both_ways_unfragmented(lab: Lab, theirs: Space, size: int) -> None:
    asked = f"df on\nsize {size}\n"
    with reading(theirs.popen(*program("udp_server.py", UDP_PORT)), "ready"):
        done = lab.run("ours", program("udp_client.py", kernel.POD, UDP_PORT), stdin=asked)
    assert done.stdout.split() == ["ok", "same"]
    ask = theirs.argv(program("udp_client.py", "10.244.0.3", UDP_PORT))
    back = subprocess.run(ask, input=asked, capture_output=True, text=True, check=True, timeout=60)
    assert back.stdout.split() == ["ok", "same"]


def test_one_byte_more_than_the_mtu_is_refused_at_the_sender(lab: Lab, theirs: Space) -> None:
    asked = f"df on\nsize {MTU - MTU_HEADERS + 1}\n"
    done = lab.run("ours", program("udp_client.py", kernel.POD, UDP_PORT), stdin=asked)
    assert done.stdout.split() == ["ok", "EMSGSIZE"]
    ping = ["ping", "-c1", "-W0.2", "-M", "do", "-s", str(MTU - MTU_HEADERS + 1)]
    ours = lab.run("ours", [*ping, kernel.POD], check=False)
    assert "message too long, mtu=1450" in ours.stdout + ours.stderr
    back = theirs.run(*ping, OURS, check=False)
    assert "message too long, mtu=1450" in back.stdout + back.stderr


def test_bigger_datagrams_cross_both_ways_in_fragments(lab: Lab, theirs: Space) -> None:
    asked = f"size {MTU - MTU_HEADERS + 1}\nsize 20000\n"
    with reading(theirs.popen(*program("udp_server.py", UDP_PORT)), "ready"):
        done = lab.run("ours", program("udp_client.py", kernel.POD, UDP_PORT), stdin=asked)
    assert done.stdout.split() == ["same", "same"]
    ask = theirs.argv(program("udp_client.py", "10.244.0.3", UDP_PORT))
    back = subprocess.run(ask, input=asked, capture_output=True, text=True, check=True, timeout=60)
    assert back.stdout.split() == ["same", "same"]


@pytest.mark.parametrize("checksum", ["noudpcsum", "udpcsum"])
def test_outer_checksums_and_their_absence_are_accepted(
    lab: Lab, node: Space, theirs: Space, tmp_path: Path, checksum: str
) -> None:
    kernel.make_vxlan(lab, node, checksum)
    lab.run("node/node1", ["ethtool", "-K", "eth0", "tx", "off"])
    file = tmp_path / "eth0.pcap"
    with tcpdump(lab, "node1", "udp port 8472", file):
        assert "1 received" in theirs.run("ping", "-c1", "-W2", OURS).stdout
    fields = ["ip.src", "udp.checksum", "udp.checksum.status"]
    seen = dissected(file, "udp.port==8472,vxlan", fields)
    assert len(seen) == 2
    for packet in seen:
        if packet["ip.src"][0] == kernel.ADDRESS and checksum == "noudpcsum":
            assert packet["udp.checksum"] == ["0x0000"]
        else:
            assert packet["udp.checksum"] != ["0x0000"]
            assert packet["udp.checksum.status"] == [GOOD]


def test_nothing_of_this_is_dropped(lab: Lab, theirs: Space) -> None:
    """After any of the other tests: no packet from the kernel was refused."""
    assert "1 received" in theirs.run("ping", "-c1", "-W2", OURS).stdout
    drops = mapping(lab.counters("node1"), "drops")
    assert {why: n for why, n in drops.items() if n and why != "ttl-exceeded"} == {}
