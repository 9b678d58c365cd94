"""Endpoints that change under a load of requests: nothing that was promised is lost."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from netsim import Lab
from netsim.api.fields import mapping, text
from netsim.api.meta import name_of
from netsim.lab.topology import Source
from tests.e2e import world
from tests.e2e.loads import Load, load
from tests.e2e.workload import (
    HTTP,
    WEB_IP,
    WORDS,
    addresses,
    deployment,
    is_ready,
    pods,
    settled,
    uids,
)
from tests.e2e.world import eventually

pytestmark = pytest.mark.linux

SERVICE = world.service("web", WEB_IP, [("TCP", HTTP, 8080), ("UDP", WORDS, 8081)])
ROUND = 100  # requests of each load between two changes


@pytest.fixture(scope="module", params=["udp", "fabric"])
def cluster(request: pytest.FixtureRequest, module_lab: Callable[[Source], Lab]) -> Lab:
    """Three nodes, a web of four answerers behind a Service, a client on two nodes."""
    clients = [world.pod(f"client{n}", n) for n in (1, 2)]
    own = world.lab(wire=str(request.param), nodes=3)
    return module_lab([own, deployment("web", 4), SERVICE, *clients])


@pytest.fixture
def web(cluster: Lab) -> Lab:
    """The cluster with the four."""
    cluster.apply([deployment("web", 4), SERVICE])
    settled(cluster, "web", 4)
    return cluster


@contextmanager
def every_load(lab: Lab) -> Iterator[list[Load]]:
    """All kinds of requests, from pods and from a node."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(load(lab, *asked))
            for asked in (
                ("client1", "tcp", WEB_IP, HTTP, 16),
                ("client2", "held", WEB_IP, HTTP, 8),
                ("client1", "udp", WEB_IP, WORDS, 8),
                ("node/node3", "tcp", WEB_IP, HTTP, 8),
            )
        ]


def nothing_lost(lab: Lab, loads: list[Load], healthy: int) -> None:
    assert [each.lost(lab) for each in loads] == [[] for _ in loads]
    counts = [each.last.answered for each in loads]
    assert min(counts) >= healthy, counts


def all_answer(loads: list[Load], names: set[str]) -> None:
    """Wait for more requests of every load; of those that connect anew, to every pod."""
    for each in loads:
        each.more(ROUND)
    for each in (loads[0], loads[3]):
        each.hear(names)


def test_scaling_gracefully_loses_no_request(web: Lab) -> None:
    with every_load(web) as loads:
        for replicas in (1, 6, 3):
            web.scale("deployment/web", replicas)
            names = settled(web, "web", replicas)
            all_answer(loads, names)
    nothing_lost(web, loads, 3 * ROUND)


def test_scaling_again_before_it_is_done_loses_no_request(web: Lab) -> None:
    with every_load(web) as loads:
        for number, replicas in enumerate((1, 6, 2, 5, 1, 4), start=1):
            web.scale("deployment/web", replicas)
            for each in loads:
                each.more(ROUND // 3 * (number % 3))
        all_answer(loads, settled(web, "web", 4))
    nothing_lost(web, loads, 6 * ROUND // 3)


def test_only_connections_to_killed_pods_fail(web: Lab) -> None:
    killed: set[str] = set()
    with every_load(web) as loads:
        for _ in range(3):
            victim = name_of(pods(web, "web")[0])
            killed.add(victim)
            web.delete("pod", victim, grace_s=0)
            names = settled(web, "web", 4)
            web.wait()
            ended = time.monotonic()
            assert not killed & names
            all_answer(loads, names)
            for failure in (f for each in loads for f in each.report().failures):
                assert failure.began < ended, "new requests go to the living"
                assert failure.host in {"", *killed}, "connections to others go on"
    counts = [each.last.answered for each in loads]
    assert min(counts) >= 3 * ROUND, counts
    # a killed pod had at most every connection of every load
    assert all(len(each.last.failures) <= 3 * 16 for each in loads)


def test_a_deployment_deleted_and_made_again_answers_again(web: Lab) -> None:
    before = uids(web)
    with load(web, "client1", "tcp", WEB_IP, HTTP) as requests:
        web.delete("deployment", "web")
        eventually(lambda: not pods(web, "web"), "no pods of web")
        web.wait()
        assert addresses(web, "web") == set()
        refused = len(requests.report().failures)
        eventually(lambda: len(requests.report().failures) > refused, "refusals")
        # while there is nobody else, those that are ending are asked; at the latest a second
        # after they have gone, when TCP tries again, it is told so
        assert not [f for f in requests.last.failures if "Timeout" in f.error]
        web.apply([deployment("web", 4)])
        names = settled(web, "web", 4)
        web.wait()
        back = time.monotonic()
        requests.hear(names)
        assert not [f for f in requests.last.failures if f.began > back]
    assert not names & before.keys()


def test_readiness_decides_who_is_asked(cluster: Lab) -> None:
    flag = "/tmp/netsim-e2e-not-ready"
    probe = {"exec": {"command": ["sh", "-c", f"! test -e {flag}-$HOSTNAME"]}, "periodSeconds": 1}
    service = world.service("flips", "10.96.0.81", [("TCP", 80, 8080)])
    cluster.apply(
        [deployment("flips", 3, readinessProbe={**probe, "failureThreshold": 1}), service]
    )
    names = settled(cluster, "flips", 3)
    victim = min(names)
    try:
        with load(cluster, "client1", "tcp", "10.96.0.81", 80) as requests:
            for _ in range(2):
                cluster.run(victim, ["touch", f"{flag}-{victim}"])
                eventually(lambda: len(addresses(cluster, "flips")) == 2, "two endpoints")
                quiet(requests, victim)
                cluster.run(victim, ["rm", f"{flag}-{victim}"])
                eventually(lambda: len(addresses(cluster, "flips")) == 3, "three endpoints")
                requests.hear([victim])
        nothing_lost(cluster, [requests], ROUND)
        assert {name_of(p) for p in pods(cluster, "flips") if is_ready(p)} == names
    finally:
        cluster.run(victim, ["rm", "-f", f"{flag}-{victim}"])
        cluster.delete("service", "flips")
        cluster.delete("deployment", "flips")


def quiet(requests: Load, host: str) -> None:
    """Wait until a host gets no requests any more."""

    def unasked() -> bool:
        before = requests.report().hosts[host]
        return requests.more().hosts[host] == before

    eventually(unasked, f"{host} is not asked")
    assert unasked(), "nor later"


def test_a_port_changes_under_load(web: Lab) -> None:
    moved = world.service("web", WEB_IP, [("TCP", 8888, 8080), ("UDP", WORDS, 8081)])
    with (
        load(web, "client1", "held", WEB_IP, HTTP, 8) as held,
        load(web, "client2", "udp", WEB_IP, WORDS, 8) as untouched,
    ):
        (step,) = web.apply([moved])
        assert (step["verb"], step["fields"]) == ("configured", ["spec.ports[0].port"])
        web.wait()
        with load(web, "client1", "tcp", WEB_IP, 8888) as requests:
            requests.more()
            nothing_lost(web, [requests], ROUND)
        ask = "import socket; socket.create_connection(('10.96.0.80', 80), 3)"
        tried = web.run("client2", [sys.executable, "-c", ask], check=False)
        assert tried.returncode != 0, "the old port is closed"
        held.more()  # what was established goes on
        untouched.more()
    nothing_lost(web, [held, untouched], ROUND)
    service = mapping(web.get("service", "web"), "spec")
    assert text(service, "clusterIP") == WEB_IP
