"""`python -m benchmarks.control`: steps of the control side, one by one, by pyperf.

From a topology's text to rows in the engine's tables, with many Services. pyperf's options are
taken too: `-o FILE` keeps the figures, `python -m pyperf compare_to OLD NEW` compares two files.
"""

from __future__ import annotations

import argparse
import atexit
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import cache
from pathlib import Path

import pyperf

from netsim.api.manifests import load_text
from netsim.backends import BACKENDS
from netsim.bench import rules
from netsim.bench.ours import lab_manifest, pod_manifest
from netsim.bench.stored_services import StoredServices
from netsim.controllers.tables import Compiler
from netsim.dataplane import messages
from netsim.dataplane._core import Engine
from netsim.dataplane.applier import Applier
from netsim.dataplane.plan import plan
from netsim.dataplane.rows import Changes, Tables

NODE = "node1"
SERVICES, ENDPOINTS, PODS = 1000, 10, 100


class Cluster:
    """Settled Services, and what has been compiled of them."""

    def __init__(self, services: int, folder: Path) -> None:
        self.stored = StoredServices(folder, services, ENDPOINTS, 1)
        self.compiler = Compiler(BACKENDS)
        self.tables = self.compiler.compile(self.stored.store.view())
        self._services = services
        self._version = 0

    def change(self) -> None:
        """One endpoint of the next Service is replaced."""
        self._version += 1
        index = self._version % self._services
        self.stored.change(rules.other(index, ENDPOINTS, self._version))

    def rows(self) -> Changes:
        """All Services, as an empty data plane is told of them."""
        return Changes(services=plan(Tables(), self.tables).services)


def read(_: Cluster) -> Callable[[], object]:
    """Pods of a topology: YAML, shapes, rules, defaults."""
    objects = [lab_manifest("bench", "fabric", 1)]
    objects += [pod_manifest(f"idle{i}", NODE) for i in range(PODS)]
    text = "\n---\n".join(json.dumps(obj, indent=1) for obj in objects)
    return lambda: load_text(text)


def settle_change(cluster: Cluster) -> Callable[[], object]:
    """A change is stored, controllers pass."""

    def do() -> None:
        cluster.change()
        cluster.stored.settle()

    return do


def compile_all(cluster: Cluster) -> Callable[[], object]:
    """Rows of everything, by a compiler that has seen nothing."""
    view = cluster.stored.store.view()
    return lambda: Compiler(BACKENDS).compile(view)


def compile_change(cluster: Cluster) -> Callable[[], object]:
    """As settle_change, then the rows of what changed."""
    change = settle_change(cluster)

    def do() -> None:
        change()
        cluster.tables = cluster.compiler.compile(cluster.stored.store.view())

    return do


def plan_all(cluster: Cluster) -> Callable[[], object]:
    """Everything compared with nothing."""
    return lambda: plan(Tables(), cluster.tables)


def pack_all(cluster: Cluster) -> Callable[[], object]:
    """Rows of everything as a message."""
    message = messages.Apply(cluster.rows(), 1)
    return lambda: messages.pack(message)


def unpack_all(cluster: Cluster) -> Callable[[], object]:
    """The message read by the data plane."""
    body = messages.pack(messages.Apply(cluster.rows(), 1))[messages.LENGTH_BYTES :]
    return lambda: messages.request_decoder.decode(body)


def insert_all(cluster: Cluster) -> Callable[[], object]:
    """Rows of everything put into the tables of a new engine."""
    changes = cluster.rows()

    def do() -> None:
        with closing(Engine(seed=1)) as engine:
            problems = Applier(engine, lambda _: {}).apply(changes, 1)
        assert not problems

    return do


CASES: Mapping[str, Callable[[Cluster], Callable[[], object]]] = {
    f"read {PODS} pods": read,
    "one endpoint: store, settle": settle_change,
    "one endpoint: store, settle, compile": compile_change,
    "all: compile": compile_all,
    "all: plan": plan_all,
    "all: pack": pack_all,
    "all: unpack": unpack_all,
    "all: insert": insert_all,
}


@cache
def cluster_of(services: int) -> Cluster:
    """One a process: pyperf measures each case in processes of its own."""
    folder = tempfile.mkdtemp(prefix="netsim-control-")
    atexit.register(shutil.rmtree, folder)
    return Cluster(services, Path(folder))


def seconds(case: Callable[[Cluster], Callable[[], object]], services: int, loops: int) -> float:
    """For so many times, what comes before left out."""
    do = case(cluster_of(services))
    began = time.perf_counter()
    for _ in range(loops):
        do()
    return time.perf_counter() - began


def _for_workers(command: list[str], args: argparse.Namespace) -> None:
    command += ["--services", str(args.services)]


def main() -> None:
    """Measure all cases."""
    runner = pyperf.Runner(
        processes=3, values=3, program_args=("-m", __spec__.name), add_cmdline_args=_for_workers
    )
    runner.argparser.add_argument("--services", type=int, default=SERVICES)
    services = runner.parse_args().services
    for name, case in CASES.items():
        runner.bench_time_func(
            f"{name} ({services:,} services)",
            lambda loops, case=case: seconds(case, services, loops),
        )


if __name__ == "__main__":
    main()
