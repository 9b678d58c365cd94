"""Plots as inline SVG: bars of one figure, lines by size, ratios on one scale. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import NamedTuple

from netsim.bench.rounds import Against, Row, Spread
from netsim.bench.table import number

COLORS = {
    "netsim": "#2563eb",
    "netsim-fabric": "#2563eb",
    "netsim-udp": "#38a3d1",
    "kernel": "#8a8f98",
    "ip-batch": "#8a8f98",
    "bare copy": "#8a8f98",
    "kernel-nft": "#b98b4e",
    "host-gw": "#7f9a57",
    "command": "#8d68b0",
}
WIDTH, LABEL, BAR, GAP = 760, 150, 20, 8
LINES_HEIGHT, MARGIN = 300, 64
DECADES_MIN = 1.0


def color(side: str) -> str:
    """A side's colour, the same in every plot."""
    return COLORS.get(side, "#c2476b")


def svg(width: float, height: float, parts: Sequence[str], title: str) -> str:
    """A picture that fits its column."""
    inner = "\n".join(parts)
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
        f'aria-label="{escape(title, quote=True)}">\n{inner}\n</svg>'
    )


def text(x: float, y: float, words: str, *, anchor: str = "start", css: str = "") -> str:
    """A line of text."""
    style = f' class="{css}"' if css else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{style}>{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, css: str) -> str:
    """A line, styled by its class."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{css}"/>'


def bars(row: Row, paint: Callable[[str], str] = color) -> str:
    """A figure: a bar a side, in the colour of its name, the range as a whisker."""
    room = WIDTH - LABEL - 170
    most = max((spread.high for spread in row.spreads.values()), default=0) or 1
    parts: list[str] = []
    for index, (side, spread) in enumerate(row.spreads.items()):
        top = GAP + index * (BAR + GAP)
        middle = top + BAR / 2
        ends = [LABEL + room * value / most for value in (spread.low, spread.median, spread.high)]
        parts.append(text(LABEL - 8, middle + 4, side, anchor="end"))
        parts.append(
            f'<rect x="{LABEL}" y="{top}" width="{max(1.0, ends[1] - LABEL):.1f}" '
            f'height="{BAR}" rx="2" fill="{paint(side)}"/>'
        )
        if spread.high > spread.low:
            parts.append(line(ends[0], middle, ends[2], middle, "whisker"))
            parts += [line(x, middle - 4, x, middle + 4, "whisker") for x in (ends[0], ends[2])]
        shown = f"{number(spread.median)} {row.figure.unit}"
        parts.append(text(max(ends[1], ends[2]) + 8, middle + 4, shown, css="value"))
    height = GAP + len(row.spreads) * (BAR + GAP)
    return svg(WIDTH, height, parts, row.figure.name)


class Scale(NamedTuple):
    """Logarithmic: values from `low` to `high` onto pixels from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Where a value is."""
        span = math.log10(self.high) - math.log10(self.low)
        share = (math.log10(value) - math.log10(self.low)) / span
        return self.start + share * (self.end - self.start)

    def marks(self) -> list[float]:
        """Round values on it: powers of ten, with 2 and 5 where there are few."""
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        steps = (1.0, 2.0, 5.0) if last - first <= 3 else (1.0,)
        found = [step * 10.0**power for power in range(first, last + 1) for step in steps]
        return [value for value in found if self.low <= value <= self.high]


def scale_of(values: Sequence[float], start: float, end: float) -> Scale:
    """A scale that holds positive values, with some room."""
    low, high = min(values) / 1.3, max(values) * 1.3
    missing = DECADES_MIN - (math.log10(high) - math.log10(low))
    if missing > 0:
        low, high = low / 10 ** (missing / 2), high * 10 ** (missing / 2)
    return Scale(low, high, start, end)


Points = Mapping[str, Sequence[tuple[float, Spread]]]


def points_by_side(rows: Iterable[tuple[float, Row]]) -> Points:
    """Rows by size as points by side."""
    found: dict[str, list[tuple[float, Spread]]] = {}
    for size, row in rows:
        for side, spread in row.spreads.items():
            found.setdefault(side, []).append((size, spread))
    return found


def lines(points: Points, unit: str, across: str, title: str) -> str:
    """Medians by size, a line a side; both scales logarithmic."""
    kept = {
        side: [(x, spread) for x, spread in found if x > 0 and spread.low > 0]
        for side, found in points.items()
    }
    kept = {side: found for side, found in kept.items() if found}
    if not kept:
        return ""
    right, bottom = WIDTH - 130, LINES_HEIGHT - 40
    xs = scale_of([x for found in kept.values() for x, _ in found], MARGIN, right)
    heights = [v for found in kept.values() for _, s in found for v in (s.low, s.high)]
    ys = scale_of(heights, bottom, 16)
    parts = _axes(xs, ys, unit, across)
    for side, found in kept.items():
        path = " ".join(f"{xs.at(x):.1f},{ys.at(s.median):.1f}" for x, s in found)
        parts.append(f'<polyline points="{path}" stroke="{color(side)}" class="curve"/>')
        for x, spread in found:
            at = f'cx="{xs.at(x):.1f}" cy="{ys.at(spread.median):.1f}"'
            shown = f"{side}: {number(spread.median)} {unit} at {number(x)}"
            parts.append(f'<circle {at} r="4" fill="{color(side)}"><title>{shown}</title></circle>')
    ends = sorted((ys.at(found[-1][1].median), side) for side, found in kept.items())
    below = -math.inf
    for y, side in ends:  # labels do not cover each other
        below = max(y, below + 15)
        parts.append(text(right + 10, below + 4, side))
    return svg(WIDTH, LINES_HEIGHT, parts, title)


def _axes(xs: Scale, ys: Scale, unit: str, across: str) -> list[str]:
    parts = []
    for mark in ys.marks():
        parts.append(line(xs.start, ys.at(mark), xs.end, ys.at(mark), "grid"))
        parts.append(text(xs.start - 8, ys.at(mark) + 4, number(mark), anchor="end", css="axis"))
    for mark in xs.marks():
        parts.append(line(xs.at(mark), ys.start, xs.at(mark), ys.start + 4, "axis-line"))
        parts.append(text(xs.at(mark), ys.start + 18, number(mark), anchor="middle", css="axis"))
    parts.append(line(xs.start, ys.start, xs.end, ys.start, "axis-line"))
    parts.append(text(xs.end, ys.start + 34, across, anchor="end", css="axis"))
    parts.append(text(4, 12, unit, css="axis"))
    return parts


class Mark(NamedTuple):
    """A line of the plot of ratios."""

    name: str
    against: Against


def ratios(marks: Sequence[Mark], title: str) -> str:
    """Ratios on one logarithmic scale; at the right of 1 netsim is ahead."""
    values = [v for m in marks for v in (m.against.low, m.against.high, m.against.ratio) if v > 0]
    if not values:
        return ""
    left, step = 330, 22
    height = len(marks) * step + 46
    xs = scale_of([*values, 1.0], left, WIDTH - 70)
    parts = []
    for value in xs.marks():
        css = "one" if value == 1 else "grid"
        parts.append(line(xs.at(value), 8, xs.at(value), height - 38, css))
        shown = f"{number(value)}x"
        parts.append(text(xs.at(value), height - 22, shown, anchor="middle", css="axis"))
    for index, mark in enumerate(marks):
        y = 20 + index * step
        one = mark.against
        parts.append(text(left - 12, y + 4, mark.name, anchor="end"))
        parts.append(line(xs.at(one.low), y, xs.at(one.high), y, "range"))
        parts.append(
            f'<circle cx="{xs.at(one.ratio):.1f}" cy="{y}" r="5" fill="{color(one.side)}"/>'
        )
        parts.append(text(WIDTH - 60, y + 4, f"{one.ratio:.2f}x", css="value"))
    return svg(WIDTH, height, parts, title)
