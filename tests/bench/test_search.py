"""The search for the highest rate that arrives, over channels that lose beyond a limit."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.bench.search import LOSS_MAX, TRIALS, Trial, highest


class Channel:
    """Carries so many a second; `hiccups` are trials (by number) that lose in any case."""

    def __init__(self, limit: float, hiccups: frozenset[int] = frozenset()) -> None:
        self.limit = limit
        self.trials = 0
        self._hiccups = hiccups

    def __call__(self, rate: float) -> Trial:
        self.trials += 1
        if self.trials - 1 in self._hiccups:
            return Trial(rate * 0.9, 0.1)
        arrives = min(rate, self.limit)
        return Trial(arrives, 1 - arrives / rate)


@given(st.floats(1e4, 1e6), st.floats(0.6, 1.6))
def test_the_limit_is_found_whether_the_start_is_above_or_below(limit: float, start: float) -> None:
    channel = Channel(limit)
    best = highest(channel, limit * start)
    assert 0.9 * limit <= best.received_per_s <= limit
    assert best.loss <= LOSS_MAX
    assert channel.trials <= TRIALS


@given(st.integers(0, TRIALS - 1))
def test_one_hiccup_does_not_spoil_it(when: int) -> None:
    assert highest(Channel(1e5, frozenset([when])), 9e4).received_per_s >= 0.85e5


def test_a_channel_that_always_loses_has_no_rate() -> None:
    assert highest(lambda rate: Trial(rate / 2, 0.5), 1e5).received_per_s == 0


def test_trials_are_bounded() -> None:
    channel = Channel(1e9)
    highest(channel, 1.0, trials=5)
    assert channel.trials == 5


@pytest.mark.parametrize("seed", range(5))
def test_noise_below_the_limit_costs_little(seed: int) -> None:
    luck = random.Random(seed)

    def trial(rate: float) -> Trial:
        lost = 0.01 if luck.random() < 0.15 else 0.0
        return Channel(2e5)(rate) if not lost else Trial(rate * 0.99, lost)

    assert highest(trial, 1.5e5).received_per_s >= 1.2e5
