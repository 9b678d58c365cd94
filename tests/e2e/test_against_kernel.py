"""The same flows through netsim and through Linux: VXLAN, iptables as kube-proxy writes them.

Each probe is sent on both sides at once, and what an application and its kernel see must be equal:
who answered, which source address the endpoint saw, errors and who sent them, TTLs. Then states
and timeouts of connections on the client's node, against `conntrack -L`.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import pytest

from netsim import Lab
from netsim.cli.conntrack import conntrack_line
from tests.e2e import twin_plan as plan
from tests.e2e import world
from tests.e2e.kernel_cluster import Cluster, kernel_cluster, serving
from tests.e2e.twin_plan import ADDRESS, UNUSED_VIP, VIP
from tests.e2e.world import eventually, program

pytestmark = pytest.mark.linux

SPREAD = 60  # connections; one of 4 endpoints is missed with a probability of 1e-7


@dataclass(frozen=True)
class Sides:
    kernel: Cluster
    lab: Lab

    def argvs(self, where: str, argv: Sequence[str]) -> list[list[str]]:
        """How to run a program on the kernel's side and in the lab."""
        return [self.kernel.argv(where, argv), self.lab.exec_argv(where, argv)]

    def both(self, where: str, argv: Sequence[str], said: str = "") -> tuple[str, str]:
        """What a program prints on the kernel's side, and in the lab."""
        with ThreadPoolExecutor(2) as two:
            kernel, lab = two.map(lambda one: output(one, said), self.argvs(where, argv))
        return kernel, lab


def output(argv: list[str], said: str) -> str:
    pipe = subprocess.PIPE
    done = subprocess.run(argv, input=said, text=True, stdout=pipe, check=True, timeout=60)
    return done.stdout


@pytest.fixture(scope="module", params=["udp", "fabric"])
def sides(request: pytest.FixtureRequest, runnable: None) -> Iterator[Sides]:
    for tool in ("iptables-restore", "bridge"):
        if not shutil.which(tool):
            pytest.skip(f"needs {tool}")
    with kernel_cluster() as kernel:
        lab = Lab(plan.objects(request.param), name=world.lab_name())
        with lab, serving(lab.exec_argv("node/node1", plan.server("node1"))):
            for node in ("node/node1", "node/node2"):
                lab.run(node, ["sysctl", "-qw", "net.ipv4.ping_group_range=0 2147483647"])
            for where in (*FROM, "far"):  # else one error a second to each
                lab.run(where, ["sysctl", "-qw", "net.ipv4.icmp_ratelimit=0"])
            yield Sides(kernel, lab)


def without_port(seen: str) -> object:
    """A result; of the client's port, which is random where it was not asked for, nothing."""
    result = json.loads(seen)
    if isinstance(result.get("answer"), str):
        result["answer"] = re.sub(r"(\d+\.\d+\.\d+\.\d+):\d+", r"\1", result["answer"])
    return result


FROM = ["client", "near", "other", "node/node1", "node/node2"]
TO = ["near", "far", "self", "closed-near", "closed-far", "empty", "host"]
FROM_NODES_DIFFERENT = {"host": ["tcp", "udp"], "empty": ["udp"]}  # see test_what_differs


def requests() -> list[tuple[str, str]]:
    """Every sender, every service, both protocols."""
    return [
        (where, f"{protocol} {VIP[to]} 80{' who' * (protocol == 'udp')}")
        for where in FROM
        for to in TO
        for protocol in ("tcp", "udp")
        if not (where.startswith("node/") and protocol in FROM_NODES_DIFFERENT.get(to, []))
    ]


PROBES = [
    *requests(),
    ("client", f"tcp {VIP['near']} 80 5001"),  # the port stays, too
    ("client", f"tcp {VIP['far']} 80 5002"),
    ("client", f"udp {VIP['far']} 80 who sport:5003"),
    *[
        (where, f"udp {ADDRESS[to]} 8081 who")
        for where in FROM
        for to in ("client", "far", "node1")
    ],
    *[(where, f"tcp {ADDRESS[to]} 8080") for where in FROM for to in ("client", "far", "node1")],
    *[(where, f"udp {ADDRESS[to]} 9 x") for where in FROM for to in ("near", "far", "node1")],
    *[(where, f"tcp {ADDRESS[to]} 9") for where in FROM for to in ("near", "far", "node1")],
    *[(where, f"ping {ADDRESS[to]}") for where in FROM for to in ("client", "far", "node1")],
    ("client", "ping 10.244.0.1"),
    ("client", "ping 10.244.1.1"),
    ("client", "ping 10.244.0.0"),
    ("client", "ping 10.244.1.0"),
    ("client", f"ping {ADDRESS['node2']}"),
    ("client", f"ping {VIP['near']}"),
    ("node/node1", f"ping {VIP['near']}"),
    ("client", f"tcp {VIP['near']} 81"),
    ("client", f"udp {VIP['near']} 81 x"),
    ("node/node1", f"tcp {VIP['near']} 81"),
    ("client", f"tcp {UNUSED_VIP} 80"),
    *[
        (where, f"{probe} ttl:{ttl}")
        for where in ("client", "node/node1")
        for probe in (
            f"udp {ADDRESS['far']} 33434 x",
            f"udp {ADDRESS['near']} 33434 x",
            f"udp {VIP['far']} 80 who",
            f"udp {VIP['near']} 80 who",
            f"ping {ADDRESS['far']}",
        )
        for ttl in (1, 2, 3)
    ],
    *[("client", f"udp {VIP['empty']} 80 who ttl:{ttl}") for ttl in (1, 2)],
    *[
        (where, f"udp {to} size:{size}")
        for where in ("client", "node/node1")
        for to in (f"{VIP['near']} 80", f"{VIP['far']} 80", f"{ADDRESS['far']} 8081")
        for size in (1422, 1423, 4000, 60_000)
    ],
    ("client", f"udp {VIP['self']} 80 size:4000"),
    *[("client", f"ping {ADDRESS['far']} size:{size} df") for size in (1422, 1423)],
    ("client", f"ping {ADDRESS['far']} size:5000"),
    *[
        ("client", f"raw {ADDRESS[to]} {port} {flags}")
        for to in ("near", "far")
        for port in (8080, 9)
        for flags in ("A", "SA", "R", "FA", "S", "SF")
    ],
    *[("client", f"raw {VIP['far']} 80 {flags}") for flags in ("A", "SA", "R", "FA", "S")],
]


