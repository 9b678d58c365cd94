"""Owns how init makes processes: becoming PID 1 itself, and starting programs in sandboxes."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from netsim.linux import ns, syscalls

LAUNCHER = str(Path(__file__).parents[1] / "launcher")  # csrc/launcher
REQUEST = struct.Struct("=IIII")  # descriptors, namespaces, arguments, variables
SO_SNDBUFFORCE, SEND_BUFFER_BYTES = 32, 8 << 20  # some thousand starts at once


def become_init() -> int:
    """Continue as PID 1 of a new PID namespace, with a mount namespace that the host cannot see.

    Returns the pid that the new process has on the host; the caller's process ends. Mounts made on
    the host later appear here too (and can be unmounted there), none made here appear there.
    """
    syscalls.unshare(syscalls.CLONE_NEWPID | syscalls.CLONE_NEWNS)
    syscalls.mount("", "/", "", syscalls.MS_REC | syscalls.MS_SLAVE)
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid:
        os.write(write_end, str(pid).encode())
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        return int(pipe.read())


class Launcher:
    """The program that starts programs (csrc/launcher); made anew when it has ended."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    def close(self) -> None:
        """Let it end."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def start(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: str,
        sandbox: Mapping[str, int],
        fds: Sequence[int],
    ) -> int:
        """Have a program started as leader of a session of its own; a pipe that tells how it went.

        It ends once the program runs, see `Outcome`. `fds` become 0, 1, 2, ...; the process is a
        child of ours. OSError when that cannot be asked for.
        """
        spaces = [sandbox[kind] for kind in ns.SANDBOX_KINDS if kind in sandbox]
        variables = [f"{name}={value}" for name, value in env.items()]
        head = REQUEST.pack(len(fds), len(spaces), len(argv), len(variables))
        message = head + "\0".join([cwd, *argv, *variables, ""]).encode(errors="surrogateescape")
        read_end, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            self._send(message, [*fds, write_end, *spaces])
        except OSError:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        return read_end

    def _send(self, message: bytes, fds: Sequence[int]) -> None:
        if self._socket is not None:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                socket.send_fds(self._socket, [message], fds)
                return
            self.close()
        self._socket = _start_launcher()
        socket.send_fds(self._socket, [message], fds)


def _start_launcher() -> socket.socket:
    """A launcher; who sends more than fits waits for nobody: BlockingIOError."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    near.setblocking(False)
    near.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, SEND_BUFFER_BYTES)
    with far:
        os.posix_spawn(
            LAUNCHER,
            [LAUNCHER],
            {},
            file_actions=[(os.POSIX_SPAWN_DUP2, far.fileno(), 0)],
            setsigmask=(),
            setsigdef=signal.valid_signals(),
        )
    return near


class Outcome:
    """What the pipe of a start tells. `pid` is 0 until that is known, `error` None for success."""

    __slots__ = ("_said", "error", "pid")

    def __init__(self) -> None:
        self.pid = 0
        self.error: OSError | None = None
        self._said = b""

    def read(self, pipe: int) -> bool:
        """Read what there is; whether that was all."""
        ended = False
        with contextlib.suppress(BlockingIOError):
            while data := os.read(pipe, 4096):
                self._said += data
            ended = True
        pid, _, failure = self._said.decode(errors="replace").partition(" ")
        self.pid = int(pid or 0)
        if failure:
            number, _, text = failure.partition(" ")
            self.error = OSError(int(number), text)
        elif ended and not pid:
            self.error = OSError(errno.EAGAIN, "no process could be made for it")
        return ended
