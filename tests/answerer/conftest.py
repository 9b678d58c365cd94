"""Builds the answerer with sanitizers and runs it on free ports of the loopback."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest

CSRC = Path(__file__).parents[2] / "csrc" / "answerer"
FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-g", "-O1", "-fsanitize=address,undefined"]
HOSTNAME = "web-0"
ACCEPT_MORE_S = 1.0  # after SIGTERM; five times what is built otherwise: a busy machine has time


@pytest.fixture(scope="session")
def program(cc: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The answerer, compiled; a finding of the sanitizers ends it with code 99."""
    out = tmp_path_factory.mktemp("answerer") / "answerer"
    sources = [str(path) for path in sorted(CSRC.glob("*.c"))]
    subprocess.run(
        [cc, *FLAGS, f"-DACCEPT_MORE_MS={ACCEPT_MORE_S * 1000:.0f}", *sources, "-o", str(out)],
        check=True,
    )
    return out


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Reply(NamedTuple):
    """An HTTP reply; `keeps`: it does not say that the connection ends."""

    status: int
    body: str
    keeps: bool


class Client:
    """A connection to the answerer."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read(self, has_body: bool = True) -> Reply:
        """The next reply."""
        version, status, _ = self._file.readline().decode().split(" ", 2)
        assert version == "HTTP/1.1"
        fields = {}
        while (line := self._file.readline()) != b"\r\n":
            name, value = line.decode().split(": ")
            fields[name] = value.strip()
        body = self._file.read(int(fields["Content-Length"])) if has_body else b""
        return Reply(int(status), body.decode(), fields.get("Connection") != "close")

    def ask(self, request: bytes) -> Reply:
        """Send, and read one reply."""
        self.send(request)
        return self.read()

    def read_rest(self) -> bytes:
        """Everything until the other side ends the connection."""
        try:
            return self._file.read()
        except ConnectionResetError:
            return b""


class Answerer:
    """A running answerer; it is ready when this exists."""

    def __init__(self, program: Path, environment: dict[str, str]) -> None:
        self.tcp = free_port(socket.SOCK_STREAM)
        self.udp = free_port(socket.SOCK_DGRAM)
        read_end, write_end = os.pipe()
        self.process = subprocess.Popen(
            [str(program), f"tcp:{self.tcp}", f"udp:{self.udp}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={
                "HOSTNAME": HOSTNAME,
                "NETSIM_READY_FD": str(write_end),
                "ASAN_OPTIONS": "exitcode=99",
                "UBSAN_OPTIONS": "halt_on_error=1:exitcode=99",
                **environment,
            },
            pass_fds=[write_end],
        )
        os.close(write_end)
        assert os.read(read_end, 10) == b"r"
        os.close(read_end)

    def connect(self) -> Client:
        return Client(self.tcp)

    def ask_udp(self, text: bytes) -> bytes:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.settimeout(10)
            asker.sendto(text, ("127.0.0.1", self.udp))
            return asker.recv(65536)

    def end(self) -> tuple[int, bytes]:
        """Terminate it; its exit code and what it wrote to stderr."""
        self.process.terminate()
        _, errors = self.process.communicate(timeout=10)
        return self.process.returncode, errors


class StartAnswerer(Protocol):
    def __call__(self, **environment: str) -> Answerer: ...


@contextmanager
def running(program: Path, **environment: str) -> Iterator[Answerer]:
    """An answerer that must end well afterwards, unless it has ended before."""
    answerer = Answerer(program, environment)
    with answerer.process:
        yield answerer
        if answerer.process.returncode is None:
            assert answerer.end() == (0, b"")


@pytest.fixture
def start(program: Path) -> Iterator[StartAnswerer]:
    """Start answerers, of which the test may end some."""
    with ExitStack() as stack:

        def start_one(**environment: str) -> Answerer:
            return stack.enter_context(running(program, **environment))

        yield start_one


@pytest.fixture
def answerer(start: StartAnswerer) -> Answerer:
    return start()
