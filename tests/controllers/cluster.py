"""A store in which only the endpoints controller works, and pods that it finds."""

from __future__ import annotations

from collections.abc import Sequence

from netsim.api.fields import Json, items, texts
from netsim.api.meta import ObjectKey
from netsim.controllers.base import Pass
from netsim.controllers.endpoints import Endpoints
from netsim.store.memory import ObjectStore
from tests.controllers.world import (
    NOW,
    Object,
    container,
    node,
    pod,
)

WEB = {"app": "web"}
NODES = [
    node("a", labels={"topology.kubernetes.io/zone": "east"}),
    node("b"),
]


class Cluster:
    """A store with the endpoints controller only."""

    def __init__(self, *objects: Json) -> None:
        self.store = ObjectStore()
        self.controller = Endpoints()
        for obj in (*NODES, *objects):
            self.store.create(obj)
        self.settle()

    def settle(self) -> int:
        for rounds in range(5):
            writes = self.controller(Pass(self.store.view(), NOW))
            if not writes:
                return rounds
            self.store.transaction(writes)
        raise AssertionError("does not come to rest")

    def update(self, obj: Json) -> None:
        self.store.update(obj)
        self.settle()

    def delete(self, kind: str, name: str) -> None:
        self.store.delete(ObjectKey(kind, "default", name), grace_s=0)
        self.settle()

    def get(self, kind: str, name: str) -> Json:
        found = self.store.view().get(ObjectKey(kind, "default", name))
        assert found is not None
        return found

    def slices(self) -> Sequence[Json]:
        return self.store.view().list("EndpointSlice")

    def shown(self) -> list[Json]:
        return [e for s in self.slices() for e in items(s, "endpoints")]

    def addresses(self) -> list[str]:
        return sorted(texts(e, "addresses")[0] for e in self.shown())

    def endpoints(self, name: str = "web") -> Json:
        return self.get("Endpoints", name)


def web(name: str, ip: str = "", **fields: object) -> Object:
    given = {"on": "a", "labels": WEB, "ready": True, "ip": ip, **fields}
    return pod(name, **given)  # type: ignore[arg-type]


def named(name: str, ip: str, number: int, **fields: object) -> Object:
    ports = [{"name": "http", "containerPort": number}]
    return web(name, ip, containers=[container("main", *ports)], **fields)
