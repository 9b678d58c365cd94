"""The benchmarks in memory: every mode runs to its end and says what it must."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks import instructions, path, tables
from benchmarks.compiled import RELEASE

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("what", ["known", "new", "arriving"])
def test_the_packet_path_is_measured_in_memory(what: str) -> None:
    figures = path.nanoseconds(path.Case("small", 1000, 10, 64, 960, what))
    assert figures["ns_min"] <= figures["ns"] <= figures["ns_max"] < 100_000
    assert figures["flows"] == (960 if what == "new" else 1000)
    assert figures["bytes_per_flow"] > 0


def test_a_full_table_refuses_and_keeps_what_it_has() -> None:
    known, refused = path.rows(path.Case("full", 1000, 10, 64, 960, "full")).values()
    assert known["ns"] > 0 < refused["ns"]
    assert (known["refused"], refused["refused"]) == (0, 7 * 960)


def test_every_stage_is_measured() -> None:
    found = path.rows(path.Case("small", 1000, 10, 64, 960, "stages"))
    assert [name.partition(",")[0] for name in found] == list(path.STAGES)
    assert all(set(figures) == {"ns"} for figures in found.values())


@pytest.mark.parametrize("table", tables.SIZES)
def test_tables_are_measured(table: str) -> None:
    figures = tables.operations(table, 100)
    assert figures["find"] > 0


def test_a_million_flows_take_no_more_than_128_bytes_each() -> None:
    case = path.Case("bytes", 1_000_000, 10_000, 64, 64)
    assert path.nanoseconds(case)["bytes_per_flow"] <= 128


def test_benchmarks_are_built_as_a_release_is() -> None:
    text = (ROOT / "setup.py").read_text()
    [release] = re.findall(r'"release": Flavour\(\((.*?)\)\)', text)
    flags = set(re.findall(r'"(-[^"]+)"', release)) | {"-fvisibility=hidden"}
    assert "-fvisibility=hidden" in text
    assert flags <= set(RELEASE)


def test_what_got_dearer_is_found_and_what_is_new_is_not() -> None:
    kept = {"a": 100.0, "b": 100.0}
    found = instructions.changes({"a": 103.5, "b": 90.0, "c": 7.0}, kept)
    assert found == pytest.approx({"a": 0.035, "b": -0.1, "c": 0.0})
    assert found["a"] > instructions.TOLERANCE


def test_counts_of_other_tools_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = json.loads(instructions.KEPT.read_text())["tools"]
    monkeypatch.setattr(instructions, "tools", lambda: {**kept, "compiler": "gcc 99"})
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/valgrind")
    assert instructions.not_comparable().startswith("compiler is gcc 99, was ")
    monkeypatch.setattr(instructions, "tools", lambda: kept)
    assert instructions.not_comparable() == ""


def test_every_counted_case_is_kept() -> None:
    kept = json.loads(instructions.KEPT.read_text())["per_packet"]
    assert list(kept) == [case.name for case in path.COUNTED]
