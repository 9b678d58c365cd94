"""HTTP on every node, answered by this process: health checks of Services, and of the proxy."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable, Hashable, Mapping
from http import HTTPStatus
from typing import NamedTuple, TypeAlias

log = logging.getLogger(__name__)
REQUEST_MAX_S = 5.0
BACKLOG = 16

Answer: TypeAlias = Callable[[str, str], Awaitable[bytes]]
"""From the node that was asked and the request's path to a whole answer."""


class Key(NamedTuple):
    """Where something is answered; `made`: a node that is made anew is another one."""

    node: str
    made: Hashable
    port: int


def http(code: int, body: bytes, kind: str = "application/json", *more: str) -> bytes:
    """An answer, headers and all."""
    lines = [
        f"HTTP/1.1 {code} {HTTPStatus(code).phrase}",
        f"Content-Type: {kind}",
        "X-Content-Type-Options: nosniff",
        *more,
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class NodeServers:
    """The listening sockets; `make` gives an unbound one in a node's namespace."""

    def __init__(self, make: Callable[[str], Awaitable[socket.socket]]) -> None:
        self._make = make
        self._answers: Mapping[int, Answer] = {}
        self._servers: dict[Key, asyncio.Server] = {}
        self._known: tuple[object, ...] = ()

    async def reconcile(self, answers: Mapping[int, Answer], nodes: Mapping[str, Hashable]) -> None:
        """Answer at these ports of these nodes, and no others. A taken one is logged and left.

        `nodes`: by name, what their sandboxes were made from.
        """
        self._answers = answers
        state = (tuple(sorted(answers)), tuple(sorted(nodes.items(), key=lambda node: node[0])))
        if state == self._known:
            return
        wanted = {Key(*node, port) for node in state[1] for port in answers}
        for key in [key for key in self._servers if key not in wanted]:
            self._servers.pop(key).close()
        self._known = state
        for key in wanted - self._servers.keys():
            try:
                self._servers[key] = await self._listen(key)
            except OSError as error:
                log.warning("node %s: port %d: %s", key.node, key.port, error)
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
                    head = await reader.readuntil(b"\r\n\r\n")
                    answer = self._answers.get(key.port)
                    if answer is not None:
                        writer.write(await answer(key.node, _path(head)))
                        await writer.drain()
            writer.close()

        return await asyncio.start_server(serve, sock=sock)


def _path(head: bytes) -> str:
    """The path of a request without its query; empty if it is none."""
    words = head.partition(b"\r\n")[0].split(b" ")
    return words[1].partition(b"?")[0].decode("latin-1") if len(words) > 1 else ""
