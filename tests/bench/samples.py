"""Results as a run would give them, for whoever renders them."""

from __future__ import annotations

from netsim.bench.result import Result
from netsim.bench.rounds import Figure, Round, Row, Sample, row

SPEED = Figure("gbit_s", "TCP, 1 stream", "Gbit/s")
DELAY = Figure("p50_us", "1-byte <round> trip, p50", "us", more_is_better=False)


def one_round(scale: float, foreign: float = 0.0) -> Round:
    sides = {"netsim-fabric": 4.0, "netsim-udp": 2.0, "kernel": 1.0}
    return Round(
        {
            name: Sample({"gbit_s": scale * of, "p50_us": 1000 * scale / of}, foreign, 0.5)
            for name, of in sides.items()
        }
    )


def rows(foreign: float = 0.0) -> tuple[Row, ...]:
    rounds = [one_round(scale, foreign) for scale in (1.0, 1.5, 2.0)]
    ours = ["netsim-fabric", "netsim-udp"]
    return tuple(row("throughput", figure, rounds, 3, ours) for figure in (SPEED, DELAY))


def result(foreign: float = 0.0, forced: tuple[str, ...] = ()) -> Result:
    titles = {"netsim-fabric": "netsim, wire fabric", "netsim-udp": "netsim, wire udp"}
    machine: dict[str, object] = {"cpu": "Some <CPU>", "cores": 2}
    titles |= {"kernel": "kernel VXLAN + iptables"}
    return Result(rows(foreign), machine, titles, 1.5, 3, 12.34, forced, ("path: no compiler",))
