"""Owns the descriptors that init keeps; dropping a sandbox ends what runs in it."""

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
        root = syscalls.detached_mount("proc")  # of this PID namespace, mounted nowhere
        self._proc = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=root)  # to list it
        os.close(root)

    def put(self, key: str, names: Sequence[str], fds: Sequence[int]) -> dict[str, int]:
        """Keep `fds`, which are taken over; the numbers by name. ValueError: names do not match."""
        if len(names) != len(fds) or len(set(names)) != len(names):
            raise ValueError(f"{key}: {len(fds)} descriptors for the names {', '.join(names)}")
        replaced = self._kept.get(key, {})
        self._kept[key] = dict(zip(names, fds, strict=True))
        ns.close_all(replaced)
        return self._kept[key]

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
        """Close what is kept under `key`; nothing that runs in its network namespace survives."""
        fds = self._kept.pop(key, {})
        if "net" in fds:
            self._kill_inside(fds["net"])
        ns.close_all(fds)

    def page(self, after: str, size: int) -> tuple[dict[str, dict[str, int]], bool]:
        """The first `size` keys beyond `after` with their numbers, and whether more follow."""
        keys = sorted(key for key in self._kept if key > after)
        return {key: self._kept[key] for key in keys[:size]}, len(keys) > size

    def _kill_inside(self, net: int) -> None:
        """SIGKILL to the lab's processes in a network namespace, whoever started them."""
        inode = ns.identity(net)[1]
        for name in os.listdir(self._proc):
            if name.isdigit() and name != "1":
                with contextlib.suppress(OSError):  # it has ended meanwhile
                    if os.stat(f"{name}/ns/net", dir_fd=self._proc).st_ino == inode:
                        os.kill(int(name), signal.SIGKILL)
