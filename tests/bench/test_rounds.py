"""What is said of given samples: medians, ranges, ratios, and which rounds count."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.bench import cpu
from netsim.bench.rounds import FOREIGN_MAX, Figure, Round, Sample, chosen, ratio, row, take

SPEED = Figure("speed", "speed", "/s")
DELAY = Figure("delay", "delay", "us", more_is_better=False)


def sample(speed: float, foreign: float = 0.0) -> Sample:
    return Sample({"speed": speed, "delay": 1 / speed}, foreign, 0.5)


def both(ours: float, peer: float, foreign: float = 0.0) -> Round:
    return Round({"a": sample(ours, foreign), "b": sample(peer)})


def test_a_row_is_the_median_and_range_of_the_rounds() -> None:
    rounds = [both(10, 5), both(30, 6), both(20, 100)]
    made = row("work", SPEED, rounds, 3, ["a"])
    assert made.spreads == {"a": (20, 10, 30), "b": (6, 5, 100)}
    assert [(r.side, r.peer) for r in made.ratios] == [("a", "b")]
    assert made.ratios[0][2:] == pytest.approx((20 / 6, 0.2, 5))
    assert (made.rounds, made.discarded, made.noisy) == (3, 0, False)


def test_a_ratio_above_one_is_in_our_favour_whichever_way_is_better() -> None:
    for figure in (SPEED, DELAY):
        [against] = row("work", figure, [both(20, 10)], 1, ["a"]).ratios
        assert against.ratio == pytest.approx(2)


@pytest.mark.parametrize(("ours", "peer"), [(0, 1), (1, 0), (0, 0)])
def test_there_is_no_ratio_to_nothing(ours: float, peer: float) -> None:
    assert ratio(SPEED, ours, peer) is None


def test_without_a_peer_there_is_no_ratio() -> None:
    made = row("work", SPEED, [Round({"a": sample(3)})], 1, ["a"])
    assert made.ratios == ()


def test_every_side_of_ours_is_put_beside_every_peer() -> None:
    round_ = Round({name: sample(speed) for name, speed in zip("abcd", (4, 8, 2, 1), strict=True)})
    made = row("work", SPEED, [round_], 1, ["a", "b"])
    found = {(r.side, r.peer): r.ratio for r in made.ratios}
    assert found == {("a", "c"): 2, ("a", "d"): 4, ("b", "c"): 4, ("b", "d"): 8}


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
    assert cpu.parse_stat(text) == (3, 370 / cpu.TICKS_PER_S, False)
    assert cpu.parse_stat(text.replace(" S ", " Z ")).ended


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
        40: cpu.Process(1, 100.0, ended=True),  # another lab's init, of which nothing else is left
    }
    assert cpu.foreign_seconds(table, [11, 30]) == 3.0


def test_shares_are_of_all_processors() -> None:
    count = os.cpu_count() or 1
    before = cpu.Reading(1.0, 10.0, 0.0, 5.0)
    after = cpu.Reading(1.0 + count / 2, 10.0 + count, 0.0, 6.0)
    assert cpu.shares(before, after) == pytest.approx(cpu.Shares(foreign=0.5, busy=1.0))
