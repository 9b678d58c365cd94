"""The control side's end of the relay: what it does, what it should do, and reconnecting.

Level-triggered, as the data plane's link is. Who connects does not ask what the relay does: it
says everything, and the relay keeps what is the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from netsim.dataplane.rows import ServiceKey, ServiceRow, Tables
from netsim.errors import NetsimError
from netsim.lab import relay_messages as m
from netsim.linux import ns
from netsim.maps import different

log = logging.getLogger(__name__)
ANSWER_S = 20.0
CONNECT_S, CONNECT_PAUSE_S = 1.0, 0.01
RETRY_S = 5.0  # for what could not be opened
SO_SNDBUFFORCE, SEND_BUFFER_BYTES = 32, 4 << 20


class Node(NamedTuple):
    """A node that relays: the address of its cni0, and what its sandbox was made from."""

    address: int
    made: Hashable


class RelayLink:
    """Keeps the relay equal to the tables; `open_node` gives descriptors of a node's sandbox.

    `wake` is called when a pass is needed.
    """

    def __init__(
        self, path: Path, open_node: Callable[[str], dict[str, int]], wake: Callable[[], None]
    ) -> None:
        self._path, self._open_node, self._wake = path, open_node, wake
        self._socket: socket.socket | None = None
        self._lock = asyncio.Lock()
        self._swept = False  # what an earlier control wanted is gone
        self._numbers: dict[str, int] = {}
        self._nodes: dict[str, Node] = {}  # as wanted, as told
        self._told_nodes: dict[str, Node] = {}
        self._services: Mapping[ServiceKey, ServiceRow] = {}
        self._told: Mapping[ServiceKey, ServiceRow] = {}
        self._problems: dict[m.Problem, str] = {}
        self._retry: asyncio.TimerHandle | None = None  # one, however often they are seen
        self._error = ""

    @property
    def errors(self) -> tuple[str, ...]:
        """Why it does not do what it should. Without a node port it does, as kube-proxy would."""
        lines = [line for problem, line in self._problems.items() if not problem.claim]
        return tuple(filter(None, (self._error, *lines)))

    async def prepare(self, desired: Tables, made: Mapping[str, Hashable]) -> bool:
        """Tell it what is new, so that it listens before anything is sent there; whether it does.

        `made`: by name, what nodes' sandboxes were made from.
        """
        async with self._lock:  # who asks for counts may be telling it everything
            self._nodes = {
                name: Node(row.cni_addr, made[name])
                for name, row in desired.nodes.items()
                if row.proxy.relays and name in made
            }
            self._services = desired.services if self._nodes else {}
        return self._is_told() or await self._exchange(self._add)

    async def finish(self) -> bool:
        """Tell it what is gone, once nothing is sent there any more; whether it knows."""
        return self._is_told() or await self._exchange(self._drop)

    async def counts(self) -> Mapping[str, m.Counts]:
        """What happened, by node that relays; nothing while it can not be asked."""
        found: dict[int, m.Counts] = {}

        def ask(connection: socket.socket) -> None:
            connection.send(m.command(m.COUNTS))
            found.update(m.read_counts(_answer(connection)))

        if self._nodes:
            await self._exchange(ask)
        return {n: found[i] for n, i in self._numbers.items() if i in found and n in self._nodes}

    def close(self) -> None:
        """End the connection."""
        if self._socket is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
        self._socket = None
        self._told_nodes, self._told = {}, {}

    def _is_told(self) -> bool:
        """Whether it knows all that there is; who has no nodes needs no relay."""
        if not self._swept or self._problems:
            return False
        if not self._nodes and not self._told_nodes:
            return True
        told = self._told_nodes == self._nodes and self._told is self._services
        return told and self._socket is not None

    async def _exchange(self, say: Callable[[socket.socket], None]) -> bool:
        async with self._lock:
            loop = asyncio.get_running_loop()
            if self._socket is not None:
                loop.remove_reader(self._socket.fileno())
            try:
                connection = await asyncio.to_thread(self._say, say)
            except (NetsimError, OSError, EOFError) as error:
                self._error = f"relay: {error}"
                self.close()
                return False
            self._error = ""
            loop.add_reader(connection.fileno(), self._gone)
            self._try_again_later(loop)
        return True

    def _try_again_later(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._retry is not None:
            self._retry.cancel()
        self._retry = loop.call_later(RETRY_S, self._wake) if self._problems else None

    def _gone(self) -> None:
        """It says something unasked: that it has ended."""
        log.warning("the relay went away")
        self.close()
        self._wake()

    def _say(self, say: Callable[[socket.socket], None]) -> socket.socket:
        """In a thread; OSError, EOFError: it is not there; NetsimError: the node is not."""
        if self._socket is None:
            self._socket = _connect(self._path)
            self._socket.send(m.command(m.BEGIN))
            self._add(self._socket)
            self._told_nodes, self._told = self._nodes, self._services
            self._swept = True
        say(self._socket)
        return self._socket

    def _add(self, connection: socket.socket) -> None:
        for name, node in self._nodes.items():
            if self._told_nodes.get(name) != node:
                self._add_node(connection, name, node)
        self._told_nodes = {**self._told_nodes, **self._nodes}
        for key in different(self._told, self._services):
            row = self._services.get(key)
            if row is not None and row.relay is not None and row != self._told.get(key):
                connection.send(m.service(row))
        self._end(connection)

    def _add_node(self, connection: socket.socket, name: str, node: Node) -> None:
        if name in self._told_nodes:  # it was made anew
            connection.send(m.command(m.DROP_NODE, self._numbers[name]))
        number = self._numbers.setdefault(name, len(self._numbers) + 1)
        fds = self._open_node(name)
        try:
            socket.send_fds(connection, [m.command(m.NODE, number, node.address)], [fds["net"]])
        finally:
            ns.close_all(fds)

    def _drop(self, connection: socket.socket) -> None:
        for name in self._told_nodes.keys() - self._nodes.keys():
            connection.send(m.command(m.DROP_NODE, self._numbers[name]))
        keys = different(self._told, self._services)
        for number in _relayed(self._told, keys) - _relayed(self._services, keys):
            connection.send(m.command(m.DROP_SERVICE, number))
        self._told_nodes, self._told = self._nodes, self._services

    def _end(self, connection: socket.socket) -> None:
        """Have it open what is not open; what can not be is logged once."""
        connection.send(m.command(m.END))
        names = {number: name for name, number in self._numbers.items()}
        found = m.read_problems(_answer(connection))
        services = {row.id: row for row in self._services.values()} if found else {}
        problems = {
            problem: _shown(problem, names.get(problem.node, ""), row)
            for problem in found
            if (row := services.get(problem.service))
        }
        for problem in problems.keys() - self._problems.keys():
            log.warning("%s", problems[problem])
        self._problems = problems


def _relayed(rows: Mapping[ServiceKey, ServiceRow], keys: Iterable[ServiceKey]) -> set[int]:
    """Numbers of service ports that are relayed, of those with these keys."""
    found = [row for key in keys if (row := rows.get(key)) is not None]
    return {row.id for row in found if row.relay is not None}


def _shown(problem: m.Problem, node: str, row: ServiceRow) -> str:
    port = m.node_port(row) if problem.claim else row.relay.port if row.relay else 0
    what = "node port" if problem.claim else "port"
    return f"node {node}: relay: {row.name}: {what} {port}: {os.strerror(problem.errno)}"


def _connect(path: Path) -> socket.socket:
    """A connection; init starts it again if it has ended. OSError: it does not come."""
    deadline = time.monotonic() + CONNECT_S
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            connection.connect(str(path))
        except OSError:
            connection.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(CONNECT_PAUSE_S)
            continue
        connection.settimeout(ANSWER_S)
        connection.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, SEND_BUFFER_BYTES)
        return connection


def _answer(connection: socket.socket) -> bytes:
    """EOFError: there is none."""
    answer = connection.recv(m.ANSWER_BYTES_MAX)
    if not answer:
        raise EOFError("it ended")
    return answer
