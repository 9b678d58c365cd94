"""The control side of the data plane's socket: one typed, asynchronous method per message.

Requests may overlap; answers come in order. When the connection ends, whoever waits gets EOFError,
and `closed` is set. What the data plane refuses is a RefusedError.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import AsyncIterator, Mapping
from os import PathLike, fspath
from typing import Self, TypeVar

from netsim.dataplane import messages as m
from netsim.dataplane.io_methods import refusal
from netsim.dataplane.records import FlowFilter, TraceFilter
from netsim.dataplane.rows import Changes, Tables
from netsim.errors import NetsimError

CHUNK_BYTES = 1 << 18
FULL_RETRY_S = 0.001

R = TypeVar("R", bound=m.Message)


class RefusedError(NetsimError, OSError):
    """The data plane could not do what it was asked. `kind` is not-found, invalid or failed."""

    def __init__(self, what: str, why: str, kind: str = "failed") -> None:
        super().__init__(what, why)
        self.kind = kind


class DataplaneClient:
    """A connection to a data plane process; made by `connect()`."""

    def __init__(self, sock: socket.socket) -> None:
        self.closed = asyncio.Event()
        self._sock = sock
        self._sending = asyncio.Lock()
        self._waiting: deque[asyncio.Future[m.Reply]] = deque()
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def connect(cls, path: str | PathLike[str]) -> Self:
        """Connect to the socket at `path`. OSError: nobody listens."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, fspath(path))
        except BaseException:
            sock.close()
            raise
        return cls(sock)

    async def close(self) -> None:
        """End the connection; captures that it started end too."""
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)

    async def hello(self, hello: m.Hello) -> m.Welcome:
        """Say what the engine must be. RefusedError: it ends, to come back as such."""
        return await self._ask(hello, m.Welcome)

    async def tables(self) -> Tables:
        """What is applied; changes are to this from here on."""
        return (await self._ask(m.GetTables(), m.TablesAre)).tables

    async def apply(self, changes: Changes, revision: int) -> Mapping[str, int]:
        """Apply and publish; the revision that each node then runs.

        The first changes of a connection are to nothing, unless `tables()` came before.
        RefusedError names the rows that were left out; all others are in place.
        """
        done = await self._ask(m.Apply(changes, revision), m.Applied)
        if done.problems:
            raise RefusedError("rows were left out", "; ".join(done.problems), "invalid")
        return done.revisions

    async def stats(self) -> Mapping[str, Mapping[str, object]]:
        """Counters by node, as `NodeStats` names them."""
        found = await self._ask(m.GetStats(), m.Stats)
        return {name: stats._asdict() for name, stats in found.nodes.items()}

    async def all_stats(self) -> m.Stats:
        """Counters of nodes and ifaces."""
        return await self._ask(m.GetStats(), m.Stats)

    async def flows(self, node: str, match: FlowFilter | None = None) -> AsyncIterator[m.Flows]:
        """A node's tracked connections, in parts; what comes or goes meanwhile may be missed."""
        part = await self._ask(m.GetFlows(node, 0, match), m.Flows)
        yield part
        while part.cursor:
            part = await self._ask(m.GetFlows(node, part.cursor, match), m.Flows)
            yield part

    async def clear_flows(self, node: str) -> None:
        """Forget the tracked connections of a node."""
        await self._ask(m.ClearFlows(node), m.Done)

    async def trace(self, match: TraceFilter | None, node: str = "") -> None:
        """Mark packets that match, at a node or all; None: no more."""
        await self._ask(m.Trace(node, match), m.Done)

    async def trace_drain(self) -> m.Decisions:
        """Decision records since the last call."""
        return await self._ask(m.TraceDrain(), m.Decisions)

    async def capture_start(self, target: str, fd: int, snaplen: int = 0) -> int:
        """Write pcapng of "pod/NS/NAME" or "node/NAME" to a copy of fd; returns an id."""
        return (await self._ask(m.CaptureStart(target, snaplen), m.CaptureStarted, fd)).id

    async def capture_stop(self, capture: int) -> m.CaptureStopped:
        """End a capture."""
        return await self._ask(m.CaptureStop(capture), m.CaptureStopped)

    async def info(self) -> Mapping[str, object]:
        """Facts of the process, as `netsim status -o json` prints them."""
        info = await self._ask(m.GetInfo(), m.Info)
        return {
            "pid": info.pid,
            "uptimeSeconds": round(info.uptime_s, 3),
            "openFiles": info.open_files,
            "workers": info.engine.workers,
            "io": info.engine.io,
            "ioReason": refusal(info.engine.io_errno),
            "services": info.engine.services,
            "tablesBytes": info.engine.tables_bytes,
            "flowsBytes": info.engine.flows_bytes,
            "retiredWaiting": info.engine.retired_waiting,
        }

    async def revisions(self) -> Mapping[str, int]:
        """The revision that each node runs."""
        return (await self._ask(m.GetRevisions(), m.Revisions)).nodes

    async def _ask(self, request: m.Message, expected: type[R], fd: int | None = None) -> R:
        loop = asyncio.get_running_loop()
        data = m.pack(request)
        async with self._sending:
            if self.closed.is_set():
                raise EOFError("the data plane has closed the connection")
            answer: asyncio.Future[m.Reply] = loop.create_future()
            self._waiting.append(answer)
            if fd is not None:
                data = data[await self._send_with(data[:1], fd) :]
            await loop.sock_sendall(self._sock, data)
        reply = await answer
        if isinstance(reply, m.Failed):
            raise RefusedError(f"data plane: {type(request).__name__}", reply.text, reply.kind)
        if not isinstance(reply, expected):
            raise EOFError(f"{type(reply).__name__} in answer to {type(request).__name__}")
        return reply

    async def _send_with(self, data: bytes, fd: int) -> int:
        while True:
            try:
                return socket.send_fds(self._sock, [data], [fd])
            except BlockingIOError:
                await asyncio.sleep(FULL_RETRY_S)

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        received = bytearray()
        try:
            while data := await loop.sock_recv(self._sock, CHUNK_BYTES):
                received += data
                while (body := m.take(received)) is not None:
                    answer = self._waiting.popleft()
                    if not answer.done():  # its asker may have given up
                        answer.set_result(m.reply_decoder.decode(body))
        except OSError:
            pass  # as good as closed
        finally:
            self._sock.close()
            self.closed.set()
            for answer in self._waiting:
                if not answer.done():
                    answer.set_exception(EOFError("the data plane has closed the connection"))
            self._waiting.clear()
