"""Health checks of Services, answered on every node by this process. P-74.

Any request gets 200 if the node has a ready endpoint, 503 if not, and the number of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import NamedTuple

from netsim.controllers.health import HealthCheck

log = logging.getLogger(__name__)
REQUEST_MAX_S = 5.0
BACKLOG = 16


class Key(NamedTuple):
    """Where a health check is answered; `made`: a node that is made anew is another one."""

    node: str
    made: Hashable
    port: int


def answer(check: HealthCheck, node: str) -> bytes:
    """The answer of a node, headers and all."""
    count = check.endpoints.get(node, 0)
    body = {
        "service": {"namespace": check.service.namespace, "name": check.service.name},
        "localEndpoints": count,
        "serviceProxyHealthy": True,
    }
    text = json.dumps(body).encode()
    lines = [
        f"HTTP/1.1 {'200 OK' if count else '503 Service Unavailable'}",
        "Content-Type: application/json",
        "X-Content-Type-Options: nosniff",
        f"X-Load-Balancing-Endpoint-Weight: {count}",
        f"Content-Length: {len(text)}",
        "Connection: close",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + text


class HealthServers:
    """The listening sockets; `make` gives an unbound one in a node's namespace."""

    def __init__(self, make: Callable[[str], Awaitable[socket.socket]]) -> None:
        self._make = make
        self._checks: dict[int, HealthCheck] = {}
        self._servers: dict[Key, asyncio.Server] = {}
        self._known: tuple[object, ...] = ()

    @property
    def ports(self) -> dict[str, int]:
        """The ports that are answered, by "ns/name" of a Service."""
        return {"/".join(check.service): port for port, check in self._checks.items()}

    async def reconcile(self, checks: Sequence[HealthCheck], nodes: Mapping[str, Hashable]) -> None:
        """Answer these on these nodes, and no others. A port that is taken is logged and left.

        `nodes`: by name, what their sandboxes were made from.
        """
        state = (tuple(checks), tuple(sorted(nodes.items(), key=lambda node: node[0])))
        if state == self._known:
            return
        self._checks = {check.port: check for check in checks}
        wanted = {Key(*node, port) for node in state[1] for port in self._checks}
        for key in [key for key in self._servers if key not in wanted]:
            self._servers.pop(key).close()
        self._known = state
        for key in wanted - self._servers.keys():
            try:
                self._servers[key] = await self._listen(key)
            except OSError as error:
                log.warning("node %s: health check at port %d: %s", key.node, key.port, error)
                self._known = ()

    def close(self) -> None:
        """Stop answering."""
        for server in self._servers.values():
            server.close()
        self._servers.clear()

    async def _listen(self, key: Key) -> asyncio.Server:
        sock = await self._make(key.node)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("", key.port))
            sock.listen(BACKLOG)
        except OSError:
            sock.close()
            raise

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError, TimeoutError, EOFError, asyncio.LimitOverrunError):
                async with asyncio.timeout(REQUEST_MAX_S):
                    await reader.readuntil(b"\r\n\r\n")
                    check = self._checks.get(key.port)
                    if check is not None:
                        writer.write(answer(check, key.node))
                        await writer.drain()
            writer.close()

        return await asyncio.start_server(serve, sock=sock)
