"""The load generator (benchmarks/load, built with the package): its server and its clients."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from netsim.bench.rules import PORT
from netsim.bench.space import Space, ToolError, stop
from netsim.errors import PreconditionError

PROGRAM = Path(__file__).parents[1] / "load"
PATIENCE_S = 30.0  # beyond the time that the load was asked to take

Figures = dict[str, float]


def program() -> str:
    """Its path. PreconditionError: this netsim was built without it."""
    if not PROGRAM.exists():
        raise PreconditionError(f"{PROGRAM}: missing", hint="install netsim anew")
    return str(PROGRAM)


def argv(what: str, host: str, *numbers: object) -> list[str]:
    """The command line of a client."""
    return [program(), what, host, str(PORT), *map(str, numbers)]


def parse(text: str) -> Figures:
    """What a client prints."""
    return {str(key): float(value) for key, value in json.loads(text).items()}


def ask(space: Space, what: str, host: str, seconds: float, *numbers: object) -> Figures:
    """Run a client to its end. ToolError with its words when it fails."""
    words = argv(what, host, f"{seconds:g}", *numbers)
    try:
        return parse(space.run(*words, timeout_s=seconds + PATIENCE_S))
    except subprocess.TimeoutExpired as error:
        raise ToolError(" ".join(words), "did not end") from error


@contextmanager
def serving(spaces: Sequence[Space], port: int = PORT) -> Iterator[None]:
    """Run the server in each namespace while the block runs."""
    running: list[subprocess.Popen[str]] = []
    try:
        for space in spaces:
            process = space.popen([program(), "serve", str(port)], stdout=subprocess.PIPE)
            running.append(process)
            assert process.stdout is not None
            if process.stdout.readline().strip() != "ready":
                raise ToolError(f"{PROGRAM} serve {port}", "did not start")
        yield
    finally:
        for process in running:
            stop(process)


class Trials:
    """Datagrams at one rate after the other, in one client: sockets and flows stay the same."""

    def __init__(self, space: Space, host: str, seconds: float, size: int) -> None:
        words = argv("udp-trials", host, f"{seconds:g}", size)
        pipe = subprocess.PIPE
        self._process = space.popen(words, stdin=pipe, stdout=pipe, stderr=pipe)

    def at(self, rate: float) -> Figures:
        """Send at a rate (0: as fast as it goes) and say what came of it. ToolError."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        try:
            self._process.stdin.write(f"{rate:.0f}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass
        line = self._process.stdout.readline()
        if not line:
            raise ToolError("load udp-trials", self._process.stderr.read().strip())
        return parse(line)

    def close(self) -> None:
        """End the client."""
        stop(self._process)
