"""describe: one object in full, with what belongs to it and what the data plane makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import click

from netsim.api import meta
from netsim.api.fields import Json, items, mapping, number, strings, text, texts
from netsim.cli.common import client_of, lab_option, namespace_option, parse_targets
from netsim.cli.completion import objects
from netsim.errors import NotFoundError
from netsim.server.client import ApiClient

Line = tuple[int, str, str]  # indentation, label, value
NONE = "<none>"
HIDDEN_ANNOTATIONS = ("netsim.dev/last-applied", "kubectl.kubernetes.io/last-applied-configuration")


def pairs(label: str, values: Mapping[str, str]) -> Iterator[Line]:
    """A map, one `key=value` a line."""
    shown = [f"{k}={v}" for k, v in sorted(values.items()) if k not in HIDDEN_ANNOTATIONS]
    yield 0, label, shown[0] if shown else NONE
    for value in shown[1:]:
        yield 0, "", value


def head(obj: Json) -> Iterator[Line]:
    """Name, namespace, labels, annotations."""
    metadata = mapping(obj, "metadata")
    yield 0, "Name", text(metadata, "name")
    if namespace := text(metadata, "namespace"):
        yield 0, "Namespace", namespace
    yield from pairs("Labels", strings(metadata, "labels"))
    yield from pairs("Annotations", strings(metadata, "annotations"))
    yield 0, "Created", text(metadata, "creationTimestamp")
    if deleted := text(metadata, "deletionTimestamp"):
        yield 0, "Terminating", f"since {deleted}"
    for owner in items(metadata, "ownerReferences"):
        yield 0, "Controlled By", f"{text(owner, 'kind')}/{text(owner, 'name')}"


def conditions(obj: Json) -> Iterator[Line]:
    """status.conditions."""
    found = items(mapping(obj, "status"), "conditions")
    if found:
        yield 0, "Conditions", ""
    for entry in found:
        why = " ".join(part for part in (text(entry, "reason"), text(entry, "message")) if part)
        yield 1, text(entry, "type"), text(entry, "status") + (f"  {why}" if why else "")


def describe_node(obj: Json, api: ApiClient) -> Iterator[Line]:
    """Addresses, pod range, pods, counters."""
    name = meta.name_of(obj)
    for address in items(mapping(obj, "status"), "addresses"):
        yield 0, text(address, "type"), text(address, "address")
    yield 0, "PodCIDR", text(mapping(obj, "spec"), "podCIDR") or NONE
    yield from conditions(obj)
    pods = api.list(meta.POD, None, fields=f"spec.nodeName={name}")
    yield 0, "Pods", str(len(pods)) if pods else NONE
    for pod in pods:
        pod_ip = text(mapping(pod, "status"), "podIP")
        yield 1, f"{meta.namespace_of(pod)}/{meta.name_of(pod)}", pod_ip
    for row in items(api.call("GET", "/netsim/status"), "nodes"):
        if text(row, "name") == name:
            yield from counters(mapping(row, "counters"))


def counters(found: Json) -> Iterator[Line]:
    """The data plane's counters of a node; drops by reason where there were any."""
    if not found:
        return
    yield 0, "Data plane", ""
    for label, value in found.items():
        if label != "drops":
            yield 1, label, str(value)
    drops = mapping(found, "drops")
    for reason in drops:
        if number(drops, reason):
            yield 1, f"dropped: {reason}", str(number(drops, reason))


def describe_pod(obj: Json, _: ApiClient) -> Iterator[Line]:
    """Node, address, containers and their state."""
    spec, status = mapping(obj, "spec"), mapping(obj, "status")
    yield 0, "Node", text(spec, "nodeName") or NONE
    yield 0, "Status", text(status, "phase") or "Pending"
    if text(status, "message"):
        yield 0, "Reason", "  ".join([text(status, "reason"), text(status, "message")]).strip()
    yield 0, "IP", text(status, "podIP") or NONE
    states = {text(s, "name"): s for s in items(status, "containerStatuses")}
    yield 0, "Containers", ""
    for container in items(spec, "containers"):
        name = text(container, "name")
        yield 1, name, ""
        command = [*texts(container, "command"), *texts(container, "args")]
        yield 2, "Command", " ".join(command) or "(netsim's answerer)"
        ports = [
            f"{number(p, 'containerPort')}/{text(p, 'protocol') or 'TCP'}"
            + (f" ({text(p, 'name')})" if text(p, "name") else "")
            for p in items(container, "ports")
        ]
        yield 2, "Ports", ", ".join(ports) or NONE
        state = states.get(name, {})
        for kind, detail in mapping(state, "state").items():
            inner = detail if isinstance(detail, dict) else {}
            words = [text(inner, "reason"), text(inner, "message"), text(inner, "startedAt")]
            code = f"exit code {inner['exitCode']}" if "exitCode" in inner else ""
            yield 2, "State", "  ".join([kind, *(w for w in (*words, code) if w)])
        yield 2, "Ready", str(state.get("ready", False))
        yield 2, "Restarts", str(number(state, "restartCount"))
    yield from conditions(obj)


