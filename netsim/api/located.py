"""An object together with where it was read, so that problems can say file, line and column."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field

from netsim.api.meta import KIND_BY_NAME, ObjectKey, key_of
from netsim.api.problems import Path, Problem
from netsim.api.source import Source

NO_SOURCE = Source()


@dataclass(frozen=True, slots=True)
class Located:
    """An object of a manifest. `source` is empty for objects made in Python."""

    obj: dict[str, object]
    source: Source = field(default=NO_SOURCE)

    @property
    def key(self) -> ObjectKey:
        """The object's key."""
        return key_of(self.obj)

    def place(self, path: Path = ()) -> str:
        """`file:line` of a field, or the object's name when it comes from no file."""
        file, line, _ = self.source.place(path)
        return f"{file}:{line}" if file else str(self.key)

    def placed(self, problem: Problem) -> Problem:
        """The problem with its object and its place."""
        key = self.key
        subject = problem.subject or (str(key) if key.kind in KIND_BY_NAME else "")
        return dataclasses.replace(self.source.placed(problem), subject=subject)


Finding = tuple[Located, Problem]
Findings = Iterator[Finding]
"""Problems with the object that each is about, before places are filled in."""
