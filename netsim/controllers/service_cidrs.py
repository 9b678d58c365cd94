"""ServiceCIDRs: the Lab's own, and whether the others are ready or may go (P-114).

As Kubernetes' servicecidrs controller: a finalizer keeps a range that is deleted while a Service
has an address of it that is in no other range; nothing more is allocated from it meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from netsim.api.addresses import Cidr, address_or_none
from netsim.api.fields import Json, items, text, texts
from netsim.api.meta import SERVICE_CIDR, ObjectKey, metadata, name_of
from netsim.api.service_cidrs import DEFAULT_NAME, ServiceCIDR
from netsim.controllers.base import Create, Pass, Update, Write, lab_of
from netsim.controllers.objects import (
    deleting,
    spec,
    status,
    with_condition,
    with_metadata,
    with_status,
)

FINALIZER = "networking.k8s.io/service-cidr-finalizer"
READY = "Kubernetes Service CIDR is ready"
IN_USE = (
    "There are still IPAddresses referencing the ServiceCIDR, "
    "please remove them or create a new ServiceCIDR"
)


def service_cidrs(p: Pass) -> list[Write]:
    """Makes the Lab's range, completes those that stay, lets go those that nobody needs."""
    lab, stored = lab_of(p.view), p.view.list(SERVICE_CIDR.name)
    if lab is None:
        return []
    writes: list[Write] = []
    if p.view.get(ObjectKey(SERVICE_CIDR.name, "", DEFAULT_NAME)) is None:
        writes.append(Create(_default(lab.service_cidr)))
    for obj in stored:
        wanted = _going(p, obj, stored) if deleting(obj) else _staying(p, obj)
        if wanted != obj:
            writes.append(Update(wanted))
    return writes


def _default(cidr: Cidr) -> dict[str, object]:
    return {
        "apiVersion": SERVICE_CIDR.api_version,
        "kind": SERVICE_CIDR.name,
        "metadata": {"name": DEFAULT_NAME},
        "spec": {"cidrs": [str(cidr)]},
    }


def _staying(p: Pass, obj: Json) -> Json:
    finalizers = texts(metadata(obj), "finalizers")
    if FINALIZER not in finalizers:
        obj = with_metadata(obj, finalizers=[*finalizers, FINALIZER])
    return _said(p, obj, "True", message=READY)


def _going(p: Pass, obj: Json, stored: Sequence[Json]) -> Json:
    others = [
        cidr
        for other in stored
        if name_of(other) != name_of(obj)
        for cidr in ServiceCIDR.parse(other).ranges
    ]
    mine = ServiceCIDR.parse(obj).ranges
    if any(_needs(service, mine, others) for service in p.view.list("Service")):
        return _said(p, obj, "False", reason="Terminating", message=IN_USE)
    left = [each for each in texts(metadata(obj), "finalizers") if each != FINALIZER]
    return with_metadata(obj, finalizers=left or None)


def _needs(service: Json, mine: Iterable[Cidr], others: Iterable[Cidr]) -> bool:
    """Whether the service's address is in these ranges only."""
    address = address_or_none(text(spec(service), "clusterIP"))
    return (
        address is not None
        and any(cidr.contains(address) for cidr in mine)
        and not any(cidr.contains(address) for cidr in others)
    )


def _said(p: Pass, obj: Json, ready: str, **words: str) -> Json:
    conditions = with_condition(items(status(obj), "conditions"), "Ready", ready, p.now, **words)
    return with_status(obj, conditions=conditions)
