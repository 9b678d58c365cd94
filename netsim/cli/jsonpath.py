"""kubectl's JSONPath templates, as far as they are used: in `-o jsonpath=` and `--sort-by`.

Text with fields in braces: `{.items[*].metadata.name}`, `['a.b']`, `[0]`, `[-1]`, `[0:2]`,
`..name`, filters `[?(@.type=="Ready")]`, quoted text and `{range .items[*]}...{end}`.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from netsim.errors import UsageError

Find: TypeAlias = "Callable[[object], Iterator[object]]"
"""One step: from a value to those that it leads to."""

STEP = re.compile(
    r"""\.\.(?P<deep>[\w-]+|\*) | \.(?P<name>(?:\\.|[\w/-])+|\*)
    | \[(?P<quote>['"])(?P<key>.*?)(?P=quote)\] | \[(?P<index>-?\d+)\] | \[(?P<all>\*)\]
    | \[(?P<start>-?\d*):(?P<stop>-?\d*)\]
    | \[\?\(\s*@(?P<left>.*?)\s*(?:(?P<op>==|!=|<=|>=|<|>)\s*(?P<right>.+?)\s*)?\)\]""",
    re.VERBOSE,
)
BRACES = re.compile(r"""\{((?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^{}"'])*)\}""")
COMPARE: Mapping[str, Callable[[str | float, str | float], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class Range:
    """`{range PATH}...{end}`."""

    path: str
    body: Sequence[str | Range | Path]


@dataclass(frozen=True, slots=True)
class Path:
    """`{PATH}`: its values, separated by spaces."""

    path: str


def find(path: str, value: object) -> list[object]:
    """The values at a path (`.spec.ports[*].port`); what is missing leads nowhere. UsageError."""
    found = [value]
    for step in _steps(path):
        found = [inner for outer in found for inner in step(outer)]
    return found


def render(template: str, value: object) -> str:
    """A template filled in. UsageError: it is malformed."""
    return "".join(_written(_parse(template), value))


def shown(value: object) -> str:
    """A value as text: strings as they are, objects and lists as JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _written(parts: Sequence[str | Range | Path], value: object) -> Iterator[str]:
    for part in parts:
        if isinstance(part, str):
            yield part
        elif isinstance(part, Path):
            yield " ".join(shown(v) for v in find(part.path, value))
        else:
            for inner in find(part.path, value):
                yield from _written(part.body, inner)


def _parse(template: str) -> list[str | Range | Path]:
    top: list[str | Range | Path] = []
    open_ranges: list[tuple[str, list[str | Range | Path]]] = []
    out, end = top, 0
    for match in BRACES.finditer(template):
        out += _plain(template[end : match.start()])
        end, inner = match.end(), match[1].strip()
        if inner.startswith("range "):
            open_ranges.append((inner.removeprefix("range ").strip(), out))
            out = []
        elif inner == "end":
            if not open_ranges:
                raise UsageError("jsonpath: {end} without {range}")
            path, outer = open_ranges.pop()
            outer.append(Range(path, out))
            out = outer
        else:
            out.append(_text(inner) if inner[:1] in ("'", '"') else Path(inner))
    if open_ranges:
        raise UsageError("jsonpath: {range} without {end}")
    return [*out, *_plain(template[end:])]


def _plain(text: str) -> list[str | Range | Path]:
    if "{" in text or "}" in text:
        raise UsageError(f"jsonpath: a brace without its other one in {text!r}")
    return [text] if text else []


def _text(quoted: str) -> str:
    """Quoted text with its escapes."""
    inner = quoted[1:-1]
    for escape, meant in (("\\n", "\n"), ("\\t", "\t"), ('\\"', '"'), ("\\'", "'")):
        inner = inner.replace(escape, meant)
    return inner


def _steps(path: str) -> Iterator[Find]:
    rest = path.strip().removeprefix("$").removeprefix("@")
    if rest and rest[0] not in ".[":
        rest = f".{rest}"
    rest = "" if rest == "." else rest
    while rest:
        match = STEP.match(rest)
        if match is None:
            raise UsageError(f"jsonpath: {path!r} is not understood at {rest!r}")
        yield _step(match)
        rest = rest[match.end() :]


def _step(match: re.Match[str]) -> Find:
    if deep := match["deep"]:
        return lambda value: (v for inner in _every(value) for v in _member(inner, deep))
    if name := match["name"]:
        key = re.sub(r"\\(.)", r"\1", name)
        return lambda value: _member(value, key)
    if match["key"] is not None:
        quoted = match["key"]
        return lambda value: _field(value, quoted)
    if match["all"]:
        return lambda value: _member(value, "*")
    if match["left"] is not None:
        return _filter(match["left"], match["op"] or "", match["right"] or "")
    if match["index"] is not None:
        first = int(match["index"])
        stop = first + 1 if first != -1 else None
    else:
        first, stop = int(match["start"] or 0), int(match["stop"]) if match["stop"] else None
    return lambda value: iter(value[first:stop] if isinstance(value, list) else [])


def _field(value: object, key: str) -> Iterator[object]:
    if isinstance(value, dict) and key in value:
        yield value[key]


def _member(value: object, key: str) -> Iterator[object]:
    if key == "*":
        if isinstance(value, dict | list):
            yield from value.values() if isinstance(value, dict) else value
    else:
        yield from _field(value, key)


def _every(value: object) -> Iterator[object]:
    yield value
    for inner in _member(value, "*"):
        yield from _every(inner)


def _filter(left: str, op: str, right: str) -> Find:
    wanted = _text(right) if right[:1] in ("'", '"') else right

    def keep(item: object) -> bool:
        found = find(left, item)
        if not op:
            return bool(found)
        return any(_compare(op, value, wanted) for value in found)

    return lambda value: iter([v for v in value if keep(v)] if isinstance(value, list) else [])


def _compare(op: str, value: object, wanted: str) -> bool:
    """As numbers where both are, otherwise as text."""
    try:
        return COMPARE[op](float(shown(value)), float(wanted))
    except ValueError:
        return COMPARE[op](shown(value), wanted)
