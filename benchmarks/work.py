"""The work that both sides do: the same programs, the same arguments, TCP cubic."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol

PORT = 5201

# Asks for one connection after the other (request, answer, close), prints how many it got a second.
CONNECT = """
import socket, sys, time
host, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
count, end = 0, time.monotonic() + seconds
while time.monotonic() < end:
    with socket.create_connection((host, port)) as s:
        s.sendall(b"x")
        if s.recv(1) != b"x":
            raise SystemExit("no answer")
    count += 1
print(count / seconds)
"""
# Sends one byte and waits for it, prints the median round trip in microseconds.
ECHO = """
import socket, statistics, sys, time
host, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
took, end = [], time.monotonic() + seconds
with socket.create_connection((host, port)) as s:
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while (now := time.monotonic()) < end:
        s.sendall(b"x")
        if s.recv(1) != b"x":
            raise SystemExit("no answer")
        took.append(time.monotonic() - now)
print(statistics.median(took) * 1e6)
"""
SERVE = """
import socket, sys, threading
listener = socket.create_server(("", int(sys.argv[1])), backlog=1024)
print("ready", flush=True)
def serve(s):
    with s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := s.recv(65536):
            s.sendall(data)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""


class Side(Protocol):
    """One way to join a client pod and server pods: netsim or its peer."""

    name: str
    service: str

    def client_argv(self, argv: Sequence[str]) -> list[str]:
        """How to run a program in the client pod."""

    def server_argv(self, index: int, argv: Sequence[str]) -> list[str]:
        """How to run a program in a server pod."""

    def close(self) -> None:
        """Remove everything."""


class Work(NamedTuple):
    """One measurement: `unit` of the figure, whether more is better, and how to take it once."""

    name: str
    unit: str
    more_is_better: bool
    measure: Callable[[Side, float], float]


@contextmanager
def serving(side: Side, argv: Sequence[str], ready: str, servers: int) -> Iterator[None]:
    """Run a server in every server pod while the block runs."""
    processes: list[subprocess.Popen[str]] = []
    try:
        for index in range(servers):
            process = subprocess.Popen(
                side.server_argv(index, argv), stdout=subprocess.PIPE, text=True
            )
            processes.append(process)
            assert process.stdout is not None
            while ready not in (line := process.stdout.readline()):
                if not line:
                    raise RuntimeError(f"{argv[0]} did not start on {side.name}")
        yield
    finally:
        for process in processes:
            process.terminate()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def client(side: Side, argv: Sequence[str], seconds: float) -> str:
    """Run a program in the client pod and return what it prints."""
    done = subprocess.run(
        side.client_argv(argv), capture_output=True, text=True, check=False, timeout=seconds + 30
    )
    if done.returncode:
        raise RuntimeError(f"{side.name}: {argv[0]}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def bulk(side: Side, seconds: float) -> float:
    """TCP, one stream, in Gbit/s as received (iperf3)."""
    with serving(side, ["iperf3", "-s", "-p", str(PORT), "--forceflush"], "listening", SERVERS):
        out = client(
            side,
            [
                "iperf3",
                "-c",
                side.service,
                "-p",
                str(PORT),
                "-C",
                "cubic",
                "-J",
                "-t",
                f"{seconds:.0f}",
            ],
            seconds,
        )
    return float(json.loads(out)["end"]["sum_received"]["bits_per_second"]) / 1e9


def python_client(program: str) -> Callable[[Side, float], float]:
    """A measurement by one of the programs above against the echo server."""

    def measure(side: Side, seconds: float) -> float:
        with serving(side, [sys.executable, "-c", SERVE, str(PORT)], "ready", SERVERS):
            argv = [sys.executable, "-c", program, side.service, str(PORT), str(seconds)]
            return float(client(side, argv, seconds))

    return measure


SERVERS = 4
WORKS = (
    Work("TCP bulk, 1 stream", "Gbit/s", True, bulk),
    Work("connect, request, close", "/s", True, python_client(CONNECT)),
    Work("1-byte round trip, p50", "us", False, python_client(ECHO)),
)
