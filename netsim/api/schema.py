"""Field tables' language, and the check of an object against them: unknown fields and wrong types.

A field of Kubernetes that has no effect in a lab is accepted with a warning, so that manifests load
unmodified; a field that does not exist is an error with a suggestion, so that no typo goes unseen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from netsim.api.meta import suggest
from netsim.api.problems import Path, Problem, format_path, quoted

Use: TypeAlias = Literal["used", "ignored", "silent"]

IGNORED_REASON = "FieldIgnored"
UNKNOWN_REASON = "FieldUnknown"
INT32_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value without parts: `wanted` names it in messages, `types` are its JSON Schema types.

    `values` are what it is limited to, for editors; the rules check them.
    """

    wanted: str
    types: tuple[str, ...]
    largest: int = INT64_MAX
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list."""

    item: Type


@dataclass(frozen=True, slots=True)
class MapOf:
    """An object whose keys are the user's."""

    value: Type


@dataclass(frozen=True, slots=True)
class Record:
    """An object with known fields. `name` is Kubernetes' name of the type."""

    name: str
    fields: Mapping[str, Field]


@dataclass(frozen=True, slots=True)
class Either:
    """A word, or an object in its place."""

    word: Scalar
    record: Record


Type: TypeAlias = Scalar | ListOf | MapOf | Record | Either

STRING = Scalar("a string", ("string",))
INTEGER = Scalar("an integer", ("integer",), INT32_MAX)
INTEGER64 = Scalar("an integer", ("integer",))
BOOLEAN = Scalar("true or false", ("boolean",))
INT_OR_STRING = Scalar("an integer or a string", ("integer", "string"), INT32_MAX)
ANY = Scalar("anything", ())


def word(*values: str) -> Scalar:
    """A string that is one of `values`."""
    return Scalar("a string", ("string",), values=values)


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its type, what a lab does with it, and why when that is nothing.

    An ignored field is not worth a word when it holds `default`, as objects read from a cluster do.
    """

    type: Type
    use: Use = "used"
    why: str = ""
    default: object = field(default=None)


def record(name: str, used: Mapping[str, Type], *more: Mapping[str, Field]) -> Record:
    """A record of used fields and of others made by `ignored` and `silent`."""
    fields = {key: Field(kind) for key, kind in used.items()}
    for group in more:
        fields.update(group)
    return Record(name, fields)


def ignored(names: str, why: str = "", default: object = None) -> dict[str, Field]:
    """Real fields without effect here: accepted whatever they hold, said once."""
    return {name: Field(ANY, "ignored", why, default) for name in names.split()}


def silent(names: str) -> dict[str, Field]:
    """Real fields that are not worth a word: what API servers fill in."""
    return {name: Field(ANY, "silent") for name in names.split()}


def check(value: object, kind: Type, path: Path = ()) -> Iterator[Problem]:
    """What is wrong with the shape of a value; null counts as absent, as in the API."""
    if value is None:
        return
    if isinstance(kind, Either):
        kind = kind.record if isinstance(value, dict) else kind.word
    if isinstance(kind, Record):
        yield from _check_record(value, kind, path)
    elif isinstance(kind, ListOf):
        if not isinstance(value, list):
            yield _mistyped(path, value, "a list", "write '- ' before each item")
            return
        for index, item in enumerate(value):
            if item is None:
                yield _mistyped((*path, index), item, "an item", "nothing follows the '-'")
            yield from check(item, kind.item, (*path, index))
    elif isinstance(kind, MapOf):
        if not isinstance(value, dict):
            yield _mistyped(path, value, "an object of 'key: value' pairs")
            return
        for key, inner in value.items():
            yield from check(inner, kind.value, (*path, key))
    elif kind.types and not _is(value, kind):
        yield _mistyped(path, value, kind.wanted, _hint(value, kind))


def _check_record(value: object, kind: Record, path: Path) -> Iterator[Problem]:
    if not isinstance(value, dict):
        yield _mistyped(path, value, "an object of 'key: value' pairs")
        return
    for key, inner in value.items():
        known = kind.fields.get(key)
        where = (*path, key)
        if known is None:
            yield Problem(
                "error", f'unknown field "{key}"', where, _meant(key, kind, path), UNKNOWN_REASON
            )
        elif known.use == "used":
            yield from check(inner, known.type, where)
        elif known.use == "ignored" and inner not in (None, "", [], {}, False, known.default):
            why = known.why or "it has no effect here"
            once = f"{kind.name}.{key}"
            yield Problem("warning", f"ignored: {why}", where, reason=IGNORED_REASON, once=once)


def _is(value: object, kind: Scalar) -> bool:
    if isinstance(value, bool):
        return "boolean" in kind.types
    if isinstance(value, int):
        return "integer" in kind.types and -kind.largest <= value <= kind.largest
    return isinstance(value, str) and "string" in kind.types


def _mistyped(path: Path, value: object, wanted: str, hint: str = "") -> Problem:
    message = f"Invalid value: {quoted(value)}: must be {wanted}"
    return Problem("error", message, path, hint, "FieldValueTypeInvalid")


def _hint(value: object, kind: Scalar) -> str:
    if "string" in kind.types and isinstance(value, bool | int | float):
        return "put it in quotes: YAML reads it as a " + (
            "boolean" if isinstance(value, bool) else "number"
        )
    if isinstance(value, str) and value.lstrip("-").isdigit() and "integer" in kind.types:
        return "remove the quotes"
    return ""


def _meant(key: str, kind: Record, path: Path) -> str:
    near = suggest(key, list(kind.fields))
    if near:
        return f"did you mean {near}?"
    inside = next(iter(_paths(kind, key)), "")
    outer = f"{format_path(path)}." if path else ""
    return f"it belongs in {outer}{inside}" if inside else ""


def _paths(kind: Type, key: str, prefix: str = "") -> Iterator[str]:
    """Where below a type a field of this name exists, nearest first in the order of the tables."""
    if isinstance(kind, ListOf):
        yield from _paths(kind.item, key, f"{prefix}[]")
    elif isinstance(kind, Record):
        if prefix and key in kind.fields:
            yield prefix
        for name, known in kind.fields.items():
            if known.use == "used":
                yield from _paths(known.type, key, f"{prefix}.{name}" if prefix else name)
