"""Times as objects carry them: RFC 3339 in UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache


def seconds(text: str) -> float:
    """Seconds since 1970 of `2026-01-02T03:04:05Z`, with or without a fraction; 0 for none."""
    return datetime.fromisoformat(text).timestamp() if text else 0.0


def rfc3339(at_s: float) -> str:
    """The second that `at_s` falls into."""
    return _text(int(at_s))


@lru_cache(maxsize=64)  # a pass over a thousand pods asks for one second again and again
def _text(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
