"""EndpointSlices of one service: endpoints packed into slices, written only where they differ.

Pure: (slices there are, endpoints there should be) to writes. The rules are those of Kubernetes'
endpointslice reconciler (K-05, K-07, K-08): one family of slices per port map, at most 100
endpoints per slice, slices that must change anyway take new endpoints first, then the fullest
unchanged one that takes all the rest, then new ones. Never rebalanced.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from netsim.api.fields import Json, items, mapping, text, texts
from netsim.api.meta import ObjectKey, annotations_of, labels_of, metadata, name_of, namespace_of
from netsim.controllers.base import Create, Delete, Update, Write
from netsim.controllers.names import generated
from netsim.controllers.objects import with_metadata

MAX_ENDPOINTS = 100
SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"
# Who made a slice: from pods, from an Endpoints object.
CONTROLLER = "endpointslice-controller.k8s.io"
MIRRORING = "endpointslicemirroring-controller.k8s.io"


@dataclass(frozen=True, slots=True)
class Frame:
    """What the slices of one service have in common, beside their endpoints.

    `draw` goes into generated names; `trigger_time` into the annotation of what is written, unless
    empty.
    """

    namespace: str
    prefix: str
    labels: Mapping[str, str]
    owner: Json
    draw: int
    trigger_time: str = ""

    def complete(self, slice_: Json) -> bool:
        """Whether the slice's metadata is as it should be."""
        return labels_of(slice_) == self.labels and self.owner in items(
            metadata(slice_), "ownerReferences"
        )

    def updated(self, slice_: Json, ports: Sequence[Json], endpoints: Sequence[Json]) -> Update:
        """`slice_` with another content."""
        annotations = dict(annotations_of(slice_))
        if self.trigger_time:
            annotations[TRIGGER_TIME] = self.trigger_time
        obj = with_metadata(
            slice_,
            labels=dict(self.labels),
            ownerReferences=[self.owner],
            annotations=annotations or None,
        )
        return Update({**obj, "ports": list(ports), "endpoints": list(endpoints)})

    def created(self, number: int, ports: Sequence[Json], endpoints: Sequence[Json]) -> Create:
        """A new slice, the `number`th of this pass."""
        fields: dict[str, object] = {
            "name": generated(self.prefix, self.namespace, self.draw, number),
            "generateName": self.prefix,
            "namespace": self.namespace,
            "labels": dict(self.labels),
            "ownerReferences": [self.owner],
        }
        if self.trigger_time:
            fields["annotations"] = {TRIGGER_TIME: self.trigger_time}
        return Create(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": fields,
                "addressType": "IPv4",
                "ports": list(ports),
                "endpoints": list(endpoints),
            }
        )


@dataclass(slots=True)
class Family:
    """Endpoints that share a port map."""

    ports: Sequence[Json]
    endpoints: list[Json]


@dataclass(slots=True)
class _Plan:
    """What will be written, before creations take over the names of deletions.

    `update` has (slice, ports, endpoints), `create` (ports, endpoints).
    """

    create: list[tuple[Sequence[Json], list[Json]]]
    update: list[tuple[Json, Sequence[Json], list[Json]]]
    delete: list[Json]


def port_map(ports: Iterable[Json]) -> str:
    """A key that is equal for equal sets of ports."""
    return json.dumps(sorted(json.dumps(p, sort_keys=True) for p in ports))


def identity(endpoint: Json) -> tuple[object, ...]:
    """What makes an endpoint the same one, whatever its conditions."""
    target = mapping(endpoint, "targetRef")
    return (
        *texts(endpoint, "addresses"),
        text(endpoint, "hostname"),
        text(target, "namespace"),
        text(target, "name"),
        text(target, "uid"),
    )


def reconcile(existing: Sequence[Json], wanted: Iterable[Family], frame: Frame) -> list[Write]:
    """Writes that bring the slices of a service to `wanted`.

    Without any endpoint one slice stays, or is made, as a placeholder (K-08).
    """
    families = {port_map(family.ports): family for family in wanted}
    by_ports: dict[str, list[Json]] = {}
    for slice_ in existing:
        by_ports.setdefault(port_map(items(slice_, "ports")), []).append(slice_)
    plan = _Plan([], [], [])
    for key, slices in by_ports.items():
        if key not in families:
            plan.delete += slices
    for key, family in families.items():
        _pack(by_ports.get(key, []), family, frame, plan)
    if not plan.create and len(plan.delete) == len(existing):
        _keep_placeholder(plan, frame)
    return _finalize(plan, frame)


def _pack(existing: Sequence[Json], family: Family, frame: Frame, plan: _Plan) -> None:
    """One family: drop what is stale, fill what changes anyway, then the rest (K-07)."""
    rest = {identity(endpoint): endpoint for endpoint in family.endpoints}
    changed: list[tuple[Json, list[Json]]] = []
    unchanged: list[Json] = []
    for slice_ in existing:
        have = items(slice_, "endpoints")
        kept = [rest.pop(key) for e in have if (key := identity(e)) in rest]
        if not kept:
            plan.delete.append(slice_)
        elif kept != list(have) or not frame.complete(slice_):
            changed.append((slice_, kept))
        else:
            unchanged.append(slice_)
    left = list(rest.values())
    for _, kept in sorted(changed, key=lambda c: -len(c[1])):
        room = MAX_ENDPOINTS - len(kept)
        kept += left[:room]
        left = left[room:]
    while left:
        target = _fullest_that_fits(unchanged, len(left))
        if target is None:
            plan.create.append((family.ports, left[:MAX_ENDPOINTS]))
            left = left[MAX_ENDPOINTS:]
        else:
            changed.append((target, [*items(target, "endpoints"), *left]))
            left = []
    plan.update += [(slice_, family.ports, kept) for slice_, kept in changed]


def _fullest_that_fits(slices: Iterable[Json], count: int) -> Json | None:
    """The slice with the least room among those with room for `count` more."""
    fitting = [s for s in slices if len(items(s, "endpoints")) + count <= MAX_ENDPOINTS]
    return max(fitting, key=lambda s: len(items(s, "endpoints")), default=None)


def _keep_placeholder(plan: _Plan, frame: Frame) -> None:
    """Let one slice without ports and endpoints stand for a service that has none."""
    for slice_ in plan.delete:
        if not items(slice_, "ports") and not items(slice_, "endpoints"):
            plan.delete.remove(slice_)
            if not frame.complete(slice_):
                plan.update.append((slice_, (), []))
            return
    plan.create.append(((), []))


def _finalize(plan: _Plan, frame: Frame) -> list[Write]:
    """The writes; a slice that would go gives its name to one that would be made."""
    recycled = list(zip(plan.delete, plan.create, strict=False))
    writes: list[Write] = [
        frame.updated(slice_, ports, endpoints) for slice_, ports, endpoints in plan.update
    ]
    writes += [frame.updated(slice_, *content) for slice_, content in recycled]
    writes += [
        frame.created(number, *content)
        for number, content in enumerate(plan.create[len(recycled) :])
    ]
    writes += [
        Delete(ObjectKey("EndpointSlice", namespace_of(s), name_of(s)))
        for s in plan.delete[len(recycled) :]
    ]
    return writes
