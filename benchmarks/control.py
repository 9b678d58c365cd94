"""`python -m benchmarks.control`: what the control side costs, from commit to every worker's use.

A store in a file, all controllers, the compiler and a data plane process with running workers, over
its socket, as in a lab; nodes are engine nodes on the fabric, whose devices are socket pairs.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from netsim.backends import BACKENDS
from netsim.controllers import all_controllers
from netsim.controllers.base import Pass, settle
from netsim.controllers.clock import rfc3339
from netsim.controllers.tables import Compiler
from netsim.dataplane.answers import DataPlane
from netsim.dataplane.messages import Hello
from netsim.dataplane.process import listen, raise_file_limit, serve
from netsim.lab.dataplane_link import DataplaneLink
from netsim.store.base import Create, Update
from netsim.store.sqlite import open_store

WORKERS = 2
PODS = 0x0A000000
SERVICES = 0x0A600000
NODE_CIDR_BITS = 24
LOADED_AT_ONCE = 1000


class Cost(NamedTuple):
    """Milliseconds of one case; `full` is compile and publish of everything, memory in MiB."""

    services: int
    nodes: int
    full_ms: float
    p50_ms: float
    p99_ms: float
    control_mib: float
    dataplane_mib: float


def address(base: int, offset: int) -> str:
    """An IPv4 address as text."""
    return socket.inet_ntoa((base + offset).to_bytes(4))


def service(number: int) -> dict[str, object]:
    """A Service without selector: its slices are made by hand, so that no pods are needed."""
    ip = address(SERVICES, number + 10)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": f"s{number}", "namespace": "default"},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": ip,
            "clusterIPs": [ip],
            "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080}],
        },
    }


def endpoint_slice(number: int, endpoints: int, *, moved: bool = False) -> dict[str, object]:
    """Its endpoints; `moved` changes the address of one."""
    first = 1 + number * (endpoints + 1)
    offsets = [first + i for i in range(endpoints)]
    offsets[0] += endpoints * moved
    ready = {"ready": True, "serving": True, "terminating": False}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"s{number}-a",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": f"s{number}"},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [{"addresses": [address(PODS, o)], "conditions": ready} for o in offsets],
    }


def lab(nodes: int) -> dict[str, object]:
    """The Lab object."""
    return {
        "apiVersion": "netsim.dev/v1alpha1",
        "kind": "Lab",
        "metadata": {"name": "bench"},
        "spec": {"generate": {"nodes": nodes}, "wire": "fabric"},
    }


def descriptors(key: str) -> Mapping[str, int]:
    """Init's part: the flows' memory, and a socket whose other end is closed for each device."""
    if key == "flows":
        return {"mem": os.memfd_create("flows")}
    made = {}
    for name in ("cni", "tunnel"):
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        near.setblocking(False)
        made[name] = near.detach()
        KEPT.append(far)
    return made


KEPT: list[socket.socket] = []


def run_dataplane(path: str) -> None:
    """The data plane process."""
    raise_file_limit()
    with listen(Path(path)) as listener:
        serve(listener, DataPlane(descriptors))


def resident_mib(pid: int) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


class Bench:
    """A control side with a data plane of its own."""

    def __init__(self, folder: Path, nodes: int) -> None:
        self.socket = folder / "dataplane.sock"
        argv = [sys.executable, "-m", "benchmarks.control", "--dataplane", str(self.socket)]
        self.dataplane = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
        self.store = open_store(str(folder / "store.sqlite"))
        self.controllers = all_controllers(BACKENDS)
        self.compiler = Compiler(BACKENDS)
        self.up = frozenset(f"node{i + 1}" for i in range(nodes))
        self.store.create(lab(nodes))
        self.settle()

    def settle(self) -> None:
        """Controllers until they rest."""
        now = rfc3339(time.time())
        settle(
            lambda: Pass(self.store.view(), now, self.up),
            self.store.transaction,
            self.controllers,
        )

    def load(self, services: int, endpoints: int) -> None:
        """Store the services."""
        for first in range(0, services, LOADED_AT_ONCE):
            numbers = range(first, min(first + LOADED_AT_ONCE, services))
            self.store.transaction([Create(service(n)) for n in numbers])
            self.store.transaction([Create(endpoint_slice(n, endpoints)) for n in numbers])
        self.settle()

    async def publish(self, link: DataplaneLink) -> None:
        """Compile and publish. RuntimeError: something was refused."""
        view = self.store.view()
        if not await link.publish(self.compiler.compile(view), view.revision):
            raise RuntimeError(link.error)

    def close(self) -> None:
        """End the data plane."""
        self.dataplane.kill()
        self.dataplane.wait()
        self.store.close()


async def connected(link: DataplaneLink) -> asyncio.Task[None]:
    """Wait for the data plane process."""
    task = asyncio.create_task(link.keep_connected())
    while link.client is None:
        await asyncio.sleep(0.01)
    return task


async def timed(bench: Bench, link: DataplaneLink, case: Sequence[int], changes: int) -> Cost:
    """One case: `case` is services, endpoints, nodes."""
    services, endpoints, nodes = case
    bench.load(services, endpoints)
    gc.collect()
    gc.freeze()
    began = time.perf_counter()
    await bench.publish(link)
    full = time.perf_counter() - began
    chosen = random.Random(1)
    took: list[float] = []
    moved: dict[int, bool] = {}
    for _ in range(changes):
        await asyncio.sleep(0.002)
        which = chosen.randrange(services)
        moved[which] = not moved.get(which, False)
        changed = endpoint_slice(which, endpoints, moved=moved[which])
        bench.store.transaction([Update(changed)])
        committed = time.perf_counter()
        bench.settle()
        await bench.publish(link)
        took.append((time.perf_counter() - committed) * 1e3)
    took.sort()
    return Cost(
        services,
        nodes,
        full * 1e3,
        median(took),
        took[int(len(took) * 0.99)],
        resident_mib(os.getpid()),
        resident_mib(bench.dataplane.pid),
    )


async def measure(services: int, endpoints: int, nodes: int, changes: int) -> Cost:
    """One case, from an empty lab."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), nodes)
        link = DataplaneLink(bench.socket, Hello(WORKERS, 1, "fabric"), lambda: None)
        task = await connected(link)
        try:
            await bench.publish(link)
            return await timed(bench, link, (services, endpoints, nodes), changes)
        finally:
            task.cancel()
            bench.close()


