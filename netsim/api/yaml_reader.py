"""YAML and JSON text to values, with the place of every one of them and every problem found.

A stream is cut at its document markers first (YAML forbids them inside a document), so a syntax
error costs one document, not the rest of the file. Places are kept per document and made only when
someone asks: a problem is rare, a value is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import yaml

from netsim.api.json_text import ODD, plain_json
from netsim.api.places import Mark, Place, json_mark
from netsim.api.problems import Problem
from netsim.api.scalars import resolve_plain, resolve_tagged
from netsim.api.source import Source

DEPTH_MAX = 64
PATH_SHOWN = 12
ALIASED_MAX = 100_000
"""How many values aliases may stand for in one document: enough for people, too few for a bomb."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MARKER = re.compile(r"^---(?=\s|$)", re.MULTILINE)
_CONTENT = re.compile(r"^[^#%\s]|^[ \t]+[^#\s]", re.MULTILINE)


@dataclass(frozen=True)
class Text:
    """One document of a stream as text: line 1 of `text` is line `first_line` of `file`."""

    file: str
    text: str
    first_line: int = 1

    @cached_property
    def marks(self) -> Sequence[Place]:
        """A mark per document, made by reading the text once more."""
        return [mark for _, mark in _Reader(self).documents()]


@dataclass(frozen=True)
class JsonText(Text):
    """One document that is plain JSON."""

    @cached_property
    def marks(self) -> Sequence[Place]:
        """Its mark, which reads what it is asked for."""
        return [json_mark(self.text, self.first_line)]


@dataclass(frozen=True, slots=True)
class Document:
    """One value of a stream that is not empty."""

    value: object
    source: Source


def read(text: str, file: str) -> tuple[list[Document], list[Problem]]:
    """Every document of a stream that could be read, and what was wrong with the others."""
    documents: list[Document] = []
    problems: list[Problem] = []
    try:
        text.encode()
    except UnicodeEncodeError as error:  # only text that was made in Python holds surrogates
        message = f"the character U+{ord(text[error.start]):04X} is not allowed in YAML"
        return [], [Problem("error", message, file=file)]
    for part in _split(text, file):
        value = plain_json(part.text, DEPTH_MAX)
        if value is not ODD:
            documents.append(Document(value, Source(JsonText(file, part.text, part.first_line))))
            continue
        reader = _Reader(part)
        values = [value for value, _ in reader.documents()]
        if not reader.failed:
            found = [(index, value) for index, value in enumerate(values) if value is not None]
            documents += [Document(value, Source(part, index)) for index, value in found]
        problems += reader.problems
    return documents, problems


def _split(text: str, file: str) -> Iterator[Text]:
    starts = [0, *(match.start() for match in _MARKER.finditer(text) if match.start())]
    line = 1
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        part = text[start:end]
        if _CONTENT.search(part):
            yield Text(file, part, line)
        line += part.count("\n")


class _BadDocumentError(Exception):
    """A document that cannot be read any further."""

    def __init__(self, message: str, event: yaml.Event) -> None:
        super().__init__(message)
        self.message = message
        self.event = event


