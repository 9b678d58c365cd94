"""Service proxy: services and slices to rows of the data plane. Spec 3.1, 3.3 to 3.8.

The view is compiled once; afterwards a change costs the service that it concerns. The rows are the
same for every node: what depends on the node is in their choices (categories.py).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

from netsim.api.addresses import pack_address, pack_addresses
from netsim.api.fields import Json, items, number, text
from netsim.api.meta import ObjectKey, labels_of, name_of
from netsim.controllers.categories import (
    ALL_BITS,
    READY,
    SOUND,
    Known,
    Place,
    Sets,
    condition_bits,
    is_fallback,
    is_served,
    place_of,
)
from netsim.controllers.changes import Tracker
from netsim.controllers.frontends import Terms, frontends, is_proxied, read_terms
from netsim.controllers.members import ZONE_LABEL
from netsim.controllers.membership import Name, name_in, service_of
from netsim.controllers.objects import spec
from netsim.controllers.relays import Relays
from netsim.dataplane.rows import (
    EVERYWHERE,
    FIRST_SET,
    NOBODY,
    PROTOCOLS,
    Choice,
    ServiceKey,
    ServiceRow,
    pack_endpoint,
    pack_port,
)
from netsim.maps import SharedMap
from netsim.store.base import View


class PortName(NamedTuple):
    """What joins a service's port and a slice's (P-25)."""

    name: str
    protocol: str


Members = Mapping[bytes, int]
"""Endpoints of a slice: conditions by address, which is packed."""


class Slice(NamedTuple):
    """What the proxy needs of a slice: its target ports, and its endpoints, all of them on each.

    `hinted`: some endpoint is meant for somebody. `source` is asked for places when they matter.
    """

    ports: Mapping[PortName, int]
    members: Members
    hinted: bool
    source: Json

    def places(self) -> Mapping[bytes, Place]:
        """Where the endpoints are; of two with one address where the one is that counts."""
        found: dict[bytes, Place] = {}
        for endpoint in items(self.source, "endpoints"):
            addresses = endpoint.get("addresses")
            if isinstance(addresses, list) and addresses:
                addr = pack_address(addresses[0])
                if self.members[addr] == condition_bits(endpoint):
                    found.setdefault(addr, place_of(endpoint))
        return found


def sound_members(endpoints: Sequence[Json]) -> Members | None:
    """Endpoints of a slice that are all ready and meant for anybody; None of others."""
    try:
        first: list[str] = [
            e["addresses"][0]  # type: ignore[index]
            for e in endpoints
            if e["conditions"] in SOUND and "hints" not in e
        ]
    except (KeyError, IndexError, TypeError):
        return None
    return dict.fromkeys(pack_addresses(first), ALL_BITS) if len(first) == len(endpoints) else None


def read_slice(slice_: Json) -> Slice:
    """A slice's ports and endpoints: the first address of each (P-50)."""
    if text(slice_, "addressType") != "IPv4":
        return Slice({}, {}, hinted=False, source=slice_)
    ports = {
        PortName(text(port, "name"), text(port, "protocol", "TCP")): at
        for port in items(slice_, "ports")
        if (at := number(port, "port"))
    }
    endpoints = items(slice_, "endpoints")
    if (sound := sound_members(endpoints)) is not None:
        return Slice(ports, sound, hinted=False, source=slice_)
    members: dict[bytes, int] = {}
    hinted = False
    for endpoint in endpoints:
        addresses = endpoint.get("addresses")
        if isinstance(addresses, list) and addresses:
            bits = condition_bits(endpoint)
            addr = pack_address(addresses[0])
            members[addr] = bits if addr not in members else max(bits, members[addr])
            hinted = hinted or "hints" in endpoint
    return Slice(ports, members, hinted, slice_)


class Targets(NamedTuple):
    """The fields of a row that say where it sends."""

    packed_endpoints: bytes = b""
    sets: tuple[tuple[int, ...], ...] = ()
    cluster: Choice = EVERYWHERE
    local: Choice = EVERYWHERE


def plain_targets(members: Iterable[tuple[bytes, int]]) -> Targets:
    """Where nobody has endpoints of its own. `members` are (packed endpoint, conditions)."""
    known = sorted([m for m in members if is_served(m[1])])
    packed = b"".join([endpoint for endpoint, _ in known])
    usable = [i for i, (_, bits) in enumerate(known) if bits & READY]
    usable = usable or [i for i, (_, bits) in enumerate(known) if is_fallback(bits)]
    if len(usable) == len(known):
        return Targets(packed)
    if not usable:
        return Targets(packed, (), NOBODY, NOBODY)
    return Targets(packed, (tuple(usable),), Choice(FIRST_SET))