def probed(sides: Sides, where: str, probes: Sequence[str]) -> list[tuple[str, str]]:
    """What came of each probe on the kernel's side, and in the lab."""
    kernel, lab = sides.both(where, program("peer_probe.py"), "\n".join(probes))
    return list(zip(kernel.splitlines(), lab.splitlines(), strict=True))


@pytest.fixture(scope="module")
def results(sides: Sides) -> dict[tuple[str, str], tuple[str, str]]:
    """All probes, several at once."""
    wanted = {where: [probe for w, probe in PROBES if w == where] for where in FROM}
    with ThreadPoolExecutor(len(FROM)) as several:
        found = several.map(lambda where: probed(sides, where, wanted[where]), FROM)
        return {
            (where, probe): result
            for where, listed in zip(FROM, found, strict=True)
            for probe, result in zip(wanted[where], listed, strict=True)
        }


@pytest.mark.parametrize(("where", "probe"), PROBES, ids=lambda x: str(x).replace(" ", "_"))
def test_a_probe(results: dict[tuple[str, str], tuple[str, str]], where: str, probe: str) -> None:
    kernel, lab = results[where, probe]
    if "sport:" in probe or probe.endswith(("5001", "5002")):
        assert json.loads(lab) == json.loads(kernel)
    else:
        assert without_port(lab) == without_port(kernel)


@pytest.mark.parametrize("node", [1, 2])
def test_what_differs(sides: Sides, node: int) -> None:
    """What a node asks of Services goes through cni0, so its kernel is told instead of knowing.

    Linux refuses to send at once, from its own address. And to a program on a node it can
    masquerade as the node; here that would be taken for a forgery, so it is the last address of
    the pod range, which a wildcard UDP socket does not answer from the address that was asked.
    """
    where, own = f"node/node{node}", plan.NODES[node - 1]
    [asked, reached] = probed(sides, where, [f"udp {VIP['empty']} 80 who", f"tcp {VIP['host']} 80"])
    kernel, lab = map(json.loads, asked)
    assert kernel == {"error": "EPERM", "icmp": [2, 3, 3, own, 0]}
    assert lab == {"error": "ECONNREFUSED", "icmp": [2, 3, 3, VIP["empty"], 0]}
    kernel, lab = map(without_port, reached)
    assert kernel == {"answer": f"node1 {own}"}
    assert lab == {"answer": f"node1 10.244.{node - 1}.254"}


@pytest.fixture
def big_client(sides: Sides) -> Iterator[None]:
    """The client's eth0 takes what the overlay does not."""

    def set_mtu(mtu: int) -> None:
        sides.both("client", ["ip", "link", "set", "eth0", "mtu", str(mtu)])
        for device in ("client", "cni0"):
            argv = ["ip", "link", "set", device, "mtu", str(mtu)]
            subprocess.run(sides.kernel.argv("node/node1", argv), check=True)

    set_mtu(1500)
    yield
    set_mtu(1450)


@pytest.mark.parametrize("to", [f"{ADDRESS['far']} 8081", f"{VIP['far']} 80"], ids=["pod", "VIP"])
def test_path_mtu_discovery(sides: Sides, big_client: None, to: str) -> None:
    for probe in ("size:1422", "size:1423 df", "size:1423"):  # the second teaches the kernel
        [(kernel, lab)] = probed(sides, "client", [f"udp {to} {probe}"])
        assert without_port(lab) == without_port(kernel), probe
    assert '"answer": "same"' in lab


def spread(sides: Sides, where: str, to: str) -> tuple[set[str], set[str]]:
    """Who answers many connections to a service on each side."""
    argv = program("peer_many.py", VIP[to], "80", str(SPREAD))
    kernel, lab = (set(seen.split()) for seen in sides.both(where, argv))
    return kernel, lab


