"""Namespaces: `default`, and every one that an object is in."""

from __future__ import annotations

from netsim.api.meta import DEFAULT_NAMESPACE, KINDS, ObjectKey
from netsim.controllers.base import Create, Pass, Write

NAME_LABEL = "kubernetes.io/metadata.name"
_INSIDE = tuple(kind.name for kind in KINDS if kind.namespaced)


def namespaces(p: Pass) -> list[Write]:
    """Creates the namespaces that are missing.

    A real API server refuses objects in namespaces that do not exist; a lab takes them, so that
    part of a cluster's dump comes up as it is.
    """
    used = {DEFAULT_NAMESPACE}.union(*(p.view.namespaces(kind) for kind in _INSIDE))
    there = p.view.get
    return [
        Create(_namespace(name))
        for name in sorted(used)
        if there(ObjectKey("Namespace", "", name)) is None
    ]


def _namespace(name: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {NAME_LABEL: name}},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }
