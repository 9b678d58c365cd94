"""Owns what is said over init.sock: one request or reply is one datagram, msgpack of a Struct.

Descriptors travel beside it (SCM_RIGHTS), in the order of `names` where there are names. A reply
belongs to the last request on its connection; after Watch, Exited events come between replies.
Spawn requests need not wait for each other: their replies name the key.
"""

from __future__ import annotations

import array
import socket
import threading
from collections.abc import Sequence

import msgspec

MESSAGE_BYTES_MAX = 192 * 1024  # below the default send buffer of a Unix socket
FDS_MAX = 253  # of one message: the kernel's SCM_MAX_FD
PAGE_KEYS = 400  # in one reply to Keys or Processes


class Put(msgspec.Struct, tag=True, frozen=True):
    """Keep descriptors under `key`, instead of those kept there before. Reply: Numbers."""

    key: str
    names: Sequence[str]


class PutAll(msgspec.Struct, tag=True, frozen=True):
    """As many Puts: names by key, the descriptors in their order. Reply: KeyPage of these keys."""

    names: dict[str, list[str]]


class Get(msgspec.Struct, tag=True, frozen=True):
    """Copies of the descriptors under `key`. Reply: Names with descriptors, or Failed missing."""

    key: str


class Drop(msgspec.Struct, tag=True, frozen=True):
    """Close the descriptors under `key`; programs that still run in that sandbox are killed.

    Reply: Done, also when there are none.
    """

    key: str


class Keys(msgspec.Struct, tag=True, frozen=True):
    """All keys beyond `after`, PAGE_KEYS of them. Reply: KeyPage."""

    after: str = ""


class Spawn(msgspec.Struct, tag=True, frozen=True):
    """Run a program: descriptors sent along become its 0, 1, 2, 3, ...; /dev/null where missing.

    `sandbox` is the key whose `net`, `uts` and `mnt` it joins; None for init's own. Reply: Spawned
    once it runs, or Failed: exists (a process with that key runs), missing (sandbox), os (exec).
    """

    key: str
    argv: Sequence[str]
    env: dict[str, str]
    cwd: str
    sandbox: str | None


class Signal(msgspec.Struct, tag=True, frozen=True):
    """Send a signal to the process group of a process. Reply: Done, or Failed missing."""

    key: str
    signum: int


class Processes(msgspec.Struct, tag=True, frozen=True):
    """All processes whose key is beyond `after`, PAGE_KEYS of them. Reply: ProcessPage."""

    after: str = ""


class Watch(msgspec.Struct, tag=True, frozen=True):
    """From now on this connection gets Exited events. Reply: Done."""


class Forget(msgspec.Struct, tag=True, frozen=True):
    """Drop the record of a process that has exited. Reply: Done, or Failed exists (it runs)."""

    key: str


class Shutdown(msgspec.Struct, tag=True, frozen=True):
    """End the lab: SIGTERM to every process, then init exits. Reply: Done, at once."""


class Done(msgspec.Struct, tag=True, frozen=True):
    """It was done."""


class Numbers(msgspec.Struct, tag=True, frozen=True):
    """The numbers that descriptors have in init, by name."""

    numbers: dict[str, int]


class Names(msgspec.Struct, tag=True, frozen=True):
    """The names of the descriptors that come with this reply."""

    names: list[str]


class KeyPage(msgspec.Struct, tag=True, frozen=True):
    """Keys, in order, with their descriptors' numbers; `more` follow."""

    keys: dict[str, dict[str, int]]
    more: bool


class Spawned(msgspec.Struct, tag=True, frozen=True):
    """The program runs; `pid` is that of the lab's PID namespace."""

    key: str
    pid: int


class ProcessRecord(msgspec.Struct, frozen=True):
    """One process; of `exit_code` and `signum` (that killed it) one is set once it has exited."""

    key: str
    pid: int
    running: bool
    exit_code: int | None
    signum: int | None


class ProcessPage(msgspec.Struct, tag=True, frozen=True):
    """Process records, in the order of their keys; `more` follow."""

    processes: list[ProcessRecord]
    more: bool


class Exited(msgspec.Struct, tag=True, frozen=True):
    """A process has exited: by itself (`exit_code`) or by a signal."""

    key: str
    pid: int
    exit_code: int | None
    signum: int | None


class Failed(msgspec.Struct, tag=True, frozen=True):
    """The request failed: `kind` is missing, exists, os (with `errno`) or invalid.

    `key` is that of a Spawn.
    """

    kind: str
    text: str
    errno: int = 0
    key: str = ""


Request = Put | PutAll | Get | Drop | Keys | Spawn | Signal | Processes | Watch | Forget | Shutdown
Reply = Done | Numbers | Names | KeyPage | Spawned | ProcessPage | Exited | Failed

encode = msgspec.msgpack.Encoder().encode
decode_request = msgspec.msgpack.Decoder(Request).decode
decode_reply = msgspec.msgpack.Decoder(Reply).decode


class _Room(threading.local):
    """What a thread receives into: memory for the longest message is costly to get each time."""

    def __init__(self) -> None:
        self.data = memoryview(bytearray(MESSAGE_BYTES_MAX))


_room = _Room()
_FDS_ROOM = socket.CMSG_SPACE(FDS_MAX * array.array("i").itemsize)


def receive(connection: socket.socket) -> tuple[bytes, list[int], int]:
    """One message, its descriptors (close-on-exec) and flags; no bytes: the other side is gone.

    `socket.recv_fds` will not do: in Python 3.11 it forgets the flags that it is given.
    """
    into = _room.data
    size, parts, flags, _ = connection.recvmsg_into([into], _FDS_ROOM, socket.MSG_CMSG_CLOEXEC)
    fds = array.array("i")
    for level, kind, content in parts:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
    return bytes(into[:size]), list(fds), flags
