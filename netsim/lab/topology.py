"""From what a user gives (files, folders, objects) to the checked objects of a lab."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from netsim.api import manifests
from netsim.api.fields import Json, mapping
from netsim.api.located import Located
from netsim.api.meta import LAB, LAB_API_VERSION, key_of, name_of
from netsim.api.problems import Problem, errors
from netsim.api.validation import validate_all
from netsim.errors import UsageError

Path: TypeAlias = str | os.PathLike[str]
Source: TypeAlias = "Path | Sequence[Path] | Iterable[Json] | Topology"
DEFAULT_NAME = "default"


@dataclass(frozen=True, slots=True)
class Topology:
    """Objects that passed the checks; those of a whole topology have a Lab among them.

    `warnings` are sentences for people, `sources` the objects with their places, by key as text.
    """

    name: str
    objects: tuple[Json, ...]
    warnings: tuple[str, ...]
    sources: Mapping[str, Located] = field(default_factory=dict, repr=False)


def _load(source: Source) -> manifests.Loaded:
    if isinstance(source, str | os.PathLike):
        return manifests.load([os.fspath(source)], sys.stdin.buffer)
    if isinstance(source, Topology):
        return manifests.from_objects(source.objects)
    entries = list(source)
    paths = [os.fspath(entry) for entry in entries if not isinstance(entry, Mapping)]
    if paths:
        return manifests.load(paths, sys.stdin.buffer)
    return manifests.from_objects([entry for entry in entries if isinstance(entry, Mapping)])


def _all_problems(loaded: manifests.Loaded) -> list[Problem]:
    """Those of each object and those between objects, each once, as the files have them."""
    found = dict.fromkeys([*loaded.problems, *validate_all(loaded.objects)])
    files = {name: number for number, name in enumerate(dict.fromkeys(p.file for p in found))}
    return sorted(found, key=lambda p: (files[p.file], p.line, p.column))


def refuse_errors(problems: Sequence[Problem]) -> None:
    """UsageError, with all problems, when there is an error among them."""
    wrong = errors(problems)
    if wrong:
        count = f"{len(wrong)} problem{'s' if len(wrong) > 1 else ''}"
        raise UsageError(f"{count} found; nothing was done", "\n".join(str(p) for p in problems))


def warnings_of(problems: Iterable[Problem]) -> tuple[str, ...]:
    """The warnings, as sentences: place, field, what and hint."""
    said = (str(p).replace("warning: ", "", 1) for p in problems if p.severity == "warning")
    return tuple(dict.fromkeys(said))


def read(source: Source, *, name: str | None = None) -> Topology:
    """A whole topology, completed by a Lab object where it has none. UsageError with all problems.

    `name` overrides the Lab's.
    """
    if isinstance(source, Topology):
        return source
    loaded = _load(source)
    problems = _all_problems(loaded)
    refuse_errors(problems)
    lab = next((entry for entry in loaded.objects if entry.key.kind == LAB.name), None)
    chosen = name or (name_of(lab.obj) if lab is not None else DEFAULT_NAME)
    own = _named(lab or Located({"apiVersion": LAB_API_VERSION, "kind": LAB.name}), chosen)
    rest = [entry for entry in loaded.objects if entry is not lab]
    return _topology(chosen, [own, *rest], problems)


def read_part(source: Source, lab: str) -> Topology:
    """Objects to apply to the running `lab`: each is checked, but they need not be a whole."""
    if isinstance(source, Topology):
        return source
    loaded = _load(source)
    refuse_errors(loaded.problems)
    objects = [_named(e, lab) if e.key.kind == LAB.name else e for e in loaded.objects]
    return _topology(lab, objects, loaded.problems)


def _topology(name: str, entries: Sequence[Located], problems: Iterable[Problem]) -> Topology:
    sources = {str(entry.key): entry for entry in entries}
    return Topology(name, tuple(e.obj for e in entries), warnings_of(problems), sources)


def _named(lab: Located, name: str) -> Located:
    """The Lab object under the name that the lab runs by."""
    metadata = {**mapping(lab.obj, "metadata"), "name": name}
    return Located({**lab.obj, "metadata": metadata}, lab.source)


def with_places(topology: Topology, problems: Iterable[Problem]) -> list[Problem]:
    """Problems that a lab found, with file, line and column of the fields that they name."""
    return [
        topology.sources[problem.subject].placed(problem)
        if problem.subject in topology.sources
        else problem
        for problem in problems
    ]


def check(source: Source) -> tuple[list[Problem], int]:
    """All problems of a topology, and how many objects it has."""
    loaded = _load(source)
    return _all_problems(loaded), len(loaded.objects)


def as_created(objects: Iterable[Json]) -> list[Json]:
    """The steps that bringing up a new lab means, as `Lab.apply` gives them."""
    return [
        {
            "verb": "created",
            "kind": key.kind,
            "namespace": key.namespace,
            "name": key.name,
            "fields": [],
        }
        for key in (key_of(obj) for obj in objects)
    ]
