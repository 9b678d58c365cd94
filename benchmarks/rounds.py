"""Rounds in which both sides take turns, and what is said about them: medians, ranges, ratios."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

FOREIGN_MAX = 0.15  # share of all CPUs that others may use in a round that counts


class Sample(NamedTuple):
    """What one side did in one round: figures by name, and the CPU used by it and by others."""

    figures: Mapping[str, float]
    foreign: float
    busy: float


class Round(NamedTuple):
    """Both sides, one after the other: samples by side."""

    samples: Mapping[str, Sample]

    @property
    def quiet(self) -> bool:
        """Whether the machine was ours."""
        return all(sample.foreign <= FOREIGN_MAX for sample in self.samples.values())


class Figure(NamedTuple):
    """A line of the report: `key` in a sample's figures, and which way is better."""

    key: str
    name: str
    unit: str
    more_is_better: bool = True


class Spread(NamedTuple):
    """Median and range of a figure."""

    median: float
    low: float
    high: float


class Row(NamedTuple):
    """One figure of both sides. `ratio` above 1: the first side is better."""

    figure: Figure
    ours: Spread
    peer: Spread | None
    ratio: float | None
    busy: Mapping[str, float]  # CPU by side, median
    rounds: int
    discarded: int
    noisy: bool  # too few quiet rounds: noisy ones were taken


def take(
    measure: Callable[[str], Sample], sides: Sequence[str], wanted: int, spare: int
) -> list[Round]:
    """Rounds until `wanted` are quiet, at most `wanted + spare`; who begins alternates."""
    rounds: list[Round] = []
    while sum(r.quiet for r in rounds) < wanted and len(rounds) < wanted + spare:
        order = sides if len(rounds) % 2 == 0 else list(reversed(sides))
        rounds.append(Round({side: measure(side) for side in order}))
    return rounds


def chosen(rounds: Sequence[Round], wanted: int) -> tuple[list[Round], bool]:
    """The rounds that count, and whether noisy ones had to be taken: the least noisy."""
    quiet = [r for r in rounds if r.quiet]
    if len(quiet) >= wanted:
        return quiet, False
    noise = sorted(rounds, key=lambda r: max(s.foreign for s in r.samples.values()))
    return noise[:wanted], True


def spread(values: Sequence[float]) -> Spread:
    """Median and range."""
    return Spread(statistics.median(values), min(values), max(values))


def ratio(figure: Figure, ours: float, peer: float) -> float | None:
    """How many times better the first is; None where a side did nothing at all."""
    if ours <= 0 or peer <= 0:
        return None
    return ours / peer if figure.more_is_better else peer / ours


def row(figure: Figure, rounds: Sequence[Round], wanted: int, ours: str, peer: str | None) -> Row:
    """What the rounds say about one figure."""
    kept, noisy = chosen(rounds, wanted)
    sides = [side for side in (ours, peer) if side is not None]
    spreads = {s: spread([r.samples[s].figures[figure.key] for r in kept]) for s in sides}
    theirs = spreads[peer] if peer is not None else None
    return Row(
        figure=figure,
        ours=spreads[ours],
        peer=theirs,
        ratio=ratio(figure, spreads[ours].median, theirs.median) if theirs else None,
        busy={s: statistics.median(r.samples[s].busy for r in kept) for s in sides},
        rounds=len(kept),
        discarded=len(rounds) - len(kept),
        noisy=noisy,
    )
