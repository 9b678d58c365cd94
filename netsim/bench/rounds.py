"""Rounds in which the sides take turns, and what is said about them: medians, ranges, ratios."""

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
    """All sides, one after the other: samples by side."""

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


class Against(NamedTuple):
    """How many times better one side is than another; range: of single rounds."""

    side: str
    peer: str
    ratio: float
    low: float
    high: float


class Row(NamedTuple):
    """One figure of all sides. A ratio above 1: netsim is better."""

    work: str
    figure: Figure
    spreads: Mapping[str, Spread]
    ratios: tuple[Against, ...] = ()
    busy: Mapping[str, float] = {}  # CPU by side, median
    rounds: int = 1
    discarded: int = 0
    noisy: bool = False  # too few quiet rounds: noisy ones were taken


def _unsaid(_turn: int, _side: str) -> None:
    """Nobody wants to know."""


def take(
    measure: Callable[[str], Sample],
    sides: Sequence[str],
    wanted: int,
    spare: int,
    begins: Callable[[int, str], None] = _unsaid,
) -> list[Round]:
    """Rounds until `wanted` are quiet, at most `wanted + spare`; who begins changes in turn.

    `begins` is told the number of the round and the side before each measurement.
    """
    rounds: list[Round] = []
    while sum(r.quiet for r in rounds) < wanted and len(rounds) < wanted + spare:
        first = len(rounds) % len(sides)
        samples: dict[str, Sample] = {}
        for side in [*sides[first:], *sides[:first]]:
            begins(len(rounds) + 1, side)
            samples[side] = measure(side)
        rounds.append(Round(samples))
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


def against(
    figure: Figure, values: Mapping[str, Sequence[float]], side: str, peer: str
) -> Against | None:
    """One side beside a peer: the ratio of the medians, its range over rounds."""
    middle = ratio(figure, statistics.median(values[side]), statistics.median(values[peer]))
    pairs = zip(values[side], values[peer], strict=False)
    single = [found for a, b in pairs if (found := ratio(figure, a, b)) is not None]
    if middle is None or not single:
        return None
    return Against(side, peer, middle, min(single), max(single))


def compare(
    figure: Figure, values: Mapping[str, Sequence[float]], ours: Sequence[str]
) -> tuple[Against, ...]:
    """Each of our sides beside each peer."""
    peers = [side for side in values if side not in ours]
    pairs = [(side, peer) for side in ours if side in values for peer in peers]
    found = [against(figure, values, side, peer) for side, peer in pairs]
    return tuple(one for one in found if one is not None)


def alone(work: str, figure: Figure, value: float, side: str = "netsim") -> Row:
    """A figure that does not vary, of one side."""
    return Row(work, figure, {side: Spread(value, value, value)})


def row(
    work: str, figure: Figure, rounds: Sequence[Round], wanted: int, ours: Sequence[str]
) -> Row:
    """What the rounds say about one figure, on the sides that have it."""
    kept, noisy = chosen(rounds, wanted)
    sides = [s for s, of in rounds[0].samples.items() if figure.key in of.figures]
    values = {s: [r.samples[s].figures[figure.key] for r in kept] for s in sides}
    return Row(
        work=work,
        figure=figure,
        spreads={side: spread(found) for side, found in values.items()},
        ratios=compare(figure, values, ours),
        busy={s: statistics.median(r.samples[s].busy for r in kept) for s in sides},
        rounds=len(kept),
        discarded=len(rounds) - len(kept),
        noisy=noisy,
    )
