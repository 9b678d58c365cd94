"""Any program as peer: it joins two namespaces, as docs/performance.md#a-program-as-peer says."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from contextlib import suppress

from netsim.bench import load, rules
from netsim.bench.side import CLIENT
from netsim.bench.space import Space, ToolError, stop
from netsim.errors import NetsimError
from netsim.linux import syscalls

ADDRESSES = {CLIENT: "10.244.1.2", "server0": "10.244.2.2"}
READY_S = 15.0


class CommandPeer:
    """Two bare namespaces and the program that joins them, which gets SIGTERM at the end."""

    name = "command"
    service = ADDRESSES["server0"]

    def __init__(self, command: str) -> None:
        self.title = command
        self._spaces = {pod: Space.made() for pod in ADDRESSES}
        self._holders = {
            pod: space.popen(["sleep", "infinity"]) for pod, space in self._spaces.items()
        }
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **self.environment()},
            start_new_session=True,
            preexec_fn=lambda: syscalls.die_with_parent(signal.SIGKILL),
        )
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    def environment(self) -> dict[str, str]:
        """What the program is told."""
        client, server = self._spaces[CLIENT], self._spaces["server0"]
        return {
            "NETSIM_BENCH_CLIENT_NETNS": client.path,
            "NETSIM_BENCH_CLIENT_PID": str(self._holders[CLIENT].pid),
            "NETSIM_BENCH_CLIENT_ADDRESS": ADDRESSES[CLIENT],
            "NETSIM_BENCH_SERVER_NETNS": server.path,
            "NETSIM_BENCH_SERVER_PID": str(self._holders["server0"].pid),
            "NETSIM_BENCH_SERVER_ADDRESS": ADDRESSES["server0"],
            "NETSIM_BENCH_SERVER_PORT": str(rules.PORT),
            "NETSIM_BENCH_MTU": "1500",
        }

    def _wait(self) -> None:
        """Until the client reaches the server. NetsimError when it does not."""
        with load.serving([self._spaces["server0"]]):
            end = time.monotonic() + READY_S
            while time.monotonic() < end:
                if self._process.poll() is not None:
                    raise NetsimError(
                        "the peer command has ended",
                        f"{shlex.quote(self.title)}: exit code {self._process.returncode}",
                    )
                try:
                    argv = ["timeout", "1", *load.argv("echo", self.service, "0.01")]
                    self._spaces[CLIENT].run(*argv)
                    return
                except ToolError:
                    time.sleep(0.1)
        raise NetsimError(
            "the peer command does not join the namespaces",
            f"{ADDRESSES['server0']} was not reached from {ADDRESSES[CLIENT]} in {READY_S:g} s",
        )

    def space(self, pod: str) -> Space:
        """A pod's namespace."""
        return self._spaces[pod]

    def servers(self) -> list[str]:
        """The one pod that serves."""
        return ["server0"]

    def address(self, pod: str) -> str | None:
        """A pod's address."""
        return ADDRESSES.get(pod)

    def roots(self) -> list[int]:
        """The program descends from us."""
        return []

    def close(self) -> None:
        """End the program and let go of the namespaces."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        stop(self._process)
        for holder in self._holders.values():
            stop(holder)
        for space in self._spaces.values():
            space.close()
