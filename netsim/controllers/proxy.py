"""Service proxy: services and slices to rows of the data plane. Spec 3.1, 3.3 to 3.5, 3.7.

The view is compiled once; afterwards a change costs the service that it concerns. The rows are the
same for every node: they hold the endpoints usable under policy Cluster.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple, TypeVar

from netsim.api.addresses import parse_address
from netsim.api.fields import Json, items, mapping, number, text
from netsim.api.meta import ObjectKey, labels_of, name_of, namespace_of
from netsim.controllers.changes import Tracker
from netsim.controllers.membership import Name, name_in
from netsim.controllers.objects import spec
from netsim.controllers.slices import SERVICE_NAME
from netsim.dataplane.rows import PROTOCOLS, EndpointRow, ServiceKey, ServiceRow
from netsim.maps import SharedMap
from netsim.store.base import View

# Labels by which a service says that this proxy is not to look at it (P-02, P-08).
OPT_OUT = ("service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless")
DEFAULT_AFFINITY_S = 10800


T = TypeVar("T", int, EndpointRow)


class PortName(NamedTuple):
    """What joins a service's port and a slice's (P-25)."""

    name: str
    protocol: str


# An endpoint's conditions as bits (P-50), so that of two for one address the greater number counts:
# one that stays before one that terminates (P-24), then a ready one.
STAYING, READY, SERVING = 4, 2, 1
ALL_BITS = STAYING + READY + SERVING
SOUND = ({"ready": True, "serving": True, "terminating": False}, {"ready": True})

Members = Mapping[int, int]
"""Endpoints of a slice: conditions by address."""


class Slice(NamedTuple):
    """What the proxy needs of a slice: its target ports, and its endpoints, all of them on each."""

    ports: Mapping[PortName, int]
    members: Members


def read_slice(slice_: Json) -> Slice:
    """A slice's ports and endpoints: the first address of each (P-50)."""
    if text(slice_, "addressType") != "IPv4":
        return Slice({}, {})
    members: dict[int, int] = {}
    for endpoint in items(slice_, "endpoints"):
        addresses, conditions = endpoint.get("addresses"), endpoint.get("conditions")
        if isinstance(addresses, list) and addresses:
            bits = ALL_BITS if conditions in SOUND else _bits(mapping(endpoint, "conditions"))
            addr = parse_address(addresses[0])
            members[addr] = bits if addr not in members else max(bits, members[addr])
    ports = {
        PortName(text(port, "name"), text(port, "protocol", "TCP")): number(port, "port")
        for port in items(slice_, "ports")
        if number(port, "port")
    }
    return Slice(ports, members)


def _bits(conditions: Json) -> int:
    """Unknown conditions count as ready, serving and not terminating."""
    get = conditions.get
    return (
        (get("terminating") is not True) * STAYING
        + (get("ready") is not False) * READY
        + (get("serving") is not False) * SERVING
    )


def usable(members: Iterable[tuple[T, int]]) -> list[T]:
    """Endpoints that any node may send to, sorted; `members` are (endpoint, conditions).

    The ready ones; failing those, the ones still serving while they terminate (P-51, KEP-1669).
    """
    known = list(members)
    ready = sorted([endpoint for endpoint, bits in known if bits & READY])
    return ready or sorted([e for e, bits in known if bits & (STAYING | SERVING) == SERVING])


def endpoints(slices: Collection[Slice], port: PortName) -> tuple[EndpointRow, ...]:
    """What a service port sends to, sorted: usable endpoints of all slices, each once."""
    found = [(s.ports[port], s.members) for s in slices if port in s.ports]
    if len(found) == 1:
        target, only = found[0]
        return tuple([EndpointRow(addr, target) for addr in usable(only.items())])
    merged: dict[EndpointRow, int] = {}
    for target, members in found:
        for addr, bits in members.items():
            row = EndpointRow(addr, target)
            merged[row] = max(bits, merged.get(row, 0))
    return tuple(usable(merged.items()))


def is_proxied(service: Json) -> bool:
    """Whether the service has an address that packets can be sent to (P-01 to P-03, P-08)."""
    if text(spec(service), "type") == "ExternalName":
        return False
    if any(label in labels_of(service) for label in OPT_OUT):
        return False
    return text(spec(service), "clusterIP") not in ("", "None")


