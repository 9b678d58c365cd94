"""Starts programs through init without waiting for one before the next, in the event loop.

Requests go out one after the other on a connection of their own; replies name the process that they
are about, because programs run in another order than they were asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from pathlib import Path

from netsim.errors import ConflictError, NotFoundError
from netsim.lab import init_messages as m
from netsim.lab.init_client import as_error, connect, encoded

CONNECT_S = 10.0


class Starts:
    """A connection to init for Spawn requests; made at the first one, anew after it is lost."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket: socket.socket | None = None
        self._replies: dict[str, asyncio.Future[int]] = {}
        self._sending = asyncio.Lock()

    async def start(self, request: m.Spawn, fds: Sequence[int]) -> int:
        """The pid of the program once it runs. Errors are those of InitClient.spawn."""
        if request.key in self._replies:
            raise ConflictError(f"{request.key} is being started")
        message = encoded(request)
        reply: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._replies[request.key] = reply
        try:
            async with self._sending:
                await self._send(message, fds)
            return await reply
        except OSError as error:
            if reply.done():
                raise
            self._lose(error)
            raise self._lost(error) from error
        finally:
            self._replies.pop(request.key, None)

    def close(self) -> None:
        """End the connection; who waits for a start gets NotFoundError."""
        self._lose(ConnectionAbortedError("closed"))

    async def _send(self, message: bytes, fds: Sequence[int]) -> None:
        loop = asyncio.get_running_loop()
        if self._socket is None:
            self._socket = connect(self._path, CONNECT_S)
            self._socket.setblocking(False)
            loop.add_reader(self._socket.fileno(), self._receive)
        while True:
            with contextlib.suppress(BlockingIOError):
                socket.send_fds(self._socket, [message], fds)
                return
            writable = asyncio.Event()
            loop.add_writer(self._socket.fileno(), writable.set)
            try:
                await writable.wait()
            finally:
                loop.remove_writer(self._socket.fileno())
            if self._socket is None:
                raise ConnectionResetError("init closed the connection")

    def _receive(self) -> None:
        """Hand out the replies that are there."""
        while self._socket is not None:
            try:
                data, _, _ = m.receive(self._socket)
                if not data:
                    raise ConnectionResetError("init closed the connection")
            except BlockingIOError:
                return
            except OSError as error:
                self._lose(error)
                return
            self._hand_out(m.decode_reply(data))

    def _hand_out(self, reply: m.Reply) -> None:
        if not isinstance(reply, m.Spawned | m.Failed):
            return
        waiting = self._replies.get(reply.key)
        if waiting is None or waiting.done():
            return
        if isinstance(reply, m.Spawned):
            waiting.set_result(reply.pid)
        else:
            waiting.set_exception(as_error(reply))

    def _lose(self, error: OSError) -> None:
        """Close the connection and tell all who wait."""
        if self._socket is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None
        for waiting in self._replies.values():
            if not waiting.done():
                waiting.set_exception(self._lost(error))

    def _lost(self, error: OSError) -> NotFoundError:
        return NotFoundError(f"init does not answer on {self._path}", str(error))
