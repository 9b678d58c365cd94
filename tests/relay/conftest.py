"""The relay, compiled with sanitizers, and two network namespaces: a node and who is beside it.

node: lo, cni0 10.1.0.1/16  <── veth ──>  eth0 10.1.0.2/16 and more: pods
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from netsim.dataplane.rows import EndpointRow, FrontendRow, RelayRow, ServiceRow, pack_endpoints
from netsim.lab import relay_messages as m
from netsim.linux import ns
from tests.relay.balancer import CSRC, Endpoint, number

FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-g", "-O1", "-fsanitize=address,undefined"]
NODE, PODS = "10.1.0.1", [f"10.1.0.{n}" for n in range(2, 8)]
NOWHERE = "10.1.9.9"  # nobody answers
HOLDER = "import time, sys; sys.stdout.write('x'); sys.stdout.flush(); time.sleep(600)"
PORT = 12000


class Space:
    """A network namespace, kept by a process in it."""

    def __init__(self) -> None:
        argv = ["unshare", "--net", sys.executable, "-c", HOLDER]
        self.holder = subprocess.Popen(argv, stdout=subprocess.PIPE)
        assert self.holder.stdout
        self.holder.stdout.read(1)
        self.fd = os.open(f"/proc/{self.holder.pid}/ns/net", os.O_RDONLY)

    def close(self) -> None:
        os.close(self.fd)
        self.holder.kill()
        with self.holder:
            pass

    def ip(self, line: str) -> None:
        argv = ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net", "ip", *line.split()]
        subprocess.run(argv, check=True)

    def socket(self, kind: socket.SocketKind) -> socket.socket:
        """A socket in it."""
        with ns.in_namespace({"net": self.fd}):
            made = socket.socket(socket.AF_INET, kind)
        made.settimeout(5)
        return made


class World:
    """A node with a relay, and pods."""

    def __init__(self, program: Path, state: Path) -> None:
        self.node, self.pods = Space(), Space()
        self.node.ip("link set lo up")
        self.node.ip(f"link add cni0 type veth peer name eth0 netns {self.pods.holder.pid}")
        self.node.ip(f"addr add {NODE}/16 dev cni0")
        self.node.ip("link set cni0 up")
        for address in PODS:
            self.pods.ip(f"addr add {address}/16 dev eth0")
        self.pods.ip("link set eth0 up")
        self.path = state / "relay.sock"
        env = {**os.environ, "NETSIM_STATE": str(state), "UBSAN_OPTIONS": "halt_on_error=1"}
        env["ASAN_OPTIONS"] = "detect_leaks=0"
        self.process = subprocess.Popen([str(program)], env=env, stderr=subprocess.PIPE, text=True)
        self._opened = list[socket.socket]()
        self.control = self.connect()
        self._before = m.Counts(0, 0, 0, 0, 0)
        self.begin()

    def begin(self) -> None:
        """Take over as control: a node without services, which has counted nothing yet."""
        for each in self._opened:
            each.close()
        self._opened = []
        self.control = self.connect()
        self.say(m.command(m.BEGIN))
        self.say(m.command(m.NODE, 1, number(NODE)), self.node.fd)
        assert self.problems() == []
        self._before = m.Counts(0, 0, 0, 0, 0)
        self._before = self.counts()

    def close(self) -> str:
        """Ends everything; what the relay said on stderr."""
        for each in self._opened:
            each.close()
        self.process.terminate()
        with self.process:
            assert self.process.stderr
            said = self.process.stderr.read()
        self.node.close()
        self.pods.close()
        return said

    def connect(self) -> socket.socket:
        end = time.monotonic() + 10
        while True:
            made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._opened.append(made)
            made.settimeout(10)
            with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                made.connect(str(self.path))
                return made
            assert time.monotonic() < end
            time.sleep(0.01)

    def say(self, message: bytes, *fds: int) -> None:
        socket.send_fds(self.control, [message], list(fds))

    def problems(self) -> list[m.Problem]:
        """What is said so far is done then."""
        self.say(m.command(m.END))
        return m.read_problems(self.control.recv(m.ANSWER_BYTES_MAX))

    def counts(self) -> m.Counts:
        self.say(m.command(m.COUNTS))
        found = m.read_counts(self.control.recv(m.ANSWER_BYTES_MAX))[1]
        return m.Counts(*[now - before for now, before in zip(found, self._before, strict=True)])

    def descriptors(self) -> int:
        """That the relay has open."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def service(
        self,
        *endpoints: Endpoint,
        id_: int = 7,
        proto: int = 6,
        port: int = PORT,
        node_port: int = 0,
        affinity_s: int = 0,
    ) -> list[m.Problem]:
        rows = tuple(EndpointRow(number(addr), at) for addr, at in sorted(endpoints))
        front = (FrontendRow(0, node_port, "node-port"),) if node_port else ()
        row = ServiceRow(
            1, 80, proto, id_, "a/b", affinity_s, pack_endpoints(rows), frontends=front
        )
        self.say(m.service(row._replace(relay=RelayRow(port, rows))))
        return self.problems()

    def listener(self, address: str = PODS[0], port: int = 0) -> tuple[socket.socket, Endpoint]:
        """A listening endpoint."""
        made = self.pods.socket(socket.SOCK_STREAM)
        self._opened.append(made)
        made.bind((address, port))
        made.listen(64)
        return made, made.getsockname()

    def datagrams(self, address: str = PODS[0]) -> tuple[socket.socket, Endpoint]:
        """An endpoint of UDP, or a client."""
        made = self.pods.socket(socket.SOCK_DGRAM)
        self._opened.append(made)
        made.bind((address, 0))
        return made, made.getsockname()

    def client(self, source: str = PODS[1], port: int = PORT) -> socket.socket:
        """A connection to the service."""
        made = self.pods.socket(socket.SOCK_STREAM)
        self._opened.append(made)
        made.bind((source, 0))
        made.connect((NODE, port))
        return made

    def pair(self, listener: socket.socket) -> tuple[socket.socket, socket.socket]:
        """Both ends of a connection through the relay."""
        near = self.client()
        far, _ = listener.accept()
        self._opened.append(far)
        far.settimeout(5)
        return near, far


@pytest.fixture(scope="session")
def program(cc: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The relay; a finding of the sanitizers ends it."""
    out = tmp_path_factory.mktemp("relay") / "relay"
    sources = [str(path) for path in sorted(CSRC.glob("*.c"))]
    subprocess.run([cc, *FLAGS, *sources, "-o", str(out)], check=True)
    return out


@pytest.fixture(scope="module")
def shared(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    made = World(program, tmp_path_factory.mktemp("state"))
    try:
        yield made
    finally:
        said = made.close()
    assert "Sanitizer" not in said, said
    assert "runtime error" not in said, said


@pytest.fixture
def world(shared: World) -> World:
    shared.begin()
    return shared
