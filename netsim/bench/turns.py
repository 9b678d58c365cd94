"""Figures that are not those of traffic, taken in turn like them."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence

from netsim.bench import cpu
from netsim.bench.load import Figures
from netsim.bench.options import Report
from netsim.bench.rounds import Figure, Row, Sample, row, take

Take = Callable[[], Figures]


def observed(measure: Take, roots: Collection[int] = ()) -> Sample:
    """Figures, and who used the processors meanwhile."""
    ours = [os.getpid(), *roots]
    before = cpu.read(ours)
    figures = measure()
    used = cpu.shares(before, cpu.read(ours))
    return Sample(figures, used.foreign, used.busy)


def rows_in_turn(
    work: str,
    what: str,
    sides: Mapping[str, Take],
    figures: Sequence[Figure],
    rounds: int,
    report: Report,
    roots: Collection[int] = (),
) -> list[Row]:
    """Rows of figures that every side gives."""
    done = take(
        lambda name: observed(sides[name], roots),
        list(sides),
        rounds,
        spare=rounds,
        begins=lambda turn, name: report(f"{what}: round {turn} of {rounds}, {name}"),
    )
    ours = [name for name in sides if name.startswith("netsim")]
    return [row(work, figure, done, rounds, ours) for figure in figures]
