"""Namespaces: `default`, and every one that an object is in."""

from __future__ import annotations

from netsim.api.meta import DEFAULT_NAMESPACE, KINDS, ObjectKey, namespace_of
from netsim.controllers.base import Create, Pass, Write
from netsim.controllers.changes import Tracker
from netsim.store.base import View

NAME_LABEL = "kubernetes.io/metadata.name"
_INSIDE = tuple(kind.name for kind in KINDS if kind.namespaced)


class Namespaces:
    """Creates the namespaces that are missing.

    A real API server refuses objects in namespaces that do not exist; a lab takes them, so that
    part of a cluster's dump comes up as it is.
    """

    def __init__(self) -> None:
        self._trackers = [Tracker(kind) for kind in _INSIDE]
        self._used = {DEFAULT_NAMESPACE}

    def __call__(self, p: Pass) -> list[Write]:
        """The writes of one pass."""
        for tracker in self._trackers:
            self._used.update(namespace_of(obj) for obj in tracker.advance(p.view).new)
        return [Create(_namespace(name)) for name in sorted(self._used) if _missing(p.view, name)]


def _missing(view: View, name: str) -> bool:
    if not name or view.get(ObjectKey("Namespace", "", name)) is not None:
        return False
    return name == DEFAULT_NAMESPACE or any(view.list(kind, name) for kind in _INSIDE)


def _namespace(name: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {NAME_LABEL: name}},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }
