"""Which services a change concerns, and which pods a service selects, without looking at the rest.

Pods are held by namespace and label, services by one label of their selector: a changed pod asks
only the services that name one of its labels, a changed service only the pods with its rarest one.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import NamedTuple, TypeVar

from netsim.api.fields import Json, mapping, strings, text
from netsim.api.meta import labels_of, metadata, name_of, namespace_of
from netsim.controllers.changes import Tracker
from netsim.controllers.members import ZONE_LABEL, Member, read_member
from netsim.controllers.objects import spec
from netsim.controllers.slices import SERVICE_NAME
from netsim.store.base import View

K = TypeVar("K", bound=Hashable)
N = TypeVar("N", bound=Hashable)
V = TypeVar("V")


class Name(NamedTuple):
    """A service, and everything of its name: Endpoints, slices."""

    namespace: str
    name: str


class _Label(NamedTuple):
    namespace: str
    key: str
    value: str


def name_in(obj: Json) -> Name:
    """The name of a namespaced object."""
    fields = metadata(obj)
    return Name(text(fields, "namespace"), text(fields, "name"))


def service_of(slice_: Json) -> Name:
    """The service that a slice belongs to."""
    fields = metadata(slice_)
    return Name(text(fields, "namespace"), text(mapping(fields, "labels"), SERVICE_NAME))


def has_selector(service: Json) -> bool:
    """Whether the service's endpoints are found for it (an empty selector selects every pod)."""
    return isinstance(spec(service).get("selector"), Mapping)


class Membership:
    """Pods, services and slices as in the view shown last; `advance` says whom changes concern."""

    def __init__(self) -> None:
        self._trackers = {
            kind: Tracker(kind) for kind in ("Service", "Pod", "EndpointSlice", "Endpoints")
        }
        self._zones: dict[str, str] = {}
        self._node_revision = -1
        self._pods: dict[_Label, dict[str, Member]] = {}
        self._services: dict[_Label, dict[Name, Json]] = {}
        self._slices: dict[Name, dict[str, Json]] = {}

    def advance(self, view: View) -> set[Name]:
        """Names of the services that something changed for since the last call."""
        concerned: set[Name] = set()
        for kind, note in (
            ("Service", self._note_service),
            ("Pod", self._note_pod),
            ("EndpointSlice", self._note_slice),
            ("Endpoints", self._note_endpoints),
        ):
            gone, new = self._trackers[kind].advance(view)
            for obj in gone:
                concerned.update(note(obj, present=False))
            for obj in new:
                concerned.update(note(obj, present=True))
        if self._zones_changed(view):
            concerned.update(map(name_in, view.list("Service")))
        return concerned

    @property
    def zones(self) -> Mapping[str, str]:
        """Zones of all nodes by name, empty where a node has none."""
        return self._zones

    def members(self, service: Json) -> list[Member]:
        """The pods that the service's selector matches and that are endpoints, by name."""
        namespace, selector = namespace_of(service), strings(spec(service), "selector")
        labels = [_Label(namespace, k, v) for k, v in selector.items()] or [_every(namespace)]
        rarest = min((self._pods.get(label, {}) for label in labels), key=len)
        return [
            rarest[name]
            for name in sorted(rarest)
            if selector.items() <= rarest[name].labels.items()
        ]

    def slices(self, service: Name) -> list[Json]:
        """The slices labelled with the service's name, by name."""
        found = self._slices.get(service, {})
        return [found[name] for name in sorted(found)]

    def _note_service(self, service: Json, *, present: bool) -> Iterable[Name]:
        name = name_in(service)
        if has_selector(service):
            selector = strings(spec(service), "selector")
            label = min(
                (_Label(name.namespace, k, v) for k, v in selector.items()),
                default=_every(name.namespace),
            )
            _put(self._services, label, name, service if present else None)
        return (name,)

    def _note_pod(self, pod: Json, *, present: bool) -> Iterable[Name]:
        namespace, labels = namespace_of(pod), labels_of(pod)
        member = read_member(pod) if present else None
        keys = [_every(namespace), *(_Label(namespace, k, v) for k, v in labels.items())]
        for key in keys:
            _put(self._pods, key, name_of(pod), member)
        return [
            name
            for key in keys
            for name, service in self._services.get(key, {}).items()
            if strings(spec(service), "selector").items() <= labels.items()
        ]

    def _note_slice(self, slice_: Json, *, present: bool) -> Iterable[Name]:
        service = service_of(slice_)
        _put(self._slices, service, name_of(slice_), slice_ if present else None)
        return (service,)

    def _note_endpoints(self, endpoints: Json, *, present: bool) -> Iterable[Name]:
        del present
        return (name_in(endpoints),)

    def _zones_changed(self, view: View) -> bool:
        """Whether a node came, went or moved to another zone: endpoints name zones."""
        if view.kind_revision("Node") == self._node_revision:
            return False
        self._node_revision = view.kind_revision("Node")
        before = self._zones
        self._zones = {name_of(n): labels_of(n).get(ZONE_LABEL, "") for n in view.list("Node")}
        return self._zones != before


def _every(namespace: str) -> _Label:
    """Stands for all pods of a namespace: what an empty selector asks for."""
    return _Label(namespace, "", "")


def _put(index: dict[K, dict[N, V]], key: K, name: N, obj: V | None) -> None:
    """Set or (None) remove one object of an index."""
    if obj is not None:
        index.setdefault(key, {})[name] = obj
        return
    members = index.get(key)
    if members is not None and members.pop(name, None) is not None and not members:
        del index[key]
