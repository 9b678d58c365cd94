"""Owns the system calls that Python 3.11 lacks: namespaces, mounts, process control.

Each raises OSError naming what it worked on. Calls of microseconds keep the GIL: giving it up would
let a busy thread take it for a whole switch interval (5 ms), thirty times per pod. `unshare` can
wait for the kernel and releases it.
"""

from __future__ import annotations

import ctypes
import os

CLONE_FS = 0x00000200
CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REC = 1 << 14
MS_SLAVE = 1 << 19
MNT_DETACH = 2

PR_SET_PDEATHSIG = 1
MSG_DONTWAIT = 0x40

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
OPEN_TREE_CLONE = 1
MOVE_MOUNT_F_EMPTY_PATH = 4
FSOPEN_CLOEXEC = 1
FSCONFIG_CMD_CREATE = 6
FSMOUNT_CLOEXEC = 1
# The same numbers on every architecture (they are newer than the common table).
SYS_OPEN_TREE, SYS_MOVE_MOUNT, SYS_FSOPEN, SYS_FSCONFIG, SYS_FSMOUNT = 428, 429, 430, 431, 432

_quick = ctypes.PyDLL(None, use_errno=True)
_waiting = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def unshare(flags: int) -> None:
    """Give the calling thread namespaces (or, with CLONE_FS, a working directory) of its own."""
    _checked(_waiting.unshare(flags), f"unshare {flags:#x}")


def setns(fd: int, kind: int) -> None:
    """Move the calling thread into the namespace that `fd` refers to; `kind` is a CLONE_NEW flag.

    CLONE_NEWPID concerns the children made from then on.
    """
    _checked(_quick.setns(fd, kind), f"setns {kind:#x}")


def sethostname(name: str) -> None:
    """Name the calling thread's UTS namespace."""
    raw = name.encode()
    _checked(_quick.sethostname(raw, len(raw)), f"hostname {name}")


def mount(source: str, target: str, fstype: str, flags: int) -> None:
    """Mount, without data; empty `source` and `fstype` for a change of propagation."""
    result = _quick.mount(
        source.encode() or None,
        target.encode(),
        fstype.encode() or None,
        ctypes.c_ulong(flags),
        None,
    )
    _checked(result, f"mount {fstype} {target}".replace("  ", " "))


def umount(target: str, flags: int) -> None:
    """umount2(2)."""
    _checked(_quick.umount2(target.encode(), flags), f"umount {target}")


def detached_mount(fstype: str) -> int:
    """A new file system of `fstype`, mounted nowhere: a descriptor of its root directory."""
    context = _checked(_quick.syscall(SYS_FSOPEN, fstype.encode(), FSOPEN_CLOEXEC), fstype)
    try:
        created = _quick.syscall(SYS_FSCONFIG, context, FSCONFIG_CMD_CREATE, None, None, 0)
        _checked(created, fstype)
        return _checked(_quick.syscall(SYS_FSMOUNT, context, FSMOUNT_CLOEXEC, 0), fstype)
    finally:
        close_quick(context)


def bind_from(root_fd: int, name: str, target: str) -> None:
    """Bind the file `name` of a detached mount over `target`, which must exist."""
    flags = OPEN_TREE_CLONE | os.O_CLOEXEC
    tree = _checked(_quick.syscall(SYS_OPEN_TREE, root_fd, name.encode(), flags), name)
    try:
        moved = _quick.syscall(
            SYS_MOVE_MOUNT, tree, b"", AT_FDCWD, target.encode(), MOVE_MOUNT_F_EMPTY_PATH
        )
        _checked(moved, f"bind over {target}")
    finally:
        close_quick(tree)


def die_with_parent(signum: int) -> None:
    """Have the kernel send `signum` to the caller when the thread that forked it ends."""
    _checked(_quick.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signum), 0, 0, 0), "prctl PDEATHSIG")


def open_quick(path: str, flags: int, dir_fd: int = AT_FDCWD, mode: int = 0) -> int:
    """openat(2) with O_CLOEXEC, keeping the GIL."""
    return _checked(_quick.openat(dir_fd, path.encode(), flags | os.O_CLOEXEC, mode), path)


def close_quick(fd: int) -> None:
    """close(2), keeping the GIL; errors are ignored as nobody can act on them."""
    _quick.close(fd)


def ioctl_quick(fd: int, request: int, argument: int | bytes, what: str) -> None:
    """Make an ioctl that returns at once, keeping the GIL; bytes are passed by address."""
    value = ctypes.c_ulong(argument) if isinstance(argument, int) else argument
    _checked(_quick.ioctl(fd, ctypes.c_ulong(request), value), what)


def interface_index(name: str) -> int:
    """Index of a link in the calling thread's network namespace, keeping the GIL."""
    index = _quick.if_nametoindex(name.encode())
    return _checked(index or -1, name)


def receive_quick(fd: int, buffer: ctypes.Array[ctypes.c_char], what: str) -> int:
    """Receive what a socket holds already, keeping the GIL; the number of bytes."""
    size = ctypes.c_size_t(len(buffer))
    return _checked(_quick.recv(fd, buffer, size, MSG_DONTWAIT), what)


def write_quick(fd: int, data: bytes, what: str) -> None:
    """write(2) of a small file in one piece, keeping the GIL."""
    if _checked(_quick.write(fd, data, ctypes.c_size_t(len(data))), what) != len(data):
        raise OSError(0, "short write", what)


def write_file(path: str, data: bytes, dir_fd: int = AT_FDCWD, flags: int = os.O_WRONLY) -> None:
    """Write a small file, keeping the GIL. With O_CREAT its mode is 0644."""
    fd = open_quick(path, flags, dir_fd, 0o644)
    try:
        write_quick(fd, data, path)
    finally:
        close_quick(fd)
