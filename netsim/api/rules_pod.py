"""What the API refuses about pods and pod templates, and what a lab cannot do about them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from netsim.api import rules
from netsim.api.fields import Json, flag, items, mapping, number, strings, text, texts
from netsim.api.names import (
    dns_label_errors,
    dns_subdomain_errors,
    env_name_errors,
    label_key_errors,
    port_name_errors,
)
from netsim.api.pods import POD_IP_ANNOTATION
from netsim.api.problems import Path, Problem, duplicate, forbidden, invalid, required, warning

FIELD_PATHS = (
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
_KEYED_PATH = re.compile(r"metadata\.(labels|annotations)\['[^']+'\]")
_HANDLERS = ("httpGet", "tcpSocket", "exec", "grpc")
_PROBE_TIMES = "initialDelaySeconds periodSeconds timeoutSeconds successThreshold failureThreshold"


def check_pod(obj: Json) -> Iterator[Problem]:
    """A Pod."""
    spec = mapping(obj, "spec")
    wanted = strings(mapping(obj, "metadata"), "annotations").get(POD_IP_ANNOTATION)
    if wanted is not None:
        yield from rules.endpoint_address(("metadata", "annotations", POD_IP_ANNOTATION), wanted)
    yield from check_pod_spec(spec, ("spec",))
    policies = ("Always", "OnFailure", "Never")
    yield from rules.one_of(("spec", "restartPolicy"), text(spec, "restartPolicy"), policies)


def check_template(template: Json, where: Path) -> Iterator[Problem]:
    """spec.template of a ReplicaSet or Deployment."""
    meta, spec = mapping(template, "metadata"), mapping(template, "spec")
    yield from rules.check_labels((*where, "metadata", "labels"), strings(meta, "labels"))
    annotations = strings(meta, "annotations")
    yield from rules.check_annotations((*where, "metadata", "annotations"), annotations)
    if POD_IP_ANNOTATION in annotations:
        at = (*where, "metadata", "annotations", POD_IP_ANNOTATION)
        yield forbidden(at, "the pods of one template cannot share an address", "write a Pod")
    yield from check_pod_spec(spec, (*where, "spec"))
    policy = (*where, "spec", "restartPolicy")
    yield from rules.one_of(policy, text(spec, "restartPolicy"), ("Always",))


def check_pod_spec(spec: Json, where: Path) -> Iterator[Problem]:
    """The spec of a pod or of a template."""
    containers = items(spec, "containers")
    if not containers:
        yield required((*where, "containers"))
    names: set[str] = set()
    for index, container in enumerate(containers):
        at = (*where, "containers", index)
        name = text(container, "name")
        yield from rules.needed((*at, "name"), name, dns_label_errors)
        if name and name in names:
            yield duplicate((*at, "name"), name)
        names.add(name)
        yield from _check_container(container, at)
    yield from _check_shared_ports(containers, where)
    yield from _check_host_ports(spec, where)
    for name, rule in (
        ("nodeName", dns_subdomain_errors),
        ("hostname", dns_label_errors),
        ("subdomain", dns_label_errors),
    ):
        value = text(spec, name)
        if value:
            yield from rules.syntax((*where, name), value, rule)
    yield from rules.check_labels((*where, "nodeSelector"), strings(spec, "nodeSelector"))
    yield from rules.at_least(where, spec, "terminationGracePeriodSeconds")
    for index, gate in enumerate(items(spec, "readinessGates")):
        at = (*where, "readinessGates", index, "conditionType")
        yield from rules.needed(at, text(gate, "conditionType"), label_key_errors)


def _check_container(container: Json, where: Path) -> Iterator[Problem]:
    names: set[str] = set()
    if container.get("args") and not container.get("command"):
        message = "ignored: without a command the built-in answerer runs, not the image's program"
        yield warning((*where, "args"), message, "put the program into command")
    for index, declared in enumerate(items(container, "ports")):
        at = (*where, "ports", index)
        yield from _check_port(declared, at)
        name = text(declared, "name")
        if name and name in names:
            yield duplicate((*at, "name"), name)
        names.add(name)
    for index, variable in enumerate(items(container, "env")):
        yield from _check_env(variable, (*where, "env", index))
    probe = container.get("readinessProbe")
    if isinstance(probe, dict):
        yield from _check_probe(probe, (*where, "readinessProbe"), names)


def _check_port(declared: Json, where: Path) -> Iterator[Problem]:
    if not declared.get("containerPort"):
        yield required((*where, "containerPort"))
    yield from rules.port((*where, "containerPort"), declared.get("containerPort") or None)
    name = text(declared, "name")
    if name:
        yield from rules.syntax((*where, "name"), name, port_name_errors)
    at = (*where, "protocol")
    yield from rules.one_of(at, text(declared, "protocol"), rules.PROTOCOL_NAMES)


def _check_shared_ports(containers: tuple[Json, ...], where: Path) -> Iterator[Problem]:
    """Containers of a pod share its ports: the second to bind one fails."""
    taken: dict[tuple[int, str], str] = {}
    for index, container in enumerate(containers):
        for at, declared in enumerate(items(container, "ports")):
            port = number(declared, "containerPort")
            key = (port, text(declared, "protocol", "TCP"))
            path = (*where, "containers", index, "ports", at)
            if port and taken.setdefault(key, text(container, "name")) != text(container, "name"):
                message = f"container {taken[key]} declares {key[1]} port {port} too"
                yield warning(path, message, "containers of a pod share its ports: one will fail")


def _check_host_ports(spec: Json, where: Path) -> Iterator[Problem]:
    """No two of a pod are the same; on the node's network they are the containers' ports."""
    taken: set[str] = set()
    for index, container in enumerate(items(spec, "containers")):
        for at, declared in enumerate(items(container, "ports")):
            path = (*where, "containers", index, "ports", at)
            port, address = number(declared, "hostPort"), text(declared, "hostIP")
            yield from rules.port((*path, "hostPort"), port or None)
            if address:
                yield from rules.ipv4((*path, "hostIP"), address)
            key = f"{text(declared, 'protocol', 'TCP')}/{address}/{port}"
            if port and key in taken:
                yield duplicate((*path, "hostPort"), key)
            taken.add(key)
            if port and flag(spec, "hostNetwork") and port != declared.get("containerPort"):
                detail = "must match `containerPort` when `hostNetwork` is true"
                yield invalid((*path, "hostPort"), port, detail)


def _check_env(variable: Json, where: Path) -> Iterator[Problem]:
    yield from rules.needed((*where, "name"), text(variable, "name"), env_name_errors)
    source = mapping(variable, "valueFrom")
    if source and text(variable, "value"):
        yield invalid((*where, "valueFrom"), "", "may not be specified when `value` is not empty")
    if "fieldRef" not in source:
        return
    at = (*where, "valueFrom", "fieldRef", "fieldPath")
    path = text(mapping(source, "fieldRef"), "fieldPath")
    if not path:
        yield required(at)
    elif not _KEYED_PATH.fullmatch(path):
        yield from rules.one_of(at, path, FIELD_PATHS)


def _check_probe(probe: Json, where: Path, port_names: set[str]) -> Iterator[Problem]:
    handlers = [name for name in _HANDLERS if isinstance(probe.get(name), dict)]
    if not handlers:
        yield required(where, "must specify a handler type", f"one of {', '.join(_HANDLERS)}")
    for name in handlers[1:]:
        yield forbidden((*where, name), "may not specify more than 1 handler type")
    yield from rules.at_least(where, probe, _PROBE_TIMES)
    if "exec" in handlers and not texts(mapping(probe, "exec"), "command"):
        yield required((*where, "exec", "command"))
    for name in ("httpGet", "tcpSocket"):
        if name not in handlers:
            continue
        action, at = mapping(probe, name), (*where, name, "port")
        port = action.get("port")
        if port is None:
            yield required(at)
        yield from rules.port_or_name(at, port, port_name_errors)
        if isinstance(port, str) and not list(rules.port_or_name(at, port, port_name_errors)):
            yield from _check_probed_name(at, port, port_names)
        if name == "httpGet":
            scheme = (*where, name, "scheme")
            yield from rules.one_of(scheme, text(action, "scheme"), ("HTTP", "HTTPS"))


def _check_probed_name(where: Path, name: str, port_names: set[str]) -> Iterator[Problem]:
    if name not in port_names:
        yield warning(where, f'no port of this container is named "{name}"', "it never gets ready")
