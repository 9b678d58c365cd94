"""How results and errors look: tables, YAML, JSON, names, colour."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence

import click

from netsim.errors import NetsimError

_color: bool | None = None
_debugging = False


def set_debugging(wanted: bool) -> None:
    """Decide whether errors come with tracebacks."""
    global _debugging
    _debugging = wanted


def debugging() -> bool:
    """Whether errors come with tracebacks."""
    return _debugging


def set_color(choice: str) -> None:
    """Decide about colour once: `choice` is auto, always or never."""
    global _color
    if choice == "auto":
        if os.environ.get("NO_COLOR"):
            _color = False
        elif os.environ.get("FORCE_COLOR"):
            _color = True
        else:
            _color = None
    else:
        _color = choice == "always"


def style(text: str, color: str, *, err: bool = False) -> str:
    """`text` in a colour where colour is wanted."""
    stream = sys.stderr if err else sys.stdout
    tty = stream.isatty() and os.environ.get("TERM") != "dumb"
    return click.style(text, fg=color) if (tty if _color is None else _color) else text


def print_error(error: NetsimError) -> None:
    """What, why and what to do, a line each, on stderr."""
    print(f"{style('error:', 'red', err=True)} {error.what}", file=sys.stderr)
    if error.why:
        for line in error.why.splitlines():
            print(f"  {line}", file=sys.stderr)
    if error.hint:
        print(f"  {style('hint:', 'cyan', err=True)} {error.hint}", file=sys.stderr)


def print_warning(text: str) -> None:
    """A warning on stderr."""
    print(f"{style('warning:', 'yellow', err=True)} {text}", file=sys.stderr)


def print_warnings(texts: Iterable[str]) -> None:
    """Warnings, a line each."""
    for text in texts:
        print_warning(text)


def counted(number: int, noun: str) -> str:
    """`1 pod`, `2 pods`."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def print_table(
    header: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    no_headers: bool = False,
    widths: list[int] | None = None,
) -> list[int]:
    """Columns as kubectl prints them: left-aligned, three spaces apart.

    `widths` of an earlier call keep a stream of tables aligned; the widths used are returned.
    """
    cells = [[("<none>" if c is None or c == "" else str(c)) for c in row] for row in rows]
    lines = cells if no_headers else [list(header), *cells]
    used = widths or [0] * len(header)
    for line in lines:
        for i, cell in enumerate(line):
            used[i] = max(used[i], len(cell))
    for line in lines:
        text = "   ".join(cell.ljust(used[i]) for i, cell in enumerate(line))
        print(text.rstrip())
    sys.stdout.flush()
    return used


def dump_json(value: object) -> None:
    """JSON as kubectl prints it."""
    print(json.dumps(value, indent=4, ensure_ascii=False))


def dump_yaml(value: object) -> None:
    """YAML in block style, keys in the order given."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """SafeDumper that indents list items and never uses aliases."""

        def ignore_aliases(self, data: object) -> bool:
            """Repeat shared values instead of naming them."""
            return True

    print(
        yaml.dump(value, Dumper=Dumper, sort_keys=False, default_flow_style=False, width=100),
        end="",
    )


def dump(value: Mapping[str, object], how: str) -> None:
    """Print an object or list as `json` or `yaml`."""
    (dump_json if how == "json" else dump_yaml)(value)


def note(text: str) -> None:
    """A remark that is no result, on stderr."""
    print(text, file=sys.stderr)
