"""Nodes of one lab in different modes of kube-proxy, asked with real sockets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise

import pytest

from netsim import Lab
from netsim.api.fields import Json
from tests.e2e import world
from tests.e2e.world import program

pytestmark = pytest.mark.linux

WEB = "10.96.1.1"
MODES = {"node1": "ipvs", "node2": "nftables", "node3": "iptables"}


def node(name: str, mode: str) -> Json:
    annotations = {"netsim.dev/proxy-mode": mode}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "annotations": annotations},
    }


def objects() -> list[Json]:
    return [
        world.lab(wire="fabric", nodes=0, proxy={"ipvsScheduler": "rr"}),
        *(node(name, mode) for name, mode in MODES.items()),
        *(world.answerer(f"web-{n}", n, labels={"app": "web"}) for n in (1, 2, 3)),
        world.service("web", WEB, [("TCP", 80, 8080)]),
    ]


@pytest.fixture(scope="module")
def lab(runnable: None) -> Iterator[Lab]:
    with Lab(objects(), name=world.lab_name()) as lab:
        yield lab


def hostname(lab: Lab, source: str) -> str:
    argv = ["curl", "-s", "--connect-timeout", "1", f"http://{WEB}/hostname"]
    return lab.run(source, argv).stdout


def test_a_node_in_ipvs_mode_takes_endpoints_in_turn(lab: Lab) -> None:
    for source in ("node/node1", "web-1"):
        found = [hostname(lab, source) for _ in range(7)]
        assert found[3:] == found[:4], found
        assert all(one != next_one for one, next_one in pairwise(found))
    argv = program("connections.py", WEB, "80", "60", "/hostname")
    counts = json.loads(lab.run("node/node1", argv).stdout)
    assert sorted(counts.values()) == [20, 20, 20]


def test_a_closed_port_and_ping_are_refused_where_the_mode_says_so(lab: Lab) -> None:
    for number, mode in enumerate(MODES.values(), 1):
        argv = ["curl", "-s", "--connect-timeout", "0.5", f"http://{WEB}:81"]
        code = lab.run(f"web-{number}", argv, check=False).returncode
        assert code == (28 if mode == "iptables" else 7)
        said = lab.run(f"web-{number}", ["ping", "-c1", "-W1", WEB], check=False).stdout
        assert ("nreachable" in said) == (mode != "iptables")
        assert (f"From {WEB}" in said) == (mode == "ipvs")
