"""The search for the highest rate that arrives: trials at rates, each with what was lost. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

LOSS_MAX = 0.001
STEP = 1.3  # while the limit is sought
NEAR_ENOUGH = 1.04  # between the highest good rate and the lowest bad one
TRIALS = 14


class Trial(NamedTuple):
    """What came of sending at a rate."""

    received_per_s: float
    loss: float


def highest(trial: Callable[[float], Trial], start: float, trials: int = TRIALS) -> Trial:
    """The best trial without more than LOSS_MAX lost; one of rate 0 when all of them lost.

    Up or down by steps until the limit lies between two rates, then halving. A rate is bad only if
    it is bad twice: a moment of somebody else's work costs datagrams too.
    """
    best = Trial(0.0, 0.0)
    good, bad, rate = 0.0, 0.0, start
    again = False
    for _ in range(trials):
        found = trial(rate)
        if found.loss <= LOSS_MAX:
            good = max(good, rate)
            best = max(best, found)
        elif not again:
            again = True
            continue
        else:
            bad = min(bad, rate) if bad else rate
        again = False
        if good and bad and bad / good < NEAR_ENOUGH:
            break
        rate = (good * bad) ** 0.5 if good and bad else good * STEP if good else rate / STEP
    return best
