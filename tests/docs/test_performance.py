"""The tables of docs/performance.md are those of docs/performance.json."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from benchmarks import docs, docs_plots
from netsim.bench.result import as_json
from netsim.bench.rounds import Figure, alone
from tests.bench.samples import result

PAGE = (docs.DOCS / "performance.md").read_text()


def sample() -> dict[str, object]:
    made = result()
    figures = {"up_s@1000": 2.5, "flow_bytes": 200.0, "full_ms@1": 100.0, "full_ms@100": 130.0}
    rows = tuple(alone("memory", Figure(k, k, "unit", False), v) for k, v in figures.items())
    found: dict[str, object] = json.loads(json.dumps(as_json(made._replace(rows=made.rows + rows))))
    return found


def test_the_page_is_what_the_figures_say() -> None:
    made = docs.render(PAGE, docs.stored(), docs.stored_elsewhere())
    assert made == PAGE, "run python -m benchmarks.docs"


def test_another_machine_has_its_own_tables() -> None:
    places = "".join(f"<!-- {name}-there -->\n<!-- /{name}-there -->\n" for name in docs.ELSEWHERE)
    made = docs.render(f"{PAGE}{places}", docs.stored(), {"there": sample()})
    assert made.startswith(PAGE)
    added = made.removeprefix(PAGE)
    assert docs.traffic(sample()) in added
    assert docs.limits(sample()) in added
    assert "Some <CPU>" in added
    with pytest.raises(KeyError, match="traffic-nowhere"):
        docs.render(PAGE, docs.stored(), {"nowhere": sample()})


def test_figures_of_other_machines_are_found_by_name(tmp_path: Path) -> None:
    for name in ("performance.json", "performance-there.json", "performance.md"):
        (tmp_path / name).write_text(json.dumps({"at": name}))
    assert docs.stored_elsewhere(tmp_path) == {"there": {"at": "performance-there.json"}}


def test_a_target_is_met_or_missed() -> None:
    lines = [line for line in docs.traffic(sample()).splitlines() if "TCP, 1 stream" in line]
    assert lines == [
        "| TCP, 1 stream, Gbit/s | fabric | 6 [4 .. 8] | 1.5 [1 .. 2] | 4.00 | 1.8 | met |"
    ]
    limits = docs.limits(sample())
    assert "| up_s@1000 | unit | 2.5 | <= 3 | met |" in limits
    assert "| flow_bytes | unit | 200 | <= 128 | **missed** |" in limits
    assert "| full_ms@100, as a multiple of: full_ms@1 | x | 1.3 | <= 1.2 | **missed** |" in limits


def test_a_ratio_to_a_bare_loop_has_a_target() -> None:
    both = {side: {"median": 1.0, "low": 1.0, "high": 1.0} for side in ("netsim", "bare copy")}
    ratio = {"side": "netsim", "peer": "bare copy", "ratio": 0.8, "low": 0.8, "high": 0.8}
    row = {"work": "path", "key": "io_per_s@epoll", "name": "UDP", "unit": "/s"}
    (line,) = docs.limits({"rows": [{**row, "sides": both, "ratios": [ratio]}]}).splitlines()[2:]
    assert line == (
        "| UDP, as a multiple of: a loop that only copies | x | 0.80 | >= 0.85 | **missed** |"
    )


def test_tables_can_be_made_again_and_again() -> None:
    once = docs.render(PAGE, sample())
    assert docs.render(once, sample()) == once
    assert docs.render(once, docs.stored()) == PAGE
    assert "Some <CPU>" in once


def test_the_plots_are_what_the_figures_say() -> None:
    found = docs.stored()
    assert found is not None
    kept = {path.stem: path.read_text() for path in (docs.DOCS / "plots").glob("*.svg")}
    assert docs_plots.files(found) == kept, "run python -m benchmarks.docs"


def test_the_page_shows_every_plot() -> None:
    assert set(re.findall(r"\(plots/([\w-]+)\.svg\)", PAGE)) == set(docs_plots.PLOTS)


def test_a_plot_is_a_picture_of_its_own() -> None:
    made = docs_plots.files(sample())
    assert set(made) == {"ratios", "publish", "pods"}
    for svg in made.values():
        root = ET.fromstring(svg)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert root[0].tag == "{http://www.w3.org/2000/svg}style"
        assert "var(--text)" in (root[0].text or "")


def test_flows_and_stages_are_told_by_name() -> None:
    rows: list[dict[str, object]] = [
        {
            "work": "path",
            "key": f"path_ns@{name}",
            "name": name,
            "unit": "ns/packet",
            "moreIsBetter": False,
            "sides": {"netsim": {"median": 5.0, "low": 5.0, "high": 5.0}},
            "ratios": [],
        }
        for name in (
            *("1,000 flows, 10 services, batches of 64", "1 M flows, 10,000 services, one by one"),
            *("1 M flows, 10,000 services, batches of 64", "flow, 1,000 flows", "flow, 1 M flows"),
        )
    ]
    made = docs_plots.files({"rows": rows})
    assert set(made) == {"flows", "stages"}
    assert re.findall(r"at ([\d,]+)<", made["flows"]) == ["1,000", "1,000,000"]
    assert made["stages"].count("<rect") == 2


def test_a_page_without_a_place_is_told() -> None:
    with pytest.raises(KeyError, match="growth"):
        docs.render(re.sub("<!-- growth -->", "", PAGE), None)
