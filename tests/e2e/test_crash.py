"""kill -9 of everything: what must go on goes on, what must go goes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from netsim import Lab
from netsim.api.fields import Json, items, mapping, text
from netsim.lab import launch, names
from netsim.lab.topology import Source
from tests.e2e import world
from tests.e2e.loads import Load, load
from tests.e2e.processes import (
    by_key,
    crash,
    gone_within,
    host_pid,
    init_pid,
    inside,
    kill,
    named,
    need_linux,
    netsim,
    spaces,
)
from tests.e2e.workload import (
    HTTP,
    WEB_IP,
    WORDS,
    addresses,
    deployment,
    pods,
    restarts,
    settled,
    uids,
)
from tests.e2e.world import eventually

pytestmark = pytest.mark.linux

SERVICE = world.service("web", WEB_IP, [("TCP", HTTP, 8080), ("UDP", WORDS, 8081)])
BULK_IP, BULK_POD_IP, BULK = "10.96.0.90", "10.244.1.200", 5201
ENDED_S = 1.0  # the issue's: a killed init leaves nothing after it
STREAM = ["-n", "250M", "-b", "400M", "-i", "0.1", "--forceflush"]  # some 5 s


def topology(wire: str) -> list[Json]:
    bulk = world.pod("bulk", 2, BULK_POD_IP, ["iperf3", "-s"], {"app": "bulk"})
    return [
        world.lab(wire=wire),
        deployment("web", 4),
        SERVICE,
        world.service("bulk", BULK_IP, [("TCP", BULK, BULK)]),
        world.pod("bulk2", 2, command=["iperf3", "-s"]),
        bulk,
        world.pod("client1", 1),
        world.pod("client2", 2),
    ]


@pytest.fixture(scope="module")
def cluster(module_lab: Callable[[Source], Lab]) -> Lab:
    """Two nodes, a web of four answerers behind a Service, iperf3 servers, clients."""
    return module_lab(topology("udp"))


@pytest.fixture
def web(cluster: Lab) -> Lab:
    """The cluster with the four, all processes at work."""
    cluster.apply([deployment("web", 4)])
    settled(cluster, "web", 4)
    cluster.wait()
    return cluster


@contextmanager
def loads(lab: Lab, *kinds: str) -> Iterator[list[Load]]:
    """Requests of these kinds to the web Service."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                load(lab, f"client{n % 2 + 1}", kind, WEB_IP, WORDS if kind == "udp" else HTTP, 8)
            )
            for n, kind in enumerate(kinds)
        ]


def programs(lab: Lab) -> dict[str, int]:
    """The pids of what runs in pods."""
    return {key: pid for key, pid in by_key(lab).items() if "/" in key}


def test_a_killed_control_costs_no_packet(web: Lab) -> None:
    running, known = programs(web), uids(web)
    with loads(web, "tcp", "held", "udp") as requests:
        for _ in range(3):
            crash(web, "control")
            web.wait()
            for each in requests:
                each.more()
        assert programs(web) == running
        assert uids(web) == known
        (step,) = web.apply([deployment("web", 6)])
        assert step["verb"] == "configured"
        requests[0].hear(settled(web, "web", 6))
        web.scale("deployment/web", 2)
        settled(web, "web", 2)
        for each in requests:
            each.more()
    assert [each.lost(web) for each in requests] == [[], [], []]
    assert min(each.last.answered for each in requests) >= 400


def test_a_control_killed_while_it_works_finishes_the_work(web: Lab) -> None:
    with loads(web, "tcp", "udp") as requests:
        for number, replicas in enumerate((6, 1, 3)):
            web.scale("deployment/web", replicas)
            time.sleep(0.02 * number)  # where it is then does not matter
            crash(web, "control")
            requests[0].hear(settled(web, "web", replicas))
            web.wait()
    assert [each.lost(web) for each in requests] == [[], []]


def stream(lab: Lab, pod: str, server: str) -> subprocess.Popen[str]:
    """An iperf3 of a fixed size and pace, that reports often."""
    return lab.popen(pod, ["iperf3", "-c", server, *STREAM], stdout=subprocess.PIPE)


def flowing(process: subprocess.Popen[str], reports: int = 5) -> None:
    """Read on until that many intervals had bytes."""
    assert process.stdout
    while reports:
        line = process.stdout.readline()
        assert line, "the stream ended"
        found = re.search(r"sec +([\d.]+) [KMG]?Bytes .* [KMG]?bits/sec +\d+ +", line)
        reports -= bool(found and float(found[1]) > 0)


@pytest.mark.parametrize("wire", ["udp", "fabric"])
def test_tcp_survives_the_data_plane(netsim_lab: Callable[[Source], Lab], wire: str) -> None:
    lab = netsim_lab(topology(wire))
    running = programs(lab)
    direct = text(mapping(lab.get("pod", "bulk2"), "status"), "podIP")
    with (
        stream(lab, "client1", BULK_IP) as first,
        stream(lab, "client1", direct) as second,
        loads(lab, "tcp", "held") as requests,
    ):
        for victims in (["dataplane"], ["control", "dataplane"]):
            for each in (first, second):
                flowing(each)
            crash(lab, *victims)
        for each in (first, second):
            flowing(each)
        for asked in requests:
            asked.more()
        lab.scale("deployment/web", 5)
        requests[0].hear(settled(lab, "web", 5))
        for each in (first, second):
            each.communicate(timeout=world.TIMEOUT_S)
            assert each.returncode == 0
    assert [each.last.failures for each in requests] == [[], []]
    assert running.items() <= programs(lab).items()


