"""What a plain YAML scalar means: the types that Kubernetes' own YAML reader gives it.

Like YAML 1.1 as sigs.k8s.io/yaml reads it (`yes` and `on` are booleans, `0644` is octal), but
without base 60 (`22:22` is text) and without dates: in JSON they are text. What JSON cannot
express, such as `.inf`, stays text too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

_WORDS: Mapping[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"), True),
    **dict.fromkeys(("false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"), False),
}
_INTEGER = re.compile(
    r"(?P<sign>[-+]?)(?:0b(?P<two>[01]+)|0o?(?P<eight>[0-7]+)|0x(?P<sixteen>[0-9a-fA-F]+)"
    r"|(?P<ten>0|[1-9][0-9]*))"
)
_FLOAT = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_BASES = {"two": 2, "eight": 8, "sixteen": 16, "ten": 10}
_STARTS = frozenset("0123456789+-.")
LONGEST_NUMBER = 64

Scalar = str | int | float | bool | None


def resolve_plain(text: str) -> Scalar:
    """The value of a scalar written without quotes."""
    if text in _WORDS:
        return _WORDS[text]
    return _number(text) if text[0] in _STARTS else text


def _number(text: str) -> int | float | str:
    if len(text) > LONGEST_NUMBER:
        return text
    digits = text.replace("_", "")
    match = _INTEGER.fullmatch(digits)
    if match:
        base = match.lastgroup or "ten"
        magnitude = int(match[base], _BASES[base])
        return -magnitude if match["sign"] == "-" else magnitude
    if _FLOAT.fullmatch(digits):
        value = float(digits)
        return value if math.isfinite(value) else text
    return text


def resolve_tagged(tag: str, text: str) -> Scalar:
    """The value of a scalar with an explicit tag such as `!!str`; ValueError for unknown tags."""
    name = tag.removeprefix("tag:yaml.org,2002:")
    if name in ("!", "str", "binary", "timestamp"):
        return text
    value = resolve_plain(text)
    wanted = _TAGS.get(name)
    if wanted is None:
        raise ValueError(f"the tag {tag} is not known")
    if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
        raise ValueError(f"{text!r} is not of type {name}")
    return value


_TAGS: Mapping[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "null": (type(None),),
}
