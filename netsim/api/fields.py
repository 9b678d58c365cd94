"""Reading JSON objects without casts: a field of the wanted type, or its default.

Objects have passed validation when they get here, so a default stands for an absent field.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias

Json: TypeAlias = Mapping[str, object]
"""A JSON object: treated as frozen, never changed in place."""

EMPTY: Json = MappingProxyType({})
EMPTY_STRINGS: Mapping[str, str] = MappingProxyType({})


def mapping(obj: Json, key: str) -> Json:
    """The object at `key`, an empty one when absent or null."""
    value = obj.get(key)
    return value if isinstance(value, dict) else EMPTY


def items(obj: Json, key: str) -> tuple[Json, ...]:
    """The objects of the list at `key`; members that are not objects are left out."""
    value = obj.get(key)
    return tuple([v for v in value if isinstance(v, dict)]) if isinstance(value, list) else ()


def texts(obj: Json, key: str) -> tuple[str, ...]:
    """The strings of the list at `key`."""
    value = obj.get(key)
    return tuple([v for v in value if isinstance(v, str)]) if isinstance(value, list) else ()


def text(obj: Json, key: str, default: str = "") -> str:
    """The string at `key`."""
    value = obj.get(key)
    return value if isinstance(value, str) else default


def number(obj: Json, key: str, default: int = 0) -> int:
    """The integer at `key`."""
    value = obj.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def flag(obj: Json, key: str, *, default: bool = False) -> bool:
    """The boolean at `key`."""
    value = obj.get(key)
    return value if isinstance(value, bool) else default


def int_or_text(obj: Json, key: str, default: int | str) -> int | str:
    """The integer or string at `key`: Kubernetes' IntOrString."""
    value = obj.get(key)
    return value if isinstance(value, int | str) and not isinstance(value, bool) else default


def strings(obj: Json, key: str) -> Mapping[str, str]:
    """The map of strings at `key`, such as labels; null is the empty string, as in the API."""
    value = obj.get(key)
    if not isinstance(value, dict):
        return EMPTY_STRINGS
    found: dict[str, str] = {}
    for k, v in value.items():
        if isinstance(v, str) or v is None:
            found[k] = v or ""
    return found
