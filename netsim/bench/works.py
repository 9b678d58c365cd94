"""The traffic that all sides carry: the same programs with the same arguments, in turn."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from typing import NamedTuple

from netsim.bench import cpu, load
from netsim.bench.load import Figures
from netsim.bench.rounds import Figure, Row, Sample, row, take
from netsim.bench.search import Trial, highest
from netsim.bench.side import CLIENT, NEAR, Side
from netsim.bench.space import ToolError, stop

DATAGRAM_BYTES = 64
TRIAL_S = 0.2
IPERF3_PORT = "5301"  # its own is taken by the load

Measure = Callable[[Side, float], Figures]
Report = Callable[[str], None]


class Work(NamedTuple):
    """What is done once on a side for some seconds, and the figures that come of it."""

    group: str  # the command's argument
    name: str
    measure: Measure
    figures: tuple[Figure, ...]
    near: bool = False  # between pods of one node


def client(what: str, *numbers: object) -> Measure:
    """The load generator's client asks the Service."""

    def measure(side: Side, seconds: float) -> Figures:
        return load.ask(side.space(CLIENT), what, side.service, seconds, *numbers)

    return measure


def near_bulk(side: Side, seconds: float) -> Figures:
    """Bulk to a pod of the same node, without a Service."""
    address = side.address(NEAR)
    assert address is not None
    found = load.ask(side.space(CLIENT), "bulk", address, seconds, 1)
    return {"near_gbit_s": found["gbit_s"]}


def iperf3(side: Side, seconds: float) -> Figures:
    """Another program's opinion of the bulk rate, to a pod on the other node."""
    address = side.address("server0")
    assert address is not None
    serve = ("iperf3", "-s", "-1", "-p", IPERF3_PORT, "--forceflush")
    server = side.space("server0").popen(serve, stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        while "listening" not in (line := server.stdout.readline()):
            if not line:
                raise ToolError("iperf3 -s", "did not start")
        took = str(max(1, round(seconds)))
        argv = ("iperf3", "-c", address, "-p", IPERF3_PORT, "-C", "cubic", "-t", took, "-J")
        answer = json.loads(side.space(CLIENT).run(*argv, timeout_s=seconds + load.PATIENCE_S))
    finally:
        stop(server)
    return {"iperf3_gbit_s": float(answer["end"]["sum_received"]["bits_per_second"]) / 1e9}


def bulk(streams: int, key: str) -> Measure:
    """Bulk over so many streams."""
    ask = client("bulk", streams)
    return lambda side, seconds: {key: ask(side, seconds)["gbit_s"]}


def connections(in_flight: int, key: str) -> Measure:
    """Connections, so many at a time."""
    ask = client("connect", in_flight)
    return lambda side, seconds: {key: ask(side, seconds)["per_s"]}


def flood(side: Side, seconds: float) -> Figures:
    """Datagrams as fast as the sender can."""
    found = load.ask(side.space(CLIENT), "udp", side.service, seconds, DATAGRAM_BYTES, 0)
    return {"flood_per_s": found["received_per_s"], "flood_loss": max(0.0, found["loss"])}


def highest_rate(side: Side, _: float) -> Figures:
    """The most datagrams a second that arrive."""
    trials = load.Trials(side.space(CLIENT), side.service, TRIAL_S, DATAGRAM_BYTES)

    def trial(rate: float) -> Trial:
        found = trials.at(rate)
        return Trial(found["received_per_s"], found["loss"])

    try:
        best = highest(trial, trial(0).received_per_s or 10_000)
    finally:
        trials.close()
    return {"packets_per_s": best.received_per_s}


WORKS = (
    Work("throughput", "bulk", bulk(1, "gbit_s"), (Figure("gbit_s", "TCP, 1 stream", "Gbit/s"),)),
    Work(
        *("throughput", "bulk8", bulk(8, "gbit_s_8")),
        (Figure("gbit_s_8", "TCP, 8 streams", "Gbit/s"),),
    ),
    Work(
        *("throughput", "near", near_bulk),
        (Figure("near_gbit_s", "TCP, pods of one node", "Gbit/s"),),
        near=True,
    ),
    Work(
        *("latency", "echo", client("echo")),
        (
            Figure("p50_us", "1-byte round trip, p50", "us", more_is_better=False),
            Figure("p99_us", "1-byte round trip, p99", "us", more_is_better=False),
        ),
    ),
    Work(
        *("connections", "connect16", connections(16, "per_s_16")),
        (Figure("per_s_16", "connect-ask-close, 16 in flight", "/s"),),
    ),
    Work(
        *("connections", "connect", connections(1, "per_s")),
        (Figure("per_s", "connect-ask-close, one by one", "/s"),),
    ),
    Work(
        *("packets", "paced", highest_rate),
        (Figure("packets_per_s", "UDP 64 B, loss below 0.1 %", "/s"),),
    ),
    Work(
        *("packets", "flood", flood),
        (
            Figure("flood_per_s", "UDP 64 B flood, received", "/s"),
            Figure("flood_loss", "UDP 64 B flood, lost", "share", more_is_better=False),
        ),
    ),
)


CROSS_CHECK = Work(
    *("throughput", "iperf3", iperf3),
    (Figure("iperf3_gbit_s", "TCP, 1 stream, by iperf3, to the pod", "Gbit/s"),),
)


def sample(work: Work, side: Side, seconds: float) -> Sample:
    """Do it once and note who used the processors. ToolError when the load fails."""
    roots = [os.getpid(), *side.roots()]
    before = cpu.read(roots)
    figures = work.measure(side, seconds)
    used = cpu.shares(before, cpu.read(roots))
    return Sample(figures, used.foreign, used.busy)


def rows_of(
    work: Work, sides: Sequence[Side], rounds: int, seconds: float, report: Report
) -> list[Row]:
    """Measure one work on every side that can do it, in turn."""
    able = {side.name: side for side in sides if not work.near or _near_is_other(side, sides)}
    if not able:
        return []
    done = take(
        lambda name: sample(work, able[name], seconds),
        list(able),
        rounds,
        spare=rounds,
        begins=lambda turn, name: report(f"{work.name}: round {turn} of {rounds}, {name}"),
    )
    ours = [name for name in able if name.startswith("netsim")]
    return [row(work.group, figure, done, rounds, ours) for figure in work.figures]


def _near_is_other(side: Side, sides: Sequence[Side]) -> bool:
    """Whether the traffic within a node is another than that of the sides before."""
    if side.address(NEAR) is None:
        return False
    ours = [s for s in sides if s.name.startswith("netsim")]
    return side not in ours or side is ours[0]
