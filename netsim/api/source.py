"""Where a value came from, without what reads it: who is told of objects need not know YAML."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from netsim.api.places import Place
from netsim.api.problems import Path, Problem


class PlacedText(Protocol):
    """One document of a stream as text."""

    @property
    def file(self) -> str:
        """Where it is."""

    @property
    def first_line(self) -> int:
        """In the file."""

    @property
    def marks(self) -> Sequence[Place]:
        """Where its values start, of each that it holds."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value came from: document `index` of a text, below `prefix`."""

    text: PlacedText | None = None
    index: int = 0
    prefix: Path = ()

    def below(self, *parts: str | int) -> Source:
        """The source of a part of this value."""
        return dataclasses.replace(self, prefix=(*self.prefix, *parts))

    def place(self, path: Path, *, key: bool = False) -> tuple[str, int, int]:
        """File, line and column of a field; of its nearest parent when it is not there.

        A scalar's own place, or its key's with `key`; always the key's for a mapping or a list.
        """
        if self.text is None:
            return "", 0, 0
        if self.index >= len(self.text.marks):
            return self.text.file, self.text.first_line, 1
        at = value = self.text.marks[self.index]
        for part in (*self.prefix, *path):
            if isinstance(part, str) and part in value.keys:
                at, value = value.keys[part]
            elif isinstance(part, int) and part < len(value.items):
                at = value = value.items[part]
            else:
                return self.text.file, at.line, at.column
        shown = at if key or value.keys or value.items else value
        return self.text.file, shown.line, shown.column

    def placed(self, problem: Problem) -> Problem:
        """The problem with file, line and column filled in."""
        key = problem.at_key or problem.reason not in _VALUE_REASONS
        file, line, column = self.place(problem.at or problem.where, key=key)
        return dataclasses.replace(problem, file=file, line=line, column=column)


_VALUE_REASONS = frozenset(
    (
        "FieldValueInvalid",
        "FieldValueTypeInvalid",
        "FieldValueNotSupported",
        "FieldValueDuplicate",
        "FieldValueTooLong",
        "FieldValueNotFound",
    )
)