def affinity_s(service: Json) -> int:
    """Seconds of sessionAffinity ClientIP, 0 without (P-34)."""
    if text(spec(service), "sessionAffinity") != "ClientIP":
        return 0
    config = mapping(mapping(spec(service), "sessionAffinityConfig"), "clientIP")
    return number(config, "timeoutSeconds", DEFAULT_AFFINITY_S)


class Compiler:
    """The rows of all services, kept up to date from view to view."""

    def __init__(self) -> None:
        self._services = Tracker("Service")
        self._slices = Tracker("EndpointSlice")
        self._slices_of: dict[Name, dict[str, Slice]] = {}
        self._rows: dict[Name, tuple[ServiceRow, ...]] = {}
        self._claims: dict[ServiceKey, tuple[Name, ...]] = {}
        self._table: SharedMap[ServiceKey, ServiceRow] = SharedMap()
        self._ids: dict[str, int] = {}
        self._names: dict[int, str] = {}

    def compile(self, view: View) -> SharedMap[ServiceKey, ServiceRow]:
        """Rows by key. Unchanged rows are the same objects, and so is an unchanged table.

        Of two services with one address and port the first by namespace and name has it.
        """
        touched: set[ServiceKey] = set()
        for name in sorted(self._advance(view)):
            old = self._rows.get(name, ())
            new = self._service(name, view.get(ObjectKey("Service", *name)), old)
            if new != old:
                touched |= self._claim(name, old, new)
        changes: dict[ServiceKey, ServiceRow | None] = {}
        for key in touched:
            row = self._winner(key)
            if row is not self._table.get(key):
                changes[key] = row
        if changes:
            self._table = self._table.changed(changes)
        return self._table

    def _claim(
        self, name: Name, old: Sequence[ServiceRow], new: Sequence[ServiceRow]
    ) -> set[ServiceKey]:
        """Note the rows that a service has now; returns the keys that this may matter to."""
        before, after = {row.key for row in old}, {row.key for row in new}
        for key in before - after:
            left = tuple([other for other in self._claims[key] if other != name])
            if left:
                self._claims[key] = left
            else:
                del self._claims[key]
        for key in after - before:
            others = self._claims.get(key)
            self._claims[key] = tuple(sorted((*others, name))) if others else (name,)
        self._rows[name] = tuple(new)
        if not new:
            del self._rows[name]
        return before | after

    def _winner(self, key: ServiceKey) -> ServiceRow | None:
        """The row of the first service that claims a key."""
        claims = self._claims.get(key)
        rows = self._rows[claims[0]] if claims else ()
        return next((row for row in rows if row.key == key), None)

    def _advance(self, view: View) -> set[Name]:
        """Take in what changed since the last view; returns the services that it concerns."""
        gone, new = self._services.advance(view)
        concerned = {name_in(service) for service in (*gone, *new)}
        gone, new = self._slices.advance(view)
        for slice_ in gone:
            service = _service_of(slice_)
            del self._slices_of[service][name_of(slice_)]
            concerned.add(service)
        for slice_ in new:
            service = _service_of(slice_)
            self._slices_of.setdefault(service, {})[name_of(slice_)] = read_slice(slice_)
            concerned.add(service)
        for service in concerned:
            if not self._slices_of.get(service, True):
                del self._slices_of[service]
        return concerned

    def _service(
        self, name: Name, service: Json | None, old: Sequence[ServiceRow]
    ) -> tuple[ServiceRow, ...]:
        """The rows of one service: `old` ones where they are equal."""
        if service is None or not is_proxied(service):
            return ()
        addr, timeout = parse_address(text(spec(service), "clusterIP")), affinity_s(service)
        slices = self._slices_of.get(name, {}).values()
        rows: list[ServiceRow] = []
        for port in items(spec(service), "ports"):
            key = PortName(text(port, "name"), text(port, "protocol", "TCP"))
            label = f"{name.namespace}/{name.name}" + (f":{key.name}" if key.name else "")
            row = ServiceRow(
                addr,
                number(port, "port"),
                PROTOCOLS[key.protocol],
                self._id(label),
                label,
                timeout,
                endpoints(slices, key),
            )
            rows.append(next((kept for kept in old if kept == row), row))
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


def _service_of(slice_: Json) -> Name:
    return Name(namespace_of(slice_), labels_of(slice_).get(SERVICE_NAME, ""))
