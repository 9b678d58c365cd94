"""Readiness probes: when to ask, what the answers mean, and asking over HTTP and TCP. Spec M-10.

As kubelet does, probes of a pod come from its node: sockets are made in the node's network
namespace, by a thread that visits it, and then used by the event loop like any others.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from netsim.api.pods import Probe
from netsim.linux import ns

USER_AGENT = "kube-probe/netsim"
HEAD_BYTES_MAX = 64 << 10
# Read before hanging up, so that the server does not see a reset.
BODY_BYTES = 10 << 10
SocketMaker = Callable[[str], Awaitable[socket.socket]]


@dataclass(slots=True)
class Readiness:
    """Turns the results of one container's probe into ready or not."""

    probe: Probe
    ready: bool = False
    successes: int = 0
    failures: int = 0

    def record(self, *, success: bool) -> bool:
        """Count one result; whether the container is ready now."""
        self.successes = self.successes + 1 if success else 0
        self.failures = 0 if success else self.failures + 1
        if self.successes >= self.probe.success_threshold:
            self.ready = True
        elif self.failures >= self.probe.failure_threshold:
            self.ready = False
        return self.ready


@dataclass(slots=True)
class NodeSockets:
    """Sockets in nodes' network namespaces, made by one thread.

    `open_node` returns the descriptors of a node's sandbox (OSError or NotFoundError if there is
    none), which are closed after use.
    """

    open_node: Callable[[str], dict[str, int]]
    _thread: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="probe-sockets")
    )

    async def make(self, node: str, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
        """A non-blocking socket that speaks from the node, of TCP if not of another kind."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._make, node, kind)

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()

    def _make(self, node: str, kind: socket.SocketKind) -> socket.socket:
        fds = self.open_node(node)
        try:
            with ns.in_namespace({"net": fds["net"]}):
                made = socket.socket(socket.AF_INET, kind)
        finally:
            ns.close_all(fds)
        made.setblocking(False)
        return made


async def ask(probe: Probe, address: str, port: int, make: SocketMaker, node: str) -> bool:
    """Whether an HTTP or TCP probe succeeds within its timeout."""
    try:
        async with asyncio.timeout(probe.timeout_s):
            with contextlib.closing(await make(node)) as connection:
                loop = asyncio.get_running_loop()
                await loop.sock_connect(connection, (probe.host or address, port))
                return probe.action == "tcp" or await _http(probe, address, port, connection)
    except (OSError, ValueError, EOFError, TimeoutError):
        return False


async def _http(probe: Probe, address: str, port: int, connection: socket.socket) -> bool:
    """GET; 200 to 399 is success. Certificates are not checked, as kubelet does not."""
    secure = _any_certificate() if probe.scheme == "HTTPS" else None
    reader, writer = await asyncio.open_connection(
        sock=connection, ssl=secure, server_hostname="" if secure else None, limit=HEAD_BYTES_MAX
    )
    try:
        writer.write(request(probe, f"{probe.host or address}:{port}"))
        await writer.drain()
        code = status_code(await reader.readline())
        await reader.read(BODY_BYTES)
        return 200 <= code < 400
    finally:
        writer.transport.abort()


def request(probe: Probe, host: str) -> bytes:
    """The request that kubelet makes; the probe's headers take the place of the usual ones."""
    headers = {"host": ("Host", host), "user-agent": ("User-Agent", USER_AGENT)}
    headers["accept"] = ("Accept", "*/*")
    headers["connection"] = ("Connection", "close")
    headers.update({name.lower(): (name, value) for name, value in probe.headers})
    path = probe.path if probe.path.startswith("/") else f"/{probe.path}"
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.values())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def status_code(line: bytes) -> int:
    """The code of an HTTP status line. ValueError if it is none."""
    version, _, rest = line.partition(b" ")
    if not version.startswith(b"HTTP/"):
        raise ValueError("not HTTP")
    return int(rest[:3])


def _any_certificate() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
