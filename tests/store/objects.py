"""Objects and clocks for the tests of the store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from netsim.api.fields import Json
from netsim.api.meta import ObjectKey


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def step(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def pod(name: str, node: str = "", namespace: str = "default", **more: object) -> dict[str, object]:
    spec: dict[str, object] = {"containers": [{"name": "c"}]}
    if node:
        spec["nodeName"] = node
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, **more},
        "spec": spec,
    }


def namespace(name: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def owned(obj: Json, *owners: Json) -> dict[str, object]:
    references = [
        {
            "apiVersion": owner["apiVersion"],
            "kind": owner["kind"],
            "name": metadata(owner)["name"],
            "uid": metadata(owner)["uid"],
        }
        for owner in owners
    ]
    return {**obj, "metadata": {**metadata(obj), "ownerReferences": references}}


def metadata(obj: Json) -> dict[str, object]:
    found = obj["metadata"]
    assert isinstance(found, dict)
    return found


def key(kind: str, name: str, namespace: str = "default") -> ObjectKey:
    return ObjectKey(kind, namespace, name)
