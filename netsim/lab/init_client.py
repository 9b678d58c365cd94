"""Talks to init over init.sock; for control, the data plane and the command line."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from netsim.errors import ConflictError, NetsimError, NotFoundError
from netsim.lab import init_messages as m

Exited = m.Exited
ProcessRecord = m.ProcessRecord
TIMEOUT_S = 10.0


class InitClient:
    """One connection to init; made at the first call, made anew after a failed one.

    Methods may be called from any thread, one at a time. They raise NotFoundError (no such key or
    process, or no init), ConflictError (the process runs), OSError (of what init tried), ValueError
    (not a sensible request).
    """

    def __init__(self, path: str | os.PathLike[str], timeout_s: float = TIMEOUT_S) -> None:
        self._path = Path(path)
        self._timeout_s = timeout_s
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> InitClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def put(self, key: str, fds: Mapping[str, int]) -> dict[str, int]:
        """Give init copies of descriptors; the numbers they have there. The caller's stay open."""
        reply, _ = self._call(m.Put(key, list(fds)), list(fds.values()))
        return reply.numbers if isinstance(reply, m.Numbers) else _surprise(reply)

    def put_all(self, kept: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
        """As many `put`s, in as few messages as their descriptors fit in."""
        numbers: dict[str, dict[str, int]] = {}
        for group in _messages(kept):
            names = {key: list(fds) for key, fds in group.items()}
            flat = [fd for fds in group.values() for fd in fds.values()]
            reply, _ = self._call(m.PutAll(names), flat)
            numbers |= reply.keys if isinstance(reply, m.KeyPage) else _surprise(reply)
        return numbers

    def get(self, key: str) -> dict[str, int]:
        """Copies of the descriptors under `key`, by name; the caller closes them."""
        reply, fds = self._call(m.Get(key))
        names = reply.names if isinstance(reply, m.Names) else _surprise(reply)
        return dict(zip(names, fds, strict=True))

    def drop(self, key: str) -> None:
        """Have init close what it keeps under `key`, and kill what still runs in that sandbox."""
        self._call(m.Drop(key))

    def keys(self) -> dict[str, dict[str, int]]:
        """Everything kept: descriptor numbers in init by name, by key."""
        found: dict[str, dict[str, int]] = {}
        while True:
            reply, _ = self._call(m.Keys(max(found, default="")))
            page = reply if isinstance(reply, m.KeyPage) else _surprise(reply)
            found.update(page.keys)
            if not page.more:
                return found

    def spawn(
        self,
        key: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        *,
        sandbox: str | None = None,
        cwd: str = "/",
        fds: Sequence[int] = (),
    ) -> int:
        """Run a program and wait until it runs; its pid in the lab's PID namespace.

        `fds` become its 0, 1, 2, 3, ...; missing ones of the first three are /dev/null. OSError if
        it cannot be executed: FileNotFoundError, PermissionError, ...
        """
        reply, _ = self._call(m.Spawn(key, list(argv), dict(env), cwd, sandbox), fds)
        return reply.pid if isinstance(reply, m.Spawned) else _surprise(reply)

    def signal(self, key: str, signum: int) -> None:
        """Send a signal to a process and its group."""
        self._call(m.Signal(key, signum))

    def processes(self) -> list[ProcessRecord]:
        """All processes, control and data plane among them, in the order of their keys."""
        found: list[ProcessRecord] = []
        while True:
            reply, _ = self._call(m.Processes(found[-1].key if found else ""))
            page = reply if isinstance(reply, m.ProcessPage) else _surprise(reply)
            found += page.processes
            if not page.more:
                return found

    def forget(self, key: str) -> None:
        """Drop the record of an exited process, if there is one."""
        self._call(m.Forget(key))

    def shutdown(self) -> None:
        """Tell init to end the lab; it does within about two seconds of this call's return."""
        self._call(m.Shutdown())

    def _call(self, request: m.Request, fds: Sequence[int] = ()) -> tuple[m.Reply, list[int]]:
        message = encoded(request)
        with self._lock:
            try:
                if self._socket is None:
                    self._socket = connect(self._path, self._timeout_s)
                reply, received = _exchange(self._socket, message, fds)
            except OSError as error:
                self.close()
                raise NotFoundError(f"init does not answer on {self._path}", str(error)) from error
        if isinstance(reply, m.Failed):
            raise as_error(reply)
        return reply, received


def _messages(kept: Mapping[str, Mapping[str, int]]) -> Iterator[dict[str, Mapping[str, int]]]:
    """Parts of `kept` with as many descriptors as fit in a message."""
    group: dict[str, Mapping[str, int]] = {}
    count = 0
    for key, fds in kept.items():
        if group and count + len(fds) > m.FDS_MAX:
            yield group
            group, count = {}, 0
        group[key] = fds
        count += len(fds)
    if group:
        yield group


class ExitWatch:
    """A connection that tells of exits. Begin it, then list processes: nothing is missed.

    For asyncio: `loop.add_reader(watch.fileno(), ...)`, and `read` when readable.
    """

    def __init__(self, path: str | os.PathLike[str], timeout_s: float = TIMEOUT_S) -> None:
        self._socket = connect(Path(path), timeout_s)
        try:
            _exchange(self._socket, m.encode(m.Watch()), ())
        except OSError:
            self._socket.close()
            raise
        self._socket.setblocking(False)

    def fileno(self) -> int:
        """The descriptor to poll for input."""
        return self._socket.fileno()

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def read(self) -> list[Exited]:
        """The exits told since the last call. ConnectionError: init is gone, or gave up on us.

        In the second case begin a new watch and list the processes.
        """
        events: list[Exited] = []
        while True:
            try:
                data = self._socket.recv(m.MESSAGE_BYTES_MAX)
            except BlockingIOError:
                return events
            if not data:
                raise ConnectionResetError("init closed the watch")
            event = m.decode_reply(data)
            if isinstance(event, m.Exited):
                events.append(event)


def encoded(request: m.Request) -> bytes:
    """A request's datagram. ValueError: it is too long."""
    message = m.encode(request)
    if len(message) > m.MESSAGE_BYTES_MAX:
        raise ValueError(f"{len(message)} bytes are more than init takes")
    return message


def connect(path: Path, timeout_s: float) -> socket.socket:
    """A connection to init. OSError: there is none."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.settimeout(timeout_s)
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


def _exchange(
    connection: socket.socket, message: bytes, fds: Sequence[int]
) -> tuple[m.Reply, list[int]]:
    socket.send_fds(connection, [message], fds)
    data, received, _ = m.receive(connection)
    if not data:
        raise ConnectionResetError("init closed the connection")
    return m.decode_reply(data), received


def as_error(failed: m.Failed) -> Exception:
    """The exception that a reply means."""
    match failed.kind:
        case "missing":
            return NotFoundError(failed.text)
        case "exists":
            return ConflictError(failed.text)
        case "os":
            return OSError(failed.errno, failed.text)
        case _:
            return ValueError(failed.text)


def _surprise(reply: m.Reply) -> NoReturn:
    raise NetsimError(f"init gave an unexpected answer: {type(reply).__name__}")
