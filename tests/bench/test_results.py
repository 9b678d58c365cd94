"""What people and programs read of a run."""

from __future__ import annotations

import csv
import io
import json

from netsim.bench import machine
from netsim.bench.result import COLUMNS, as_csv, as_json
from netsim.bench.table import number, table
from tests.bench.samples import result


def test_the_table_has_a_line_a_side_with_median_range_and_ratio() -> None:
    lines = table(result()).splitlines()
    [fabric] = [line for line in lines if line.startswith("TCP, 1 stream")]
    assert "6 [4 .. 8]" in fabric
    assert "4.00 [4.00 .. 4.00] x kernel" in fabric
    assert sum("netsim-udp" in line for line in lines) == 2


def test_the_table_says_what_is_not_to_be_trusted() -> None:
    assert "!" not in table(result())
    noisy = table(result(foreign=0.5))
    assert "TCP, 1 stream !" in noisy
    assert "more than 15 %" in noisy
    forced = table(result(forced=("other processes use 40% of the processors",)))
    assert "TCP, 1 stream !" in forced
    assert "forced: other processes" in forced


def test_what_was_not_measured_is_said() -> None:
    assert "not measured: path: no compiler" in table(result())


def test_json_is_complete_and_stable() -> None:
    made = as_json(result())
    assert json.loads(json.dumps(made)) == made
    assert made["apiVersion"] == "netsim.dev/v1alpha1"
    assert {"machine", "sides", "rows", "rounds", "seconds", "tookSeconds"} <= set(made)
    rows = made["rows"]
    assert isinstance(rows, list)
    assert set(rows[0]) == {
        *("work", "key", "name", "unit", "moreIsBetter", "sides", "ratios"),
        *("rounds", "discarded", "noisy", "forced"),
    }
    assert rows[0]["sides"]["kernel"] == {"median": 1.5, "low": 1.0, "high": 2.0, "cpuBusy": 0.5}
    assert rows[0]["ratios"][0]["ratio"] == 4.0


def test_csv_has_a_line_a_side_and_peer() -> None:
    lines = list(csv.DictReader(io.StringIO(as_csv(result().rows))))
    assert tuple(lines[0]) == COLUMNS
    assert [line["side"] for line in lines[:3]] == ["netsim-fabric", "netsim-udp", "kernel"]
    assert [line["peer"] for line in lines[:3]] == ["kernel", "kernel", ""]
    assert float(lines[1]["ratio"]) == 2.0


def test_numbers_have_three_digits_or_more() -> None:
    shown = {0.0: "0", 0.01234: "0.0123", 1.0: "1", 12.34: "12.3", 123.4: "123", 12345.6: "12,346"}
    assert {value: number(value) for value in shown} == shown


def test_the_processor_is_named() -> None:
    assert machine.cpu_model("processor: 0\nmodel name\t: AMD EPYC 7\nflags: x\n") == "AMD EPYC 7"
    assert machine.cpu_model("nothing") != ""


def test_the_io_method_is_told_with_its_reason() -> None:
    forbidden = {"io": "epoll", "ioReason": "forbidden here", "workers": 2}
    ring = {"io": "io_uring", "ioReason": "", "workers": 1}
    told = machine.dataplane_facts({"udp": forbidden})
    assert told == {"io": "epoll (forbidden here)", "workers": 2}
    assert machine.dataplane_facts({"fabric": ring, "udp": {**ring, "workers": 2}}) == {
        "io": "io_uring",
        "workers": "fabric: 1, udp: 2",
    }
