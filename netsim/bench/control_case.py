"""The control side alone: `python -m netsim.bench.control_case SERVICES ENDPOINTS NODES`.

A store in a file, all controllers, the compiler, and a data plane process with running workers over
its socket, as in a lab. Nodes are the engine's, on the fabric; their devices lead nowhere. It reads
a command a line (`full`, `changes N`, `memory`) and prints a JSON object for each.
"""

from __future__ import annotations

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
from collections.abc import Mapping
from pathlib import Path

from netsim.backends import BACKENDS
from netsim.bench import memory_of, rules
from netsim.bench.load import Figures
from netsim.bench.stored_services import StoredServices
from netsim.controllers.tables import Compiler
from netsim.dataplane.answers import DataPlane
from netsim.dataplane.messages import Hello
from netsim.dataplane.process import expect_many_rows, listen, raise_file_limit, serve
from netsim.lab.dataplane_link import DataplaneLink
from netsim.linux import syscalls

PAUSE_S = 0.002  # between changes, for what runs beside
POLL_S = 0.01
_far_ends: list[socket.socket] = []


def descriptors(key: str) -> Mapping[str, int]:
    """Init's part for the data plane: the flows' memory, and devices that lead nowhere."""
    if key == "flows":
        return {"mem": os.memfd_create("flows")}
    made = {}
    for name in ("cni", "tunnel"):
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        near.setblocking(False)
        made[name] = near.detach()
        _far_ends.append(far)
    return made


def run_dataplane(path: Path) -> None:
    """The data plane process, which ends with us."""
    syscalls.die_with_parent(9)
    raise_file_limit()
    expect_many_rows()
    with listen(path) as listener:
        serve(listener, DataPlane(descriptors))


class ControlCase:
    """A control side with a data plane of its own."""

    def __init__(self, folder: Path, services: int, endpoints: int, nodes: int) -> None:
        self._endpoints, self._services = endpoints, services
        self._socket = folder / "dataplane.sock"
        self._stored = StoredServices(folder, services, endpoints, nodes)
        self._compiler = Compiler(BACKENDS)
        self._chosen = random.Random(1)
        self._version = 0
        gc.collect()
        gc.freeze()
        self._begin()

    def _begin(self) -> None:
        """A data plane that has nothing yet."""
        argv = [sys.executable, "-m", __spec__.name, str(self._socket)]
        self._dataplane = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
        self._link = DataplaneLink(self._socket, Hello(os.cpu_count() or 1, 1, "fabric"), _ignore)
        self._keeping: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Wait for the data plane."""
        self._keeping = asyncio.create_task(self._link.keep_connected())
        while self._link.client is None:
            await asyncio.sleep(POLL_S)

    async def _publish(self) -> None:
        view = self._stored.store.view()
        if not await self._link.publish(self._compiler.compile(view), view.revision):
            raise RuntimeError(self._link.error)

    async def full(self) -> Figures:
        """Compile and publish everything, to a data plane that has nothing."""
        self.close_dataplane()
        self._begin()
        await self.connect()
        self._compiler = Compiler(BACKENDS)
        began = time.perf_counter()
        await self._publish()
        return {"ms": (time.perf_counter() - began) * 1e3}

    async def changes(self, count: int) -> Figures:
        """One endpoint of a service after the other: from each commit to every worker using it."""
        took: list[float] = []
        for _ in range(count):
            await asyncio.sleep(PAUSE_S)
            self._version += 1
            index = self._chosen.randrange(self._services)
            self._stored.change(rules.other(index, self._endpoints, self._version))
            committed = time.perf_counter()
            self._stored.settle()
            await self._publish()
            took.append((time.perf_counter() - committed) * 1e3)
        took.sort()
        return {"p50_ms": took[count // 2], "p99_ms": took[count * 99 // 100]}

    async def memory(self) -> Figures:
        """Bytes of the two processes."""
        assert self._link.client is not None
        info = await self._link.client.info()
        return {
            "control": memory_of.own_bytes(os.getpid()),
            "dataplane": memory_of.own_bytes(self._dataplane.pid),
            "tables": float(str(info["tablesBytes"])),
        }

    def close_dataplane(self) -> None:
        """End the data plane."""
        if self._keeping is not None:
            self._keeping.cancel()
        self._dataplane.kill()
        self._dataplane.wait()


def _ignore() -> None:
    pass


async def answer(case: ControlCase, line: str) -> Figures:
    """Do what a line says."""
    match line.split():
        case ["full"]:
            return await case.full()
        case ["changes", count]:
            return await case.changes(int(count))
        case ["memory"]:
            return await case.memory()
    raise ValueError(line)


async def serve_lines(case: ControlCase) -> None:
    """Until there are no more."""
    await case.connect()
    await case._publish()
    print("{}", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await answer(case, line)), flush=True)


def main() -> None:
    """A socket's path alone: the data plane's part."""
    if len(sys.argv) == 2:
        run_dataplane(Path(sys.argv[1]))
        return
    syscalls.die_with_parent(9)
    expect_many_rows()
    services, endpoints, nodes = map(int, sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        case = ControlCase(Path(folder), services, endpoints, nodes)
        try:
            asyncio.run(serve_lines(case))
        finally:
            case.close_dataplane()


if __name__ == "__main__":
    main()
