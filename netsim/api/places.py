"""Where values start in a text: known at once (YAML), or looked for when somebody asks (JSON).

A place is rarely asked for, and a dump of a cluster is long: of JSON one container on the way to a
value is read at a time.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple, Protocol

_SPACE = re.compile(r"[ \t\r\n]*")
_decode = json.JSONDecoder(parse_int=str).raw_decode  # however long they are


class Place(Protocol):
    """Where a value starts, counting from 1, and where what it holds starts."""

    @property
    def line(self) -> int:
        """In the file."""

    @property
    def column(self) -> int:
        """In the line."""

    @property
    def keys(self) -> Mapping[str, tuple[Place, Place]]:
        """Of a mapping: each key's place and its value's."""

    @property
    def items(self) -> Sequence[Place]:
        """Of a list: its values' places."""


class Mark(NamedTuple):
    """A place that is known with all it holds."""

    line: int
    column: int
    keys: Mapping[str, tuple[Mark, Mark]] = MappingProxyType({})
    items: Sequence[Mark] = ()


class JsonMark:
    """A place in a text that is plain JSON; what it holds is read when it is asked for."""

    def __init__(self, lines: Lines, offset: int) -> None:
        self._lines, self._offset = lines, offset

    @property
    def line(self) -> int:
        """From 1, in the file."""
        return self._lines.of(self._offset)[0]

    @property
    def column(self) -> int:
        """From 1."""
        return self._lines.of(self._offset)[1]

    @cached_property
    def keys(self) -> Mapping[str, tuple[JsonMark, JsonMark]]:
        """Of an object: each key's mark and its value's."""
        if self._lines.text[self._offset] != "{":
            return {}
        text, found = self._lines.text, {}
        for at in self._members():
            key, end = _decode(text, at)
            value = _after(text, _after(text, end) + 1)
            found[key] = JsonMark(self._lines, at), JsonMark(self._lines, value)
        return found

    @cached_property
    def items(self) -> Sequence[JsonMark]:
        """Of a list: its values' marks."""
        if self._lines.text[self._offset] != "[":
            return ()
        return [JsonMark(self._lines, at) for at in self._members()]

    def _members(self) -> Iterator[int]:
        """Where a container's members start; what they hold is passed over."""
        text, at = self._lines.text, _after(self._lines.text, self._offset + 1)
        closing = "]" if text[self._offset] == "[" else "}"
        while text[at] != closing:
            yield at
            _, end = _decode(text, at)
            if closing == "}":
                _, end = _decode(text, _after(text, _after(text, end) + 1))
            at = _after(text, end)
            if text[at] == ",":
                at = _after(text, at + 1)


class Lines:
    """A text, whose first line is line `first` of its file."""

    def __init__(self, text: str, first: int) -> None:
        self.text, self._first = text, first

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *(match.end() for match in re.finditer("\n", self.text))]

    def of(self, offset: int) -> tuple[int, int]:
        """Line and column."""
        line = bisect_right(self._starts, offset) - 1
        return self._first + line, offset - self._starts[line] + 1


def json_mark(text: str, first_line: int) -> JsonMark:
    """The mark of the one value of a text that is plain JSON."""
    return JsonMark(Lines(text, first_line), _after(text, 0))


def _after(text: str, at: int) -> int:
    """What is behind the space at an offset."""
    match = _SPACE.match(text, at)
    return match.end() if match else at