def in_its_own_process(case: Sequence[int]) -> Cost:
    """One case, so that memory is its own."""
    argv = [sys.executable, "-m", "benchmarks.control", "--case", *map(str, case)]
    out = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True)
    return Cost(*json.loads(out.stdout))


def main() -> None:
    """A table, or JSON."""
    parser = argparse.ArgumentParser(prog="benchmarks.control", description=__doc__)
    parser.add_argument("--services", type=int, nargs="+", default=[10, 1000, 10_000])
    parser.add_argument("--endpoints", type=int, default=10)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 100])
    parser.add_argument("--changes", type=int, default=1000)
    parser.add_argument("-o", dest="output", choices=("table", "json"), default="table")
    parser.add_argument("--dataplane", help=argparse.SUPPRESS)
    parser.add_argument("--case", type=int, nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.dataplane:
        run_dataplane(args.dataplane)
    elif args.case:
        print(json.dumps(asyncio.run(measure(*args.case))))
    else:
        cases = [
            (services, args.endpoints, nodes, args.changes)
            for nodes in args.nodes
            for services in args.services
        ]
        costs = [in_its_own_process(case) for case in cases]
        print_json(costs) if args.output == "json" else print_table(costs)


def print_table(costs: Sequence[Cost]) -> None:
    """For people."""
    print("services  nodes  full ms   one endpoint p50 ms   p99 ms   control MiB   data plane MiB")
    for c in costs:
        print(
            f"{c.services:8} {c.nodes:6} {c.full_ms:8.1f} {c.p50_ms:21.3f} {c.p99_ms:8.3f} "
            f"{c.control_mib:13.1f} {c.dataplane_mib:16.1f}"
        )


def print_json(costs: Sequence[Cost]) -> None:
    """For programs."""
    print(json.dumps([c._asdict() for c in costs], indent=2))


if __name__ == "__main__":
    main()