def describe_service(obj: Json, api: ApiClient) -> Iterator[Line]:
    """Address, ports, endpoints, the rows that the data plane runs for it, conditions."""
    spec = mapping(obj, "spec")
    yield 0, "Type", text(spec, "type") or "ClusterIP"
    yield from pairs("Selector", strings(spec, "selector"))
    yield 0, "IP", text(spec, "clusterIP") or NONE
    affinity = text(spec, "sessionAffinity") or "None"
    config = mapping(mapping(spec, "sessionAffinityConfig"), "clientIP")
    seconds = f" ({number(config, 'timeoutSeconds', 10800)} s)" if affinity == "ClientIP" else ""
    yield 0, "Session Affinity", affinity + seconds
    for port in items(spec, "ports"):
        name = text(port, "name") or "<unset>"
        target = port.get("targetPort", port.get("port"))
        protocol = text(port, "protocol") or "TCP"
        yield 0, "Port", f"{name}  {number(port, 'port')}/{protocol} -> {target}"
    namespace, name = meta.namespace_of(obj), meta.name_of(obj)
    slices = api.list(meta.ENDPOINT_SLICE, namespace, labels=f"kubernetes.io/service-name={name}")
    yield 0, "EndpointSlices", ", ".join(meta.name_of(s) for s in slices) or NONE
    for found in slices:
        for endpoint in items(found, "endpoints"):
            yield 1, ", ".join(texts(endpoint, "addresses")), _endpoint(endpoint)
    rows = api.call("GET", "/netsim/services")
    mine = f"{namespace}/{name}"
    yield 0, "Data plane", f"revision {number(rows, 'revision')}"
    for row in items(rows, "services"):
        if text(row, "name").split(":")[0] == mine:
            endpoints = texts(row, "endpoints")
            where = f"{text(row, 'address')}:{number(row, 'port')}/{text(row, 'protocol')}"
            chance = f" (1/{len(endpoints)} each)" if len(endpoints) > 1 else ""
            yield 1, where, (", ".join(endpoints) or "no endpoints: refused") + chance
    yield from conditions(obj)


def _endpoint(endpoint: Json) -> str:
    """Pod, node, conditions; ready and serving where they are not said (EndpointSlice API)."""
    found = {"ready": True, "serving": True, **mapping(endpoint, "conditions")}
    states = [name for name in ("ready", "serving", "terminating") if found.get(name) is True]
    target = text(mapping(endpoint, "targetRef"), "name")
    parts = (target, text(endpoint, "nodeName"), ", ".join(states) or "not ready")
    return "  ".join(part for part in parts if part)


def describe_workload(obj: Json, api: ApiClient) -> Iterator[Line]:
    """Replicas, selector, pods."""
    spec, status = mapping(obj, "spec"), mapping(obj, "status")
    ready = number(status, "readyReplicas")
    yield 0, "Replicas", f"{number(spec, 'replicas', 1)} desired, {ready} ready"
    labels = strings(mapping(spec, "selector"), "matchLabels")
    yield from pairs("Selector", labels)
    yield from conditions(obj)
    selector = ",".join(f"{k}={v}" for k, v in labels.items())
    pods = api.list(meta.POD, meta.namespace_of(obj), labels=selector)
    yield 0, "Pods", str(len(pods)) if pods else NONE
    for pod in pods:
        where = text(mapping(pod, "spec"), "nodeName")
        phase = text(mapping(pod, "status"), "phase")
        yield 1, meta.name_of(pod), "  ".join(part for part in (phase, where) if part)


def describe_other(obj: Json, _: ApiClient) -> Iterator[Line]:
    """Whatever spec and the other fields hold."""
    for key, value in obj.items():
        if key not in ("apiVersion", "kind", "metadata"):
            yield from _tree(key, value, 0)


def _tree(label: str, value: object, depth: int) -> Iterator[Line]:
    if isinstance(value, dict):
        yield depth, label, "" if value else NONE
        for key, inner in value.items():
            yield from _tree(str(key), inner, depth + 1)
    elif isinstance(value, list):
        yield depth, label, "" if value else NONE
        for number_, inner in enumerate(value):
            yield from _tree(f"[{number_}]", inner, depth + 1)
    else:
        yield depth, label, str(value)


DESCRIBE: Mapping[str, Callable[[Json, ApiClient], Iterator[Line]]] = {
    "Node": describe_node,
    "Pod": describe_pod,
    "Service": describe_service,
    "Deployment": describe_workload,
    "ReplicaSet": describe_workload,
}


def print_lines(lines: list[Line]) -> None:
    """Labels left, values aligned, as kubectl describes."""
    width = max((2 * depth + len(label) + 2 for depth, label, _ in lines), default=0)
    for depth, label, value in lines:
        left = "  " * depth + (f"{label}:" if label else "")
        print(f"{left.ljust(width)}{value}".rstrip())


@click.command(
    epilog="Examples:\n\n\b\n  sudo netsim describe svc/web\n  sudo netsim describe node node1\n"
    "  sudo netsim describe pods -n shop"
)
@click.argument("what", nargs=-1, metavar="TYPE [NAME...] | TYPE/NAME...", shell_complete=objects)
@namespace_option
@lab_option
def describe_command(what: tuple[str, ...], namespace: str, lab: str | None) -> None:
    """Show objects in full, with endpoints, conditions and what the data plane runs."""
    targets = parse_targets(what)
    api = client_of(lab)
    described = 0
    for kind, name in targets:
        place = namespace if kind.namespaced else None
        objects = [api.get(kind, name, namespace)] if name else api.list(kind, place)
        for obj in objects:
            if described:
                print("\n")
            described += 1
            lines = [*head(obj), *DESCRIBE.get(kind.name, describe_other)(obj, api)]
            print_lines(lines)
    if not described:
        raise NotFoundError(f"no {targets[0][0].plural} found in {namespace} namespace")
