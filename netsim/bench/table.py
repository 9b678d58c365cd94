"""A run for people, on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from netsim.bench.result import Result
from netsim.bench.rounds import Row, Spread


def number(value: float) -> str:
    """Three digits or more, no exponents."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if value == 0:
        return "0"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def text(spread: Spread) -> str:
    """Median and range."""
    if spread.low == spread.high:
        return number(spread.median)
    return f"{number(spread.median)} [{number(spread.low)} .. {number(spread.high)}]"


def facts(result: Result) -> list[str]:
    """The machine, a line a subject."""
    return [f"{name}: {value}" for name, value in result.machine.items()]


def notes(result: Result) -> list[str]:
    """Under what conditions the table is true."""
    lines = [
        f"median [range] of {result.rounds} rounds of {result.seconds:g} s, sides in turn; a "
        "ratio above 1: netsim is ahead; CPU: share of all processors, the load included"
    ]
    discarded = max((row.discarded for row in result.rows), default=0)
    if discarded:
        lines.append(f"up to {discarded} rounds a row were discarded: others used the processors")
    if any(row.noisy for row in result.rows):
        lines.append("! others used more than 15 % of the processors in rounds that were taken")
    lines += [f"! forced: {reason}" for reason in result.forced]
    lines += [f"not measured: {reason}" for reason in result.skipped]
    return lines


def ratios_of(row: Row, side: str) -> str:
    """A side's ratios to the peers."""
    return ", ".join(
        f"{one.ratio:.2f} [{one.low:.2f} .. {one.high:.2f}] x {one.peer}"
        for one in row.ratios
        if one.side == side
    )


def cells(row: Row, forced: bool) -> list[list[str]]:
    """One line a side: figure, unit, side, value, CPU, ratio."""
    mark = " !" if row.noisy or forced else ""
    made = []
    for index, (side, spread) in enumerate(row.spreads.items()):
        busy = f"{row.busy[side]:.0%}" if side in row.busy else ""
        name = [f"{row.figure.name}{mark}", row.figure.unit] if index == 0 else ["", ""]
        made.append([*name, side, text(spread), busy, ratios_of(row, side)])
    return made


HEADINGS = ["", "", "SIDE", "MEDIAN [RANGE]", "CPU", "RATIO"]


def table(result: Result) -> str:
    """All of it; a row that is not to be trusted is marked `!`."""
    lines: list[Sequence[str]] = [HEADINGS]
    for row in result.rows:
        lines += cells(row, bool(result.forced))
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADINGS))]
    shown = [
        "  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join([*shown, "", *notes(result), *facts(result)])
