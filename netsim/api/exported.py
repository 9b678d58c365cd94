"""Objects that come from a running cluster (`kubectl get -o yaml`): what of them a lab takes over.

They are known by metadata.uid, which only API servers write. What controllers made from other
objects of the same dump is left out, because a lab's controllers make it again; references to what
is not in the dump are cut; and the ranges are read off the addresses when no Lab says otherwise.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from netsim.api.addresses import Cidr, covering
from netsim.api.defaults import LAB_NAME
from netsim.api.fields import Json, flag, mapping, text
from netsim.api.lab_spec import DEFAULT_NODE_CIDR, DEFAULT_POD_CIDR, DEFAULT_SERVICE_CIDR
from netsim.api.located import Located
from netsim.api.meta import LAB_API_VERSION, ObjectKey
from netsim.api.object_meta import Metadata
from netsim.api.problems import Problem, warning
from netsim.api.service_cidrs import DEFAULT_NAME, ServiceCIDR
from netsim.api.services import SERVICE_NAME_LABEL, Service
from netsim.api.workloads import GENERATED_ANNOTATION, Node

MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by"
SLICE_CONTROLLERS = (
    "endpointslice-controller.k8s.io",
    "endpointslicemirroring-controller.k8s.io",
)
SYSTEM_NAMESPACES = ("kube-system", "kube-flannel")
LAB_NOTES = "netsim.dev/last-"
_OF_THE_CLUSTER = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
)


def is_exported(obj: Json) -> bool:
    """Whether the object was read from a cluster."""
    return bool(text(mapping(obj, "metadata"), "uid"))


def _of_a_lab(obj: Json) -> bool:
    """Whether a lab, not a cluster, printed the object: then the lab knows its ranges."""
    notes = mapping(mapping(obj, "metadata"), "annotations")
    return GENERATED_ANNOTATION in notes or any(key.startswith(LAB_NOTES) for key in notes)


def taken_over(objects: Sequence[Located]) -> tuple[list[Located], list[Problem]]:
    """The objects that a lab takes over, as it takes them, and what to tell about the others."""
    if not any(is_exported(item.obj) for item in objects):
        return list(objects), []
    present = {item.key: item for item in objects}
    kept: list[Located] = []
    problems: list[Problem] = []
    for item in objects:
        if not is_exported(item.obj):
            kept.append(item)
        elif not _remade(item, present):
            if _replaced(item.obj):
                where = ("spec", "hostNetwork")
                problems.append(item.placed(warning(where, "left out: netsim does its work")))
            else:
                kept.append(_cleaned(item, present))
    of_a_lab = any(key.kind == "Lab" or _of_a_lab(item.obj) for key, item in present.items())
    inferred = {} if of_a_lab else _ranges(kept)
    if inferred:
        said = ", ".join(f"{name} {cidr}" for name, cidr in inferred.items())
        hint = "write a Lab to choose others"
        problems.append(Problem("warning", f"read off the objects: {said}", (), hint))
        kept.insert(0, Located(_lab(inferred)))
    return kept, problems


def _remade(item: Located, present: dict[ObjectKey, Located]) -> bool:
    """Whether a controller of the lab makes this object from another one of the dump."""
    key, meta = item.key, Metadata.parse(item.obj)
    owner = meta.controller
    if owner and ObjectKey(owner.kind, key.namespace, owner.name) in present:
        return True
    if key.kind == "EndpointSlice":
        service = ObjectKey("Service", key.namespace, meta.labels.get(SERVICE_NAME_LABEL, ""))
        return meta.labels.get(MANAGED_BY_LABEL) in SLICE_CONTROLLERS and service in present
    if key.kind == "Endpoints":
        found = present.get(ObjectKey("Service", key.namespace, key.name))
        return found is not None and bool(Service.parse(found.obj).selector)
    return False


def _replaced(obj: Json) -> bool:
    """Whether it is a pod of what netsim takes the place of: API server, kube-proxy, flannel."""
    if text(obj, "kind") != "Pod" or not flag(mapping(obj, "spec"), "hostNetwork"):
        return False
    return text(mapping(obj, "metadata"), "namespace") in SYSTEM_NAMESPACES


def _cleaned(item: Located, present: dict[ObjectKey, Located]) -> Located:
    """The object without what belongs to the cluster that it was read from."""
    meta = mapping(item.obj, "metadata")
    obj = {**item.obj, "metadata": {k: v for k, v in meta.items() if k not in _OF_THE_CLUSTER}}
    if item.key.kind != "Node":
        obj.pop("status", None)
    if item.key.kind == "Pod":
        spec = mapping(obj, "spec")
        if ObjectKey("Node", "", text(spec, "nodeName")) not in present:
            obj["spec"] = {k: v for k, v in spec.items() if k != "nodeName"}
    return dataclasses.replace(item, obj=obj)


def _ranges(objects: Sequence[Located]) -> dict[str, Cidr]:
    """The ranges that hold every address of the objects, where the defaults do not."""
    nodes = [Node.parse(item.obj) for item in objects if item.key.kind == "Node"]
    services = [Service.parse(item.obj) for item in objects if item.key.kind == "Service"]
    pod_ranges = [node.pod_cidr for node in nodes if node.pod_cidr]
    said = [ServiceCIDR.parse(item.obj) for item in objects if item.key.kind == "ServiceCIDR"]
    known = [cidr for each in said for cidr in each.ranges]
    unknown = [s.address for s in services if s.address and not _within(known, s.address)]
    wanted = (
        ("podCIDR", DEFAULT_POD_CIDR, 16, [a for r in pod_ranges for a in (r.base, r.last)]),
        ("serviceCIDR", DEFAULT_SERVICE_CIDR, 16, unknown),
        ("nodeCIDR", DEFAULT_NODE_CIDR, 24, [node.address for node in nodes]),
    )
    found: dict[str, Cidr] = {}
    for name, default, longest, values in wanted:
        addresses = [address for address in values if address is not None]
        if addresses and not all(map(Cidr.parse(default).contains, addresses)):
            found[name] = covering(addresses, longest)
    named = [cidr for each in said if each.name == DEFAULT_NAME for cidr in each.ranges]
    if named and named[0] != Cidr.parse(DEFAULT_SERVICE_CIDR):
        found["serviceCIDR"] = named[0]
    return found


def _within(ranges: Iterable[Cidr], address: int) -> bool:
    return any(cidr.contains(address) for cidr in ranges)


def _lab(ranges: dict[str, Cidr]) -> dict[str, object]:
    return {
        "apiVersion": LAB_API_VERSION,
        "kind": "Lab",
        "metadata": {"name": LAB_NAME},
        "spec": {name: str(cidr) for name, cidr in ranges.items()},
    }
