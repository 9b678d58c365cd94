"""Times as kubectl shows them: ages in at most two units."""

from __future__ import annotations

from datetime import UTC, datetime

UNKNOWN = "<unknown>"
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_YEAR = 365 * _DAY

# (below this many seconds, unit in seconds and letter, finer unit and letter or None)
_SCALE: tuple[tuple[float, int, str, int, str], ...] = (
    (2 * _MINUTE, 1, "s", 0, ""),
    (10 * _MINUTE, _MINUTE, "m", 1, "s"),
    (3 * _HOUR, _MINUTE, "m", 0, ""),
    (8 * _HOUR, _HOUR, "h", _MINUTE, "m"),
    (2 * _DAY, _HOUR, "h", 0, ""),
    (8 * _DAY, _DAY, "d", _HOUR, "h"),
    (2 * _YEAR, _DAY, "d", 0, ""),
    (8 * _YEAR, _YEAR, "y", _DAY, "d"),
    (float("inf"), _YEAR, "y", 0, ""),
)


def parse_time(text: str) -> datetime | None:
    """An RFC 3339 time, None when it is none."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def age(since: str, now: datetime) -> str:
    """The time from `since` (RFC 3339) to `now`: `<unknown>` when `since` is no time."""
    when = parse_time(since)
    return UNKNOWN if when is None else duration(int((now - when).total_seconds()))


def duration(seconds: int) -> str:
    """A length of time as apimachinery's `HumanDuration` rounds it: `119s`, `5m3s`, `3h`."""
    if seconds < -1:
        return "<invalid>"
    seconds = max(0, seconds)
    _, unit, letter, finer, finer_letter = next(row for row in _SCALE if seconds < row[0])
    rest = seconds % unit // finer if finer else 0
    return f"{seconds // unit}{letter}" + (f"{rest}{finer_letter}" if rest else "")
