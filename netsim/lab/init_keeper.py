"""Owns the descriptors that init keeps; dropping a sandbox ends what runs in it.

A network namespace belongs to the key that it came with first, a node's, say: dropping one of the
others, a pod on the node's network, ends what is in its mount namespace only.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from itertools import accumulate

from netsim.linux import ns, syscalls


class Keeper:
    """Descriptors by key. They stay open until replaced, dropped, or the end of the process."""

    def __init__(self) -> None:
        self._kept: dict[str, dict[str, int]] = {}
        self._owners: dict[int, str] = {}  # of network namespaces, by inode
        root = syscalls.detached_mount("proc")  # of this PID namespace, mounted nowhere
        self._proc = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=root)  # to list it
        os.close(root)

    def put(self, key: str, names: Sequence[str], fds: Sequence[int]) -> dict[str, int]:
        """Keep `fds`, which are taken over; the numbers by name. ValueError: names do not match."""
        if len(names) != len(fds) or len(set(names)) != len(names):
            raise ValueError(f"{key}: {len(fds)} descriptors for the names {', '.join(names)}")
        replaced = self._kept.get(key, {})
        self._disown(key, replaced)
        kept = self._kept[key] = dict(zip(names, fds, strict=True))
        if "net" in kept:
            self._owners.setdefault(ns.identity(kept["net"])[1], key)
        ns.close_all(replaced)
        return kept

    def put_all(
        self, names: Mapping[str, Sequence[str]], fds: Sequence[int]
    ) -> dict[str, dict[str, int]]:
        """As many `put`s, or none: ValueError."""
        counts = [len(part) for part in names.values()]
        if sum(counts) != len(fds) or any(len(set(part)) != len(part) for part in names.values()):
            raise ValueError(f"{len(fds)} descriptors for {sum(counts)} names")
        starts = accumulate(counts, initial=0)
        return {
            key: self.put(key, part, fds[start : start + len(part)])
            for (key, part), start in zip(names.items(), starts, strict=False)
        }

    def get(self, key: str) -> dict[str, int]:
        """Descriptors by name, still init's. KeyError: there are none."""
        return self._kept[key]

    def drop(self, key: str) -> None:
        """Close what is kept under `key`; nothing that runs in there survives."""
        fds = self._kept.pop(key, {})
        kind = "net" if self._disown(key, fds) else "mnt"
        if kind in fds:
            self._kill_inside(kind, fds[kind])
        ns.close_all(fds)

    def _disown(self, key: str, fds: Mapping[str, int]) -> bool:
        """Whether the network namespace was the key's own; it is no longer."""
        inode = ns.identity(fds["net"])[1] if "net" in fds else 0
        if self._owners.get(inode) != key:
            return False
        del self._owners[inode]
        return True

    def page(self, after: str, size: int) -> tuple[dict[str, dict[str, int]], bool]:
        """The first `size` keys beyond `after` with their numbers, and whether more follow."""
        keys = sorted(key for key in self._kept if key > after)
        return {key: self._kept[key] for key in keys[:size]}, len(keys) > size

    def _kill_inside(self, kind: str, fd: int) -> None:
        """SIGKILL to the lab's processes in a namespace, whoever started them."""
        inode = ns.identity(fd)[1]
        for name in os.listdir(self._proc):
            if name.isdigit() and name != "1":
                with contextlib.suppress(OSError):  # it has ended meanwhile
                    if os.stat(f"{name}/ns/{kind}", dir_fd=self._proc).st_ino == inode:
                        os.kill(int(name), signal.SIGKILL)
