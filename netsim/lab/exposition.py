"""Metrics as Prometheus reads them: text exposition format 0.0.4."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "kubeproxy_"


class Histogram:
    """Observations, counted by the least of `bounds` that is not below them."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self._counts = [0] * (len(self.bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Take one in."""
        self._counts[bisect_left(self.bounds, value)] += 1
        self._sum += value

    def lines(self, name: str, text: str) -> Iterator[str]:
        """The metric `name`."""
        yield from _head(name, text, "histogram")
        below = 0
        for bound, count in zip((*self.bounds, "+Inf"), self._counts, strict=True):
            below += count
            shown = bound if isinstance(bound, str) else f"{bound:g}"
            yield f'{PREFIX}{name}_bucket{{le="{shown}"}} {below}'
        yield f"{PREFIX}{name}_sum {self._sum:.9g}"
        yield f"{PREFIX}{name}_count {below}"


def single(name: str, text: str, kind: str, value: float) -> Iterator[str]:
    """A counter or gauge without labels."""
    yield from _head(name, text, kind)
    yield f"{PREFIX}{name} {_number(value)}"


def labelled(
    name: str, text: str, kind: str, label: str, values: Mapping[str, float]
) -> Iterator[str]:
    """A counter or gauge with one label, whose values need no escapes."""
    yield from _head(name, text, kind)
    for word, value in values.items():
        yield f'{PREFIX}{name}{{{label}="{word}"}} {_number(value)}'


def _head(name: str, text: str, kind: str) -> Iterator[str]:
    yield f"# HELP {PREFIX}{name} {text}"
    yield f"# TYPE {PREFIX}{name} {kind}"


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.9f}"
