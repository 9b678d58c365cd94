"""Owns moving threads between namespaces, and descriptors of namespaces.

A namespace is always a descriptor here; kinds are the names that /proc/PID/ns uses. Only the
calling thread moves. For `mnt` the thread needs a working directory of its own (CLONE_FS).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping

from netsim.linux import syscalls

KINDS = {
    "net": syscalls.CLONE_NEWNET,
    "uts": syscalls.CLONE_NEWUTS,
    "mnt": syscalls.CLONE_NEWNS,
    "pid": syscalls.CLONE_NEWPID,
}
SANDBOX_KINDS = ("net", "uts", "mnt")  # in the order to enter: mnt last, it changes the paths


def open_current(kinds: tuple[str, ...] = SANDBOX_KINDS) -> dict[str, int]:
    """Descriptors of the calling thread's namespaces, by kind. The caller closes them."""
    directory = syscalls.open_quick("/proc/thread-self/ns", os.O_PATH | os.O_DIRECTORY)
    opened: dict[str, int] = {}
    try:
        for kind in kinds:
            opened[kind] = syscalls.open_quick(kind, os.O_RDONLY, directory)
    except OSError:
        close_all(opened)
        raise
    finally:
        syscalls.close_quick(directory)
    return opened


def close_all(fds: Mapping[str, int]) -> None:
    """Close descriptors given by name."""
    for fd in fds.values():
        syscalls.close_quick(fd)


def enter(fds: Mapping[str, int]) -> None:
    """Move the calling thread into those of `fds` that are namespaces of a sandbox, for good."""
    for kind in SANDBOX_KINDS:
        if kind in fds:
            syscalls.setns(fds[kind], KINDS[kind])


@contextlib.contextmanager
def in_namespace(fds: Mapping[str, int]) -> Iterator[None]:
    """Run the body in the sandbox of `fds` (`net`, `uts`, `mnt`; others are ignored), then return.

    Sockets and TUN devices opened inside stay in that namespace. Nothing awaited inside: another
    task of the same thread would run there too.
    """
    before = open_current(tuple(kind for kind in SANDBOX_KINDS if kind in fds))
    try:
        enter(fds)
        yield
    finally:
        try:
            enter(before)
        finally:
            close_all(before)


def identity(fd: int) -> tuple[int, int]:
    """What two descriptors of one namespace have in common: device and inode."""
    status = os.fstat(fd)
    return status.st_dev, status.st_ino
