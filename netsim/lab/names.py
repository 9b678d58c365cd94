"""Owns the names under which standard tools find sandboxes: symlinks in /run/netns.

`<lab>-<node>`, `<lab>-<pod>` (namespace default) or `<lab>-<namespace>.<pod>` point to
/proc/<init's pid>/fd/<n>, so they die with init and a kill leaves at most dangling ones, which
`sweep` removes. A name that another object holds falls back to the longer form of FALLBACKS; names
are a convenience, so having none is not an error. Nothing but such symlinks is ever touched.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

NETNS = Path("/run/netns")
OURS = re.compile(r"/proc/(\d+)/fd/\d+")
INTERFACE_MAX = 15  # IFNAMSIZ without the NUL
RESERVED = frozenset({"lo", "br0", "all", "default", ".", ".."})


def interface_name(node: str) -> str:
    """Name of the fabric's link to `node`: the node's own where Linux allows it, else shortened."""
    if len(node) <= INTERFACE_MAX and node not in RESERVED:
        return node
    digest = hashlib.blake2s(node.encode(), digest_size=3).hexdigest()
    return f"{node[:8]}-{digest}"


def candidates(lab: str, key: str) -> list[str]:
    """Names for the sandbox with init's `key`, best first.

    Keys are `node/<node>`, `pod/<namespace>/<pod>`, `outside/<name>`, `fabric`; others have no
    name. The fabric's cannot be a Kubernetes object's, because of the underscore.
    """
    match key.split("/"):
        case ["node", node]:
            return [f"{lab}-{node}", f"{lab}-node.{node}"]
        case ["pod", "default", pod]:
            return [f"{lab}-{pod}", f"{lab}-default.{pod}"]
        case ["pod", namespace, pod]:
            return [f"{lab}-{namespace}.{pod}"]
        case ["outside", name]:
            return [f"{lab}-outside.{name}"]
        case ["fabric"]:
            return [f"{lab}-_fabric"]
        case _:
            return []


def create(lab: str, init_pid: int, key: str, number: int, where: Path = NETNS) -> str | None:
    """Name the network namespace that init holds as descriptor `number`; the name, None if taken.

    Call `remove` before init drops the descriptor: its number is then used again.
    """
    target = f"/proc/{init_pid}/fd/{number}"
    return next((name for name in candidates(lab, key) if _link(where, name, target)), None)


def _link(where: Path, name: str, target: str) -> bool:
    """Make a symlink, in the place of a dead one; False: the name is another's."""
    try:
        os.symlink(target, os.path.join(where, name))  # what a thousand pods do comes first
    except FileNotFoundError:
        where.mkdir(mode=0o755, exist_ok=True)
        return _link(where, name, target)
    except FileExistsError:
        path = where / name
        if _is_ours(path) and not is_alive(path):
            path.unlink(missing_ok=True)
            return _link(where, name, target)
        return _target(path) == target
    return True


def remove(init_pid: int, number: int, lab: str, key: str, where: Path = NETNS) -> None:
    """Take the name of that descriptor away again."""
    target = f"/proc/{init_pid}/fd/{number}"
    for name in candidates(lab, key):
        if _target(where / name) == target:
            (where / name).unlink(missing_ok=True)


def sync(
    lab: str, init_pid: int, keys: Mapping[str, Mapping[str, int]], where: Path = NETNS
) -> None:
    """Make the names of one init's sandboxes equal `keys` (InitClient.keys())."""
    wanted = {key: fds["net"] for key, fds in keys.items() if "net" in fds}
    present = set(links(init_pid, where))
    kept = {create(lab, init_pid, key, number, where) for key, number in wanted.items()}
    for name in present - kept:
        (where / name).unlink(missing_ok=True)


def links(init_pid: int, where: Path = NETNS) -> list[str]:
    """The names that point into the process `init_pid`."""
    return [path.name for path in _ours(where) if _owner(path) == init_pid]


def sweep(init_pid: int | None = None, where: Path = NETNS) -> list[str]:
    """Remove dead names, and all those of the process `init_pid`; which ones.

    A name is dead if its target is gone or is no network namespace (the pid was used again). The
    directory goes too if nothing is left in it.
    """
    removed = []
    for path in _ours(where):
        if _owner(path) == init_pid or not is_alive(path):
            path.unlink(missing_ok=True)
            removed.append(path.name)
    if removed:
        with contextlib.suppress(OSError):  # others' names in it, or a mount point of iproute2
            where.rmdir()
    return removed


def is_alive(path: Path) -> bool:
    """Whether the target of a name is a network namespace."""
    try:
        return os.readlink(os.readlink(path)).startswith("net:[")
    except OSError:
        return False


def _target(path: Path) -> str | None:
    try:
        return os.readlink(path)
    except OSError:
        return None


def _owner(path: Path) -> int | None:
    match = OURS.fullmatch(_target(path) or "")
    return int(match[1]) if match else None


def _is_ours(path: Path) -> bool:
    return _owner(path) is not None


def _ours(where: Path) -> list[Path]:
    try:
        return sorted(path for path in where.iterdir() if _is_ours(path))
    except FileNotFoundError:
        return []
