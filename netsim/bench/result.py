"""A run as data: JSON and CSV, whose shapes are an interface (docs/performance.md#results)."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import NamedTuple

from netsim.bench.rounds import Row

Json = dict[str, object]

COLUMNS = (
    *("work", "key", "name", "unit", "moreIsBetter", "side", "median", "low", "high"),
    *("cpuBusy", "peer", "ratio", "ratioLow", "ratioHigh", "rounds", "discarded", "noisy"),
)


class Result(NamedTuple):
    """All rows, and what they are rows of. `forced`: measured although preconditions failed."""

    rows: tuple[Row, ...]
    machine: Json
    titles: dict[str, str]  # of sides, by name
    seconds: float
    rounds: int
    took_s: float
    forced: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()  # works that were not done, each with why


def as_json(result: Result) -> Json:
    """For programs."""
    return {
        "apiVersion": "netsim.dev/v1alpha1",
        "kind": "Benchmark",
        "machine": result.machine,
        "sides": result.titles,
        "seconds": result.seconds,
        "rounds": result.rounds,
        "tookSeconds": round(result.took_s, 1),
        "forced": list(result.forced),
        "skipped": list(result.skipped),
        "rows": [row_as_json(row, bool(result.forced)) for row in result.rows],
    }


def row_as_json(row: Row, forced: bool) -> Json:
    """One figure of all sides."""
    return {
        **_figure(row),
        "sides": {
            side: {**spread._asdict(), "cpuBusy": row.busy.get(side)}
            for side, spread in row.spreads.items()
        },
        "ratios": [one._asdict() for one in row.ratios],
        **_spent(row),
        "forced": forced,
    }


def _figure(row: Row) -> Json:
    return {
        "work": row.work,
        "key": row.figure.key,
        "name": row.figure.name,
        "unit": row.figure.unit,
        "moreIsBetter": row.figure.more_is_better,
    }


def _spent(row: Row) -> Json:
    return {"rounds": row.rounds, "discarded": row.discarded, "noisy": row.noisy}


def as_csv(rows: Sequence[Row]) -> str:
    """One line a side and figure, and a peer where there is one."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        for side in row.spreads:
            line = _line(row, side)
            pairs = [one for one in row.ratios if one.side == side]
            for pair in pairs:
                beside = {"peer": pair.peer, "ratio": pair.ratio}
                writer.writerow(line | beside | {"ratioLow": pair.low, "ratioHigh": pair.high})
            if not pairs:
                writer.writerow(line)
    return out.getvalue()


def _line(row: Row, side: str) -> Json:
    spread = row.spreads[side]
    return {
        **_figure(row),
        "side": side,
        **spread._asdict(),
        "cpuBusy": row.busy.get(side, ""),
        **_spent(row),
    }
