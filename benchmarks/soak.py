"""`python -m benchmarks.soak --minutes 10`: full load while Services change; nothing may grow.

Bulk, connections and datagrams through a Service that stays, and connections through one whose pods
come and go, while other Services are added and removed. Afterwards: was every request answered, was
there ever a second without an answer, are the lab's processes as large as they were?
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import NamedTuple

from netsim.api.fields import items, mapping, number
from netsim.api.meta import resolve_kind
from netsim.bench import load, rules
from netsim.bench.memory_of import lab_processes, own_bytes
from netsim.bench.ours import Manifest, NetsimSide, other_manifests, service_manifest
from netsim.bench.rules import PORT
from netsim.bench.side import CLIENT, NEAR
from netsim.bench.space import Space, ToolError
from netsim.errors import NetsimError
from netsim.lab.lab import Lab

CHURNED = "10.96.0.20"
REPLICAS = (2, 6)
OTHERS = 20  # Services that come and go
SEGMENT_S = 2.0  # of a client
CHURN_S, SAMPLE_S = 2.0, 1.0
# A server that goes on for a second when it is told to end: what is under way is answered.
DRAINING = "trap 'sleep 1; exit 0' TERM; (trap '' TERM; exec \"$0\" serve \"$1\") & wait"
WARM_SHARE = 0.25  # of the time: tables and heaps reach their size
GROWTH_MAX, FDS_MAX, FLOWS_MAX = 0.02, 8, 1.1
STALL_MS = 1000.0
SAMPLES_MIN = 60  # fewer say nothing about growth


class Sample(NamedTuple):
    """At one moment: bytes and descriptors by process, flows, and packets dropped by reason."""

    bytes: Mapping[str, int]
    fds: Mapping[str, int]
    flows: int
    drops: Mapping[str, int] = {}  # only what is not 0


@dataclass
class Tally:
    """What the clients and the churn say."""

    requests: int = 0
    changes: int = 0
    worst_gap_ms: dict[str, float] = field(default_factory=dict)  # by client
    failures: list[str] = field(default_factory=list)

    def note(self, client: str, found: load.Figures) -> None:
        """A client's segment has ended."""
        if "answered" in found:
            self.requests += int(found["answered"])
            worst = self.worst_gap_ms.get(client, 0.0)
            self.worst_gap_ms[client] = max(worst, found["gap_ms"])


def growth(values: Sequence[float]) -> float:
    """How much more the last quarter is than the first, as a share."""
    quarter = max(1, len(values) // 4)
    first, last = median(values[:quarter]), median(values[-quarter:])
    return (last - first) / first if first else 0.0


def judge(samples: Sequence[Sample], tally: Tally) -> list[str]:
    """Everything that is wrong, empty when the soak has passed. Pure."""
    problems = [f"lost: {failure}" for failure in tally.failures]
    problems += [
        f"stall: {client}: {gap_ms:.0f} ms without a finished request"
        for client, gap_ms in tally.worst_gap_ms.items()
        if gap_ms > STALL_MS
    ]
    if not tally.requests:
        problems.append("no request was answered")
    warm = samples[int(len(samples) * WARM_SHARE) :]
    if len(samples) < SAMPLES_MIN:
        return problems
    for name in warm[0].bytes:
        grown = growth([sample.bytes[name] for sample in warm])
        if grown > GROWTH_MAX:
            problems.append(f"memory: {name} grew by {grown:.1%}")
        more = growth_of_count([sample.fds[name] for sample in warm])
        if more > FDS_MAX:
            problems.append(f"descriptors: {name} has {more:.0f} more")
    flows = growth([sample.flows for sample in warm]) + 1
    if flows > FLOWS_MAX:
        problems.append(f"flows: {flows:.2f} times as many")
    return problems


def growth_of_count(values: Sequence[int]) -> float:
    """How many more in the last quarter than in the first."""
    quarter = max(1, len(values) // 4)
    return median(values[-quarter:]) - median(values[:quarter])


def take_sample(lab: Lab, init: int) -> Sample:
    """Look at the lab's processes. Programs of pods are not its own."""
    pids = lab_processes(init)
    fds = {name: len(os.listdir(f"/proc/{pid}/fd")) for name, pid in pids.items()}
    flows, drops = 0, Counter[str]()
    for node in items(lab.status(), "nodes"):
        counters = mapping(node, "counters")
        flows += number(counters, "flows")
        drops.update(
            {why: n for why, n in mapping(counters, "drops").items() if isinstance(n, int)}
        )
    return Sample({name: own_bytes(pid) for name, pid in pids.items()}, fds, flows, +drops)


def churned_manifests() -> list[Manifest]:
    """A Service and a Deployment of the load's servers, which are ready when they listen."""
    service = service_manifest()
    service["metadata"] = {"name": "churned"}
    spec = service["spec"]
    assert isinstance(spec, dict)
    service["spec"] = {**spec, "clusterIP": CHURNED, "selector": {"app": "churned"}}
    container = {
        "name": "main",
        "image": "none",
        "command": ["sh", "-c", DRAINING, load.program(), str(PORT)],
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
    }
    template = {"metadata": {"labels": {"app": "churned"}}, "spec": {"containers": [container]}}
    deployment: Manifest = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "churned"},
        "spec": {
            "replicas": REPLICAS[0],
            "selector": {"matchLabels": {"app": "churned"}},
            "template": template,
        },
    }
    return [service, deployment]


