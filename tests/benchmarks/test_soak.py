"""The soak: its verdict on samples, and six seconds of it."""

from __future__ import annotations

import pytest

from benchmarks.soak import SAMPLES_MIN, Sample, Tally, growth, judge, soak

COUNT = SAMPLES_MIN * 2


def samples(bytes_step: float = 0, fds_step: float = 0, flows_step: float = 0) -> list[Sample]:
    return [
        Sample(
            {"control": int(100_000 + i * bytes_step), "init": 100_000},
            {"control": int(20 + i * fds_step), "init": 20},
            int(1000 + i * flows_step),
        )
        for i in range(COUNT)
    ]


GOOD = Tally(requests=1000, worst_gap_ms={"connect": 20.0})


def test_a_lab_that_stays_as_it_is_passes() -> None:
    assert judge(samples(), GOOD) == []


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (samples(bytes_step=50), "memory: control grew by"),
        (samples(fds_step=0.5), "descriptors: control has"),
        (samples(flows_step=5), "flows:"),
    ],
)
def test_what_grows_is_named(found: list[Sample], said: str) -> None:
    [problem] = judge(found, GOOD)
    assert problem.startswith(said)


def test_growth_while_it_warms_up_is_none() -> None:
    cold = [
        Sample({"control": 1000 * i, "init": 1}, {"control": 1, "init": 1}, i) for i in range(5)
    ]
    assert judge([*cold, *samples()], GOOD) == []


@pytest.mark.parametrize(
    ("tally", "said"),
    [
        (Tally(requests=1, failures=["load connect: answer"]), "lost: load connect: answer"),
        (Tally(requests=1, worst_gap_ms={"connect": 1500.0}), "stall: connect: 1500 ms"),
        (Tally(), "no request was answered"),
    ],
)
def test_what_was_lost_and_what_stood_still_is_said(tally: Tally, said: str) -> None:
    [problem] = judge(samples(), tally)
    assert problem.startswith(said)


def test_growth_compares_the_ends() -> None:
    assert growth([100, 100, 300, 100, 100, 100, 110, 110]) == pytest.approx(0.1)
    assert growth([0, 0]) == 0


@pytest.mark.linux
def test_six_seconds_of_it() -> None:
    verdict = soak("udp", [], 6)
    problems = verdict["problems"]
    assert isinstance(problems, list)
    # how long others keep the processors is not ours to say
    assert [text for text in problems if not text.startswith("stall")] == []
    assert int(str(verdict["changes"])) >= 1
    assert int(str(verdict["requests"])) > 100
