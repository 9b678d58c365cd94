"""The work that both sides do: the same programs, the same arguments, TCP cubic on both ends."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from benchmarks import cpu
from benchmarks.compiled import load
from benchmarks.rounds import Figure, Sample

PORT = 5201
PORTS = (("echo", "TCP"), ("sink", "TCP"), ("datagrams", "UDP"), ("ask", "TCP"))  # from PORT on
SERVERS = 4


class Side(Protocol):
    """One way to join a client pod and server pods: netsim or its peer."""

    name: str
    service: str

    def client_argv(self, argv: Sequence[str]) -> list[str]:
        """How to run a program in the client pod."""

    def server_argv(self, index: int, argv: Sequence[str]) -> list[str]:
        """How to run a program in a server pod."""

    def roots(self) -> list[int]:
        """Processes whose descendants do the work, beside our own."""

    def close(self) -> None:
        """Remove everything."""


class Work(NamedTuple):
    """One run of the load generator in the client pod, and what is read from its answer."""

    name: str
    argv: tuple[str, ...]  # HOST, PORT and SECONDS are put in their places
    figures: tuple[Figure, ...]


def _work(name: str, command: str, *figures: Figure) -> Work:
    return Work(name, tuple(command.split()), figures)


WORKS = (
    _work("bulk", "bulk HOST PORT SECONDS 1", Figure("gbit_s", "TCP, 1 stream", "Gbit/s")),
    _work("bulk8", "bulk HOST PORT SECONDS 8", Figure("gbit_s", "TCP, 8 streams", "Gbit/s")),
    _work(
        "latency",
        "echo HOST PORT SECONDS",
        Figure("p50_us", "1-byte round trip, p50", "us", more_is_better=False),
        Figure("p99_us", "1-byte round trip, p99", "us", more_is_better=False),
    ),
    _work(
        "connect",
        "connect HOST PORT SECONDS 1",
        Figure("per_s", "connect-ask-close, one by one", "/s"),
    ),
    _work(
        "connect16",
        "connect HOST PORT SECONDS 16",
        Figure("per_s", "connect-ask-close, 16 in flight", "/s"),
    ),
    _work(
        "flood",
        "udp HOST PORT SECONDS 64 0",
        Figure("received_per_s", "UDP 64 B flood, received", "/s"),
        Figure("loss", "UDP 64 B flood, lost", "share", more_is_better=False),
    ),
    _work(
        "paced",
        "udp-max HOST PORT SECONDS 64",
        Figure("received_per_s", "UDP 64 B, loss below 0.1 %", "/s"),
    ),
)


@contextmanager
def serving(side: Side) -> Iterator[None]:
    """Run the server in every server pod while the block runs."""
    argv = [str(load()), "serve", str(PORT)]
    running: list[subprocess.Popen[str]] = []
    try:
        for index in range(SERVERS):
            process = subprocess.Popen(
                side.server_argv(index, argv), stdout=subprocess.PIPE, text=True
            )
            running.append(process)
            assert process.stdout is not None
            if process.stdout.readline().strip() != "ready":
                raise RuntimeError(f"{side.name}: the server did not start")
        yield
    finally:
        for process in running:
            process.terminate()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def measure(work: Work, side: Side, seconds: float) -> Sample:
    """One sample: RuntimeError with the program's words if it fails."""
    words = {"HOST": side.service, "PORT": str(PORT), "SECONDS": str(seconds)}
    argv = [str(load()), *(words.get(word, word) for word in work.argv)]
    roots = [os.getpid(), *side.roots()]
    before = cpu.read(roots)
    done = subprocess.run(
        side.client_argv(argv), capture_output=True, text=True, check=False, timeout=seconds + 30
    )
    used = cpu.shares(before, cpu.read(roots))
    if done.returncode:
        raise RuntimeError(f"{side.name}: {work.name}: {done.stderr.strip()}")
    figures = {str(key): float(value) for key, value in json.loads(done.stdout).items()}
    return Sample(figures, used.foreign, used.busy)
