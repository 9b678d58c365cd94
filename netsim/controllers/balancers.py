"""Load balancers: Services of that type are given an address of the lab's pool. P-06, P-77.

What the cloud's controller does. The address leads to a node as any does that is routed there; who
is in the cluster is served at once. An address that somebody has written into the status stays. As
there, a finalizer keeps a Service until its balancer has been given up, here at once.
"""

from __future__ import annotations

from netsim.api.addresses import Cidr, address_or_none, format_address
from netsim.api.fields import Json, items, mapping, text, texts
from netsim.api.meta import metadata
from netsim.controllers.base import Pass, Update, Write, lab_of
from netsim.controllers.objects import deleting, spec, status, with_metadata, with_status

FINALIZER = "service.kubernetes.io/load-balancer-cleanup"


def balancers(p: Pass) -> list[Write]:
    """Addresses for services that wait for one; none for those that are no load balancers."""
    lab = lab_of(p.view)
    if lab is None:
        return []
    services = p.view.list("Service")
    taken = {address for service in services for address in ingress(service)}
    writes: list[Write] = []
    for service in services:
        if deleting(service) or not is_balanced(service):
            made = _given_up(service)
        elif is_ours(service):
            made = _given(service, lab.load_balancer_cidr, taken)
        else:
            made = service
        if made is not service:
            writes.append(Update(made))
    return writes


def _given_up(service: Json) -> Json:
    """A service that has, or soon has, no balancer."""
    made = service
    if status(service).get("loadBalancer"):
        made = with_status(made, loadBalancer={})
    left = texts(metadata(service), "finalizers")
    if FINALIZER in left:
        kept = [each for each in left if each != FINALIZER]
        made = with_metadata(made, finalizers=kept or None)
    return made


def _given(service: Json, pool: Cidr, taken: set[int]) -> Json:
    """A service with its finalizer and, if one is free, an address."""
    made, there = service, texts(metadata(service), "finalizers")
    if FINALIZER not in there:
        made = with_metadata(made, finalizers=[*there, FINALIZER])
    if not items(mapping(status(service), "loadBalancer"), "ingress"):
        address = _choose(service, pool, taken)
        if address is not None:
            taken.add(address)
            found = {"ip": format_address(address), "ipMode": "VIP"}
            made = with_status(made, loadBalancer={"ingress": [found]})
    return made


def is_balanced(service: Json) -> bool:
    """Whether the service is of type LoadBalancer."""
    return text(spec(service), "type") == "LoadBalancer"


def is_ours(service: Json) -> bool:
    """Whether it is for this balancer, and not for one of another class."""
    return is_balanced(service) and not text(spec(service), "loadBalancerClass")


def ingress(service: Json) -> set[int]:
    """The IPv4 addresses in a service's status."""
    found = items(mapping(status(service), "loadBalancer"), "ingress")
    return {a for each in found if (a := address_or_none(text(each, "ip"))) is not None}


def _choose(service: Json, pool: Cidr, taken: set[int]) -> int | None:
    """The address that the service asks for, or the first that is free; None: it has to wait."""
    edges = {pool.base, pool.last} if pool.size > 2 else set()
    asked = text(spec(service), "loadBalancerIP")
    if asked:
        address = address_or_none(asked)
        usable = address is not None and pool.contains(address) and address not in edges
        return address if usable and address not in taken else None
    free = (a for a in range(pool.base, pool.last + 1) if a not in taken and a not in edges)
    return next(free, None)