def test_a_killed_program_is_started_again_with_back_off(web: Lab) -> None:
    victim = min(settled(web, "web", 4))
    address = text(mapping(web.get("pod", victim), "status"), "podIP")
    key = next(key for key in programs(web) if victim in key)
    kill(host_pid(web, key))
    eventually(lambda: restarts(web.get("pod", victim)) == 1, "a restart")
    eventually(lambda: address in addresses(web, "web"), "ready again")
    kill(host_pid(web, key))

    def waiting() -> bool:
        (status,) = items(mapping(web.get("pod", victim), "status"), "containerStatuses")
        state = mapping(mapping(status, "state"), "waiting")
        return text(state, "reason") == "CrashLoopBackOff"

    eventually(waiting, "CrashLoopBackOff")
    eventually(lambda: address not in addresses(web, "web"), "no endpoint meanwhile")
    web_pod = web.get("pod", victim)
    assert text(mapping(web_pod, "status"), "podIP") == address
    (status,) = items(mapping(web_pod, "status"), "containerStatuses")
    ended = mapping(mapping(status, "lastState"), "terminated")
    assert (ended.get("exitCode"), text(ended, "reason")) == (137, "Error")
    with loads(web, "tcp") as (requests,):
        requests.more(200)
    assert not requests.last.failures
    assert victim not in requests.last.hosts
    web.delete("pod", victim)


def host_links() -> list[str]:
    """The host's links, addresses, routes and rules."""
    asked = (["link"], ["addr"], ["route", "show", "table", "all"], ["rule"])
    return [subprocess.check_output(["ip", *argv], text=True) for argv in asked]


def netns_names(lab: str) -> list[str]:
    """The lab's names in /run/netns, dangling ones too."""
    return [path.name for path in names.NETNS.glob(f"{lab}-*") if path.is_symlink()]


def leaves_nothing(lab: str) -> None:
    """Assert that there is nothing of a lab, once a command has looked."""
    assert lab not in netsim("ps", "-o", "name").stdout.split()
    assert netns_names(lab) == []
    assert not launch.state_dir(lab).exists()
    eventually(lambda: not named(lab), f"no process of {lab}")


@pytest.fixture
def name() -> Iterator[str]:
    """The name of a lab that the test brings up; it is down afterwards."""
    need_linux()
    name = world.lab_name()
    yield name
    launch.stop_lab(name)
    launch.sweep()


def test_a_killed_init_leaves_nothing(name: str) -> None:
    before = host_links()
    lab = Lab(topology("udp"), name=name)
    lab.up()
    pipe = subprocess.PIPE
    argv = world.program("load.py", "tcp", WEB_IP, str(HTTP), "8")
    with lab.popen("client1", argv, stdin=pipe, stdout=pipe) as requests:
        Load(requests).more()
        init = init_pid(lab)
        pids = inside(init)
        kept = spaces(pids)
        assert len(pids) > len(pods(lab, "web"))
        assert len(kept) > 3 * len(pods(lab, "web"))
        assert netns_names(name) != []
        kill(init)
        gone_within(ENDED_S, name, pids, kept)
        assert host_links() == before
        leaves_nothing(name)
        assert requests.wait(world.TIMEOUT_S) == 128 + 9
    lab.up()
    with load(lab, "client1", "tcp", WEB_IP, HTTP) as again:
        again.more()
    assert not again.last.failures
    lab.down()
    leaves_nothing(name)


STAGES: dict[str, Callable[[str], bool]] = {
    "its folder is made": lambda name: launch.state_dir(name).exists(),
    "init listens": lambda name: (launch.state_dir(name) / "init.sock").exists(),
    "the lab is known": lambda name: launch.find_lab(name) is not None,
    "the API is there": lambda name: (launch.state_dir(name) / "api.sock").exists(),
    "a pod is there": lambda name: f"{name}-client1" in netns_names(name),
}


def until(reached: Callable[[], bool]) -> None:
    """Wait, without a pause."""
    end = time.monotonic() + world.TIMEOUT_S
    while not reached():
        assert time.monotonic() < end


@pytest.mark.parametrize("stage", STAGES)
def test_an_up_killed_midway_leaves_what_down_removes(
    name: str, tmp_path: Path, stage: str
) -> None:
    file = tmp_path / "lab.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": topology("udp")}))
    up = [sys.executable, "-m", "netsim", "up", "--name", name, str(file)]
    with subprocess.Popen(up, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until(lambda: STAGES[stage](name))
        process.kill()
    down = netsim("down", name)
    assert down.returncode == 0, down.stderr
    leaves_nothing(name)
    again = subprocess.run(up, capture_output=True, text=True, timeout=60)
    assert again.returncode == 0, again.stderr
