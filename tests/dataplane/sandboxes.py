"""Init's part, played with socket pairs: who holds the far end is the pod or the node's stack."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from scapy.layers.inet import IP

from netsim.dataplane.rows import NodeRow, PodRow, Tables

VNET = bytes(10)  # no offloads
TIMEOUT_S = 5.0


class Sandboxes:
    """Keeps descriptors by key and name, and gives copies away."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, int]] = {}
        self.far: dict[str, socket.socket] = {}
        self.put("flows", {"mem": os.memfd_create("flows")})

    def put(self, key: str, fds: Mapping[str, int]) -> None:
        self.kept[key] = dict(fds)

    def make(self, key: str, name: str) -> None:
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        near.setblocking(False)
        far.settimeout(TIMEOUT_S)
        self.kept.setdefault(key, {})[name] = near.detach()
        self.far[f"{key}/{name}"] = far

    def add_pod(self, row: PodRow) -> None:
        self.make(row.sandbox, "tun")

    def add_node(self, row: NodeRow) -> None:
        for name in ("cni", "tunnel"):
            self.make(f"node/{row.name}", name)

    def add_all(self, tables: Tables) -> None:
        for node in tables.nodes.values():
            self.add_node(node)
        for pod in tables.pods.values():
            self.add_pod(pod)

    def fetch(self, key: str) -> Mapping[str, int]:
        if key not in self.kept:
            raise LookupError(f"nothing is kept as {key}")
        return {name: os.dup(fd) for name, fd in self.kept[key].items()}

    def close(self) -> None:
        for fds in self.kept.values():
            for fd in fds.values():
                os.close(fd)
        for far in self.far.values():
            far.close()

    def send(self, row: PodRow, packet: IP) -> None:
        self.far[f"{row.sandbox}/tun"].send(VNET + bytes(packet))

    def receive(self, row: PodRow) -> IP:
        return IP(self.far[f"{row.sandbox}/tun"].recv(65536)[len(VNET) :])

    def nothing_for(self, row: PodRow) -> bool:
        far = self.far[f"{row.sandbox}/tun"]
        far.setblocking(False)
        try:
            far.recv(65536)
        except BlockingIOError:
            return True
        finally:
            far.settimeout(TIMEOUT_S)
        return False


@contextmanager
def sandboxes(tables: Tables) -> Iterator[Sandboxes]:
    """Sandboxes of everything in `tables`."""
    made = Sandboxes()
    try:
        made.add_all(tables)
        yield made
    finally:
        made.close()
