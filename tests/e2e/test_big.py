"""A hundred nodes with five hundred pods: all of it, once."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from netsim import Lab
from netsim.api.fields import mapping, text
from netsim.api.meta import name_of
from netsim.lab import launch, names
from tests.e2e import world
from tests.e2e.processes import init_pid, inside, named, need_linux, runs
from tests.e2e.workload import HTTP, WEB_IP, addresses, deployment, is_ready, pods
from tests.e2e.world import eventually

NODES, PODS = 100, 500
ASKERS = 4
UP_S = 200.0


@pytest.mark.linux
@pytest.mark.timeout(400)
def test_five_hundred_pods_on_a_hundred_nodes_reach_each_other() -> None:
    need_linux()
    web = world.service("web", WEB_IP, [("TCP", HTTP, 8080)])
    lab = Lab([world.lab(nodes=NODES), deployment("web", PODS), web], name=world.lab_name())
    try:
        lab.up(timeout_s=UP_S)
        everyone = pods(lab, "web")
        assert all(map(is_ready, everyone))
        home = {name_of(p): text(mapping(p, "spec"), "nodeName") for p in everyone}
        place = {name_of(p): text(mapping(p, "status"), "podIP") for p in everyone}
        assert set(Counter(home.values()).values()) == {PODS // NODES}
        assert len(set(place.values())) == PODS == len(addresses(lab, "web"))
        assert len(names.links(init_pid(lab))) == PODS + NODES + 1
        askers = sorted(home, key=lambda pod: place[pod])[:: PODS // ASKERS]
        answered = set()
        for asker in askers:
            others = {place[pod]: pod for pod, node in home.items() if node != home[asker]}
            argv = world.program("reach.py", "8080")
            found = json.loads(lab.run(asker, argv, stdin=json.dumps([*others])).stdout)
            assert {a: n for a, n in found.items() if n != others[a]} == {}
            answered |= found.keys()
        assert answered == set(place.values())
        lab.run(askers[0], ["curl", "-sf", f"http://{WEB_IP}/healthz"])
        processes = inside(init_pid(lab))
        assert len(processes) > PODS
    finally:
        lab.down()
    eventually(lambda: not any(map(runs, processes)) and not named(lab.name), "no process")
    assert not list(names.NETNS.glob(f"{lab.name}-*"))
    assert not launch.state_dir(lab.name).exists()
