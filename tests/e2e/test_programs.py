"""Debian's curl, ping, traceroute, iperf3 and dig in pods, over every backend and wire."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from netsim import Lab
from netsim.api.fields import mapping
from netsim.lab.kernel_drops import parse_devices
from netsim.lab.topology import Source
from tests.e2e import world
from tests.e2e.world import OVERHEAD, program

pytestmark = pytest.mark.linux

LINK_MTU = 1500
HEADERS = 28  # IPv4 and ICMP echo
CLIENT, NEIGHBOUR, WEB, IPERF = "10.244.0.10", "10.244.0.11", "10.244.1.10", "10.244.1.11"
VTEPS = "10.244.0.0", "10.244.1.0"
DNS_NAME = "web.default.svc.cluster.local"
BULK_BYTES, WINDOW_BYTES = 24 << 20, 256 << 10
ICMP_TTL = {"vxlan": 62, "udp": 60, "host-gw": 62}
HOPS = {  # from CLIENT to WEB; the proxies of the udp backend are holes
    "vxlan": ["10.244.0.1", "10.244.1.0", WEB],
    "udp": ["10.244.0.1", "*", "*", "10.244.1.0", WEB],
    "host-gw": ["10.244.0.1", "172.18.0.3", WEB],
}


@dataclass(frozen=True)
class Network:
    backend: str
    wire: str
    lab: Lab

    @property
    def mtu(self) -> int:
        return LINK_MTU - OVERHEAD[self.backend]

    def ping(self, source: str, target: str, *options: str) -> str:
        """What ping prints, errors too."""
        done = self.lab.run(source, ["ping", "-c1", "-W2", *options, target], check=False)
        return done.stdout + done.stderr


@pytest.fixture(
    scope="module",
    params=[(b, w) for b in OVERHEAD for w in ("udp", "fabric")],
    ids=lambda p: f"{p[0]}-{p[1]}",
)
def network(request: pytest.FixtureRequest, runnable: None) -> Iterator[Network]:
    backend, wire = request.param
    dns = program("dns_server.py", "53", f"{DNS_NAME}=10.96.0.80", "nowhere=10.96.0.81")
    objects = [
        world.lab(backend, wire, mtu=LINK_MTU, workers=2 if wire == "fabric" else 1),
        world.pod("client", 1, CLIENT),
        world.pod("neighbour", 1, NEIGHBOUR),
        world.answerer("web", 2, WEB, labels={"app": "web"}),
        world.pod("iperf", 2, IPERF, ["iperf3", "--server"], labels={"app": "iperf"}),
        world.pod("dns", 2, "10.244.1.12", dns, labels={"app": "dns"}),
        world.service("web", "10.96.0.80", [("TCP", 80, 8080)]),
        world.service("iperf", "10.96.0.52", [("TCP", 5201, 5201)]),
        world.service("dns", "10.96.0.10", [("UDP", 53, 53)]),
    ]
    with Lab(objects, name=world.lab_name()) as lab:
        yield Network(backend, wire, lab)


@pytest.mark.parametrize("url", [f"http://{WEB}:8080", "http://10.96.0.80"], ids=["pod", "service"])
def test_curl_is_answered_and_its_source_address_kept(network: Network, url: str) -> None:
    assert network.lab.run("client", ["curl", "-sSf", f"{url}/hostname"]).stdout == "web"
    asked = network.lab.run("client", ["curl", "-sSf", f"{url}/clientip"]).stdout
    assert asked.partition(":")[0] == CLIENT


def test_ping_sees_the_ttl_of_flannel(network: Network) -> None:
    assert f"ttl={ICMP_TTL[network.backend]} " in network.ping("client", WEB)
    assert f"ttl={ICMP_TTL[network.backend]} " in network.ping("web", CLIENT)
    assert "ttl=64 " in network.ping("client", NEIGHBOUR), "a bridge takes none"
    assert "ttl=64 " in network.ping("client", "10.244.0.1"), "the node itself"


def test_nodes_and_pods_reach_each_other(network: Network) -> None:
    """A node is known to pods by the address of the interface that leads to them."""
    own, far = ("172.18.0.2", "172.18.0.3") if network.backend == "host-gw" else VTEPS
    for address in ("10.244.0.1", "172.18.0.2", "172.18.0.3", "10.244.1.1", own, far):
        assert "1 received" in network.ping("client", address), address
    taken = ICMP_TTL[network.backend] + 1  # it is the node itself that sends: one router less
    assert f"ttl={taken} " in network.ping("node/node1", WEB)
    for source, seen in (("node/node1", own), ("node/node2", "10.244.1.1")):
        asked = network.lab.run(source, ["curl", "-sSf", f"http://{WEB}:8080/clientip"]).stdout
        assert asked.partition(":")[0] == seen


def test_ping_of_a_pod_that_is_not_there_says_so(network: Network) -> None:
    assert "Destination Host Unreachable" in network.ping("client", "10.244.1.200")


@pytest.mark.parametrize("how", ["-U", "-I", "-T"], ids=["udp", "icmp", "tcp"])
def test_traceroute_shows_the_nodes(network: Network, how: str) -> None:
    argv = ["traceroute", "-n", "-q1", "-w1", "-m8", how, WEB]
    lines = network.lab.run("client", argv).stdout.splitlines()[1:]
    assert [line.split()[1] for line in lines] == HOPS[network.backend]


@pytest.mark.parametrize("reverse", [[], ["--reverse"]], ids=["sent", "received"])
def test_iperf3_moves_tcp_in_bulk(network: Network, reverse: list[str]) -> None:
    """What the sockets hold when the sender has had enough does not count as received."""
    bulk = ["-n", str(BULK_BYTES), "--window", str(WINDOW_BYTES), *reverse]
    argv = ["iperf3", "-J", *bulk, "--client", IPERF]
    end = json.loads(network.lab.run("client", argv).stdout)["end"]
    assert end["sum_sent"]["bytes"] >= BULK_BYTES
    assert end["sum_received"]["bytes"] >= BULK_BYTES - 8 * WINDOW_BYTES


def test_bulk_crosses_links_that_offload_nothing(network: Network) -> None:
    """Then the kernel does not cut tunnel packets (UDP_SEGMENT): they go one by one."""
    offloads = ["tx", "tso", "gso", "gro"]
    for word in ("off", "on"):
        for node in ("node/node1", "node/node2"):
            switches = [part for name in offloads for part in (name, word)]
            network.lab.run(node, ["ethtool", "-K", "eth0", *switches])
        argv = ["iperf3", "-J", "-n", "8M", "--client", IPERF]
        end = json.loads(network.lab.run("client", argv).stdout)["end"]
        assert end["sum_sent"]["bytes"] >= 8 << 20


def received(lab: Lab, pod: str) -> tuple[int, int]:
    """Datagrams that a pod's programs have read, and those that its sockets had no room for."""
    text = lab.run(pod, ["cat", "/proc/net/snmp"]).stdout
    names, values = (line.split() for line in text.splitlines() if line.startswith("Udp:"))
    numbers = dict(zip(names, values, strict=True))
    return int(numbers["InDatagrams"]), int(numbers["RcvbufErrors"])


