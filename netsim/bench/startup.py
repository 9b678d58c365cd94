"""How long a lab of many pods takes to come and go, and what `ip` takes for the same."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import NamedTuple

from netsim.bench import cpu, memory_of
from netsim.bench.load import Figures
from netsim.bench.options import Options, Report
from netsim.bench.ours import GuardedLab, Manifest, Spec, lab_manifest, lab_name, pod_manifest
from netsim.bench.rounds import Figure, Row
from netsim.bench.space import Space
from netsim.bench.turns import Take, rows_in_turn

NODES = 10
SIZES = (10, 100, 1000)  # pods
CALM_S = 1.0  # after which a new lab is idle
SLOW_ROUNDS = 3  # at most: each takes seconds
OURS, PEER = "netsim", "ip-batch"


def measure(options: Options, report: Report) -> list[Row]:
    """Up, down, and the peer's up, by pods."""
    return [row for pods in options.sizes or SIZES for row in at_size(options, pods, report)]


def at_size(options: Options, pods: int, report: Report) -> list[Row]:
    """So many pods."""
    what = f"{NODES} nodes and {pods:,} idle pods"
    up = Figure(f"up_s@{pods}", f"{what}, up", "s", False)
    down = Figure(f"down_s@{pods}", f"{what}, down", "s", False)

    def ours() -> Figures:
        up_s, down_s = up_and_down(pods, options.spec)
        return {up.key: up_s, down.key: down_s}

    sides: dict[str, Take] = {OURS: ours}
    if options.peers:
        sides[PEER] = lambda: {up.key: by_ip(pods)}
    rounds = min(options.rounds, SLOW_ROUNDS)
    return rows_in_turn("startup", f"startup, {pods:,} pods", sides, [up, down], rounds, report)


def objects(name: str, pods: int, spec: Spec = ()) -> list[Manifest]:
    """Nodes with idle pods, dealt out in turn."""
    made = [lab_manifest(name, "fabric", NODES, spec)]
    return made + [pod_manifest(f"idle{i}", f"node{i % NODES + 1}") for i in range(pods)]


def up_and_down(pods: int, spec: Spec = ()) -> tuple[float, float]:
    """Seconds to bring a lab up until it is ready, and down until nothing of it is left."""
    name = lab_name("startup")
    wanted = objects(name, pods, spec)
    began = time.monotonic()
    lab = GuardedLab(name, wanted)
    ready = time.monotonic()
    try:
        lab.lab.down()
        ended = time.monotonic()
    finally:
        lab.close()
    return ready - began, ended - ready


def by_ip(pods: int) -> float:
    """Seconds for the same namespaces and links made by `ip -batch`, one a namespace."""
    began = time.monotonic()
    spaces: list[Space] = []
    try:
        for number in range(NODES):
            spaces.append(Space.made())
            _node(spaces[0], spaces[number], number)
        for number in range(pods):
            spaces.append(Space.made())
            _pod(spaces[number % NODES], spaces[-1], number)
        return time.monotonic() - began
    finally:
        close_all(spaces)


def _node(first: Space, node: Space, number: int) -> None:
    """A bridge for the pods, and a link to the first node's bridge of nodes."""
    lines = f"link add cni0 type bridge\naddr add 10.244.{number}.1/24 dev cni0\nlink set cni0 up\n"
    if number == 0:
        lines += "link add br0 type bridge\nlink set br0 up\n"
    else:
        lines += f"link add eth0 type veth peer name port{number} netns {first.path}\n"
        lines += f"addr add 172.31.0.{number + 1}/24 dev eth0\nlink set eth0 up\n"
    node.run("ip", "-b", "-", stdin=lines)


def _pod(node: Space, pod: Space, number: int) -> None:
    own, address = number // NODES + 2, number % NODES
    lines = f"link add eth0 type veth peer name p{own} netns {node.path}\n"
    lines += f"addr add 10.244.{address}.{own}/24 dev eth0\nlink set eth0 up\n"
    lines += f"route add default via 10.244.{address}.1\n"
    pod.run("ip", "-b", "-", stdin=lines)
    node.run("ip", "link", "set", f"p{own}", "master", "cni0", "up")


def close_all(spaces: Sequence[Space]) -> None:
    """Let go of them."""
    for space in spaces:
        space.close()


class Idle(NamedTuple):
    """Of a lab's own processes when it is ready and nothing happens."""

    bytes: int
    core_share: float


def idle_with(pods: int, watched_s: float = 0) -> Idle:
    """With so many idle pods; their processor time is watched for so long."""
    name = lab_name("memory")
    lab = GuardedLab(name, objects(name, pods))
    try:
        found = memory_of.lab_bytes(lab.init_pid)
        pids = memory_of.lab_processes(lab.init_pid).values()
        return Idle(found, share_of_a_core(pids, watched_s) if watched_s else 0)
    finally:
        lab.close()


def share_of_a_core(pids: Collection[int], watched_s: float) -> float:
    """What processes use of it while nothing happens."""
    time.sleep(CALM_S)
    before = sum(map(cpu.used_s, pids))
    time.sleep(watched_s)
    return (sum(map(cpu.used_s, pids)) - before) / watched_s