@pytest.mark.parametrize("where", ["client", "node/node2"])
def test_connections_reach_every_endpoint(sides: Sides, where: str) -> None:
    assert spread(sides, where, "all") == (set(plan.ALL), set(plan.ALL))


@pytest.mark.parametrize("where", ["client", "near", "node/node1", "node/node2"])
def test_affinity_reaches_one_endpoint(sides: Sides, where: str) -> None:
    kernel, lab = spread(sides, where, "sticky")
    assert (len(kernel), len(lab)) == (1, 1)
    assert spread(sides, where, "sticky") == (kernel, lab)


# what, service, packets have gone both ways, is a connection for conntrack, seconds it then lives
FLOWS = [
    ("tcp open", "far", 86400),
    ("tcp open", "near", 86400),
    ("tcp half closed", "far", 3600),
    ("tcp closed there", "far", 120),
    ("tcp closed here", "far", 120),
    ("tcp reset", "far", 10),
    ("tcp refused", "closed-far", 0),
    ("udp unanswered", "far", 30),
    ("udp answered", "far", 30),
    ("udp stream", "far", 120),
]
TOLERANCE_S = 2


@dataclass(frozen=True)
class Flow:
    """A connection as both tables tell it; `text` is the line without numbers, `state` TCP's."""

    text: str
    state: str
    original: tuple[str, str, int, int]
    reply: tuple[str, str, int, int]
    answered: bool
    assured: bool
    seconds: int


def parsed(line: str) -> Flow:
    """From a line such as `tcp 6 119 SYN_SENT src=... [UNREPLIED] src=... mark=0 use=1`."""
    words = line.split()
    keys = [
        (src, dst, int(sport_), int(dport))
        for src, dst, sport_, dport in re.findall(
            r"src=(\S+) dst=(\S+) sport=(\d+) dport=(\d+)", line
        )
    ]
    return Flow(
        re.sub(r"[\d.]+", "N", line),
        words[3] if words[0] == "tcp" else "",
        keys[0],
        keys[1],
        "[UNREPLIED]" not in words,
        "[ASSURED]" in words,
        int(words[2]),
    )


def kernel_flow(sides: Sides, node: str, protocol: str, sport: int) -> Flow | None:
    argv = ["conntrack", "-L", "-p", protocol, "--orig-port-src", str(sport)]
    listed = subprocess.run(
        sides.kernel.argv(node, argv), capture_output=True, text=True, check=True
    ).stdout
    found = [parsed(line.rstrip()) for line in listed.splitlines()]
    assert len(found) <= 1
    return found[0] if found else None


def lab_flow(sides: Sides, node: str, protocol: str, sport: int) -> Flow | None:
    listed = sides.lab.flows(node, protocol=protocol, sport=sport)
    found = [parsed(conntrack_line(flow)) for flow in listed]
    assert len(found) <= 1
    return found[0] if found else None


@contextmanager
def brought(sides: Sides, where: str, argv: list[str]) -> Iterator[None]:
    """A program on both sides that keeps a connection in the state that it brought it to."""
    pipe = subprocess.PIPE
    with ExitStack() as stack:
        running = [
            stack.enter_context(subprocess.Popen(one, text=True, stdin=pipe, stdout=pipe))
            for one in sides.argvs(where, argv)
        ]
        for process in running:
            assert process.stdout
            assert process.stdout.readline() == "there\n"
        yield
        for process in running:
            process.communicate(timeout=10)


@pytest.mark.skipif(shutil.which("conntrack") is None, reason="needs conntrack")
@pytest.mark.parametrize("sides", ["udp"], indirect=True)
@pytest.mark.parametrize("where", ["client", "node/node1"])
@pytest.mark.parametrize(("what", "to", "lives_s"), FLOWS, ids=["-".join(f[:2]) for f in FLOWS])
def test_a_connection_s_state(sides: Sides, where: str, what: str, to: str, lives_s: int) -> None:
    sport = 10_000 + 100 * FLOWS.index((what, to, lives_s)) + (where == "client")
    protocol = what.partition(" ")[0]

    def settled() -> bool:
        found = [
            kernel_flow(sides, "node/node1", protocol, sport),
            lab_flow(sides, "node1", protocol, sport),
        ]
        if not lives_s:
            return found == [None, None]
        return all(f and abs(f.seconds - lives_s) <= TOLERANCE_S for f in found) and same(*found)

    def same(kernel: Flow | None, lab: Flow | None) -> bool:
        assert kernel
        assert lab
        kernel, lab = replace(kernel, seconds=0), replace(lab, seconds=0)
        if where != "client":  # the kernel's masquerade takes a random port
            lab = replace(lab, reply=(*lab.reply[:3], kernel.reply[3]))
        return kernel == lab

    argv = program("peer_flow.py", what, VIP[to], "80", str(sport))
    with brought(sides, where, argv):
        eventually(settled, f"{what}: both sides agree", timeout_s=5)
