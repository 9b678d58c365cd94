"""get: tables, YAML, JSON and names of objects, once or as they change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from netsim.api.fields import Json, items, mapping, number, strings, text
from netsim.api.meta import Kind
from netsim.cli import output
from netsim.cli.common import client_of, lab_option, namespace_option, parse_targets
from netsim.cli.completion import kinds
from netsim.errors import UsageError
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
    ) -> None:
        self.api = api
        self.namespace = namespace
        self.selector = selector
        self.fields = fields
        self.wide = wide
        self.show_labels = show_labels
        self.no_headers = no_headers

    def place(self, kind: Kind) -> str | None:
        """The namespace to ask in; None for all, and for kinds without one."""
        return self.namespace if kind.namespaced else None

    def objects(self, kind: Kind, name: str) -> list[Json]:
        """The objects, whole."""
        if name:
            return [self.api.get(kind, name, self.place(kind) or "default")]
        found = self.api.list(kind, self.place(kind), labels=self.selector, fields=self.fields)
        return [{"apiVersion": kind.api_version, "kind": kind.name, **obj} for obj in found]

    def table(self, kind: Kind, name: str) -> Json:
        """The server's table."""
        return self.api.table(
            kind,
            self.place(kind) or ("default" if name and kind.namespaced else None),
            name=name,
            labels=self.selector,
            fields=self.fields,
        )


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


def watch(kind: Kind, name: str, asked: Asked, how: str | None) -> None:
    """Print objects now, then each change, until interrupted."""
    namespace = asked.place(kind)
    fields = f"metadata.name={name}" if name else asked.fields
    listing = asked.table(kind, name)
    widths = print_kind(listing, kind, asked, prefixed=False) if how is None else []
    shown = columns(listing, asked)
    spaced = asked.namespace is None and kind.namespaced
    if how is not None:
        for obj in asked.objects(kind, name):
            print_object(obj, kind, how)
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
            print_object(change.object, kind, how)
            continue
        rows = list(table_rows(change.object, shown, asked, "", spaced))
        output.print_table([""] * len(widths), rows, no_headers=True, widths=widths)


def print_object(obj: Json, kind: Kind, how: str) -> None:
    """One object as YAML, JSON or name."""
    if how == "name":
        print(f"{kind.singular}{'.' + kind.group if kind.group else ''}/{name_of(obj)}")
    else:
        if how == "yaml":
            print("---")
        output.dump(obj, how)


def name_of(obj: Json) -> str:
    """metadata.name."""
    return text(mapping(obj, "metadata"), "name")


def print_objects(targets: Sequence[tuple[Kind, str]], asked: Asked, how: str) -> None:
    """Whole objects: a single named one as it is, otherwise a List."""
    found = [(kind, obj) for kind, name in targets for obj in asked.objects(kind, name)]
    if how == "name":
        for kind, obj in found:
            print_object(obj, kind, how)
    elif len(targets) == 1 and targets[0][1]:
        output.dump(found[0][1], how)
    else:
        output.dump(
            {
                "apiVersion": "v1",
                "kind": "List",
                "metadata": {"resourceVersion": ""},
                "items": [obj for _, obj in found],
            },
            how,
        )


def print_tables(targets: Sequence[tuple[Kind, str]], asked: Asked) -> None:
    """A table for each kind, blank lines between; says so when there is nothing."""
    grouped: dict[str, tuple[Kind, list[str]]] = {}
    for kind, name in targets:
        grouped.setdefault(kind.name, (kind, []))[1].append(name)
    printed = 0
    for kind, names in grouped.values():
        tables = [asked.table(kind, name) for name in names]
        rows = [row for table in tables for row in items(table, "rows")]
        if not rows:
            continue
        if printed:
            print()
        print_kind({**tables[0], "rows": rows}, kind, asked, prefixed=len(grouped) > 1)
        printed += 1
    if not printed:
        where = f" in {asked.namespace} namespace" if asked.namespace is not None else ""
        output.note(f"No resources found{where}.")


@click.command(
    epilog="Examples:\n\n\b\n  sudo netsim get pods -o wide\n"
    "  sudo netsim get svc,endpointslices -A\n  sudo netsim get deploy/web -o yaml\n"
    "  sudo netsim get pods -l app=web -w"
)
@click.argument(
    "what", nargs=-1, metavar="TYPE[,TYPE] [NAME...] | TYPE/NAME...", shell_complete=kinds
)
@namespace_option
@click.option("-A", "--all-namespaces", is_flag=True, help="Objects of all namespaces.")
@click.option("-l", "--selector", default="", help="Label selector: app=web,tier in (a,b),!old.")
@click.option("--field-selector", default="", help="Field selector: spec.nodeName=node1.")
@click.option("-o", "--output", "how", type=click.Choice(output.FORMATS), help="Format.")
@click.option("-w", "--watch", "watching", is_flag=True, help="Go on printing changes.")
@click.option("--no-headers", is_flag=True, help="No heading line.")
@click.option("--show-labels", is_flag=True, help="Labels as last column.")
@lab_option
def get_command(
    what: tuple[str, ...],
    namespace: str,
    all_namespaces: bool,
    selector: str,
    field_selector: str,
    how: str | None,
    watching: bool,
    no_headers: bool,
    show_labels: bool,
    lab: str | None,
) -> None:
    """List objects of a lab: nodes, pods, services, deployments, endpointslices, ..."""
    targets = parse_targets(what)
    asked = Asked(
        client_of(lab),
        None if all_namespaces else namespace,
        selector=selector,
        fields=field_selector,
        wide=how == "wide",
        show_labels=show_labels,
        no_headers=no_headers,
    )
    form = None if how == "wide" else how
    if watching:
        if len(targets) != 1:
            raise UsageError("--watch takes a single type or object")
        watch(*targets[0], asked, form)
    elif form:
        print_objects(targets, asked, form)
    else:
        print_tables(targets, asked)
