"""Problems: what is wrong with an object or a manifest, where, and what to do about it.

The texts follow apimachinery `pkg/util/validation/field`, so that they read like the real API's.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Path: TypeAlias = tuple[str | int, ...]
"""A field from the object's top: keys and list indices."""

Severity: TypeAlias = Literal["error", "warning"]

_PLAIN_KEY = re.compile(r"[A-Za-z_$][-A-Za-z0-9_]*")


def format_path(path: Path) -> str:
    """As Kubernetes writes it: `spec.ports[0].port`, `metadata.labels[example.com/tier]`."""
    text = ""
    for part in path:
        if isinstance(part, int) or not _PLAIN_KEY.fullmatch(part):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to tell the user.

    `reason` is the API's cause (`FieldValueInvalid`, ...). `line` and `column` count from 1 and are
    0 when unknown, as for objects that came over the API; `file` is then empty. `subject` names
    the object, such as `Service default/web`. `at` is the place in the text when it is more exact
    than the field that the API names; with `at_key` that of the key, not of the value. Of the
    problems of a manifest with one `once`, only the first is reported.
    """

    severity: Severity
    message: str
    where: Path = ()
    hint: str = ""
    reason: str = "FieldValueInvalid"
    at: Path = ()
    at_key: bool = False
    subject: str = ""
    once: str = ""
    file: str = ""
    line: int = 0
    column: int = 0

    @property
    def path(self) -> str:
        """The field, as Kubernetes writes it."""
        return format_path(self.where)

    def moved(self, *prefix: str | int) -> Problem:
        """The same problem seen from further up: `prefix` goes before its path."""
        at = (*prefix, *self.at) if self.at else ()
        return dataclasses.replace(self, where=(*prefix, *self.where), at=at)

    def placed_at(self, at: Path, *, key: bool = False) -> Problem:
        """The same problem, shown at another place of the text than the field that it names."""
        return dataclasses.replace(self, at=at, at_key=key)

    def __str__(self) -> str:
        """`file:line:col: error: path: message (hint)`, without what is not known."""
        place = ":".join(str(p) for p in (self.file, self.line, self.column) if p)
        parts = [place, self.severity, self.path, self.message]
        return ": ".join(part for part in parts if part) + (f" ({self.hint})" if self.hint else "")


def errors(problems: Sequence[Problem]) -> list[Problem]:
    """The problems that forbid going on."""
    return [p for p in problems if p.severity == "error"]


def required(where: Path, detail: str = "", hint: str = "") -> Problem:
    """A field must be there."""
    message = f"Required value: {detail}" if detail else "Required value"
    return Problem("error", message, where, hint, "FieldValueRequired")


def invalid(where: Path, value: object, detail: str, hint: str = "") -> Problem:
    """A value is not acceptable."""
    return Problem("error", f"Invalid value: {quoted(value)}: {detail}", where, hint)


def not_supported(where: Path, value: object, supported: Sequence[str], hint: str = "") -> Problem:
    """A value is not one of a list."""
    known = ", ".join(quoted(s) for s in sorted(supported))
    message = f"Unsupported value: {quoted(value)}: supported values: {known}"
    return Problem("error", message, where, hint, "FieldValueNotSupported")


def duplicate(where: Path, value: object, hint: str = "") -> Problem:
    """A value occurs twice where it may occur once."""
    return Problem("error", f"Duplicate value: {quoted(value)}", where, hint, "FieldValueDuplicate")


def forbidden(where: Path, detail: str, hint: str = "") -> Problem:
    """A field must not be there."""
    return Problem("error", f"Forbidden: {detail}", where, hint, "FieldValueForbidden")


def too_long(where: Path, limit: int, unit: str = "bytes") -> Problem:
    """A value is longer than allowed."""
    message = f"Too long: may not be more than {limit} {unit}"
    return Problem("error", message, where, reason="FieldValueTooLong")


def warning(where: Path, message: str, hint: str = "") -> Problem:
    """Something to know: it is accepted, but it may not be what was meant."""
    return Problem("warning", message, where, hint)


def quoted(value: object) -> str:
    """A value as messages show it: JSON, cut when it is long."""
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
