"""Services through real sockets: who answers, from which address, and what refusal looks like."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from netsim import Lab
from netsim.api.fields import Json, mapping
from tests.e2e import world
from tests.e2e.asking import asker
from tests.e2e.world import eventually, program

pytestmark = pytest.mark.linux

NETWORKS = [("vxlan", "udp"), ("udp", "udp"), ("host-gw", "udp"), ("host-gw", "fabric")]
CLIENT, LOOP, CNI0 = "10.244.0.10", "10.244.0.11", "10.244.0.1"
WEB, STICKY, EMPTY, ECHO, LONELY = (f"10.96.1.{n}" for n in range(1, 6))
LOCAL, REMOTE, DEAF, MOVING, UNUSED = (f"10.96.1.{n}" for n in range(6, 11))
WEBS = [f"web-{n}" for n in range(4)]
REFUSED, TIMED_OUT = 7, 28  # curl's exit codes
# What a remote endpoint sees of a request by the node: the address that the packet leaves from.
NODE_SEEN_FAR = {
    ("vxlan", "udp"): "10.244.0.0",
    ("udp", "udp"): "10.244.0.0",
    ("host-gw", "fabric"): "172.18.0.2",
    ("host-gw", "udp"): "10.244.0.254",  # Linux itself would say 172.18.0.2: see csrc/README.md
}


@dataclass(frozen=True)
class Network:
    kind: tuple[str, str]
    lab: Lab

    def curl(self, source: str, url: str) -> str:
        return self.lab.run(source, ["curl", "-sSf", "-m", "10", f"http://{url}"]).stdout

    def curl_code(self, source: str, url: str) -> int:
        """curl's exit code, given a second to connect."""
        argv = ["curl", "-s", "--connect-timeout", "1", f"http://{url}"]
        return self.lab.run(source, argv, check=False).returncode

    def spread(self, source: str, address: str, count: int) -> dict[str, int]:
        """Which endpoint answered how many of `count` new connections."""
        argv = program("connections.py", address, "80", str(count), "/hostname")
        answers = json.loads(self.lab.run(source, argv).stdout)
        return {str(name): int(n) for name, n in answers.items()}


def objects(backend: str, wire: str) -> list[Json]:
    both = [("TCP", 80, 8080), ("UDP", 80, 8081)]
    web = {"app": "web"}
    echo = program("udp_server.py", "7000")
    return [
        world.lab(backend, wire),
        world.pod("client", 1, CLIENT),
        world.answerer("loop", 1, LOOP, labels={"app": "lonely"}),
        *[world.answerer(name, 1 + n // 2, labels=web) for n, name in enumerate(WEBS)],
        world.answerer("local", 1, labels={"app": "local"}),
        world.answerer("remote", 2, labels={"app": "remote"}),
        world.pod("echo", 2, command=echo, labels={"app": "echo"}),
        world.service("web", WEB, both),
        world.service("sticky", STICKY, both, selector=web, sessionAffinity="ClientIP"),
        world.service("empty", EMPTY, both),
        world.service("echo", ECHO, [("UDP", 7000, 7000)]),
        world.service("lonely", LONELY, both),
        world.service("local", LOCAL, both),
        world.service("remote", REMOTE, both),
        world.service("deaf", DEAF, [("TCP", 80, 9), ("UDP", 80, 9)], selector=web),
    ]


@pytest.fixture(scope="module", params=NETWORKS, ids="-".join)
def network(request: pytest.FixtureRequest, runnable: None) -> Iterator[Network]:
    with Lab(objects(*request.param), name=world.lab_name()) as lab:
        yield Network(request.param, lab)


def binomial_band(count: int, chance: float, inside: float) -> tuple[int, int]:
    """The narrowest counts around the mean that leave (1 - inside) / 2 outside at each end."""
    out = (1 - inside) / 2

    def first(order: range) -> int:
        below = 0.0
        for k in order:
            below += math.comb(count, k) * chance**k * (1 - chance) ** (count - k)
            if below > out:
                return k
        raise AssertionError(order)

    return first(range(count + 1)), first(range(count, -1, -1))


def test_the_band_is_that_of_the_binomial_distribution() -> None:
    assert binomial_band(1000, 0.25, 0.999) == (206, 296)
    assert binomial_band(1, 0.5, 0.4) == (0, 1)


def test_a_thousand_connections_spread_evenly(network: Network) -> None:
    low, high = binomial_band(1000, 1 / len(WEBS), 0.999)
    answers = network.spread("client", WEB, 1000)
    assert sorted(answers) == WEBS
    assert sum(answers.values()) == 1000
    assert all(low <= n <= high for n in answers.values()), answers


@pytest.mark.parametrize("source", ["client", "loop", "node/node2"])
def test_a_client_keeps_its_endpoint_with_affinity(network: Network, source: str) -> None:
    first = network.spread(source, STICKY, 1)
    assert network.spread(source, STICKY, 50) == dict.fromkeys(first, 50)


@pytest.mark.parametrize("source", ["client", "node/node1", "node/node2"])
def test_a_service_without_endpoints_refuses_at_once(network: Network, source: str) -> None:
    assert network.curl_code(source, EMPTY) == REFUSED
    with asker(network.lab, source, "udp_client.py", EMPTY, "80") as udp:
        assert udp.ask("hostname") == "ECONNREFUSED"


@pytest.mark.parametrize("source", ["client", "node/node1"])
@pytest.mark.parametrize("target", [f"{WEB}:81", UNUSED], ids=["closed port", "unused address"])
def test_what_is_no_service_times_out(network: Network, source: str, target: str) -> None:
    assert network.curl_code(source, target) == TIMED_OUT


def test_a_service_address_does_not_answer_pings(network: Network) -> None:
    done = network.lab.run("client", ["ping", "-c1", "-W1", WEB], check=False).stdout
    assert "0 received" in done
    assert "nreachable" not in done


def test_an_endpoint_s_own_refusal_comes_through(network: Network) -> None:
    assert network.curl_code("client", DEAF) == REFUSED
    with asker(network.lab, "client", "udp_client.py", DEAF, "80") as udp:
        assert udp.ask("hostname") == "ECONNREFUSED", "the pod's ICMP error, translated"


@pytest.mark.parametrize(
    ("address", "port"), [(LOCAL, 4444), (REMOTE, 4445)], ids=["local", "remote"]
)
def test_endpoints_see_a_pod_s_own_address_and_port(
    network: Network, address: str, port: int
) -> None:
    argv = ["curl", "-sSf", "--local-port", str(port), f"http://{address}/clientip"]
    assert network.lab.run("client", argv).stdout == f"{CLIENT}:{port}"
    with asker(network.lab, "client", "udp_client.py", address, "80", str(port)) as udp:
        assert udp.ask("clientip") == f"{CLIENT}:{port}"


def test_a_pod_that_reaches_itself_sees_the_node_s_bridge(network: Network) -> None:
    assert network.curl("loop", f"{LONELY}/clientip").partition(":")[0] == CNI0
    with asker(network.lab, "loop", "udp_client.py", LONELY, "80") as udp:
        assert udp.ask("clientip").partition(":")[0] == CNI0
    assert network.curl("client", f"{LONELY}/clientip").partition(":")[0] == CLIENT


@pytest.mark.parametrize("local", [True, False], ids=["local", "remote"])
def test_what_a_node_asks_is_masqueraded(network: Network, local: bool) -> None:
    address, seen = (LOCAL, CNI0) if local else (REMOTE, NODE_SEEN_FAR[network.kind])
    assert network.curl("node/node1", f"{address}/clientip").partition(":")[0] == seen
    with asker(network.lab, "node/node1", "udp_client.py", address, "80") as udp:
        assert udp.ask("clientip").partition(":")[0] == seen


def test_udp_flows_spread_but_each_stays_where_it_is(network: Network) -> None:
    seen: list[str] = []
    with asker(network.lab, "client", "udp_client.py", WEB, "80") as udp:
        for port in range(5000, 5040):
            assert udp.ask(f"from {port}") == "ok"
            answers = {udp.ask("hostname") for _ in range(5)}
            assert len(answers) == 1
            seen += answers
    assert {*seen} == {*WEBS}


@pytest.mark.parametrize("size", [2048, 60_000, 65_507])
def test_datagrams_in_fragments_cross_a_service_and_back(network: Network, size: int) -> None:
    with asker(network.lab, "client", "udp_client.py", ECHO, "7000") as udp:
        assert udp.ask(f"size {size}") == "same"
    with asker(network.lab, "node/node1", "udp_client.py", ECHO, "7000") as udp:
        assert udp.ask(f"size {size}") == "same", "masqueraded, too"


def moving(name: str, *, member: bool) -> Json:
    return world.answerer(name, 1, labels={"app": "moving" if member else "left"})


@pytest.fixture
def pair(network: Network) -> Iterator[Network]:
    """Service `moving` with pods `one` and `two`; all gone after the test."""
    lab = network.lab
    ports = [("TCP", 80, 8080), ("UDP", 80, 8081)]
    names = ["one", "two"]
    lab.apply([*[moving(name, member=True) for name in names]])
    lab.apply([world.service("moving", MOVING, ports)])
    lab.wait()
    eventually(lambda: served(lab) == 2, "two endpoints")
    yield network
    for name in names:
        if any(mapping(p, "metadata")["name"] == name for p in lab.objects("pod")):
            lab.delete("pod", name)
    lab.delete("service", "moving")
    eventually(
        lambda: not any(mapping(p, "metadata")["name"] in names for p in lab.objects("pod")),
        "the pods are gone",
    )


def served(lab: Lab) -> int:
    """How many endpoints the data plane has for service `moving`."""
    with lab.api as api:
        services = api.call("GET", "/netsim/services")["services"]
    assert isinstance(services, list)
    return max((len(s["endpoints"]) for s in services if s["address"] == MOVING), default=0)


def test_udp_leaves_an_endpoint_that_left_and_tcp_stays(pair: Network) -> None:
    with (
        asker(pair.lab, "client", "udp_client.py", MOVING, "80", "6000") as udp,
        asker(pair.lab, "client", "tcp_client.py", MOVING, "80") as tcp,
    ):
        before = udp.ask("hostname"), tcp.ask("/hostname")
        assert {*before} <= {"one", "two"}
        for leaving in {*before}:
            pair.lab.apply([moving(leaving, member=False)])
        left = 2 - len({*before})
        eventually(lambda: served(pair.lab) == left, "fewer endpoints")
        if left:
            after = udp.ask("hostname")
            assert {before[0], after} == {"one", "two"}
        else:
            assert udp.ask("hostname") == "ECONNREFUSED"
        assert tcp.ask("/hostname") == before[1], "an established connection is not touched"


def test_udp_of_one_source_port_goes_on_when_its_endpoint_is_deleted(pair: Network) -> None:
    with asker(pair.lab, "client", "udp_client.py", MOVING, "80", "6001") as udp:
        first = udp.ask("hostname")
        pair.lab.delete("pod", first)
        eventually(lambda: served(pair.lab) == 1, "one endpoint")
        assert {first, udp.ask("hostname")} == {"one", "two"}
