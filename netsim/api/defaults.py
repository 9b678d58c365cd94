"""What the API server fills in: the object as it is stored, from the object as it was written.

Defaults follow Kubernetes (K-67 for Services). Null fields are dropped, as the API does. The result
shares what did not change with the argument, and applying it twice changes nothing more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from netsim.api.fields import Json, mapping, text, texts
from netsim.api.meta import DEFAULT_NAMESPACE, KIND_BY_NAME
from netsim.api.schema import STRING, Either, ListOf, MapOf, Record, Type
from netsim.api.schema_tables import KIND_TABLES
from netsim.api.services import DEFAULT_AFFINITY_S

Values: TypeAlias = dict[str, object]

NAMESPACE_LABEL = "kubernetes.io/metadata.name"
LAB_NAME = "default"
DEPTH_MAX = 64


def with_defaults(obj: Json) -> dict[str, object]:
    """The object with every default that Kubernetes would give it.

    What is malformed stays as it is, for validation to find; so do unknown kinds.
    """
    kind = KIND_BY_NAME.get(text(obj, "kind"))
    if kind is None:
        return dict(obj)
    out = without_nulls(dict(obj), KIND_TABLES[kind.name])
    assert isinstance(out, dict)
    if not all(isinstance(out.get(part, {}), dict) for part in ("metadata", "spec", "status")):
        return out
    meta = dict(mapping(out, "metadata"))
    if kind.namespaced:
        meta["namespace"] = text(meta, "namespace") or DEFAULT_NAMESPACE
    elif kind.name == "Lab":
        meta.setdefault("name", LAB_NAME)
    out["metadata"] = meta
    fill = _DEFAULTS.get(kind.name)
    return fill(out) if fill else out


def without_nulls(value: object, kind: Type, depth: int = 0) -> object:
    """A value without null fields; a null among strings (a label, say) is the empty string."""
    if depth > DEPTH_MAX:
        return value
    if isinstance(kind, Either):
        kind = kind.record if isinstance(value, dict) else kind.word
    if isinstance(value, list):
        item: Type = kind.item if isinstance(kind, ListOf) else STRING
        return [without_nulls(inner, item, depth + 1) for inner in value]
    if not isinstance(value, dict):
        return value
    if isinstance(kind, MapOf):
        return {k: "" if v is None else v for k, v in value.items()}
    fields = kind.fields if isinstance(kind, Record) else {}
    return {
        k: without_nulls(v, fields[k].type if k in fields else STRING, depth + 1)
        for k, v in value.items()
        if v is not None
    }


def _filled(obj: Json, defaults: Json) -> Values:
    """The object with the fields of `defaults` that it lacks."""
    return {**defaults, **obj}


def _each(obj: Json, key: str, change: Callable[[Json], Values]) -> Values:
    """The object with every object in the list at `key` changed, if there is one."""
    found = obj.get(key)
    if not isinstance(found, list):
        return dict(obj)
    return {**obj, key: [change(v) if isinstance(v, dict) else v for v in found]}


def _within(obj: Json, key: str, change: Callable[[Json], Values]) -> Values:
    """The object with the object at `key` changed, if there is one."""
    return _made(obj, key, change) if key in obj else dict(obj)


def _made(obj: Json, key: str, change: Callable[[Json], Values]) -> Values:
    """The object with the object at `key` changed, from an empty one if there is none."""
    found = obj.get(key, {})
    return {**obj, key: change(found)} if isinstance(found, dict) else dict(obj)


def _protocol(port: Json) -> Values:
    return _filled(port, {"protocol": "TCP"})


def _service(obj: Values) -> Values:
    spec = dict(mapping(obj, "spec"))
    kind = text(spec, "type", "ClusterIP")
    if not spec.get("selector"):
        spec.pop("selector", None)  # an empty one comes back from an API server as none (K-01)
    wanted: Values = {"type": kind, "sessionAffinity": "None"}
    if kind != "ExternalName":
        wanted |= {
            "internalTrafficPolicy": "Cluster",
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
        }
        listed = texts(spec, "clusterIPs")
        if listed and not text(spec, "clusterIP"):
            spec["clusterIP"] = listed[0]
    if kind in ("NodePort", "LoadBalancer") or texts(spec, "externalIPs"):
        wanted["externalTrafficPolicy"] = "Cluster"
    if kind == "LoadBalancer":
        wanted["allocateLoadBalancerNodePorts"] = True
    spec = _each(_filled(spec, wanted), "ports", _service_port)
    if spec["sessionAffinity"] == "ClientIP":
        spec = _made(spec, "sessionAffinityConfig", _affinity)
    elif spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    return {**obj, "spec": spec}


def _affinity(config: Json) -> Values:
    timeout = {"timeoutSeconds": DEFAULT_AFFINITY_S}
    return _made(config, "clientIP", lambda client: _filled(client, timeout))


def _service_port(port: Json) -> Values:
    target = port.get("targetPort") or port.get("port")
    return {**_protocol(port), "targetPort": target} if target is not None else _protocol(port)


def _probe(probe: Json) -> Values:
    timings = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1}
    out = _filled(probe, {**timings, "failureThreshold": 3})
    return _within(out, "httpGet", lambda get: _filled(get, {"path": "/", "scheme": "HTTP"}))


def _container(container: Json) -> Values:
    return _within(_each(container, "ports", _protocol), "readinessProbe", _probe)


def _on_host(container: Json) -> Values:
    """On a node's network a port is the node's, too."""

    def same(port: Json) -> Values:
        return (
            _filled(port, {"hostPort": port["containerPort"]})
            if "containerPort" in port
            else {**port}
        )

    return _each(container, "ports", same)


def _pod_spec(spec: Json) -> Values:
    wanted = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "schedulerName": "default-scheduler",
    }
    out = _each(_filled(spec, wanted), "containers", _container)
    return _each(out, "containers", _on_host) if spec.get("hostNetwork") is True else out


def _pod(obj: Values) -> Values:
    return {**obj, "spec": _pod_spec(mapping(obj, "spec"))}


def _template(template: Json) -> Values:
    return _within(template, "spec", _pod_spec)


def _replica_set(obj: Values) -> Values:
    spec = _within(_filled(mapping(obj, "spec"), {"replicas": 1}), "template", _template)
    return {**obj, "spec": spec}


def _deployment(obj: Values) -> Values:
    spec = dict(mapping(_replica_set(obj), "spec"))
    wanted = {"revisionHistoryLimit": 10, "progressDeadlineSeconds": 600}
    return {**obj, "spec": _made(_filled(spec, wanted), "strategy", _strategy)}


def _strategy(strategy: Json) -> Values:
    out = _filled(strategy, {"type": "RollingUpdate"})
    if out["type"] != "RollingUpdate":
        return out
    shares = {"maxSurge": "25%", "maxUnavailable": "25%"}
    return _made(out, "rollingUpdate", lambda rolling: _filled(rolling, shares))


def _slice(obj: Values) -> Values:
    return _each(obj, "ports", lambda port: _filled(_protocol(port), {"name": ""}))


def _endpoints(obj: Values) -> Values:
    return _each(obj, "subsets", lambda subset: _each(subset, "ports", _protocol))


def _namespace(obj: Values) -> Values:
    meta = mapping(obj, "metadata")
    if not text(meta, "name"):
        return obj
    name = {NAMESPACE_LABEL: text(meta, "name")}
    out = {**obj, "metadata": _made(meta, "labels", lambda labels: {**labels, **name})}
    return _made(out, "status", lambda status: _filled(status, {"phase": "Active"}))


_DEFAULTS: Mapping[str, Callable[[Values], Values]] = {
    "Namespace": _namespace,
    "Service": _service,
    "Pod": _pod,
    "ReplicaSet": _replica_set,
    "Deployment": _deployment,
    "EndpointSlice": _slice,
    "Endpoints": _endpoints,
}
