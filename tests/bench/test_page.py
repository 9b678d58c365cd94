"""The HTML page: well-formed, self-contained, complete."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from netsim.bench import plots
from netsim.bench.page import page
from netsim.bench.rounds import Figure, Row, Spread, alone
from tests.bench.samples import result


def growth() -> tuple[Row, ...]:
    return tuple(
        Row(
            "services",
            Figure(f"first_us@{size}", f"first packet, {size:,} services", "us", False),
            {"netsim-fabric": Spread(50, 40, 60), "kernel": Spread(50.0 + size, 50, 90.0 + size)},
        )
        for size in (1, 10, 5000)
    )


def html() -> str:
    more = (*growth(), alone("memory", Figure("flow_bytes", "memory of a flow", "B", False), 128.0))
    made = result()
    return page(made._replace(rows=made.rows + more))


def parsed(text: str) -> ET.Element:
    return ET.fromstring(text.replace("<!DOCTYPE html>", ""))


def test_it_is_well_formed() -> None:
    assert parsed(html()).tag == "html"


def test_it_needs_nothing_from_elsewhere() -> None:
    text = html()
    assert not re.search(r"(src|href|url\(|@import|<script)", text)
    assert "http" not in text


def test_every_figure_is_plotted_and_in_the_table() -> None:
    root = parsed(html())
    titles = [svg.get("aria-label") for svg in root.iter("svg")]
    assert titles == [
        *("ratios", "TCP, 1 stream", "1-byte <round> trip, p50"),
        *("first packet", "memory of a flow"),
    ]
    cells = {"".join(cell.itertext()) for cell in root.iter("td")}
    assert {"6 [4 .. 8]", "1-byte <round> trip, p50", "kernel"} <= cells


def test_the_machine_and_the_conditions_are_told() -> None:
    text = html()
    assert "Some &lt;CPU&gt;" in text
    assert "not measured: path: no compiler" in text


def test_a_run_without_rows_is_a_page_too() -> None:
    made = result()
    assert parsed(page(made._replace(rows=(), titles={}))).tag == "html"


positive = st.floats(1e-3, 1e9)


@given(st.lists(positive, min_size=1), positive)
def test_a_scale_holds_its_values_in_order(values: list[float], other: float) -> None:
    scale = plots.scale_of(values, 0, 100)
    at = [scale.at(value) for value in sorted(values)]
    assert at == sorted(at)
    assert all(0 <= x <= 100 for x in at)
    assert all(scale.low <= mark <= scale.high for mark in scale.marks())
    assert len(scale.marks()) >= 1


@given(st.dictionaries(st.sampled_from("abc"), st.lists(st.tuples(positive, positive))))
def test_lines_are_drawn_of_any_points(found: dict[str, list[tuple[float, float]]]) -> None:
    points = {side: [(x, Spread(y, y, y)) for x, y in pairs] for side, pairs in found.items()}
    drawn = plots.lines(points, "us", "services", "t")
    assert not drawn or ET.fromstring(drawn).tag == "svg"
    assert bool(drawn) == any(points.values())


def test_bars_of_nothing_but_zero_are_drawn() -> None:
    row = alone("packets", Figure("loss", "lost", "share", False), 0.0)
    assert ET.fromstring(plots.bars(row)).tag == "svg"
