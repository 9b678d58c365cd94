"""`-o`: the formats of objects, from `json` to `custom-columns=NAME:.metadata.name`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import click

from netsim.api.fields import Json, mapping, text
from netsim.api.meta import Kind
from netsim.cli import jsonpath, output
from netsim.errors import UsageError

Column: TypeAlias = "tuple[str, str]"
"""Heading and path."""


@dataclass(frozen=True, slots=True)
class Format:
    """A chosen format: `name` as in NAMES, `detail` what follows its `=`."""

    name: str
    detail: str = ""


NAMES = ("wide", "json", "yaml", "name", "jsonpath=", "custom-columns=")
EXAMPLES = {
    "jsonpath": "-o jsonpath='{.items[*].metadata.name}'",
    "custom-columns": "-o custom-columns=NAME:.metadata.name,IP:.status.podIP",
}


def parse_format(_: click.Context, __: click.Parameter, value: str | None) -> Format | None:
    """A Format from the command line's word. UsageError."""
    if value is None:
        return None
    name, equals, detail = value.partition("=")
    if name in EXAMPLES and not detail:
        raise UsageError(f"-o {value}: it needs a template", hint=EXAMPLES[name])
    if name + equals not in NAMES:
        raise UsageError(f"-o {value}: no such format", hint=f"one of {', '.join(NAMES)}")
    return Format(name, detail)


def complete_format(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """For the shell."""
    return [name for name in NAMES if name.startswith(incomplete)]


format_option = click.option(
    "-o",
    "--output",
    "how",
    metavar="|".join(NAMES),
    callback=parse_format,
    shell_complete=complete_format,
    help="Format of the output.",
)


def list_of(objects: Sequence[Json]) -> Json:
    """Objects as kubectl wraps several of them."""
    return {
        "apiVersion": "v1",
        "kind": "List",
        "metadata": {"resourceVersion": ""},
        "items": list(objects),
    }


def qualified_name(kind: Kind, obj: Json) -> str:
    """`pod/web-1`, `deployment.apps/web`."""
    group = f".{kind.group}" if kind.group else ""
    return f"{kind.singular}{group}/{text(mapping(obj, 'metadata'), 'name')}"


def print_all(found: Sequence[tuple[Kind, Json]], how: Format, *, no_headers: bool) -> None:
    """Objects of any kinds as a list, in a format that is no table of the server's."""
    objects = [obj for _, obj in found]
    if how.name == "name":
        for kind, obj in found:
            print(qualified_name(kind, obj))
    elif how.name == "jsonpath":
        print(jsonpath.render(how.detail, list_of(objects)), end="")
    elif how.name == "custom-columns":
        columns = parse_columns(how.detail)
        rows = [column_cells(columns, obj) for obj in objects]
        output.print_table([heading for heading, _ in columns], rows, no_headers=no_headers)
    else:
        output.dump(list_of(objects), how.name)


def print_one(kind: Kind, obj: Json, how: Format, *, no_headers: bool, stream: bool) -> None:
    """A single object; one of a stream of YAML documents starts with a line of its own."""
    if how.name in ("json", "yaml"):
        if stream and how.name == "yaml":
            print("---")
        output.dump(obj, how.name)
    elif how.name == "jsonpath":
        print(jsonpath.render(how.detail, obj), end="\n" if stream else "")
    else:
        print_all([(kind, obj)], how, no_headers=no_headers)


def parse_columns(detail: str) -> list[Column]:
    """`NAME:.metadata.name,NODE:.spec.nodeName`. UsageError."""
    columns = []
    for word in detail.split(","):
        heading, colon, path = word.partition(":")
        if not heading or not colon or not path:
            raise UsageError(
                f"custom-columns: {word!r} is not HEADING:PATH", hint="NAME:.metadata.name"
            )
        columns.append((heading, path.removeprefix("{").removesuffix("}")))
    return columns


def column_cells(columns: Sequence[Column], obj: Json) -> list[str]:
    """The values at the paths, several of one path with commas between."""
    return [",".join(jsonpath.shown(v) for v in jsonpath.find(path, obj)) for _, path in columns]


def sort_key(path: str, obj: Mapping[str, object]) -> tuple[bool, bool, float, str]:
    """Orders objects by the value at a path: missing last, numbers by size, before text."""
    found = jsonpath.find(path.removeprefix("{").removesuffix("}"), obj)
    if not found:
        return True, False, 0, ""
    value = found[0]
    if isinstance(value, int | float):
        return False, False, float(value), ""
    return False, True, 0, jsonpath.shown(value)
