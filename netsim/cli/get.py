"""get: tables, YAML, JSON and names of objects, once or as they change."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import click

from netsim.api.fields import Json, items, mapping, number, strings, text
from netsim.api.meta import Kind
from netsim.cli import output
from netsim.cli.common import client_of, lab_option, namespace_option, parse_targets
from netsim.cli.completion import objects
from netsim.cli.formats import Format, format_option, print_all, print_one, sort_key
from netsim.errors import NotFoundError, UsageError
from netsim.server.client import ApiClient


class Asked:
    """What a `get` asked for."""

    def __init__(
        self,
        api: ApiClient,
        namespace: str | None,
        *,
        selector: str,
        fields: str,
        wide: bool,
        show_labels: bool,
        no_headers: bool,
        sort_by: str = "",
    ) -> None:
        self.api = api
        self.namespace = namespace
        self.selector = selector
        self.fields = fields
        self.wide = wide
        self.show_labels = show_labels
        self.no_headers = no_headers
        self.sort_by = sort_by

    def place(self, kind: Kind) -> str | None:
        """The namespace to ask in; None for all, and for kinds without one."""
        return self.namespace if kind.namespaced else None

    def objects(self, kind: Kind, name: str) -> list[Json]:
        """The objects, whole."""
        if name:
            return [self.api.get(kind, name, self.place(kind) or "default")]
        found = self.api.list(kind, self.place(kind), labels=self.selector, fields=self.fields)
        whole: list[Json] = [
            {"apiVersion": kind.api_version, "kind": kind.name, **obj} for obj in found
        ]
        return sorted(whole, key=lambda obj: sort_key(self.sort_by, obj)) if self.sort_by else whole

    def table(self, kind: Kind, name: str) -> Json:
        """The server's table."""
        table = self.api.table(
            kind,
            self.place(kind) or ("default" if name and kind.namespaced else None),
            name=name,
            labels=self.selector,
            fields=self.fields,
            include="Object" if self.sort_by else "Metadata",
        )
        if not self.sort_by:
            return table
        rows = items(table, "rows")
        return {
            **table,
            "rows": sorted(rows, key=lambda r: sort_key(self.sort_by, mapping(r, "object"))),
        }


def columns(table: Json, asked: Asked) -> list[tuple[int, str]]:
    """Positions and headings of the columns to show."""
    return [
        (position, text(column, "name").upper())
        for position, column in enumerate(items(table, "columnDefinitions"))
        if asked.wide or number(column, "priority") == 0
    ]


def table_rows(
    table: Json, shown: Sequence[tuple[int, str]], asked: Asked, prefix: str, spaced: bool
) -> Iterator[list[object]]:
    """Cells of a table's rows, with namespace, `kind/` prefix and labels where wanted."""
    for row in items(table, "rows"):
        cells = row.get("cells")
        assert isinstance(cells, list)
        line = [cells[position] for position, _ in shown]
        line[0] = f"{prefix}{line[0]}"
        metadata = mapping(mapping(row, "object"), "metadata")
        if spaced:
            line.insert(0, text(metadata, "namespace"))
        if asked.show_labels:
            labels = strings(metadata, "labels")
            line.append(",".join(f"{k}={v}" for k, v in sorted(labels.items())))
        yield line


def print_kind(table: Json, kind: Kind, asked: Asked, *, prefixed: bool) -> list[int]:
    """Print one kind's table; the column widths."""
    shown = columns(table, asked)
    spaced = asked.namespace is None and kind.namespaced
    header = (["NAMESPACE"] if spaced else []) + [name for _, name in shown]
    header += ["LABELS"] if asked.show_labels else []
    prefix = f"{kind.singular}{'.' + kind.group if kind.group else ''}/" if prefixed else ""
    rows = list(table_rows(table, shown, asked, prefix, spaced))
    return output.print_table(header, rows, no_headers=asked.no_headers)


def watch(kind: Kind, name: str, asked: Asked, how: Format | None, *, only: bool) -> None:
    """Print objects now (unless `only` changes are wanted), then each change, until interrupted."""
    namespace = asked.place(kind)
    fields = f"metadata.name={name}" if name else asked.fields
    listing = asked.table(kind, name)
    shown = columns(listing, asked)
    spaced = asked.namespace is None and kind.namespaced
    widths: list[int] = []
    if how is None:
        first = {**listing, "rows": []} if only else listing
        widths = print_kind(first, kind, asked, prefixed=False)
    elif not only:
        for obj in asked.objects(kind, name):
            print_change(kind, obj, how, asked)
    revision = text(mapping(listing, "metadata"), "resourceVersion")
    changes = asked.api.watch(
        kind,
        namespace,
        revision=revision,
        labels=asked.selector,
        fields=fields,
        table=how is None,
    )
    for change in changes:
        if change.type == "BOOKMARK":
            continue
        if how is not None:
            print_change(kind, change.object, how, asked)
            continue
        rows = list(table_rows(change.object, shown, asked, "", spaced))
        output.print_table([""] * len(widths), rows, no_headers=True, widths=widths)


