"""A run as one HTML page that needs nothing else: no scripts, no fonts, no other files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby

from netsim.bench import plots
from netsim.bench.plots import Mark
from netsim.bench.result import Result
from netsim.bench.rounds import Figure, Row
from netsim.bench.table import cells, facts, notes

COLORS_CSS = """
:root { color-scheme: light dark; --text: #1f2328; --soft: #59636e; --line: #d1d9e0;
  --back: #ffffff; --card: #f6f8fa; --strong: #1f2328; }
@media (prefers-color-scheme: dark) { :root { --text: #e6edf3; --soft: #9198a1;
  --line: #3d444d; --back: #0d1117; --card: #151b23; --strong: #f0f6fc; } }
"""
PLOTS_CSS = """
svg { width: 100%; height: auto; font: 12px system-ui, sans-serif; display: block; }
svg text { fill: var(--text); } svg .axis { fill: var(--soft); font-size: 11px; }
svg .value { font-weight: 600; } svg .grid { stroke: var(--line); stroke-width: 1; }
svg .axis-line { stroke: var(--soft); } svg .curve { fill: none; stroke-width: 2.5; }
svg .whisker { stroke: var(--strong); stroke-width: 1.5; opacity: .65; }
svg .range { stroke: var(--soft); stroke-width: 3; opacity: .5; }
svg .one { stroke: var(--strong); stroke-width: 1.5; stroke-dasharray: 4 3; }
"""
CSS = """
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back);
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem;
  border-bottom: 1px solid var(--line); padding-bottom: .3rem; }
h3 { font-size: 1rem; font-weight: 600; margin: 1.2rem 0 .2rem; }
figure { margin: .6rem 0; padding: .8rem; background: var(--card); border-radius: 8px; }
table { border-collapse: collapse; width: 100%; font-size: 13px;
  font-variant-numeric: tabular-nums; }
td, th { text-align: left; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
.scroll { overflow-x: auto; } ul { padding-left: 1.2rem; color: var(--soft); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; font-size: 14px; }
dt { color: var(--soft); } dd { margin: 0; }
.key span { display: inline-block; width: .8rem; height: .8rem; border-radius: 2px;
  margin: 0 .35rem 0 .9rem; vertical-align: -1px; }
.key span:first-child { margin-left: 0; }
"""
TITLES = {
    "throughput": "Throughput",
    "latency": "Latency",
    "connections": "Connections",
    "packets": "Packets",
    "services": "How cost grows with Services",
    "updates": "Changes",
    "startup": "Coming and going",
    "memory": "Memory",
    "path": "Packet path in memory",
}
HEADINGS = ("figure", "unit", "side", "median [range]", "CPU", "ratio")


def page(result: Result) -> str:
    """The whole page."""
    body = [
        "<h1>netsim beside the kernel</h1>",
        _key(result),
        *_overview(result),
        *_sections(result.rows),
        "<h2>All figures</h2>",
        _table(result),
        "<h2>Conditions</h2>",
        _list(notes(result)),
        _machine(result),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        "<title>netsim bench</title>\n"
        f"<style>{COLORS_CSS}{PLOTS_CSS}{CSS}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def _key(result: Result) -> str:
    parts = [
        f'<span style="background:{plots.color(side)}"></span>{escape(side)} '
        f"<small>({escape(title)})</small>"
        for side, title in result.titles.items()
    ]
    return f'<p class="key">{" ".join(parts)}</p>' if parts else ""


def ratio_marks(rows: Sequence[Row]) -> list[Mark]:
    """All ratios of traffic, for plots.ratios()."""
    return [
        Mark(f"{row.figure.name}, {one.side.removeprefix('netsim-')}", one)
        for row in rows
        if "@" not in row.figure.key
        for one in row.ratios
    ]


def _overview(result: Result) -> Iterator[str]:
    """Ratios to all peers."""
    marks = ratio_marks(result.rows)
    if marks:
        peers = sorted({mark.against.peer for mark in marks})
        many = [Mark(f"{m.name} / {m.against.peer}", m.against) for m in marks]
        shown = marks if len(peers) == 1 else many
        yield f"<h2>Ratio to {escape(', '.join(peers))}</h2>"
        yield _figure(plots.ratios(shown, "ratios"))
        yield "<p><small>At the right of 1x netsim is ahead; bars: range of rounds.</small></p>"


def _sections(rows: Sequence[Row]) -> Iterator[str]:
    for work, group in groupby(rows, key=lambda row: row.work):
        yield f"<h2>{escape(TITLES.get(work, work))}</h2>"
        found = list(group)
        families = {row.figure.key.partition("@")[0] for row in found if "@" in row.figure.key}
        for family in sorted(families):
            yield from _growth([r for r in found if r.figure.key.startswith(f"{family}@")])
        for row in found:
            if "@" not in row.figure.key:
                yield f"<h3>{escape(row.figure.name)}</h3>"
                yield _figure(plots.bars(row))


def _growth(rows: Sequence[Row]) -> Iterator[str]:
    """Figures that differ in a number: a line; others: bars."""
    sizes = [row.figure.key.partition("@")[2] for row in rows]
    if len(rows) < 2 or not all(size.isdigit() for size in sizes):
        for row in rows:
            yield f"<h3>{escape(row.figure.name)}</h3>"
            yield _figure(plots.bars(row))
        return
    name, across = of_what(rows[-1].figure)
    yield f"<h3>{escape(name)}, by {across}</h3>"
    yield _figure(by_size(rows))


def of_what(figure: Figure) -> tuple[str, str]:
    """A figure of some size: its name without the size, and what there are so many of."""
    size = int(figure.key.partition("@")[2])
    found = re.search(rf"(?:,| and) {size:,} (?:idle )?(\w+?)s?\b", figure.name)
    if found is None:
        return figure.name, "size"
    return figure.name[: found.start()] + figure.name[found.end() :], f"{found[1]}s"


def by_size(rows: Sequence[Row]) -> str:
    """The plot of one figure at several sizes, which its keys end in."""
    name, across = of_what(rows[-1].figure)
    sized = [(float(row.figure.key.partition("@")[2]), row) for row in rows]
    return plots.lines(plots.points_by_side(sized), rows[0].figure.unit, across, name)


def _figure(svg: str) -> str:
    return f"<figure>{svg}</figure>"


def _table(result: Result) -> str:
    lines = [line for row in result.rows for line in cells(row, bool(result.forced))]
    head = "".join(f"<th>{word}</th>" for word in HEADINGS)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>" for line in lines
    )
    return f'<div class="scroll"><table>\n<tr>{head}</tr>\n{body}\n</table></div>'


def _list(words: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in words) + "</ul>"


def _machine(result: Result) -> str:
    pairs = [line.partition(": ") for line in facts(result)]
    inner = "".join(f"<dt>{escape(n)}</dt><dd>{escape(value)}</dd>" for n, _, value in pairs)
    return f"<dl>{inner}</dl>"
