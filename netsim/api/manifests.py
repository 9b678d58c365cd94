"""Topology files: from paths to checked objects, with every problem found on the way.

`load` checks each object by itself; what only shows between objects is `validation.validate_all`'s,
which callers ask once they know what the lab has already.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import BinaryIO

from netsim.api.defaults import LAB_NAME
from netsim.api.exported import taken_over
from netsim.api.fields import Json, mapping, text
from netsim.api.foreign_kinds import meant, why_ignored
from netsim.api.located import Located
from netsim.api.meta import KIND_BY_NAME, kind_for, suggest
from netsim.api.problems import Problem, errors, quoted, required
from netsim.api.schema import IGNORED_REASON
from netsim.api.validation import validate_object
from netsim.api.yaml_reader import Document, read

STDIN = "-"
SUFFIXES = (".yaml", ".yml", ".json")
TOP_KEYS = ["apiVersion", "kind", "metadata", "spec"]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What files hold: the objects of kinds that a lab has, and all problems, in their order.

    With an error among the problems the objects are not fit to be created.
    """

    objects: list[Located] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return not errors(self.problems)


def load(paths: Sequence[str], stdin: BinaryIO | None = None) -> Loaded:
    """Read files, directories (their *.yaml, *.yml and *.json, sorted) and `-`, the standard input.

    Never raises for what they hold, or for files that cannot be read: those are problems too.
    """
    documents: list[Document] = []
    problems: list[Problem] = []
    for path in paths:
        for name, content in _contents(path, stdin, problems):
            found, wrong = _read(name, content)
            documents += found
            problems += wrong
    return _checked(documents, problems, ", ".join(paths))


def load_text(content: str, name: str = "<text>") -> Loaded:
    """Read one stream of YAML or JSON."""
    return _checked(*read(content, name), name)


def from_objects(objects: Iterable[Json]) -> Loaded:
    """Check objects made in Python; their problems name fields but no places."""
    located: list[Located] = []
    problems: list[Problem] = []
    for obj in objects:
        _add(Located(dict(obj)), located, problems)
    return _validated(located, problems)


def _contents(
    path: str, stdin: BinaryIO | None, problems: list[Problem]
) -> Iterator[tuple[str, bytes]]:
    """Name and content of every file that a path stands for."""
    if path == STDIN:
        if stdin is None:
            problems.append(Problem("error", "nothing to read from", file="<stdin>"))
        else:
            yield "<stdin>", stdin.read()
        return
    try:
        names = [path]
        if os.path.isdir(path):
            names = sorted(str(p) for p in FilePath(path).iterdir() if p.suffix in SUFFIXES)
            if not names:
                message = "no *.yaml, *.yml or *.json file in this directory"
                problems.append(Problem("error", message, file=path))
        for name in names:
            with open(name, "rb") as file:
                yield name, file.read()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        problems.append(Problem("error", f"cannot be read: {why}", file=path))


def _read(name: str, content: bytes) -> tuple[list[Document], list[Problem]]:
    try:
        decoded = content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        message = f"byte 0x{content[error.start]:02x} is not UTF-8 text"
        return [], [Problem("error", message, file=name, line=line, column=column)]
    return read(decoded, name)


def _checked(documents: list[Document], problems: list[Problem], where: str) -> Loaded:
    located: list[Located] = []
    found = list(problems)
    for document in documents:
        _add_document(document, located, found)
    if not located and not found:
        found.append(Problem("error", "no objects in it", file=where))
    return _validated(located, found)


def _add_document(document: Document, located: list[Located], problems: list[Problem]) -> None:
    value, source = document.value, document.source
    if not isinstance(value, dict):
        message = f"{quoted(value)} is not an object with apiVersion and kind"
        problems.append(source.placed(Problem("error", message)))
        return
    members = value.get("items")
    kind = text(value, "kind")
    if kind == "List" or (kind.endswith("List") and isinstance(members, list)):
        _add_list(document, value, kind.removesuffix("List"), located, problems)
    else:
        _add(Located(value, source), located, problems)


def _add_list(
    document: Document,
    value: dict[str, object],
    kind: str,
    located: list[Located],
    problems: list[Problem],
) -> None:
    """A `List`, or a `PodList`, whose members do not say again what they are."""
    members = value.get("items")
    source = document.source
    if not isinstance(members, list | None):
        problem = Problem("error", "must be a list of objects", ("items",))
        problems.append(source.placed(problem))
        return
    common = {"apiVersion": text(value, "apiVersion"), "kind": kind} if kind else {}
    for index, member in enumerate(members or ()):
        inner = source.below("items", index)
        if isinstance(member, dict):
            _add_document(Document(common | member, inner), located, problems)
        else:
            message = f"{quoted(member)} is not an object with apiVersion and kind"
            problems.append(inner.placed(Problem("error", message)))


def _add(item: Located, located: list[Located], problems: list[Problem]) -> None:
    """Keep an object of a kind that a lab has; say what becomes of another."""
    obj = item.obj
    api_version, kind = text(obj, "apiVersion"), text(obj, "kind")
    if kind_for(api_version, kind):
        located.append(item)
        return
    missing = [name for name in ("apiVersion", "kind") if not obj.get(name)]
    for name in missing:
        near = suggest(name, [key for key in obj if key not in TOP_KEYS])
        hint = f'"{near}" is written instead' if near else ""
        if name == "apiVersion" and kind in KIND_BY_NAME:
            hint = meant(kind)
        problems.append(item.placed(required((name,), hint=hint)))
    if missing:
        return
    why = why_ignored(api_version, kind)
    if why:
        found = Problem("warning", f"ignored: {why}", ("kind",), "", IGNORED_REASON, once=kind)
    else:
        where = ("apiVersion",) if kind in KIND_BY_NAME else ("kind",)
        message = f"no kind {quoted(obj['kind'])} in {quoted(obj['apiVersion'])}"
        found = Problem("error", message, where, meant(kind), "FieldValueNotSupported")
    problems.append(item.placed(found))


def _validated(located: list[Located], problems: list[Problem]) -> Loaded:
    kept, more = taken_over(located)
    found = [*problems, *more]
    for item in kept:
        found += [item.placed(problem) for problem in validate_object(item.obj)]
    kept = [_named(item) for item in kept]
    return Loaded(kept, _in_order(_each_once(found)))


def _named(item: Located) -> Located:
    """A Lab needs no name in a file, but its key does."""
    meta = mapping(item.obj, "metadata")
    if item.obj.get("kind") != "Lab" or meta.get("name"):
        return item
    obj = {**item.obj, "metadata": {**meta, "name": LAB_NAME}}
    return dataclasses.replace(item, obj=obj)


def _in_order(problems: list[Problem]) -> list[Problem]:
    """As the files have them; what has no place comes first."""
    files = {name: number for number, name in enumerate(dict.fromkeys(p.file for p in problems))}
    return sorted(problems, key=lambda p: (files[p.file], p.line, p.column))


def _each_once(problems: Iterable[Problem]) -> list[Problem]:
    """Without the repetitions of what is worth saying once."""
    seen: set[str] = set()
    kept: list[Problem] = []
    for problem in problems:
        if not problem.once or problem.once not in seen:
            kept.append(problem)
        seen.add(problem.once)
    return kept
