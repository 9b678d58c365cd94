"""`python -m benchmarks.efficiency`: packets/s of netsim over those of a bare copying loop.

Two pods of one node, the same programs and I/O method; the loop (copy/copy.c) moves packets from
TUN to TUN and does nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from statistics import median

from benchmarks.compiled import CSRC, HERE, compiled
from netsim.bench import load
from netsim.bench.ours import NetsimSide
from netsim.bench.search import Trial, highest
from netsim.bench.side import CLIENT, NEAR
from netsim.bench.space import Space
from netsim.bench.works import DATAGRAM_BYTES
from netsim.linux import syscalls
from netsim.linux.tun import open_tun

ADDRESSES = ("10.244.1.2", "10.244.1.3")


class BareCopy:
    """Two namespaces with a TUN each, and the copying loop between them."""

    def __init__(self, method: str) -> None:
        program = compiled("copy", [HERE / "copy" / "copy.c", CSRC / "uring.c"])
        self.pods = [Space.made() for _ in ADDRESSES]
        tuns = [_tun(pod, address) for pod, address in zip(self.pods, ADDRESSES, strict=True)]
        self._loop = subprocess.Popen(
            [str(program), method, *map(str, tuns)], pass_fds=tuns, stdin=subprocess.DEVNULL
        )
        for fd in tuns:
            os.close(fd)

    def close(self) -> None:
        """End the loop; the namespaces go with their descriptors."""
        self._loop.kill()
        self._loop.wait()
        for pod in self.pods:
            pod.close()


def _tun(pod: Space, address: str) -> int:
    """A descriptor of eth0, made in the namespace and set up as a pod's."""

    def make() -> int:
        syscalls.setns(pod.fd, syscalls.CLONE_NEWNET)
        return open_tun("eth0")

    with ThreadPoolExecutor(1) as thread:
        fd = thread.submit(make).result()
    for command in (
        f"addr add {address}/32 dev eth0",
        "link set eth0 mtu 1450 txqueuelen 1000 up",
        "route add default dev eth0",
    ):
        pod.run("ip", *command.split())
    return fd


def rate(client: Space, server: Space, address: str) -> float:
    """The most datagrams a second that arrive with less than 0.1 % lost."""
    with load.serving([server]), closing(load.Trials(client, address, 0.2, DATAGRAM_BYTES)) as at:

        def trial(wanted: float) -> Trial:
            found = at.at(wanted)
            return Trial(found["received_per_s"], found["loss"])

        return highest(trial, trial(0).received_per_s or 10_000).received_per_s


def in_turn(io: str, rounds: int) -> dict[str, list[float]]:
    """Datagrams a second by side, netsim first, of each round."""
    got: dict[str, list[float]] = {}
    with ExitStack() as stack:
        ours = stack.enter_context(closing(NetsimSide("fabric", spec=[("io", io)])))
        bare = stack.enter_context(closing(BareCopy(io)))
        near = ours.address(NEAR)
        assert near is not None
        sides: dict[str, Callable[[], float]] = {
            "netsim": lambda: rate(ours.space(CLIENT), ours.space(NEAR), near),
            "bare copy": lambda: rate(bare.pods[0], bare.pods[1], ADDRESSES[1]),
        }
        for _ in range(rounds):
            for name, measure in sides.items():
                got.setdefault(name, []).append(measure())
    return got


def main() -> None:
    """Measure both in turn and print the ratio."""
    parser = argparse.ArgumentParser(prog="benchmarks.efficiency", description=__doc__)
    parser.add_argument("--io", choices=["io_uring", "epoll"], default="io_uring")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("-o", "--output", choices=["table", "json"], default="table")
    args = parser.parse_args()
    if os.geteuid() != 0:
        print("efficiency: run as root", file=sys.stderr)
        sys.exit(4)
    got = in_turn(args.io, args.rounds)
    if args.output == "json":
        print(json.dumps(got))
        return
    for name, found in got.items():
        print(f"{name:12} {median(found):10,.0f}/s [{min(found):,.0f} .. {max(found):,.0f}]")
    mine, loop = (median(found) for found in got.values())
    print(f"ratio {mine / loop:.2f} by {args.io}; UDP, {DATAGRAM_BYTES} B, loss below 0.1 %")


if __name__ == "__main__":
    main()
