"""What a real kube-proxy was seen to do (spec 8), asked of a lab with real sockets, mode by mode.

Three endpoints, of which two are on node1, behind a Service with affinity and one without; a
Service that nobody serves; and one whose only pod is deleted and goes on serving.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from netsim import Lab
from netsim.api.fields import Json, items, mapping
from tests.e2e import world
from tests.e2e.world import eventually, program

pytestmark = pytest.mark.linux

MODES = ("iptables", "nftables")
NODE1, BRIDGE, TUNNEL, ASKER = "172.18.0.2", "10.244.0.1", "10.244.0.0", "10.244.0.10"
STICKY, PLAIN, NOBODY, LEAVING, UNUSED = (f"10.96.1.{n}" for n in range(1, 6))
NODE_PORT = 30080
WEBS = {"web-1": "10.244.0.11", "web-2": "10.244.0.12", "web-3": "10.244.1.11"}
CODES = {7: "refused", 28: "timeout"}  # curl's
# Answers while it is told to end, for as long as it may.
STUBBORN = ("sh", "-c", "trap '' TERM; exec python3 -m http.server 8080")


def sticky() -> Json:
    made = world.service("sticky", STICKY, [("TCP", 80, 8080)])
    spec = mapping(made, "spec")
    ports = [{**port, "nodePort": NODE_PORT} for port in items(spec, "ports")]
    more = {"type": "NodePort", "selector": {"app": "web"}, "sessionAffinity": "ClientIP"}
    return {**made, "spec": {**spec, **more, "ports": ports}}


def leaving() -> Json:
    made = world.pod("leaving", 2, command=STUBBORN, labels={"app": "leaving"})
    return {**made, "spec": {**mapping(made, "spec"), "terminationGracePeriodSeconds": 60}}


def objects(mode: str) -> list[Json]:
    tcp = [("TCP", 80, 8080)]
    return [
        world.lab(outside=["client"], proxyMode=mode),
        world.pod("asker", 1, ASKER),
        *(
            world.answerer(name, 1 + (name == "web-3"), address, labels={"app": "web"})
            for name, address in WEBS.items()
        ),
        leaving(),
        sticky(),
        world.service("plain", PLAIN, tcp, selector={"app": "web"}),
        world.service("nobody", NOBODY, tcp),
        world.service("leaving", LEAVING, tcp),
    ]


class Recorded(NamedTuple):
    """The lab of a mode, and the mode."""

    lab: Lab
    mode: str

    def code(self, source: str, target: str) -> int:
        argv = ["curl", "-s", "-o", "/dev/null", "--connect-timeout", "1", f"http://{target}"]
        return self.lab.run(source, argv, check=False).returncode

    def many(self, source: str, target: str, path: str, count: int) -> set[str]:
        """What connections one after the other are answered."""
        address, _, port = target.partition(":")
        argv = program("connections.py", address, port or "80", str(count), path)
        return set(json.loads(self.lab.run(source, argv).stdout))


@pytest.fixture(scope="module", params=MODES)
def recorded(request: pytest.FixtureRequest, runnable: None) -> Iterator[Recorded]:
    with Lab(objects(request.param), name=world.lab_name()) as lab:
        yield Recorded(lab, request.param)


class Probe(NamedTuple):
    """What is asked: how many endpoints answer so many connections, and whom they may see.

    Without sources it fails, as `otherwise` says by mode, or in all modes.
    """

    source: str
    target: str
    times: int = 20
    endpoints: int = 1
    sources: frozenset[str] = frozenset()
    otherwise: str | dict[str, str] = ""


NODE_SEEN = frozenset({BRIDGE, TUNNEL})  # by endpoints on the node, and by others
ONLY_IPTABLES = {"nftables": "refused"}
PROBES = {
    "pod to affinity service": Probe("asker", STICKY, sources=frozenset({ASKER})),
    "pod to plain service": Probe("asker", PLAIN, 60, 3, frozenset({ASKER})),
    "pod to plain service, itself too": Probe(
        "web-1", PLAIN, 60, 3, frozenset({WEBS["web-1"], BRIDGE})
    ),
    "node to cluster IP": Probe("node/node1", PLAIN, 60, 3, NODE_SEEN),
    "outside to node port": Probe("outside/client", f"{NODE1}:{NODE_PORT}", sources=NODE_SEEN),
    "node to node port at 127.0.0.1": Probe(
        "node/node1", f"127.0.0.1:{NODE_PORT}", sources=NODE_SEEN, otherwise=ONLY_IPTABLES
    ),
    "pod to node port": Probe("asker", f"{NODE1}:{NODE_PORT}", sources=NODE_SEEN),
    "pod to node port at cni0's address": Probe(
        "asker", f"{BRIDGE}:{NODE_PORT}", sources=NODE_SEEN, otherwise=ONLY_IPTABLES
    ),
    "service without endpoints": Probe("asker", NOBODY, otherwise="refused"),
    "closed port": Probe(
        "asker", f"{PLAIN}:81", otherwise={"iptables": "timeout", "nftables": "refused"}
    ),
    "unallocated address": Probe("asker", UNUSED, otherwise="timeout"),
}


@pytest.mark.parametrize("name", PROBES)
def test_connections(recorded: Recorded, name: str) -> None:
    probe = PROBES[name]
    said = probe.otherwise
    failure = said if isinstance(said, str) else said.get(recorded.mode, "")
    if failure:
        assert CODES[recorded.code(probe.source, probe.target)] == failure
        return
    answers = recorded.many(probe.source, probe.target, "/hostname", probe.times)
    assert len(answers) == probe.endpoints
    assert answers <= WEBS.keys()
    seen = recorded.many(probe.source, probe.target, "/clientip", probe.times)
    addresses = {client.rpartition(":")[0] for client in seen}
    assert addresses <= probe.sources
    assert probe.endpoints == 1 or addresses == probe.sources


def test_affinity_is_shared_by_ways_in(recorded: Recorded) -> None:
    ways = [STICKY, f"{NODE1}:{NODE_PORT}"]
    assert len({name for way in ways for name in recorded.many("asker", way, "/hostname", 5)}) == 1


def test_ping(recorded: Recorded) -> None:
    said = recorded.lab.run("asker", ["ping", "-c1", "-W1", PLAIN], check=False).stdout
    assert "0 received" in said
    assert ("nreachable" in said) is (recorded.mode == "nftables")


def test_a_deleted_pod_that_still_serves_is_asked(recorded: Recorded) -> None:
    eventually(lambda: recorded.code("asker", LEAVING) == 0, "the pod")
    recorded.lab.delete("pod", "leaving")

    def state() -> set[tuple[object, object]]:
        slices = recorded.lab.objects(
            "endpointslice", "default", "kubernetes.io/service-name=leaving"
        )
        found = [mapping(e, "conditions") for s in slices for e in items(s, "endpoints")]
        return {(c.get("terminating"), c.get("serving")) for c in found}

    eventually(lambda: state() == {(True, True)}, "terminating, and serving")
    assert recorded.code("asker", LEAVING) == 0
    recorded.lab.delete("pod", "leaving", grace_s=0)


def test_rules_are_those_of_the_mode(recorded: Recorded) -> None:
    with recorded.lab.api as api:
        text = api.raw("GET", "/netsim/rules?node=node1", accept="*/*").decode()
    first = {"iptables": "*mangle", "nftables": "table ip kube-proxy"}
    assert text.splitlines()[0] == first[recorded.mode]
    assert "default/sticky" in text
