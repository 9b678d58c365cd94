"""The plots of docs/performance.md, as SVG files that need nothing else: docs/plots/*.svg."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from netsim.api.fields import Json, items, mapping, text
from netsim.bench import plots
from netsim.bench.page import COLORS_CSS, PLOTS_CSS, by_size, ratio_marks
from netsim.bench.rounds import Against, Figure, Row, Spread

FLOWS = re.compile(r"path_ns@([\d,]+|1 M) flows, [\d,]+ services, batches of 64")
STAGE = re.compile(r"[a-z-]+, 1,000 flows")


def row_of(found: Json) -> Row:
    """A row of `netsim bench -o json`."""
    figure = Figure(
        text(found, "key"), text(found, "name"), text(found, "unit"), found["moreIsBetter"] is True
    )
    spreads = {
        side: Spread(*(_number(of, key) for key in Spread._fields))
        for side in mapping(found, "sides")
        for of in (mapping(mapping(found, "sides"), side),)
    }
    ratios = tuple(
        Against(
            text(one, "side"), text(one, "peer"), *(_number(one, k) for k in Against._fields[2:])
        )
        for one in items(found, "ratios")
    )
    return Row(text(found, "work"), figure, spreads, ratios)


def _number(found: Json, key: str) -> float:
    return float(str(found[key]))


def to_the_kernel(rows: Sequence[Row]) -> str:
    """Ratios of traffic to the peer `kernel`."""
    marks = [mark for mark in ratio_marks(rows) if mark.against.peer == "kernel"]
    return plots.ratios(marks, "ratio to the kernel")


def growth_of(family: str) -> Callable[[Sequence[Row]], str]:
    """The plot of a figure at several sizes."""

    def plot(rows: Sequence[Row]) -> str:
        found = [row for row in rows if row.figure.key.startswith(f"{family}@")]
        return by_size(found) if found else ""

    return plot


def by_flows(rows: Sequence[Row]) -> str:
    """Cost of a packet by known flows; with as many services as come with them."""
    found = [(FLOWS.fullmatch(row.figure.key), row) for row in rows]
    sized = [
        (float(match[1].replace(",", "").replace("1 M", "1000000")), row)
        for match, row in found
        if match
    ]
    return plots.lines(plots.points_by_side(sized), "ns/packet", "flows", "packet path by flows")


def by_stages(rows: Sequence[Row]) -> str:
    """What each stage takes, with few flows and with many: two bars each."""
    found = {row.figure.name: row.spreads["netsim"] for row in rows if row.work == "path"}
    few = [name for name in found if STAGE.fullmatch(name)]
    names = [name for one in few for name in (one, one.replace("1,000", "1 M"))]
    figure = Figure("stage_ns", "packet path by stage", "ns/packet", more_is_better=False)
    bars = {name: found[name] for name in names if name in found}
    return plots.bars(Row("path", figure, bars), _paint) if bars else ""


def _paint(name: str) -> str:
    return plots.color("netsim" if STAGE.fullmatch(name) else "netsim-udp")


PLOTS: Mapping[str, Callable[[Sequence[Row]], str]] = {
    "ratios": to_the_kernel,
    "first-packet": growth_of("first_p50_us"),
    "connections": growth_of("services_per_s"),
    "update": growth_of("update_p50_ms"),
    "publish": growth_of("full_ms"),
    "flows": by_flows,
    "stages": by_stages,
    "pods": growth_of("up_s"),
}


def standalone(svg: str) -> str:
    """An inline picture as a file of its own, with its style."""
    head = '<svg xmlns="http://www.w3.org/2000/svg"'
    style = f"<style>{COLORS_CSS}{PLOTS_CSS}</style>"
    opening, _, rest = svg.partition(">")
    return f"{opening.replace('<svg', head, 1)}>\n{style}{rest}\n"


def files(result: Json) -> dict[str, str]:
    """Name of each plot and its file's text; what a run did not measure is left out."""
    rows = [row_of(found) for found in items(result, "rows")]
    made = {name: plot(rows) for name, plot in PLOTS.items()}
    return {name: standalone(svg) for name, svg in made.items() if svg}
