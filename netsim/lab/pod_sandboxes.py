"""Pods' sandboxes and processes on this machine: what workloads asks for, done by init."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from netsim.errors import NetsimError
from netsim.lab import init_messages as m
from netsim.lab import names
from netsim.lab.infrastructure import node_key
from netsim.lab.init_client import Exited, ExitWatch, InitClient, ProcessRecord
from netsim.lab.init_starts import Starts
from netsim.lab.pod_nets import HostPodNet, SandboxNet, host_recipe
from netsim.lab.sandbox import Fds, Maker, PodNet
from netsim.linux import ns

log = logging.getLogger(__name__)
# Sandboxes made by one call, which waits for the interpreter's lock and for all processors; while
# the next ones are made, by another thread, these go to init.
TOGETHER = 32
MAKERS = 2


class PodSandboxes:
    """`workloads.Sandboxes`: made by Maker's thread, kept by init, named in /run/netns.

    `maker` is a function because the thread may be made after this object.
    """

    def __init__(
        self, lab: str, init_pid: int, init: InitClient, maker: Callable[[], Maker]
    ) -> None:
        self._lab = lab
        self._init_pid = init_pid
        self._init = init
        self._maker = maker
        self._makers = ThreadPoolExecutor(MAKERS, thread_name_prefix="pods")
        self._names = ThreadPoolExecutor(1, thread_name_prefix="names")  # in order; nobody waits

    async def create(self, pods: Sequence[tuple[str, SandboxNet]]) -> list[str]:
        """Make sandboxes; for each what went wrong, empty if nothing did."""
        groups = [pods[first : first + TOGETHER] for first in range(0, len(pods), TOGETHER)]
        made = await asyncio.gather(
            *(asyncio.wrap_future(self._makers.submit(self._create, group)) for group in groups)
        )
        return [problem for group in made for problem in group]

    async def drop(self, keys: Sequence[str]) -> None:
        """Give sandboxes up. What still runs in them is killed."""
        await asyncio.wrap_future(self._names.submit(self._drop, keys))

    async def keys(self) -> Sequence[str]:
        """The sandboxes that there are."""
        return [*await asyncio.to_thread(self._init.keys)]

    def _create(self, pods: Sequence[tuple[str, SandboxNet]]) -> list[str]:
        made: dict[str, Mapping[str, int]] = {}
        problems: dict[str, str] = {}
        own = [(key, pod) for key, pod in pods if isinstance(pod, PodNet)]
        of_own = self._maker().create_pods([pod for _, pod in own])
        found: dict[str, Fds | Exception] = dict(zip(dict(own), of_own, strict=True))
        found |= {key: self._of_node(pod) for key, pod in pods if isinstance(pod, HostPodNet)}
        for key, sandbox in found.items():
            if isinstance(sandbox, Exception):
                problems[key] = str(sandbox)
            else:
                made[key] = sandbox
        try:
            self._names.submit(self._name, self._init.put_all(made))
        except (OSError, NetsimError, ValueError) as error:
            problems |= dict.fromkeys(made, str(error))
        finally:
            for fds in made.values():
                ns.close_all(fds)
        return [problems.get(key, "") for key, _ in pods]

    def _of_node(self, pod: HostPodNet) -> Fds | Exception:
        """A sandbox that shares its node's, or what went wrong."""
        try:
            node = self._init.get(node_key(pod.node))
        except (OSError, NetsimError) as error:
            return error
        try:
            return self._maker().make([host_recipe(pod, node)])[0]
        finally:
            ns.close_all(node)

    def _name(self, kept: Mapping[str, Mapping[str, int]]) -> None:
        for key, numbers in kept.items():
            try:
                names.create(self._lab, self._init_pid, key, numbers["net"])
            except OSError as error:
                log.warning("%s has no name: %s", key, error)

    def _drop(self, keys: Sequence[str]) -> None:
        kept = self._init.keys()
        for key in keys:
            numbers: Mapping[str, int] = kept.get(key, {})
            if "net" in numbers:
                names.remove(self._init_pid, numbers["net"], self._lab, key)
            self._init.drop(key)


class InitProcesses:
    """`workloads.Processes`: init's children."""

    def __init__(self, init: InitClient, socket: Path) -> None:
        self._init = init
        self._socket = socket
        self._starts = Starts(socket)

    async def spawn(
        self,
        key: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        *,
        cwd: str,
        sandbox: str,
        fds: Sequence[int],
    ) -> int:
        """Start a program; its pid in the lab. `fds` become its 0, 1, 2, ..."""
        return await self._starts.start(m.Spawn(key, argv, dict(env), cwd, sandbox), fds)

    async def signal(self, key: str, signum: int) -> None:
        """Send a signal to a process and its group."""
        await asyncio.to_thread(self._init.signal, key, signum)

    async def records(self) -> Sequence[ProcessRecord]:
        """Everything that runs or has ended and was not forgotten."""
        return await asyncio.to_thread(self._init.processes)

    async def forget(self, key: str) -> None:
        """Drop the record of a process that has ended."""
        await asyncio.to_thread(self._init.forget, key)

    def watch(self) -> Exits:
        """Exits from now on."""
        return Exits(self._socket)

    def close(self) -> None:
        """Start nothing more."""
        self._starts.close()


class Exits:
    """`workloads.Exits`: a watch on init, for the event loop."""

    def __init__(self, socket: Path) -> None:
        self._watch = ExitWatch(socket)
        self._readable = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._watch.fileno(), self._readable.set)

    async def read(self) -> Sequence[Exited]:
        """The next exits, waited for. ConnectionError when init hangs up."""
        await self._readable.wait()
        self._readable.clear()
        return self._watch.read()

    def close(self) -> None:
        """End the watch."""
        asyncio.get_running_loop().remove_reader(self._watch.fileno())
        self._watch.close()
