"""Whether an object is acceptable: its shape, then the rules of its kind, with the API's texts.

`validate_object` is what admission and `netsim validate` both ask; what only shows between objects
is in `cross_checks`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from netsim.api.cross_checks import validate_all as validate_all
from netsim.api.fields import Json, items, mapping, text
from netsim.api.meta import kind_for
from netsim.api.problems import Path, Problem, forbidden
from netsim.api.rules_lab import check_lab
from netsim.api.rules_pod import check_pod
from netsim.api.rules_service import (
    check_endpoints,
    check_service,
    check_service_update,
    check_slice,
    check_slice_update,
)
from netsim.api.rules_workload import (
    check_deployment,
    check_metadata,
    check_node,
    check_node_update,
    check_replica_set,
    check_selector_update,
)
from netsim.api.schema import check
from netsim.api.schema_tables import KIND_TABLES
from netsim.api.service_cidrs import check_service_cidr, check_service_cidr_update

Rule: TypeAlias = Callable[[Json], Iterator[Problem]]
UpdateRule: TypeAlias = Callable[[Json, Json], Iterator[Problem]]


def validate_object(obj: Json, old: Json | None = None) -> list[Problem]:
    """Errors and warnings about one object, and about replacing `old` by it.

    The object needs an apiVersion and kind that a lab has. Paths are the API's; no places in files.
    """
    kind = kind_for(text(obj, "apiVersion"), text(obj, "kind"))
    if kind is None:
        where = ("kind",) if isinstance(obj.get("kind"), str) else ()
        return [Problem("error", f'no kind "{text(obj, "kind")}" in a lab', where)]
    shape = list(check(dict(obj), KIND_TABLES[kind.name]))
    found = [*check_metadata(obj, kind), *_RULES.get(kind.name, _nothing)(obj)]
    if old is not None and kind.name in _UPDATE_RULES:
        found += _UPDATE_RULES[kind.name](obj, old)
    mistyped = {p.where for p in shape if p.severity == "error"}
    return shape + [p for p in found if not _explained(p.where, mistyped)]


def _explained(where: Path, mistyped: set[Path]) -> bool:
    """Whether a field, or what it is in, has the wrong type: rules then see a default instead."""
    return any(where[:length] in mistyped for length in range(1, len(where) + 1))


def _nothing(_: Json) -> Iterator[Problem]:
    return iter(())


def _check_pod_update(new: Json, old: Json) -> Iterator[Problem]:
    """A changed spec, but for what Kubernetes lets change; binding to a node is no change."""
    before, after = _fixed(mapping(old, "spec")), _fixed(mapping(new, "spec"))
    if not text(before, "nodeName"):
        after.pop("nodeName", None)
    if before != after:
        changed = sorted(k for k in before.keys() | after.keys() if before.get(k) != after.get(k))
        detail = (
            "pod updates may not change fields other than `spec.containers[*].image`, "
            "`spec.activeDeadlineSeconds`, `spec.tolerations` (only additions to existing "
            "tolerations), `spec.terminationGracePeriodSeconds`"
        )
        hint = f"differs: {', '.join(changed)}; delete the pod and create it again"
        yield forbidden(("spec",), detail, hint).placed_at(("spec", changed[0]))


def _fixed(spec: Json) -> dict[str, object]:
    """The part of a pod's spec that may not change."""
    free = ("activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds")
    fixed = {k: v for k, v in spec.items() if k not in (*free, "containers")}
    containers = [{k: v for k, v in c.items() if k != "image"} for c in items(spec, "containers")]
    return fixed | {"containers": containers}


_RULES: Mapping[str, Rule] = {
    "Lab": check_lab,
    "Node": check_node,
    "ServiceCIDR": check_service_cidr,
    "Pod": check_pod,
    "Service": check_service,
    "EndpointSlice": check_slice,
    "Endpoints": check_endpoints,
    "ReplicaSet": check_replica_set,
    "Deployment": check_deployment,
}
_UPDATE_RULES: Mapping[str, UpdateRule] = {
    "Node": check_node_update,
    "ServiceCIDR": check_service_cidr_update,
    "Pod": _check_pod_update,
    "Service": check_service_update,
    "EndpointSlice": check_slice_update,
    "ReplicaSet": check_selector_update,
    "Deployment": check_selector_update,
}