def placed_targets(
    slices: Iterable[Slice], port: PortName, terms: Terms, zones: Mapping[str, str]
) -> Targets:
    """Where some nodes have endpoints of their own: by a policy, or by hints and `zones`."""
    merged: dict[bytes, Known] = {}
    for slice_ in slices:
        places, target = slice_.places(), slice_.ports[port]
        for addr, bits in slice_.members.items():
            packed = pack_endpoint(addr, target)
            if packed not in merged or merged[packed].bits < bits:
                merged[packed] = Known(packed, bits, places[addr])
    sets = Sets([merged[each] for each in sorted(merged) if is_served(merged[each].bits)])
    cluster = sets.cluster(zones)
    if terms.internal_local or terms.external_local:
        local = sets.local()
    else:
        local = NOBODY if cluster == NOBODY else EVERYWHERE
    packed = b"".join([e.packed for e in sets.known])
    return Targets(packed, tuple(sets.sets), cluster, local)


def targets(
    slices: Collection[Slice], port: PortName, terms: Terms, zones: Mapping[str, str]
) -> Targets:
    """What a service port sends to: endpoints of all slices, each once, sorted."""
    found = [s for s in slices if port in s.ports]
    if terms.internal_local or terms.external_local or any(s.hinted for s in found):
        return placed_targets(found, port, terms, zones)
    if len(found) == 1:
        target, only = found[0].ports[port], found[0].members
        if min(only.values(), default=0) == ALL_BITS:
            return Targets(pack_port(sorted(only), target))
        return plain_targets([(pack_endpoint(addr, target), bits) for addr, bits in only.items()])
    merged: dict[bytes, int] = {}
    for slice_ in found:
        for addr, bits in slice_.members.items():
            packed = pack_endpoint(addr, slice_.ports[port])
            merged[packed] = max(bits, merged.get(packed, 0))
    return plain_targets(merged.items())


class Claim(NamedTuple):
    """A row that wants a key: of all, the first has it. A cluster IP comes before other ways in."""

    other: bool
    service: Name
    own: ServiceKey


def claims_of(name: Name, row: ServiceRow) -> list[tuple[ServiceKey, Claim]]:
    """The keys that a row wants."""
    key = row.key
    wanted = [(key, Claim(False, name, key))]
    if row.frontends:
        other = Claim(True, name, key)
        wanted += [(ServiceKey(f.addr, f.port, row.proto), other) for f in row.frontends]
    return wanted


NO_ROWS: Mapping[ServiceKey, ServiceRow] = {}


class Compiler:
    """The rows of all services, kept up to date from view to view."""

    def __init__(self) -> None:
        self._services = Tracker("Service")
        self._slices = Tracker("EndpointSlice")
        self._slices_of: dict[Name, dict[str, Slice]] = {}
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
        for name in sorted(self._advance(view)):
            old = self._rows.get(name, ())
            new = self._service(name, view.get(ObjectKey("Service", *name)), old)
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
        before = dict.fromkeys([pair for row in old for pair in claims_of(name, row)])
        after = [pair for row in new for pair in claims_of(name, row)]
        touched = {claim.own for _, claim in (*before, *after)}
        for key, claim in before.keys() - after if before else ():
            left = tuple([other for other in self._claims[key] if other != claim])
            touched.update([other.own for other in left])
            if left:
                self._claims[key] = left
            else:
                del self._claims[key]
        for key, claim in [pair for pair in after if pair not in before] if before else after:
            others = self._claims.get(key, ())
            touched.update([other.own for other in others])
            self._claims[key] = tuple(sorted((*others, claim))) if others else (claim,)
        self._rows[name] = tuple(new)
        if not new:
            del self._rows[name]
        for label in {row.name for row in old} - {row.name for row in new}:
            del self._names[self._relays.give(self._ids.pop(label))]
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

    def _advance(self, view: View) -> set[Name]:
        """Take in what changed since the last view; returns the services that it concerns."""
        gone, new = self._services.advance(view)
        concerned = {name_in(service) for service in (*gone, *new)}
        gone, new = self._slices.advance(view)
        for slice_ in gone:
            service = service_of(slice_)
            del self._slices_of[service][name_of(slice_)]
            concerned.add(service)
        for slice_ in new:
            service = service_of(slice_)
            self._slices_of.setdefault(service, {})[name_of(slice_)] = read_slice(slice_)
            concerned.add(service)
        for service in concerned:
            if not self._slices_of.get(service, True):
                del self._slices_of[service]
        return concerned | self._concerned_by_nodes(view)

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
