"""Service proxy: services and slices to rows of the data plane. Spec 3.1, 3.3 to 3.8.

The view is compiled once; afterwards a change costs the service that it concerns. The rows are the
same for every node: what depends on the node is in their choices (categories.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

from netsim.api.fields import Json, items, number, text
from netsim.api.meta import ObjectKey, labels_of, name_of
from netsim.controllers.changes import Tracker
from netsim.controllers.frontends import frontends, is_proxied, read_terms
from netsim.controllers.members import ZONE_LABEL
from netsim.controllers.membership import Name, name_in, service_of
from netsim.controllers.objects import spec
from netsim.controllers.relays import Relays
from netsim.controllers.targets import PortName, Slice, read_slice, targets
from netsim.dataplane.rows import PROTOCOLS, ServiceKey, ServiceRow
from netsim.maps import SharedMap
from netsim.store.base import View


class Claim(NamedTuple):
    """A row that wants a key: of all, the first has it. A cluster IP comes before other ways in."""

    other: bool
    service: Name
    own: ServiceKey


def claims_of(name: Name, row: ServiceRow) -> list[tuple[ServiceKey, Claim]]:
    """The keys that a row wants."""
    key = row.key
    own = (key, Claim(False, name, key))
    if not row.frontends:
        return [own]
    other = Claim(True, name, key)
    return [own, *((ServiceKey(f.addr, f.port, row.proto), other) for f in row.frontends)]


NO_ROWS: Mapping[ServiceKey, ServiceRow] = {}


class Compiler:
    """The rows of all services, kept up to date from view to view."""

    def __init__(self) -> None:
        self._services = Tracker("Service")
        self._slices = Tracker("EndpointSlice")
        self._slices_of: dict[Name, dict[str, Slice]] = {}
        self._unread: dict[Name, list[Json]] = {}  # slices that have changed
        self._zones: dict[str, str] = {}
        self._node_revisions: tuple[int, ...] = ()
        self._relays = Relays()
        self._rows: dict[Name, tuple[ServiceRow, ...]] = {}  # as wanted
        self._claims: dict[ServiceKey, tuple[Claim, ...]] = {}
        self._table: SharedMap[ServiceKey, ServiceRow] = SharedMap()
        self._host_ports = NO_ROWS
        self._ids: dict[str, int] = {}
        self._names: dict[int, str] = {}

    @property
    def known(self) -> int:
        """Service ports that have a number."""
        return len(self._names)

    def compile(
        self, view: View, host_ports: Mapping[ServiceKey, ServiceRow] = NO_ROWS
    ) -> SharedMap[ServiceKey, ServiceRow]:
        """Rows by key. Unchanged rows are the same objects, and so is an unchanged table.

        Of two services with one address and port the first by namespace and name has it; a host
        port comes before all.
        """
        touched = self._advance_host_ports(host_ports)
        concerned = self._advance(view)
        for name in sorted(concerned):
            self._read_slices(name)
            old = self._rows.get(name, ())
            new = self._service(name, concerned[name], old)
            if new != old:
                touched |= self._claim(name, old, new)
        changes: dict[ServiceKey, ServiceRow | None] = {}
        for key in touched:
            row = self._final(key)
            if row is not self._table.get(key):
                changes[key] = row
        if changes:
            self._table = self._table.changed(changes)
        return self._table

    def _advance_host_ports(self, rows: Mapping[ServiceKey, ServiceRow]) -> set[ServiceKey]:
        """Take in those that changed, each like a service of its own."""
        touched: set[ServiceKey] = set()
        if rows is not self._host_ports:
            before, self._host_ports = self._host_ports, rows
            for key in before.keys() | rows.keys():
                row, name = rows.get(key), Name("", str(key))
                if row != before.get(key):
                    new = () if row is None else (row._replace(id=self._id(row.name)),)
                    touched |= self._claim(name, self._rows.get(name, ()), new)
        return touched

    def _claim(
        self, name: Name, old: Sequence[ServiceRow], new: Sequence[ServiceRow]
    ) -> set[ServiceKey]:
        """Note what a service wants now; returns the rows, by key, that this may matter to."""
        after = [pair for row in new for pair in claims_of(name, row)]
        touched = {claim.own for _, claim in after}
        if old:
            touched |= self._withdraw(name, old, after)
        for key, claim in after:
            others = self._claims.get(key, ())
            if not others:
                self._claims[key] = (claim,)
            elif claim not in others:
                touched.update([other.own for other in others])
                self._claims[key] = tuple(sorted((*others, claim)))
        self._rows[name] = tuple(new)
        if not new:
            del self._rows[name]
        for label in {row.name for row in old} - {row.name for row in new} if old else ():
            del self._names[self._relays.give(self._ids.pop(label))]
        return touched

    def _withdraw(
        self, name: Name, old: Sequence[ServiceRow], kept: Sequence[tuple[ServiceKey, Claim]]
    ) -> set[ServiceKey]:
        """Forget the claims that are not `kept`; returns the rows, by key, that this matters to."""
        before = dict.fromkeys([pair for row in old for pair in claims_of(name, row)])
        touched = {claim.own for _, claim in before}
        for key, claim in before.keys() - kept:
            left = tuple([other for other in self._claims[key] if other != claim])
            touched.update([other.own for other in left])
            if left:
                self._claims[key] = left
            else:
                del self._claims[key]
        return touched

    def _final(self, key: ServiceKey) -> ServiceRow | None:
        """The row at a cluster IP: of the first that claims it, less what others have first."""
        claims = self._claims.get(key)
        if not claims or claims[0].other:
            return None
        claim = claims[0]
        rows = self._rows[claim.service]
        row = rows[0] if len(rows) == 1 else next(row for row in rows if row.key == key)
        if not row.frontends:
            return row
        mine = Claim(True, *claim[1:])
        had = tuple(
            [
                front
                for front in row.frontends
                if self._claims[ServiceKey(front.addr, front.port, row.proto)][0] == mine
            ]
        )
        if had == row.frontends:
            return row
        made, stored = row._replace(frontends=had), self._table.get(key)
        return stored if made == stored else made

    def _advance(self, view: View) -> dict[Name, Json | None]:
        """Take in what changed since the last view; returns the services that it concerns."""
        gone, new = self._services.advance(view)
        found: dict[Name, Json | None] = {name_in(service): None for service in gone}
        found.update([(name_in(service), service) for service in new])
        concerned = self._advance_slices(view) | self._concerned_by_nodes(view)
        for name in concerned - found.keys():
            found[name] = view.get(ObjectKey("Service", *name))
        return found

    def _advance_slices(self, view: View) -> set[Name]:
        """Take in those that changed; returns the services that they belong to."""
        gone, new = self._slices.advance(view)
        left = set()
        for slice_ in gone:
            service = service_of(slice_)
            del self._slices_of[service][name_of(slice_)]
            left.add(service)
        for slice_ in new:
            self._unread.setdefault(service_of(slice_), []).append(slice_)
        for service in left - self._unread.keys():
            if not self._slices_of[service]:
                del self._slices_of[service]
        return left | self._unread.keys()

    def _read_slices(self, service: Name) -> None:
        """Those of one service, right before they are needed."""
        for slice_ in self._unread.pop(service, ()):
            self._slices_of.setdefault(service, {})[name_of(slice_)] = read_slice(slice_)

    def _concerned_by_nodes(self, view: View) -> set[Name]:
        """Services that look otherwise as nodes have come, gone, moved or changed their mode."""
        revisions = tuple(view.kind_revision(kind) for kind in ("Lab", "Node"))
        if revisions == self._node_revisions:
            return set()
        self._node_revisions = revisions
        zones = {name_of(n): labels_of(n).get(ZONE_LABEL, "") for n in view.list("Node")}
        before, self._zones = self._zones, zones
        if self._relays.advance(view):
            return {name_in(service) for service in view.list("Service")}
        of = self._slices_of.items() if zones != before else ()
        return {name for name, slices in of if any(slice_.hinted for slice_ in slices.values())}

    def _service(
        self, name: Name, service: Json | None, old: Sequence[ServiceRow]
    ) -> tuple[ServiceRow, ...]:
        """The rows of one service: `old` ones where they are equal."""
        if service is None or not is_proxied(service):
            return ()
        terms = read_terms(service)
        slices = self._slices_of.get(name, {}).values()
        rows: list[ServiceRow] = []
        kept = {row.key: row for row in old}
        for port in items(spec(service), "ports"):
            key = PortName(text(port, "name"), text(port, "protocol", "TCP"))
            label = f"{name.namespace}/{name.name}" + (f":{key.name}" if key.name else "")
            row = ServiceRow(
                terms.address,
                number(port, "port"),
                PROTOCOLS[key.protocol],
                self._id(label),
                label,
                terms.affinity_s,
                *targets(slices, key, terms, self._zones),
                terms.internal_local,
                terms.external_local,
                frontends(terms, port),
                terms.ranges,
                relay=self._relays.row(
                    self._id(label),
                    key.protocol,
                    [(s.ports[key], s.members) for s in slices if key in s.ports],
                )
                if self._relays.wanted
                else None,
            )
            known = kept.get(row.key) if kept else None
            rows.append(known if known == row and known is not None else row)
        return tuple(rows)

    def _id(self, label: str) -> int:
        """32 bits for a service port: from its name, so that they outlive this process."""
        if label in self._ids:
            return self._ids[label]
        found = int.from_bytes(blake2b(label.encode(), digest_size=4).digest(), "big") or 1
        while found in self._names:
            found = found % 0xFFFFFFFF + 1
        self._ids[label] = found
        self._names[found] = label
        return found
