"""What a run of the benchmarks is asked to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

TRAFFIC = ("throughput", "latency", "connections", "packets")
WORKS = (*TRAFFIC, "services", "updates", "startup", "memory", "path")
PEERS = ("kernel", "kernel-nft", "host-gw")
WIRES = ("fabric", "udp")

Report = Callable[[str], None]


class Options(NamedTuple):
    """Works, sides, and how long; `sizes` replaces a work's own numbers of services or pods."""

    works: tuple[str, ...] = WORKS
    peers: tuple[str, ...] = ("kernel",)
    peer_command: str = ""
    wires: tuple[str, ...] = WIRES
    rounds: int = 7
    seconds: float = 1.5
    sizes: tuple[int, ...] = ()
    spec: tuple[tuple[str, object], ...] = ()  # fields of Lab.spec
    cross_check: bool = False
    force: bool = False
