"""The benchmarks: what they say of given samples, and that every one of them runs to its end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import cpu, path, report
from benchmarks.compiled import load
from benchmarks.rounds import FOREIGN_MAX, Figure, Round, Sample, chosen, ratio, row, take
from benchmarks.work import WORKS

ROOT = Path(__file__).parents[2]
SPEED = Figure("speed", "speed", "/s")
DELAY = Figure("delay", "delay", "us", more_is_better=False)


def sample(speed: float, foreign: float = 0.0) -> Sample:
    return Sample({"speed": speed, "delay": 1 / speed}, foreign, 0.5)


def both(ours: float, peer: float, foreign: float = 0.0) -> Round:
    return Round({"a": sample(ours, foreign), "b": sample(peer)})


def test_a_row_is_the_median_and_range_of_the_rounds() -> None:
    rounds = [both(10, 5), both(30, 6), both(20, 100)]
    made = row(SPEED, rounds, 3, "a", "b")
    assert made.ours == (20, 10, 30)
    assert made.peer == (6, 5, 100)
    assert made.ratio == pytest.approx(20 / 6)
    assert (made.rounds, made.discarded, made.noisy) == (3, 0, False)


def test_a_ratio_above_one_is_in_our_favour_whichever_way_is_better() -> None:
    assert row(SPEED, [both(20, 10)], 1, "a", "b").ratio == pytest.approx(2)
    assert row(DELAY, [both(20, 10)], 1, "a", "b").ratio == pytest.approx(2)


@pytest.mark.parametrize(("ours", "peer"), [(0, 1), (1, 0), (0, 0)])
def test_there_is_no_ratio_to_nothing(ours: float, peer: float) -> None:
    assert ratio(SPEED, ours, peer) is None


def test_without_a_peer_there_is_no_ratio() -> None:
    made = row(SPEED, [Round({"a": sample(3)})], 1, "a", None)
    assert (made.peer, made.ratio) == (None, None)


noise = st.floats(0, 1)


@given(st.lists(noise, min_size=1, max_size=20), st.integers(1, 10))
def test_quiet_rounds_are_taken_if_there_are_enough(shares: list[float], wanted: int) -> None:
    rounds = [both(1, 1, share) for share in shares]
    kept, noisy = chosen(rounds, wanted)
    quiet = [r for r in rounds if r.quiet]
    if len(quiet) >= wanted:
        assert (kept, noisy) == (quiet, False)
    else:
        assert noisy
        assert len(kept) == min(wanted, len(rounds))
        worst = max(r.samples["a"].foreign for r in kept)
        assert all(r in kept or r.samples["a"].foreign >= worst for r in rounds)


def test_rounds_alternate_and_noisy_ones_are_repeated_within_bounds() -> None:
    asked: list[str] = []

    def measure(side: str) -> Sample:
        asked.append(side)
        return sample(1, foreign=1.0 if len(asked) <= 2 else 0.0)

    assert len(take(measure, ["a", "b"], wanted=2, spare=5)) == 3
    assert "".join(asked) == "abbaab"
    assert len(take(lambda _: sample(1, 1.0), ["a"], wanted=2, spare=3)) == 5


def test_the_limit_of_foreign_cpu_is_inclusive() -> None:
    assert both(1, 1, FOREIGN_MAX).quiet
    assert not both(1, 1, FOREIGN_MAX + 0.001).quiet


def test_a_process_is_parsed_whatever_its_name() -> None:
    text = "7 (a) b (c) S 3 " + " ".join(["0"] * 9) + " 100 200 30 40 0"
    assert cpu.parse_stat(text) == (3, 370 / cpu.TICKS_PER_S)


def test_foreign_is_what_does_not_descend_from_us_nor_is_our_ancestor() -> None:
    table = {
        1: cpu.Process(0, 100.0),  # ancestor of all
        2: cpu.Process(0, 100.0),  # kernel threads
        3: cpu.Process(2, 100.0),
        10: cpu.Process(1, 100.0),  # our shell
        11: cpu.Process(10, 100.0),  # we
        12: cpu.Process(11, 100.0),  # our client
        20: cpu.Process(1, 1.0),  # another's
        21: cpu.Process(20, 2.0),
        30: cpu.Process(1, 100.0),  # the lab's init
        31: cpu.Process(30, 100.0),
    }
    assert cpu.foreign_seconds(table, [11, 30]) == 3.0


def test_shares_are_of_all_processors() -> None:
    count = os.cpu_count() or 1
    before = cpu.Reading(1.0, 10.0, 0.0, 5.0)
    after = cpu.Reading(1.0 + count / 2, 10.0 + count, 0.0, 6.0)
    assert cpu.shares(before, after) == pytest.approx(cpu.Shares(foreign=0.5, busy=1.0))


def test_the_report_says_what_it_must() -> None:
    rows = [row(SPEED, [both(2000, 1000, 0.9)], 1, "a", "b")]
    text = report.table(rows, "netsim", "kernel") + report.notes(rows, "udp", 1)
    assert "2,000 [2,000 .. 2,000]" in text
    assert "2.00" in text
    assert "more than 15 %" in text
    made = report.as_json(rows, "udp", 1)
    assert json.loads(json.dumps(made)) == made


@pytest.fixture
def server() -> Iterator[int]:
    """A load server on this machine's loopback; its base port."""
    port = 20000 + os.getpid() % 20000
    process = subprocess.Popen([str(load()), "serve", str(port)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield port
    process.terminate()
    process.wait()
    process.stdout.close()


def run_load(words: Sequence[str]) -> dict[str, float]:
    done = subprocess.run([str(load()), *words], capture_output=True, text=True, check=True)
    return {str(key): float(value) for key, value in json.loads(done.stdout).items()}


@pytest.mark.linux
@pytest.mark.parametrize("work", WORKS, ids=lambda work: str(work.name))
def test_the_load_generator_gives_every_figure(server: int, work: object) -> None:
    for one in WORKS:
        if one is work:
            places = {"HOST": "127.0.0.1", "PORT": str(server), "SECONDS": "0.2"}
            figures = run_load([places.get(word, word) for word in one.argv])
            assert {figure.key for figure in one.figures} <= set(figures)
            assert all(value >= 0 for value in figures.values())


@pytest.mark.linux
def test_a_paced_sender_keeps_its_rate_and_counts_what_arrives(server: int) -> None:
    figures = run_load(["udp", "127.0.0.1", str(server), "0.5", "64", "2000"])
    assert figures["sent"] == pytest.approx(1000, rel=0.2)
    assert figures["received"] == figures["sent"]
    assert figures["loss"] == 0


@pytest.mark.linux
def test_netsim_and_the_kernel_are_measured_side_by_side() -> None:
    """One short round of the work that needs the least: both figures and their ratio."""
    options = ("--rounds", "1", "--seconds", "0.2", "-o", "json")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "latency", "connect", "paced", *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert [r["key"] for r in rows] == ["p50_us", "p99_us", "per_s", "received_per_s"]
    assert all(r["netsim"]["median"] > 0 and r["peer"]["median"] > 0 for r in rows)


@pytest.mark.parametrize("new", [False, True])
def test_the_packet_path_is_measured_in_memory(new: bool) -> None:
    figures = path.nanoseconds(path.Case("small", 1000, 10, 64, 960, new))
    assert 0 < figures["ns"] < 100_000
