"""Loads of requests from inside a lab, and what became of each request."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import msgspec

from netsim import Lab
from netsim.api.meta import name_of
from tests.e2e.world import eventually, program

END_S = 20.0


class Failure(msgspec.Struct, frozen=True):
    """A request without an answer; times as time.monotonic(). `host`: who answered before."""

    began: float
    ended: float
    step: str
    host: str
    error: str


class Report(msgspec.Struct, frozen=True):
    """What became of the requests so far; `hosts`: how many each pod has answered."""

    answered: int
    hosts: dict[str, int]
    failures: list[Failure]
    slowest_s: float


class Load:
    """A running load. `last` is its newest report, the final one when it has ended."""

    def __init__(self, process: subprocess.Popen[str], kind: str = "tcp") -> None:
        self.kind = kind
        self._process = process
        self.last = Report(0, {}, [], 0.0)

    def report(self) -> Report:
        """What is known now."""
        stdin = self._process.stdin
        assert stdin
        stdin.write("\n")
        stdin.flush()
        self.last = self._read()
        return self.last

    def more(self, requests: int = 100) -> Report:
        """Wait for that many more answers."""
        enough = self.report().answered + requests
        eventually(lambda: self.report().answered >= enough, f"{requests} more answers")
        return self.last

    def hear(self, names: Iterable[str]) -> Report:
        """Wait until each of these pods has answered again."""
        before = self.report().hosts

        def heard() -> bool:
            now = self.report().hosts
            return all(now.get(name, 0) > before.get(name, 0) for name in names)

        eventually(heard, f"answers of {names}")
        return self.last

    def end(self) -> Report:
        """End it; what is under way is waited for."""
        if self._process.stdin and not self._process.stdin.closed:
            self._process.stdin.close()
            self.last = self._read()
            assert self._process.wait(END_S) == 0
        return self.last

    def lost(self, lab: Lab) -> list[Failure]:
        """Failures so far that kube-proxy would not have had.

        It leaves UDP with an endpoint that terminates for as long as that serves (P-80): whose pod
        ends is not answered once.
        """
        pods = {name_of(pod) for pod in lab.objects("pod")}
        return [f for f in self.last.failures if self.kind != "udp" or f.host in {"", *pods}]

    def _read(self) -> Report:
        assert self._process.stdout
        return msgspec.json.decode(self._process.stdout.readline(), type=Report)


@contextmanager
def load(
    lab: Lab, target: str, kind: str, address: str, port: int, connections: int = 16
) -> Iterator[Load]:
    """A load of programs/load.py from a pod or node, flowing when the block begins."""
    argv = program("load.py", kind, address, str(port), str(connections))
    pipe = subprocess.PIPE
    with lab.popen(target, argv, stdin=pipe, stdout=pipe) as process:
        try:
            running = Load(process, kind)
            running.more(connections)
            yield running
            running.end()
        finally:
            process.kill()