def dropped(lab: Lab, pod: str) -> int:
    """Packets that a pod's eth0 had no room for: netsim was too slow to take them."""
    return parse_devices(lab.run(pod, ["cat", "/proc/net/dev"]).stdout).get("eth0", 0)


@pytest.mark.parametrize(
    ("size", "count"),
    [(64, 300), (1400, 300), (4000, 1500)],
    ids=["small", "one packet", "more fragmented ones than are remembered"],
)
def test_iperf3_moves_datagrams(network: Network, size: int, count: int) -> None:
    argv = ["iperf3", "-J", "-u", "-b", str(size * 8 * 1500), "-l", str(size)]
    argv += ["-n", str(size * count), "--client", IPERF]
    before, crowded = received(network.lab, "iperf"), dropped(network.lab, "client")
    end = json.loads(network.lab.run("client", argv).stdout)["end"]
    after = received(network.lab, "iperf")
    assert end["sum"]["packets"] >= count
    # iperf3 closes its socket on what is still under way when the client says that it is done
    assert sum(after) - sum(before) >= count // 2
    # on a busy machine programs, or netsim, may be too slow to read; nothing else loses a datagram
    slow = after[1] - before[1] + dropped(network.lab, "client") - crowded
    assert end["sum"]["lost_packets"] <= slow


