"""Endpoints: what joins services and pods. EndpointSlices and Endpoints, K-01 to K-0B.

For a service with a selector both are made from its pods; for one without, a hand-made Endpoints
object is mirrored to slices, and hand-made slices are left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from netsim.api.fields import Json, items, mapping, text
from netsim.api.meta import ObjectKey, labels_of, metadata, name_of, namespace_of
from netsim.controllers import endpoints_object, topology
from netsim.controllers.base import Delete, Pass, Update, Write
from netsim.controllers.members import Member, families
from netsim.controllers.membership import Membership, Name, has_selector, name_in
from netsim.controllers.objects import owner_reference, spec, status, with_condition, with_status
from netsim.controllers.slices import (
    CONTROLLER,
    MANAGED_BY,
    MIRRORING,
    SERVICE_NAME,
    Family,
    Frame,
    reconcile,
)
from netsim.controllers.topology import Zones
from netsim.store.base import View

HEADLESS = endpoints_object.HEADLESS
_RESERVED = frozenset((HEADLESS, SERVICE_NAME, MANAGED_BY))


class Endpoints:
    """Looks at the services that a change concerns, until there is nothing to write for them."""

    def __init__(self) -> None:
        self._members = Membership()
        self._open: set[Name] = set()
        self._zones = Zones()
        self._hinted: set[Name] = set()  # by annotation

    def __call__(self, p: Pass) -> list[Write]:
        """The writes of one pass."""
        self._open |= self._members.advance(p.view)
        if self._hinted and self._zones.advance(p.view):
            self._open |= self._hinted
        writes: list[Write] = []
        still_open: set[Name] = set()
        for name in sorted(self._open):
            found = self._service(p, name)
            if found:
                still_open.add(name)
                writes += found
        self._open = still_open
        return writes

    def _service(self, p: Pass, name: Name) -> list[Write]:
        view = p.view
        service = view.get(ObjectKey("Service", *name))
        stored = view.get(ObjectKey("Endpoints", *name))
        slices = self._members.slices(name)
        made = [s for s in slices if labels_of(s).get(MANAGED_BY) == CONTROLLER]
        mirrored = [s for s in slices if labels_of(s).get(MANAGED_BY) == MIRRORING]
        if service is None:
            return _abandoned(stored, [*made, *mirrored])
        if text(spec(service), "type") == "ExternalName":
            return _deletions(mirrored)
        if not has_selector(service):
            return _mirror(view, service, stored, mirrored)
        members = self._members.members(service)
        since = trigger_time(service, members, made)
        frame = Frame(
            name.namespace,
            f"{name.name}-",
            slice_labels(service),
            owner_reference(service),
            view.revision,
            since,
        )
        wanted = families(service, members, self._members.zones)
        wanted, said = self._hints(p, service, wanted)
        return [
            *said,
            *reconcile(made, wanted, frame),
            *endpoints_object.reconcile(stored, service, members, since),
            *_deletions(mirrored),
        ]

    def _hints(
        self, p: Pass, service: Json, wanted: list[Family]
    ) -> tuple[list[Family], list[Write]]:
        """Endpoints with hints where an annotation asks for them; the Service says if they have."""
        before = items(status(service), "conditions")
        after = [entry for entry in before if entry.get("type") != topology.CONDITION]
        self._hinted.discard(name_in(service))
        if topology.wants_hints(service):
            self._hinted.add(name_in(service))
            self._zones.advance(p.view)
            wanted, said = topology.balanced(wanted, self._zones.shares)
            value = str(said.enabled)
            after = with_condition(
                before, topology.CONDITION, value, p.now, reason=said.reason, message=said.message
            )
        if list(before) == after:
            return wanted, []
        return wanted, [Update(with_status(service, conditions=after or None))]


def slice_labels(service: Json) -> dict[str, str]:
    """Labels of a service's slices: the service's own, and whose they are (K-09)."""
    labels = {k: v for k, v in labels_of(service).items() if k not in _RESERVED}
    labels[SERVICE_NAME] = name_of(service)
    labels[MANAGED_BY] = CONTROLLER
    if text(spec(service), "clusterIP") == "None":
        labels[HEADLESS] = ""
    return labels


def trigger_time(service: Json, members: Iterable[Member], slices: Sequence[Json]) -> str:
    """When the oldest change happened that the slices do not show yet; empty if that is unknown.

    A pod's change is the last transition of its Ready condition, a new service's its creation.
    """
    shown = {
        text(mapping(e, "targetRef"), "uid"): mapping(e, "conditions").get("serving")
        for s in slices
        for e in items(s, "endpoints")
    }
    times = [m.since for m in members if shown.get(m.uid) != m.serving]
    if not slices:
        times.append(text(metadata(service), "creationTimestamp"))
    return min(filter(None, times), default="")


def _mirror(view: View, service: Json, stored: Json | None, slices: Sequence[Json]) -> list[Write]:
    """Slices for a hand-made Endpoints object."""
    if stored is None or not endpoints_object.is_mirrored(stored):
        return _deletions(slices)
    labels = {k: v for k, v in labels_of(stored).items() if k not in _RESERVED}
    labels[SERVICE_NAME] = name_of(service)
    labels[MANAGED_BY] = MIRRORING
    frame = Frame(
        namespace_of(stored),
        f"{name_of(stored)}-",
        labels,
        owner_reference(stored),
        view.revision,
    )
    wanted = endpoints_object.mirror_families(stored)
    if not wanted:
        return _deletions(slices)
    return reconcile(slices, wanted, frame)


def _abandoned(stored: Json | None, slices: Sequence[Json]) -> list[Write]:
    """What a service leaves behind: its slices, and the Endpoints that were made for it."""
    writes = _deletions(slices)
    manager = labels_of(stored).get(endpoints_object.MANAGED_BY) if stored is not None else ""
    if stored is not None and manager == endpoints_object.CONTROLLER:
        writes.append(Delete(ObjectKey("Endpoints", namespace_of(stored), name_of(stored))))
    return writes


def _deletions(slices: Iterable[Json]) -> list[Write]:
    return [Delete(ObjectKey("EndpointSlice", namespace_of(s), name_of(s))) for s in slices]
