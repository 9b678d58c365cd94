"""How often changes of Services are put in place. P-91."""

from __future__ import annotations

BURST = 2


class SyncPace:
    """Once in `period_s` and at once after quiet, as kube-proxy's BoundedFrequencyRunner."""

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._tokens, self._at_s = float(BURST), 0.0

    def wait_s(self, now_s: float) -> float:
        """0: now, which counts as done; otherwise seconds until it is time."""
        if not self._period_s:
            return 0.0
        grown = (now_s - self._at_s) / self._period_s
        self._tokens, self._at_s = min(self._tokens + grown, BURST), now_s
        if self._tokens < 1:
            return (1 - self._tokens) * self._period_s
        self._tokens -= 1
        return 0.0
