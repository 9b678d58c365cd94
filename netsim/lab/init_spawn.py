"""Owns how init makes processes: becoming PID 1 itself, and starting programs in sandboxes."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from netsim.linux import ns, syscalls

LAUNCHER = str(Path(__file__).parents[1] / "launcher")  # csrc/launcher


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


def spawn(
    argv: Sequence[str],
    env: Mapping[str, str],
    cwd: str,
    sandbox: Mapping[str, int],
    fds: Sequence[int],
) -> tuple[int, int]:
    """Start a program as leader of a session of its own; its pid and a pipe.

    The pipe ends empty once the program runs; otherwise it gives `errno text` (see exec_error).
    `fds` become 0, 1, 2, ...; every other descriptor of the caller must be close-on-exec. OSError
    when no process can be made.
    """
    read_end, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    spaces = [sandbox[kind] for kind in ns.SANDBOX_KINDS if kind in sandbox]
    moved: list[int] = []
    try:
        places = _out_of_the_way([*fds, write_end, *spaces], moved)
        pid = os.posix_spawn(
            LAUNCHER,
            [LAUNCHER, str(len(fds)), str(len(spaces)), cwd, *argv],
            env,
            file_actions=[(os.POSIX_SPAWN_DUP2, fd, place) for place, fd in enumerate(places)],
            setsigmask=(),
            setsigdef=signal.valid_signals(),
        )
    except OSError:
        os.close(read_end)
        raise
    finally:
        for fd in (write_end, *moved):
            os.close(fd)
    return pid, read_end


def _out_of_the_way(fds: Sequence[int], moved: list[int]) -> list[int]:
    """The descriptors, with copies (`moved` too) of those that one of the places is taken by."""
    placed: list[int] = []
    for fd in fds:
        if fd < len(fds):
            fd = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, len(fds))
            moved.append(fd)
        placed.append(fd)
    return placed


def exec_error(pipe: int) -> OSError | None:
    """What went wrong before a program ran, read from its pipe; None if it runs (or ran)."""
    try:
        data = os.read(pipe, 4096)
    except BlockingIOError:
        return None
    number, _, text = data.decode(errors="replace").partition(" ")
    return OSError(int(number), text) if number else None