def print_change(kind: Kind, obj: Json, how: Format, asked: Asked) -> None:
    """One object of a watch; only the first of a table of columns has a heading."""
    print_one(kind, obj, how, no_headers=asked.no_headers, stream=True)
    sys.stdout.flush()
    asked.no_headers = True


T = TypeVar("T")


def fetch(
    targets: Sequence[tuple[Kind, str]], ask: Callable[[Kind, str], T]
) -> tuple[list[tuple[Kind, T]], list[NotFoundError]]:
    """What `ask` gives for each target, and what was not found."""
    found: list[tuple[Kind, T]] = []
    missing: list[NotFoundError] = []
    for kind, name in targets:
        try:
            found.append((kind, ask(kind, name)))
        except NotFoundError as error:
            missing.append(error)
    return found, missing


def print_objects(targets: Sequence[tuple[Kind, str]], asked: Asked, how: Format) -> None:
    """Whole objects: a single named one as it is, otherwise a List. NotFoundError afterwards."""
    answers, missing = fetch(targets, asked.objects)
    found = [(kind, obj) for kind, objects in answers for obj in objects]
    if len(targets) == 1 and targets[0][1]:
        for kind, obj in found:
            print_one(kind, obj, how, no_headers=asked.no_headers, stream=False)
    elif found or not missing:
        print_all(found, how, no_headers=asked.no_headers)
    raise_all(missing)


def raise_all(missing: Sequence[NotFoundError]) -> None:
    """Print all errors but the last, which is raised."""
    for error in missing[:-1]:
        output.print_error(error)
    if missing:
        raise missing[-1]


def print_tables(targets: Sequence[tuple[Kind, str]], asked: Asked) -> None:
    """A table for each kind, blank lines between; NotFoundError after what was found."""
    answers, missing = fetch(targets, asked.table)
    grouped: dict[str, tuple[Kind, list[Json]]] = {}
    for kind, table in answers:
        grouped.setdefault(kind.name, (kind, []))[1].append(table)
    prefixed = len({kind.name for kind, _ in targets}) > 1
    printed = 0
    for kind, tables in grouped.values():
        rows = [row for table in tables for row in items(table, "rows")]
        if not rows:
            continue
        if printed:
            print()
        print_kind({**tables[0], "rows": rows}, kind, asked, prefixed=prefixed)
        printed += 1
    if not printed and not missing:
        where = f" in {asked.namespace} namespace" if asked.namespace is not None else ""
        output.note(f"No resources found{where}.")
    raise_all(missing)


@click.command(
    epilog="Examples:\n\n\b\n  sudo netsim get pods -o wide\n"
    "  sudo netsim get svc,endpointslices -A\n  sudo netsim get deploy/web -o yaml\n"
    "  sudo netsim get pods -l app=web -w"
)
@click.argument(
    "what", nargs=-1, metavar="TYPE[,TYPE] [NAME...] | TYPE/NAME...", shell_complete=objects
)
@namespace_option
@click.option("-A", "--all-namespaces", is_flag=True, help="Objects of all namespaces.")
@click.option("-l", "--selector", default="", help="Label selector: app=web,tier in (a,b),!old.")
@click.option("--field-selector", default="", help="Field selector: spec.nodeName=node1.")
@format_option
@click.option("--sort-by", default="", metavar="PATH", help="Order by a field: .status.podIP")
@click.option("-w", "--watch", "watching", is_flag=True, help="Go on printing changes.")
@click.option("--watch-only", is_flag=True, help="Print changes, not what there is already.")
@click.option("--no-headers", is_flag=True, help="No heading line.")
@click.option("--show-labels", is_flag=True, help="Labels as last column.")
@lab_option
def get_command(
    what: tuple[str, ...],
    namespace: str,
    all_namespaces: bool,
    selector: str,
    field_selector: str,
    how: Format | None,
    sort_by: str,
    watching: bool,
    watch_only: bool,
    no_headers: bool,
    show_labels: bool,
    lab: str | None,
) -> None:
    """List objects of a lab: nodes, pods, services, deployments, endpointslices, ..."""
    if "rules" in what:
        raise UsageError("rules comes first", hint="netsim get rules [NODE] [OPTIONS]")
    if "conntrack" in what or "ct" in what:
        raise UsageError("conntrack comes first", hint="netsim get conntrack [NODE...] [OPTIONS]")
    targets = parse_targets(what)
    asked = Asked(
        client_of(lab),
        None if all_namespaces else namespace,
        selector=selector,
        fields=field_selector,
        wide=how is not None and how.name == "wide",
        show_labels=show_labels,
        no_headers=no_headers,
        sort_by=sort_by,
    )
    form = None if asked.wide else how
    if watching or watch_only:
        if len(targets) != 1:
            raise UsageError("--watch takes a single type or object")
        watch(*targets[0], asked, form, only=watch_only)
    elif form:
        print_objects(targets, asked, form)
    else:
        print_tables(targets, asked)
