"""What is measured: a side joins a client pod and server pods, in its way."""

from __future__ import annotations

from typing import Protocol

from netsim.bench.space import Space

SERVERS = 4  # behind the Service, on the other node
CLIENT, NEAR = "client", "near"  # NEAR: a server on the client's node


class Side(Protocol):
    """One way to join pods: netsim over a wire, the kernel with some rules, a program."""

    name: str  # in results: netsim-udp, kernel
    title: str  # for people
    service: str  # the address that the load asks

    def space(self, pod: str) -> Space:
        """A pod's namespace: CLIENT, NEAR, server0 and so on."""

    def servers(self) -> list[str]:
        """Pods that must serve."""

    def address(self, pod: str) -> str | None:
        """A pod's address, None where there is no such pod."""

    def roots(self) -> list[int]:
        """Processes whose descendants do the work, beside our own."""

    def close(self) -> None:
        """Remove everything."""


def server_names() -> list[str]:
    """Pods behind the Service."""
    return [f"server{i}" for i in range(SERVERS)]
