"""From what a user gives (files, folders, objects) to the checked objects of a lab."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from netsim.api import manifests
from netsim.api.fields import Json
from netsim.api.meta import LAB, LAB_API_VERSION, key_of, name_of
from netsim.api.problems import Problem, errors
from netsim.api.validation import validate_all
from netsim.errors import UsageError

Path: TypeAlias = str | os.PathLike[str]
Source: TypeAlias = "Path | Sequence[Path] | Iterable[Json] | Topology"
DEFAULT_NAME = "default"


@dataclass(frozen=True, slots=True)
class Topology:
    """Objects that passed every check, the Lab among them; `warnings` are sentences for people."""

    name: str
    objects: tuple[Json, ...]
    warnings: tuple[str, ...]


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
    """Those of each object and those between objects."""
    return [*loaded.problems, *validate_all(loaded.objects)]


def _refuse(problems: Sequence[Problem]) -> None:
    wrong = errors(problems)
    if wrong:
        count = f"{len(wrong)} problem{'s' if len(wrong) > 1 else ''}"
        raise UsageError(
            f"{count} in the topology; nothing was done",
            "\n".join(str(p) for p in problems),
            "netsim validate FILE prints the same",
        )


def read(source: Source, *, name: str | None = None) -> Topology:
    """A whole topology, completed by a Lab object where it has none. UsageError with all problems.

    `name` overrides the Lab's.
    """
    if isinstance(source, Topology):
        return source
    loaded = _load(source)
    problems = _all_problems(loaded)
    _refuse(problems)
    objects = [entry.obj for entry in loaded.objects]
    lab = next((o for o in objects if key_of(o).kind == LAB.name), None)
    chosen = name or (name_of(lab) if lab is not None else DEFAULT_NAME)
    own: Json = {"apiVersion": LAB_API_VERSION, "kind": "Lab", **(lab or {})}
    own = {**own, "metadata": {**_metadata(own), "name": chosen}}
    rest = [o for o in objects if o is not lab]
    return Topology(chosen, (own, *rest), tuple(str(p) for p in problems))


def _metadata(obj: Json) -> Json:
    value = obj.get("metadata")
    return value if isinstance(value, dict) else {}


def read_objects(source: Source) -> list[Json]:
    """Objects for `apply`: each is checked, but they need not make a whole topology."""
    loaded = _load(source)
    _refuse(loaded.problems)
    return [entry.obj for entry in loaded.objects]


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