def test_dig_and_the_resolver_are_answered_by_a_udp_service(network: Network) -> None:
    dig = ["dig", "+tries=1", "+time=2", "+short"]
    asked = network.lab.run("client", [*dig, DNS_NAME]).stdout
    assert asked.split() == ["10.96.0.80"]
    large = network.lab.run("client", [*dig, "+bufsize=4096", "+ignore", "TXT", "big"]).stdout
    assert large.count("x") == 12 * 255
    # the C library completes the name from the pod's search list
    found = network.lab.run("client", ["curl", "-sSf", "http://web/hostname"]).stdout
    assert found == "web"


def test_the_mtu_is_exact(network: Network) -> None:
    fits = str(network.mtu - HEADERS)
    more = str(network.mtu - HEADERS + 1)
    assert "1 received" in network.ping("client", WEB, "-Mdo", "-s", fits)
    refused = network.ping("client", WEB, "-Mdo", "-s", more)
    assert f"message too long, mtu={network.mtu}" in refused
    assert "1 received" in network.ping("client", WEB, "-Mdont", "-s", more), "in fragments"
    assert "1 received" in network.ping("client", WEB, "-Mdont", "-s", "20000")


def test_a_pod_with_too_large_an_mtu_is_told_the_right_one(network: Network) -> None:
    large = network.mtu + 50
    network.lab.run("neighbour", ["ip", "link", "set", "eth0", "mtu", str(large)])
    fits = str(network.mtu - HEADERS)
    told = network.ping("neighbour", WEB, "-Mdo", "-s", str(large - HEADERS))
    assert f"From 10.244.0.1 icmp_seq=1 Frag needed and DF set (mtu = {network.mtu})" in told
    again = network.ping("neighbour", WEB, "-Mdo", "-s", str(large - HEADERS))
    assert f"message too long, mtu={network.mtu}" in again, "and has learnt it"
    assert "1 received" in network.ping("neighbour", WEB, "-Mdo", "-s", fits)
    whole = network.ping("neighbour", WEB, "-Mdont", "-s", str(large - HEADERS))
    assert "1 received" in whole, "without DF the node cuts it"


@pytest.mark.parametrize("target", [IPERF, "10.96.0.52"], ids=["pod", "service"])
def test_tcp_between_pods_with_too_large_an_mtu_learns_the_right_one(
    network: Network, target: str
) -> None:
    pods = ["neighbour", "iperf"]
    for pod in pods:
        network.lab.run(pod, ["ip", "link", "set", "eth0", "mtu", str(network.mtu + 50)])
    network.lab.run("neighbour", ["ip", "route", "flush", "cache"])
    argv = ["iperf3", "-J", "-n", "8M", "--client", target]
    end = json.loads(network.lab.run("neighbour", argv).stdout)["end"]
    assert end["sum_sent"]["bytes"] >= 8 << 20
    learnt = network.lab.run("neighbour", ["ip", "route", "get", target]).stdout
    assert f"mtu {network.mtu}" in learnt
    for pod in pods:
        network.lab.run(pod, ["ip", "link", "set", "eth0", "mtu", str(network.mtu)])


def test_nothing_of_this_is_dropped_without_need(network: Network) -> None:
    """After any of the other tests: what was refused was meant to be."""
    meant = {"ttl-exceeded", "too-big", "no-pod", "tunnel-ttl"}
    for node in ("node1", "node2"):
        drops = mapping(network.lab.counters(node), "drops")
        assert {why: n for why, n in drops.items() if n and why not in meant} == {}


@pytest.mark.parametrize("wire", ["udp", "fabric"])
def test_the_overlay_s_mtu_follows_the_link_s(
    netsim_lab: Callable[[Source], Lab], wire: str
) -> None:
    lab = netsim_lab(
        [
            world.lab("vxlan", wire, mtu=9000),
            world.pod("client", 1, CLIENT),
            world.pod("other", 2, WEB),
        ]
    )
    jumbo = Network("vxlan", wire, lab)
    assert "1 received" in jumbo.ping("client", WEB, "-Mdo", "-s", str(8950 - HEADERS))
    assert "mtu=8950" in jumbo.ping("client", WEB, "-Mdo", "-s", str(8950 - HEADERS + 1))
