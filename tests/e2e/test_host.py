"""The machine that labs run on: untouched by them, and nothing in it leaks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from netsim import Lab
from netsim.api.meta import name_of
from netsim.lab import launch, names
from netsim.lab.topology import Source
from tests.e2e import host, world
from tests.e2e.processes import by_key, host_pid, init_pid, named, need_linux
from tests.e2e.workload import HTTP, WEB_IP, addresses, is_ready
from tests.e2e.world import eventually

pytestmark = pytest.mark.linux

OWN_HOST = ("unshare", "--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--mount-proc")
REPOSITORY = Path(__file__).parents[2]
CYCLES = 50


def test_a_host_is_after_a_lab_as_before() -> None:
    need_linux()
    argv = [*OWN_HOST, sys.executable, "-m", "tests.e2e.host"]
    env = {k: v for k, v in os.environ.items() if k != "NETSIM_RUN"}
    done = subprocess.run(
        argv, cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == 2 * len(host.LIVES)
    assert {when: what for when, what in found.items() if what} == {}


def test_this_host_is_after_a_lab_as_before() -> None:
    need_linux()
    objects = [world.lab(), world.answerer("one", 1), world.answerer("two", 2)]
    before, shm = host.shared_snapshot(), os.listdir("/dev/shm")
    lab = Lab(objects, name=world.lab_name())
    with lab:
        assert named(lab.name)
        assert host.differences(before, host.shared_snapshot()) == []
    assert host.differences(before, host.shared_snapshot()) == []
    assert os.listdir("/dev/shm") == shm
    assert named(lab.name) == set()
    assert not list(names.NETNS.glob(f"{lab.name}-*"))
    assert not launch.state_dir(lab.name).exists()


def open_files(lab: Lab) -> dict[str, int]:
    """How many descriptors init, control and data plane have."""
    pids = {key: host_pid(lab, key) for key in ("control", "dataplane")} | {"init": init_pid(lab)}
    return {key: len(os.listdir(f"/proc/{pid}/fd")) for key, pid in pids.items()}


def one_cycle(lab: Lab) -> None:
    """Pods come, are asked, and go."""
    pair = [world.answerer(name, n, labels={"app": "web"}) for n, name in ((1, "a"), (2, "b"))]
    lab.apply(pair)
    eventually(lambda: len(addresses(lab, "web")) == len(pair), "endpoints")
    for pod in pair:
        lab.delete("pod", name_of(pod), grace_s=0)
    eventually(lambda: len(lab.objects("pod")) == 1, "no pods but the client")


def test_pods_that_come_and_go_leave_nothing_behind(
    netsim_lab: Callable[[Source], Lab],
) -> None:
    web = world.service("web", WEB_IP, [("TCP", HTTP, 8080)])
    lab = netsim_lab([world.lab(), web, world.pod("client", 1)])
    assert is_ready(lab.get("pod", "client"))
    for _ in range(2):
        one_cycle(lab)
    lab.wait()
    before, running, links = open_files(lab), by_key(lab), names.links(init_pid(lab))
    for _ in range(CYCLES):
        one_cycle(lab)
    lab.wait()
    eventually(lambda: open_files(lab) == before, f"descriptors as before: {before}")
    assert by_key(lab) == running
    assert names.links(init_pid(lab)) == links
    logs = launch.state_dir(lab.name) / "logs" / "pods"
    assert [path.name for path in logs.iterdir()] == ["default_client_main.log"]