class _Reader:
    """Builds values and marks from the parser's events."""

    def __init__(self, text: Text) -> None:
        self.text = text
        self.problems: list[Problem] = []
        self.failed = False
        self.path: list[str | int] = []
        self.open: list[yaml.CollectionStartEvent] = []
        self.anchors: dict[str, tuple[object, Mark, int]] = {}
        self.size = 0
        self.aliased = 0

    def documents(self) -> Iterator[tuple[object, Mark]]:
        """Value and marks of every document; stops at a syntax error and sets `failed`."""
        try:
            for event in self._events():
                if isinstance(event, yaml.NodeEvent):
                    yield self._node(event)
                elif isinstance(event, yaml.DocumentStartEvent):
                    self.anchors, self.aliased = {}, 0
        except _BadDocumentError as bad:
            self.failed = True
            self._report(bad.message, *self._position(bad.event))
        except yaml.YAMLError as error:
            self.failed = True
            message, line, column, hint = _explain(error, self.text.text)
            if self.open and line >= self.text.text.count("\n"):  # at the end of the text
                self._report("a '[' or '{' that is not closed", *self._position(self.open[-1]))
            else:
                self._report(message, self.text.first_line + line, column + 1, hint)

    def _events(self) -> Iterator[yaml.Event]:
        self.stream: Iterator[yaml.Event] = yaml.parse(self.text.text, Loader=_LOADER)
        return self.stream

    def _node(self, event: yaml.Event) -> tuple[object, Mark]:
        assert isinstance(event, yaml.NodeEvent)  # the parser promises it
        self.size += 1
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        before = self.size
        if len(self.path) > DEPTH_MAX:
            raise _BadDocumentError(_TOO_DEEP, event)
        if isinstance(event, yaml.ScalarEvent):
            value, mark = self._scalar(event), Mark(*self._position(event))
        else:
            value, mark = self._collection(event)
        if event.anchor is not None:
            self.anchors[event.anchor] = value, mark, self.size - before + 1
        return value, mark

    def _alias(self, event: yaml.AliasEvent) -> tuple[object, Mark]:
        found = self.anchors.get(event.anchor or "")
        if found is None:
            raise _BadDocumentError(f"*{event.anchor} names no anchor above it", event)
        value, mark, size = found
        self.size += size
        self.aliased += size
        if self.aliased > ALIASED_MAX:
            raise _BadDocumentError(f"aliases stand for more than {ALIASED_MAX} values", event)
        line, column = self._position(event)
        return value, mark._replace(line=line, column=column)

    def _scalar(self, event: yaml.ScalarEvent) -> object:
        if event.tag is not None:
            try:
                return resolve_tagged(event.tag, event.value)
            except ValueError as error:
                raise _BadDocumentError(str(error), event) from None
        return resolve_plain(event.value) if event.implicit[0] else event.value

    def _collection(self, event: yaml.NodeEvent) -> tuple[object, Mark]:
        assert isinstance(event, yaml.CollectionStartEvent)
        if event.flow_style:
            self.open.append(event)
        sequence = isinstance(event, yaml.SequenceStartEvent)
        found: tuple[object, Mark] = self._sequence(event) if sequence else self._mapping(event)
        if event.flow_style:
            self.open.pop()
        return found

    def _sequence(self, event: yaml.Event) -> tuple[list[object], Mark]:
        values: list[object] = []
        marks: list[Mark] = []
        for inner in self.stream:
            if isinstance(inner, yaml.SequenceEndEvent):
                break
            self.path.append(len(values))
            value, inner_mark = self._node(inner)
            self.path.pop()
            values.append(value)
            marks.append(inner_mark)
        return values, Mark(*self._position(event), items=marks)

    def _mapping(self, event: yaml.Event) -> tuple[dict[str, object], Mark]:
        values: dict[str, object] = {}
        marks: dict[str, tuple[Mark, Mark]] = {}
        merged: list[tuple[dict[str, object], Mark]] = []
        for inner in self.stream:
            if isinstance(inner, yaml.MappingEndEvent):
                break
            merge = (
                isinstance(inner, yaml.ScalarEvent) and inner.implicit[0] and inner.value == "<<"
            )
            key, key_mark = self._key(inner)
            self.path.append(key)
            value, value_mark = self._node(next(self.stream))
            if merge:
                merged += self._merged(value, value_mark, inner)
            elif key in values:
                first = marks[key][0]
                hint = f"it is already at line {first.line}"
                self._report(f'duplicate key "{key}"', *self._position(inner), hint)
            else:
                values[key] = value
                marks[key] = key_mark, value_mark
            self.path.pop()
        for more, more_mark in merged:
            for key, value in more.items():
                if values.setdefault(key, value) is value and key in more_mark.keys:
                    marks.setdefault(key, more_mark.keys[key])
        return values, Mark(*self._position(event), keys=marks)

    def _key(self, event: yaml.Event) -> tuple[str, Mark]:
        key, mark = self._node(event)
        if isinstance(key, dict | list):
            raise _BadDocumentError("a key must be a plain word", event)
        if isinstance(key, str):
            return key, mark
        return "null" if key is None else str(key).lower(), mark

    def _merged(
        self, value: object, mark: Mark, event: yaml.Event
    ) -> list[tuple[dict[str, object], Mark]]:
        values, marks = (value, mark.items) if isinstance(value, list) else ([value], [mark])
        pairs = [(v, m) for v, m in zip(values, marks, strict=True) if isinstance(v, dict)]
        if len(pairs) != len(values):
            raise _BadDocumentError("<< must name a mapping", event)
        return pairs

    def _position(self, event: yaml.Event) -> tuple[int, int]:
        mark = event.start_mark
        return (self.text.first_line + mark.line, mark.column + 1) if mark else (0, 0)

    def _report(self, message: str, line: int, column: int, hint: str = "") -> None:
        self.problems.append(
            Problem(
                "error",
                message,
                tuple(self.path[:PATH_SHOWN]),
                hint,
                reason="Malformed",
                file=self.text.file,
                line=line,
                column=column,
            )
        )


