"""Two nodes and two pods over real TUN devices and UDP sockets, in namespaces of a child process.

Run as a program (`python -m tests.io.real_lab WIRE BACKEND COMMAND...`): the process leaves its
network namespace first, so nothing outside can be touched, and everything goes with it. Each
COMMAND runs in the first pod; with `b:` before it in the second, in the background, after its first
line of output was read; with `node:` in the first node. `capture FILE` captures the first node's
eth0 through a packet socket from there on. The result is a JSON object: each foreground command's
exit status and output, and the counters.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path
from typing import TypedDict

from netsim.dataplane._core import Engine
from netsim.dataplane.io_methods import io_method
from netsim.linux import ns, syscalls
from netsim.linux.tun import open_tun
from tests.io.cluster import MTUS, PORTS, Backend, Cluster, node_addr, node_row, pod_addr

SENDERS = 16
ETH_P_ALL = 3


class Result(TypedDict):
    code: int
    out: str


def text(addr: int) -> str:
    return socket.inet_ntoa(addr.to_bytes(4, "big"))


def sh(commands: str) -> None:
    for line in filter(None, map(str.strip, commands.splitlines())):
        subprocess.run(shlex.split(line), check=True, stdout=subprocess.DEVNULL)


def new_namespace() -> int:
    """A network namespace by descriptor; the calling thread stays where it is."""
    before = ns.open_current(("net",))
    try:
        syscalls.unshare(ns.KINDS["net"])
        made = ns.open_current(("net",))["net"]
        Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1")
        sh("ip link set lo up")
    finally:
        ns.enter(before)
        ns.close_all(before)
    return made


def inside(fd: int) -> contextlib.AbstractContextManager[None]:
    return ns.in_namespace({"net": fd})


def make_node(number: int, fabric: int) -> int:
    fd = new_namespace()
    with inside(fabric):
        sh(
            f"""
            ip link add v{number} type veth peer name eth0 netns /proc/{os.getpid()}/fd/{fd}
            ip link set v{number} master br0 up
            """
        )
    with inside(fd):
        sh(
            f"""
            ip addr add {text(node_addr(number))}/24 dev eth0
            ip link set eth0 up
            """
        )
    return fd


def sockets(number: int, backend: str) -> list[int]:
    made = []
    for n in range(1 + (SENDERS if backend == "vxlan" else 0)):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind((text(node_addr(number)), 0 if n else PORTS[backend]))
        made.append(s.detach())
    return made


def make_pod(number: int, mtu: int) -> tuple[int, int]:
    fd = new_namespace()
    with inside(fd):
        tun = open_tun("eth0")
        sh(
            f"""
            ip link set eth0 mtu {mtu} txqueuelen 1000 up
            ip addr add {text(pod_addr(number))}/32 dev eth0
            ip route add default dev eth0
            """
        )
    return fd, tun


def make(wire: str, backend: Backend, workers: int = 1) -> tuple[Cluster, list[int], list[int]]:
    """The running engine, the pods' and the nodes' namespaces."""
    fabric = new_namespace()
    with inside(fabric):
        sh("ip link add br0 type bridge\nip link set br0 up")
    pool = int(os.environ.get("POOL", "0"))  # packets of a worker, 0 for as many as usual
    engine = Engine(workers, 1, io=io_method("auto"), pool_packets=pool)
    c = Cluster(engine, backend, [], [], [])
    namespaces, hosts = [], []
    for n in range(2):
        c.nodes.append(engine.node_add(node_row(n, c.backend)))
        hosts.append(make_node(n, fabric))
        if wire == "fabric":
            c.wires.append(engine.iface_link(c.nodes[n], "eth0", mtu=1500))
        else:
            with inside(hosts[n]):
                fds = sockets(n, backend)
            c.wires.append(engine.iface_udp(c.nodes[n], "eth0", fds, mtu=1500))
        pod, tun = make_pod(n, MTUS[c.backend])
        namespaces.append(pod)
        c.pods.append(
            engine.iface_tun(
                c.nodes[n], "pod", f"default/p{n}", tun, mtu=MTUS[c.backend], addr=pod_addr(n)
            )
        )
    c.routes()
    engine.start()
    return c, namespaces, hosts


def popen(fd: int, command: str) -> subprocess.Popen[str]:
    argv = ["nsenter", f"--net=/proc/{os.getpid()}/fd/{fd}", "--", *shlex.split(command)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def capture(c: Cluster, host: int, path: str) -> int:
    with inside(host):
        packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        packets.bind(("eth0", 0))
    out = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    return c.engine.capture_socket(packets.detach(), out, "eth0")


def run(c: Cluster, pods: list[int], hosts: list[int], commands: list[str]) -> list[Result]:
    """Results of the commands in the foreground."""
    results: list[Result] = []
    background = []
    captures = []
    for command in commands:
        if command.startswith("b:"):
            process = popen(pods[1], command[2:])
            assert process.stdout is not None
            process.stdout.readline()  # it listens
            background.append(process)
        elif command.startswith("capture "):
            captures.append(capture(c, hosts[0], command.split()[1]))
        else:
            host = command.startswith("node:")
            process = popen(hosts[0] if host else pods[0], command.removeprefix("node:"))
            out, _ = process.communicate()
            results.append({"code": process.returncode, "out": out})
    for number in captures:
        c.engine.capture_stop(number)
    for process in background:
        process.terminate()
        process.communicate()
    return results


def main(wire: str, backend: Backend, *commands: str) -> None:
    """Print what every command in the foreground said, and what the engine counted."""
    syscalls.unshare(ns.KINDS["net"])
    c, pods, hosts = make(wire, backend, int(os.environ.get("WORKERS", "1")))
    results = run(c, pods, hosts, list(commands))
    stats = [c.engine.node_stats(n) for n in c.nodes]
    print(
        json.dumps(
            {
                "io": c.engine.info().io,
                "results": results,
                "drops": [{k: v for k, v in s.drops.items() if v} for s in stats],
                "pods": [c.engine.iface_stats(i)._asdict() for i in c.pods],
                "wires": [c.engine.iface_stats(i)._asdict() for i in c.wires],
            }
        )
    )
    c.engine.close()


if __name__ == "__main__":
    backends: dict[str, Backend] = {"vxlan": "vxlan", "udp": "udp"}
    main(sys.argv[1], backends[sys.argv[2]], *sys.argv[3:])
