"""The names of Services, as Kubernetes' DNS specification (1.1.0) and CoreDNS have them. Pure.

SVC.NS.svc.ZONE                 A of the cluster IP, or of all ready endpoints of a headless
                                Service; CNAME of an ExternalName
HOST.SVC.NS.svc.ZONE            A of an endpoint; HOST is its host name, or its address: 10-0-0-7
_PORT._PROTO.SVC.NS.svc.ZONE    SRV, with the addresses of its targets
10-0-0-7.NS.pod.ZONE            A, whoever has the address
7.0.0.10.in-addr.arpa           PTR of a cluster IP or an endpoint
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

from netsim.api.addresses import address_or_none
from netsim.api.fields import Json, flag, items, mapping, number, text, texts
from netsim.api.meta import ObjectKey, name_of
from netsim.controllers.changes import Tracker
from netsim.controllers.membership import Name, name_in, service_of
from netsim.controllers.objects import spec
from netsim.store.base import View

ZONE = "cluster.local"
VERSION = "1.1.0"
T = TypeVar("T")
CHAIN_MAX = 8  # of ExternalNames that lead to one another


class Record(NamedTuple):
    """A record; `name` and names in `data` end with a dot, `data` is as zone files have it."""

    name: str
    kind: str
    data: str


class Found(NamedTuple):
    """What is known of a name that is ours: records asked for (none: it has others), and more."""

    exists: bool
    answers: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()


class End(NamedTuple):
    """An endpoint of a Service by its name below the Service's."""

    host: str
    address: str
    ports: tuple[tuple[str, str, int], ...]  # name, protocol, number


NOTHING, OTHERS = Found(False), Found(True)