def _explain(error: yaml.YAMLError, text: str) -> tuple[str, int, int, str]:
    """What a syntax error means in words, its line and column from 0, and what to do."""
    if isinstance(error, yaml.reader.ReaderError):
        before = text.encode()[: error.position].decode(errors="ignore")  # libyaml counts bytes
        code = text[len(before)] if len(before) < len(text) else "\0"
        message = f"the character U+{ord(code):04X} is not allowed in YAML"
        return message, before.count("\n"), len(before) - before.rfind("\n") - 1, ""
    if not isinstance(error, yaml.MarkedYAMLError):
        return str(error), 0, 0, ""
    raw, mark = error.problem or str(error), error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    if "cannot start any token" in raw and _character(text, line, column) == "\t":
        return "a tab cannot indent YAML", line, column, "use spaces"
    for known in _EXPLANATIONS:
        if known.raw in raw:
            if known.outer and error.context_mark:
                line, column = error.context_mark.line, error.context_mark.column
            return known.message, line, column, known.hint
    return raw, line, column, ""


class _Explanation(NamedTuple):
    """What libyaml's `raw` text means; `outer`: the place is where the unfinished thing began."""

    raw: str
    message: str
    hint: str = ""
    outer: bool = False


_TOO_DEEP = f"nested deeper than {DEPTH_MAX} levels"
_EXPLANATIONS = (
    _Explanation("exceeded maximum nesting depth", _TOO_DEEP),  # libyaml's own limit, read ahead
    _Explanation(
        "mapping values are not allowed",
        "a ':' where no key can be",
        "check the indentation; a value that holds ': ' needs quotes",
    ),
    _Explanation(
        "did not find expected key",
        "wrong indentation, or something that is not 'key: value'",
        "keys of one object start in one column",
    ),
    _Explanation("could not find expected ':'", "a key without ':'", "write 'key: value'", True),
    _Explanation(
        "did not find expected '-' indicator",
        "wrong indentation, or a list item without '-'",
        "items of one list start in one column",
    ),
    _Explanation("did not find expected ',' or ']'", "a '[' that is not closed", "", True),
    _Explanation("did not find expected ',' or '}'", "a '{' that is not closed", "", True),
    _Explanation("found unexpected end of stream", "a quote that is not closed", "", True),
    _Explanation("did not find expected node content", "a value is missing"),
    _Explanation("did not find expected <document start>", "text after the end of the document"),
)


def _character(text: str, line: int, column: int) -> str:
    lines = text.split("\n", line + 1)
    return lines[line][column : column + 1] if line < len(lines) else ""
