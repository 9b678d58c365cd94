"""Objects in few words, and a store with its controllers in which time is stepped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from netsim.api.fields import Json, items, mapping, text
from netsim.api.meta import ObjectKey, key_of, name_of
from netsim.backends import BACKENDS
from netsim.controllers import all_controllers
from netsim.controllers.base import Pass, settle
from netsim.controllers.clock import rfc3339
from netsim.controllers.objects import spec, status, with_condition, with_status
from netsim.store.base import Delete, Update, Write
from netsim.store.garbage import sweep
from netsim.store.memory import ObjectStore
from netsim.store.views import MemoryView

Object = dict[str, object]
START_S = 1_800_000_000.0
NOW = rfc3339(START_S)


def meta(name: str, namespace: str = "", **fields: object) -> Object:
    given = {"namespace": namespace} if namespace else {}
    return {"name": name, **given, **{k: v for k, v in fields.items() if v is not None}}


def lab(name: str = "demo", **fields: object) -> Object:
    return {
        "apiVersion": "netsim.dev/v1alpha1",
        "kind": "Lab",
        "metadata": meta(name),
        "spec": fields,
    }


def node(
    name: str,
    cidr: str = "",
    ip: str = "",
    ready: bool = False,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    **fields: object,
) -> Object:
    conditions = [{"type": "Ready", "status": str(ready)}]
    addresses = [{"type": "InternalIP", "address": ip}] if ip else []
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": meta(name, labels=labels, annotations=annotations),
        "spec": {**({"podCIDR": cidr} if cidr else {}), **fields},
        "status": {"addresses": addresses, "conditions": conditions},
    }


def container(name: str = "main", /, *ports: object, **fields: object) -> Object:
    return {"name": name, "image": "any", "ports": list(ports), **fields}


def pod(
    name: str,
    *,
    namespace: str = "default",
    labels: Mapping[str, str] | None = None,
    on: str = "",
    ip: str = "",
    ready: bool | None = None,
    phase: str = "Pending",
    owner: Json | None = None,
    annotations: Mapping[str, str] | None = None,
    containers: Sequence[Json] = (),
    deleting: bool = False,
    **fields: object,
) -> Object:
    references = [owner] if owner is not None else None
    state: Object = {"phase": phase}
    if ip:
        state["podIP"] = ip
    if ready is not None:
        state["conditions"] = [{"type": "Ready", "status": str(ready), "lastTransitionTime": NOW}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta(
            name,
            namespace,
            uid=f"uid-{name}",
            labels=labels,
            annotations=annotations,
            ownerReferences=references,
            deletionTimestamp=NOW if deleting else None,
        ),
        "spec": {
            **({"nodeName": on} if on else {}),
            "containers": list(containers) or [container()],
            **fields,
        },
        "status": state,
    }


def owned_by(kind: str, name: str, uid: str = "") -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "name": name,
        "uid": uid or f"uid-{name}",
        "controller": True,
        "blockOwnerDeletion": True,
    }


def template(labels: Mapping[str, str], **fields: object) -> Object:
    return {"metadata": {"labels": labels}, "spec": {"containers": [container()], **fields}}


def deployment(name: str, replicas: int, labels: Mapping[str, str], **fields: object) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": meta(name, "default"),
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": template(labels),
            **fields,
        },
    }


def replica_set(name: str, replicas: int, labels: Mapping[str, str], **fields: object) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": meta(name, "default", uid=f"uid-{name}"),
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": template(labels),
            **fields,
        },
    }


def port(number: int, name: str = "", protocol: str = "TCP", target: object = None) -> Object:
    made: Object = {"port": number, "protocol": protocol, "targetPort": target or number}
    return {**made, **({"name": name} if name else {})}


def service(
    name: str,
    selector: Mapping[str, str] | None = None,
    *ports: Json,
    namespace: str = "default",
    labels: Mapping[str, str] | None = None,
    **fields: object,
) -> Object:
    chosen = {"selector": dict(selector)} if selector is not None else {}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta(name, namespace, uid=f"uid-{name}", labels=labels),
        "spec": {**chosen, "ports": list(ports) or [port(80)], **fields},
    }


def endpoint(ip: str, **conditions: bool) -> Object:
    return {"addresses": [ip], "conditions": conditions}


def endpoint_slice(
    name: str,
    of: str,
    ports: Iterable[Json],
    endpoints: Iterable[Json],
    namespace: str = "default",
    **fields: object,
) -> Object:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": meta(name, namespace, labels={"kubernetes.io/service-name": of}),
        "addressType": "IPv4",
        "ports": list(ports),
        "endpoints": list(endpoints),
        **fields,
    }


def slice_port(number: int, name: str = "", protocol: str = "TCP") -> Object:
    return {"name": name, "port": number, "protocol": protocol}


def view(*objects: Json, revision: int = 1) -> MemoryView:
    return MemoryView.of(objects, revision)


def look(*objects: Json, up: Iterable[str] = ()) -> Pass:
    return Pass(view(*objects), NOW, frozenset(up))


class World:
    """A store and all controllers. Nodes come up when `settle` is called; pods when `run` is."""

    def __init__(self, *objects: Json) -> None:
        self.now_s = START_S
        self.store = ObjectStore(now=lambda: datetime.fromtimestamp(self.now_s, UTC))
        self.controllers = [*all_controllers(BACKENDS), lambda p: sweep(p.view)]
        self.add(*objects)

    def add(self, *objects: Json) -> None:
        for obj in objects:
            self.store.create(obj)

    def take(self) -> Pass:
        up = frozenset(name_of(n) for n in self.store.view().list("Node"))
        return Pass(self.store.view(), rfc3339(self.now_s), up)

    def settle(self) -> int:
        return settle(self.take, self.store.transaction, self.controllers)

    def run(self) -> None:
        """Settle, with every bound pod running and ready, and every deleted one ended."""
        for _ in range(20):
            self.settle()
            writes = [write for p in self.pods() for write in self.kubelet(p)]
            if not writes:
                return
            self.store.transaction(writes)
        raise AssertionError("does not come to rest")

    def kubelet(self, stored: Json) -> list[Write]:
        """What a kubelet would write: the pod runs and is ready, or has ended."""
        if "deletionTimestamp" in mapping(stored, "metadata"):
            return [Delete(key_of(stored), grace_s=0)]
        if not text(status(stored), "podIP") or text(status(stored), "phase") == "Running":
            return []
        conditions = list(items(status(stored), "conditions"))
        for type_ in ("PodReadyToStartContainers", "Ready"):
            conditions = with_condition(conditions, type_, "True", rfc3339(self.now_s))
        return [Update(with_status(stored, phase="Running", conditions=conditions))]

    def get(self, kind: str, name: str, namespace: str = "default") -> Json:
        scope = "" if kind in ("Node", "Lab", "Namespace") else namespace
        found = self.store.view().get(ObjectKey(kind, scope, name))
        assert found is not None, f"no {kind} {name}"
        return found

    def list(self, kind: str) -> Sequence[Json]:
        return self.store.view().list(kind)

    def pods(self) -> Sequence[Json]:
        return self.list("Pod")

    def update(self, obj: Json) -> None:
        self.store.update(obj)

    def set_spec(self, kind: str, name: str, **fields: object) -> None:
        stored = self.get(kind, name)
        self.update({**stored, "spec": {**spec(stored), **fields}})