class Names:
    """The names of a view's Services, at the price of what changed."""

    def __init__(self) -> None:
        self._services, self._slices = Tracker("Service"), Tracker("EndpointSlice")
        self._view: View | None = None
        self._slices_of: dict[Name, dict[str, Json]] = {}
        self._at: dict[str, set[Name]] = {}  # services by cluster IP
        self._ends_at: dict[str, set[tuple[Name, str]]] = {}  # and slices, by endpoint's address

    def advance(self, view: View) -> None:
        """Take in a view."""
        self._view = view
        gone, new = self._services.advance(view)
        for service in gone:
            _take(self._at, text(spec(service), "clusterIP"), name_in(service))
        for service in new:
            self._at.setdefault(text(spec(service), "clusterIP"), set()).add(name_in(service))
        gone, new = self._slices.advance(view)
        for slice_ in gone:
            name = service_of(slice_)
            self._slices_of[name].pop(name_of(slice_))
            if not self._slices_of[name]:
                del self._slices_of[name]
            for address in _addresses(slice_):
                _take(self._ends_at, address, (name, name_of(slice_)))
        for slice_ in new:
            name = service_of(slice_)
            self._slices_of.setdefault(name, {})[name_of(slice_)] = slice_
            for address in _addresses(slice_):
                self._ends_at.setdefault(address, set()).add((name, name_of(slice_)))

    @property
    def serial(self) -> int:
        """Of the zone: it rises with every change."""
        return self._view.revision & 0xFFFFFFFF if self._view is not None else 0

    def find(self, name: str, kind: str, chain: int = CHAIN_MAX) -> Found | None:
        """What a name, of the type `kind`, stands for; None if it is not ours."""
        labels = name.lower().rstrip(".").split(".")
        if labels[-2:] == ["in-addr", "arpa"]:
            return self._reverse(f"{name.lower().rstrip('.')}.", labels[:-2], kind)
        if labels[-2:] != ZONE.split("."):
            return None
        match labels[:-2]:
            case [] | ["svc"] | ["pod"]:
                return OTHERS
            case ["dns-version"]:
                return _of_kind(kind, [Record(f"dns-version.{ZONE}.", "TXT", f'"{VERSION}"')])
            case [namespace, "svc" | "pod"]:
                return OTHERS if self._has_namespace(namespace) else NOTHING
            case [host, namespace, "pod"]:
                return self._pod(host, namespace, kind)
            case [*below, service, namespace, "svc"]:
                return self._service(below, Name(namespace, service), kind, chain)
        return NOTHING

    def _has_namespace(self, name: str) -> bool:
        return self._view is not None and (
            self._view.get(ObjectKey("Namespace", "", name)) is not None
        )

    def _pod(self, host: str, namespace: str, kind: str) -> Found:
        address = host.replace("-", ".")
        if address_or_none(address) is None or not self._has_namespace(namespace):
            return NOTHING
        return _of_kind(kind, [Record(f"{host}.{namespace}.pod.{ZONE}.", "A", address)])

    def _service(self, below: Sequence[str], name: Name, kind: str, chain: int) -> Found:
        service = self._view.get(ObjectKey("Service", *name)) if self._view else None
        if service is None:
            return NOTHING
        own, fields = full_name(name), spec(service)
        if text(fields, "type") == "ExternalName":
            return (
                NOTHING if below else self._external(own, text(fields, "externalName"), kind, chain)
            )
        address = text(fields, "clusterIP")
        headless = address == "None"
        ends = list(self._ends(name)) if headless or below else []
        match below:
            case [] if headless:
                return _of_kind(kind, [Record(own, "A", end.address) for end in ends])
            case []:
                return _of_kind(kind, [Record(own, "A", address)] if address else [])
            case [host]:
                found = [end for end in ends if end.host == host]
                return _of_kind(kind, [Record(f"{host}.{own}", "A", e.address) for e in found])
            case [port, proto] if port[:1] == proto[:1] == "_":
                asked = (port[1:], proto[1:].upper())
                if headless:
                    places = [
                        (f"{e.host}.{own}", e.address, n) for e in ends for *p, n in e.ports
                        if tuple(p) == asked
                    ]  # fmt: skip
                else:
                    places = [
                        (own, address, number(p, "port")) for p in items(fields, "ports")
                        if (text(p, "name"), text(p, "protocol", "TCP")) == asked
                    ]  # fmt: skip
                return _served(f"{port}.{proto}.{own}", places, kind)
        return NOTHING

    def _external(self, own: str, target: str, kind: str, chain: int) -> Found:
        """An alias; what it leads to in our zone comes along."""
        alias = Record(own, "CNAME", f"{target.rstrip('.')}.")
        more = self.find(target, kind, chain - 1) if chain and kind != "CNAME" else None
        return Found(True, (alias, *(more.answers if more else ())))

    def _reverse(self, own: str, labels: Sequence[str], kind: str) -> Found:
        address = ".".join(reversed(labels))
        names = [full_name(name) for name in sorted(self._at.get(address, ()))]
        if not names:
            services = sorted({name for name, _ in self._ends_at.get(address, ())})
            names = [
                f"{end.host}.{full_name(name)}"
                for name in services
                for end in self._ends(name)
                if end.address == address
            ]
        return _of_kind(kind, [Record(own, "PTR", name) for name in names])

    def _ends(self, name: Name) -> Iterable[End]:
        """Ready endpoints, each address once, in the order of addresses."""
        found: dict[tuple[str, str], set[tuple[str, str, int]]] = {}
        for slice_ in self._slices_of.get(name, {}).values():
            if not _addresses(slice_):
                continue
            ports = {
                (text(p, "name"), text(p, "protocol", "TCP"), number(p, "port"))
                for p in items(slice_, "ports")
            }
            for endpoint in items(slice_, "endpoints"):
                if not flag(mapping(endpoint, "conditions"), "ready", default=True):
                    continue
                for address in texts(endpoint, "addresses")[:1]:
                    host = text(endpoint, "hostname") or address.replace(".", "-")
                    found.setdefault((address, host), set()).update(ports)
        for (address, host), ports in sorted(found.items()):
            yield End(host, address, tuple(sorted(ports)))


def _take(of: dict[str, set[T]], key: str, what: T) -> None:
    """Out of a set, of which nothing is left when it is empty."""
    of[key].discard(what)
    if not of[key]:
        del of[key]


def full_name(name: Name) -> str:
    """A Service's."""
    return f"{name.name}.{name.namespace}.svc.{ZONE}."


def _addresses(slice_: Json) -> set[str]:
    """Those of the family that has names here."""
    if text(slice_, "addressType") != "IPv4":
        return set()
    return {a for e in items(slice_, "endpoints") for a in texts(e, "addresses")[:1]}


def _of_kind(kind: str, records: Sequence[Record]) -> Found:
    """Those of a type; a name without any record does not exist."""
    return Found(bool(records), tuple([record for record in records if record.kind == kind]))


def _served(own: str, places: Sequence[tuple[str, str, int]], kind: str) -> Found:
    """SRV records of places (name, address, port), equally likely, and their addresses."""
    weight = 100 // max(len(places), 1) or 1
    found = _of_kind(kind, [Record(own, "SRV", f"0 {weight} {p} {n}") for n, _, p in places])
    more = dict.fromkeys([Record(name, "A", address) for name, address, _ in places])
    return found._replace(additional=tuple(more)) if found.answers else found