class Soak:
    """The load, the churn and the samples of one run."""

    def __init__(self, side: NetsimSide) -> None:
        self.tally = Tally()
        self.samples: list[Sample] = []
        self._side = side
        self._over = threading.Event()
        self._lock = threading.Lock()

    def run(self, seconds: float) -> None:
        """Until the time is over, or something is lost."""
        client, other = self._side.space(CLIENT), self._side.space(NEAR)
        clients: list[tuple[Space, str, str, tuple[object, ...]]] = [
            (client, "bulk", self._side.service, (2,)),
            (client, "connect", self._side.service, (8,)),
            (client, "connect", CHURNED, (8,)),
            # a flood fills its pod's queue when it may not run: no first packet shall be in there
            (other, "udp", self._side.service, (64, 20_000)),
        ]
        jobs: list[Callable[[], None]] = [
            lambda words=words: self._ask(*words)  # type: ignore[misc]
            for words in clients
        ]
        threads = [threading.Thread(target=self._repeat, args=(job,)) for job in jobs]
        threads.append(threading.Thread(target=self._repeat, args=(self._churn,)))
        for thread in threads:
            thread.start()
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self._over.is_set():
            self.samples.append(take_sample(self._side.lab, self._side.roots()[0]))
            self._over.wait(SAMPLE_S)
        self._over.set()
        for thread in threads:
            thread.join()

    def _repeat(self, job: Callable[[], None]) -> None:
        while not self._over.is_set():
            try:
                job()
            except (NetsimError, ToolError, OSError) as error:
                with self._lock:
                    self.tally.failures.append(str(error))
                self._over.set()

    def _ask(self, client: Space, what: str, host: str, numbers: tuple[object, ...]) -> None:
        found = load.ask(client, what, host, SEGMENT_S, *numbers)
        with self._lock:
            self.tally.note(f"{what} {host}", found)

    def _churn(self) -> None:
        lab, turn = self._side.lab, self.tally.changes
        lab.scale("deployment/churned", REPLICAS[turn % 2])
        others = [rules.other(i, 4, turn) for i in range(OTHERS)]
        if turn % 2 == 0:
            lab.apply([manifest for s in others for manifest in other_manifests(s)])
        else:
            with lab.api as api:
                for service in others:
                    api.delete(resolve_kind("service"), service.name, "default")
                    api.delete(resolve_kind("endpointslice"), service.name, "default")
        self.tally.changes += 1
        self._over.wait(CHURN_S)


def soak(wire: str, spec: Sequence[tuple[str, object]], seconds: float) -> dict[str, object]:
    """Run one; the verdict as JSON."""
    with ExitStack() as stack:
        side = NetsimSide(wire, spec=spec)
        stack.callback(side.close)
        side.lab.apply(churned_manifests())
        side.lab.wait()
        stack.enter_context(load.serving([side.space(pod) for pod in side.servers()]))
        made = Soak(side)
        made.run(seconds)
    problems = judge(made.samples, made.tally)
    warm = made.samples[int(len(made.samples) * WARM_SHARE) :]
    return {
        "passed": not problems,
        "problems": problems,
        "wire": wire,
        "seconds": seconds,
        "requests": made.tally.requests,
        "worstGapMs": made.tally.worst_gap_ms,
        "changes": made.tally.changes,
        "drops": dict(made.samples[-1].drops),
        "samples": len(made.samples),
        "processes": {
            name: {
                "growth": round(growth([sample.bytes[name] for sample in warm]), 4),
                "bytes": warm[-1].bytes[name],
                "descriptors": warm[-1].fds[name],
            }
            for name in (warm[0].bytes if warm else {})
        },
        "flows": [sample.flows for sample in warm[:: max(1, len(warm) // 10)]],
    }


def main() -> None:
    """Exit code 0 when it has passed, 1 when not."""
    parser = argparse.ArgumentParser(prog="benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--wire", choices=["fabric", "udp"], default="fabric")
    parser.add_argument("--io", help="Lab.spec.io, where this netsim has it")
    parser.add_argument("-o", "--output", type=Path, help="write the verdict to a file too")
    args = parser.parse_args()
    verdict = soak(args.wire, [("io", args.io)] if args.io else [], args.minutes * 60)
    text = json.dumps(verdict, indent=2)
    if args.output:
        args.output.write_text(f"{text}\n")
    print(text)
    print("passed" if verdict["passed"] else "FAILED", file=sys.stderr)
    sys.exit(0 if verdict["passed"] else 1)


if __name__ == "__main__":
    main()
