"""What people and programs read of a run."""

from __future__ import annotations

import platform
from collections.abc import Sequence

from benchmarks.rounds import Row, Spread


def number(value: float) -> str:
    """Three digits or more, no exponents."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def text(spread: Spread | None) -> str:
    """Median and range for people."""
    if spread is None:
        return ""
    return f"{number(spread.median)} [{number(spread.low)} .. {number(spread.high)}]"


def table(rows: Sequence[Row], ours: str, peer: str | None) -> str:
    """Lines for a terminal; a noisy row ends in `!`."""
    lines = [f"{'':34} {'':7} {ours:>30} {peer or '':>30}  ratio  CPU"]
    for row in rows:
        ratio = f"{row.ratio:6.2f}" if row.ratio is not None else " " * 6
        cpu = " ".join(f"{share:.0%}" for share in row.busy.values())
        lines.append(
            f"{row.figure.name:34} {row.figure.unit:7} {text(row.ours):>30} {text(row.peer):>30} "
            f"{ratio}  {cpu}{' !' if row.noisy else ''}"
        )
    return "\n".join(lines)


def notes(rows: Sequence[Row], wire: str, seconds: float) -> str:
    """Under what conditions the table is true."""
    lines = [
        f"median [range] of {min(r.rounds for r in rows)} rounds or more of {seconds:g} s, "
        f"sides in turn; a ratio above 1: netsim is ahead; wire {wire}; CPU: share of all, the "
        "load included",
        machine(),
    ]
    discarded = max(row.discarded for row in rows)
    if discarded:
        lines.append(f"up to {discarded} rounds a row discarded: others used the CPU")
    if any(row.noisy for row in rows):
        lines.append("! others used more than 15 % of the CPU in rounds that were taken")
    return "\n".join(lines)


def machine() -> str:
    """What the figures are figures of."""
    model = "unknown CPU"
    count = 0
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                count += 1
    return f"{count} x {model}, Linux {platform.release()}"


def as_json(rows: Sequence[Row], wire: str, seconds: float) -> dict[str, object]:
    """The same for programs."""
    return {
        "wire": wire,
        "seconds": seconds,
        "machine": machine(),
        "rows": [
            {
                "key": row.figure.key,
                "name": row.figure.name,
                "unit": row.figure.unit,
                "moreIsBetter": row.figure.more_is_better,
                "netsim": row.ours._asdict(),
                "peer": row.peer._asdict() if row.peer else None,
                "ratio": row.ratio,
                "cpuBusy": dict(row.busy),
                "rounds": row.rounds,
                "discarded": row.discarded,
                "noisy": row.noisy,
            }
            for row in rows
        ],
    }
