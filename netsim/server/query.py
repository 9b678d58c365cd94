"""What a request's query asks for, typed and checked once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from netsim.api.fields import Json
from netsim.api.meta import Kind, labels_of
from netsim.api.selectors import FieldSelector, LabelSelector
from netsim.errors import UsageError
from netsim.store.errors import ApiError, bad_request, invalid_options

Include = Literal["None", "Metadata", "Object"]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a collection a request means."""

    labels: LabelSelector
    fields: FieldSelector

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return not (self.labels.requirements or self.fields.terms)

    def matches(self, obj: Json) -> bool:
        """Whether an object is meant."""
        return self.labels.matches(labels_of(obj)) and self.fields.matches(obj)


@dataclass(frozen=True, slots=True)
class ListOptions:
    """The query of a list, a watch or a deletion of many; `revision` None is "any"."""

    selection: Selection
    watch: bool
    limit: int
    after: str
    revision: int | None
    match: str
    timeout_s: int | None
    bookmarks: bool
    initial_events: bool


def list_options(query: Mapping[str, str], kind: Kind) -> ListOptions:
    """Read a ListOptions query. ApiError 400 and 422."""
    return ListOptions(
        selection=selection(query, kind),
        watch=flag(query, "watch"),
        limit=number(query, "limit") or 0,
        after=query.get("continue", ""),
        revision=number(query, "resourceVersion"),
        match=one_of(query, "resourceVersionMatch", ("", "Exact", "NotOlderThan")),
        timeout_s=number(query, "timeoutSeconds"),
        bookmarks=flag(query, "allowWatchBookmarks"),
        initial_events=flag(query, "sendInitialEvents"),
    )


def selection(query: Mapping[str, str], kind: Kind) -> Selection:
    """The label and field selectors of a query. ApiError 400."""
    try:
        return Selection(
            LabelSelector.parse(query.get("labelSelector", "")),
            FieldSelector.parse(query.get("fieldSelector", ""), kind.name),
        )
    except UsageError as error:
        raise bad_request(str(error)) from error


def dry_run(values: list[str]) -> bool:
    """Whether the write is only to be tried; `values` are those of `dryRun`. ApiError 422."""
    if any(value != "All" for value in values):
        raise invalid_options("dryRun", f'Unsupported value: {values}: supported values: "All"')
    return bool(values)


def flag(query: Mapping[str, str], name: str) -> bool:
    """A boolean: kubectl writes `true`, Python clients `True`, others `1`."""
    value = query.get(name, "").lower()
    if value not in ("", "0", "1", "true", "false"):
        raise bad_request(f"{name}: {value!r} is neither true nor false")
    return value in ("1", "true")


def number(query: Mapping[str, str], name: str) -> int | None:
    """A count, None when absent. ApiError 400."""
    value = query.get(name, "")
    if not value:
        return None
    if not (value.isascii() and value.isdecimal() and len(value) < 19):
        raise bad_request(f"{name}: {value!r} is not a number")
    return int(value)


def one_of(query: Mapping[str, str], name: str, values: tuple[str, ...]) -> str:
    """A word among `values`, the first of them when absent. ApiError 422."""
    value = query.get(name, values[0])
    if value not in values:
        known = ", ".join(f'"{v}"' for v in values if v)
        raise invalid_options(name, f'Unsupported value: "{value}": supported values: {known}')
    return value


def include_object(query: Mapping[str, str]) -> Include:
    """How much of each object a Table's rows carry. ApiError 422."""
    value = one_of(query, "includeObject", ("Metadata", "None", "Object"))
    return "None" if value == "None" else "Object" if value == "Object" else "Metadata"


def page_expired() -> ApiError:
    """410: the view that a continue token means is no longer kept."""
    message = "The provided continue parameter is too old to display a consistent list result."
    return ApiError(410, "Expired", message)


def too_new(revision: int, current: int) -> ApiError:
    """504: a list was asked to be as new as a revision that does not exist yet."""
    message = f"Too large resource version: {revision}, current: {current}"
    return ApiError(504, "Timeout", message)
