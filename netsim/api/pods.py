"""Pod, its containers and probes, as typed views; also what a pod template holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from netsim.api.addresses import address_or_none
from netsim.api.fields import (
    Json,
    flag,
    int_or_text,
    items,
    mapping,
    number,
    strings,
    text,
    texts,
)
from netsim.api.object_meta import Metadata, Resource

POD_IP_ANNOTATION = "netsim.dev/pod-ip"
"""Asks for this address instead of one that is allocated."""

DEFAULT_GRACE_S = 30


@dataclass(frozen=True, slots=True)
class ContainerPort:
    """A port that a container says it listens on; `name` may be empty."""

    port: int
    name: str = ""
    protocol: str = "TCP"


@dataclass(frozen=True, slots=True)
class EnvVar:
    """One variable: a literal `value`, or the pod field at `field_path` when that is not empty."""

    name: str
    value: str = ""
    field_path: str = ""


@dataclass(frozen=True, slots=True)
class Probe:
    """A readiness probe. `action` is http, tcp, exec, or none when it has no handler.

    `port` is a number or a container port's name; `host` is empty for the pod's own address.
    """

    action: str
    port: int | str = 0
    path: str = "/"
    host: str = ""
    scheme: str = "HTTP"
    headers: tuple[tuple[str, str], ...] = ()
    command: tuple[str, ...] = ()
    initial_delay_s: int = 0
    period_s: int = 10
    timeout_s: int = 1
    success_threshold: int = 1
    failure_threshold: int = 3

    @classmethod
    def parse(cls, probe: Json) -> Probe:
        """From a container's readinessProbe."""
        http, tcp = mapping(probe, "httpGet"), mapping(probe, "tcpSocket")
        action = next((a for k, a in _ACTIONS if k in probe), "none")
        handler = tcp if action == "tcp" else http
        return cls(
            action=action,
            port=int_or_text(handler, "port", 0),
            path=text(http, "path", "/"),
            host=text(handler, "host"),
            scheme=text(http, "scheme", "HTTP"),
            headers=tuple((text(h, "name"), text(h, "value")) for h in items(http, "httpHeaders")),
            command=texts(mapping(probe, "exec"), "command"),
            initial_delay_s=number(probe, "initialDelaySeconds"),
            period_s=number(probe, "periodSeconds", 10),
            timeout_s=number(probe, "timeoutSeconds", 1),
            success_threshold=number(probe, "successThreshold", 1),
            failure_threshold=number(probe, "failureThreshold", 3),
        )


_ACTIONS = (("httpGet", "http"), ("tcpSocket", "tcp"), ("exec", "exec"))


@dataclass(frozen=True, slots=True)
class Container:
    """A program of a pod. Without a command it is the built-in answerer on `ports`."""

    name: str
    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    env: tuple[EnvVar, ...] = ()
    ports: tuple[ContainerPort, ...] = ()
    readiness: Probe | None = None

    @classmethod
    def parse(cls, obj: Json) -> Container:
        """From a member of a pod's spec.containers."""
        return cls(
            name=text(obj, "name"),
            image=text(obj, "image"),
            command=texts(obj, "command"),
            args=texts(obj, "args"),
            working_dir=text(obj, "workingDir"),
            env=tuple([_env(e) for e in items(obj, "env")]),
            ports=tuple([_container_port(p) for p in items(obj, "ports")]),
            readiness=Probe.parse(mapping(obj, "readinessProbe"))
            if "readinessProbe" in obj
            else None,
        )


def _env(obj: Json) -> EnvVar:
    source = mapping(mapping(obj, "valueFrom"), "fieldRef")
    return EnvVar(text(obj, "name"), text(obj, "value"), text(source, "fieldPath"))


def _container_port(obj: Json) -> ContainerPort:
    return ContainerPort(
        number(obj, "containerPort"), text(obj, "name"), text(obj, "protocol", "TCP")
    )


@dataclass(frozen=True, slots=True)
class PodSpec:
    """spec of a pod or of a pod template. `node` is empty until the scheduler has chosen.

    `readiness_gates` are conditions that must be True, too, before the pod is ready.
    """

    containers: tuple[Container, ...] = ()
    node: str = ""
    node_selector: Mapping[str, str] = field(default_factory=dict)
    hostname: str = ""
    subdomain: str = ""
    host_network: bool = False
    readiness_gates: tuple[str, ...] = ()
    restart_policy: str = "Always"
    grace_s: int = DEFAULT_GRACE_S

    @classmethod
    def parse(cls, spec: Json) -> PodSpec:
        """From the spec itself."""
        return cls(
            containers=tuple([Container.parse(c) for c in items(spec, "containers")]),
            node=text(spec, "nodeName"),
            node_selector=strings(spec, "nodeSelector"),
            hostname=text(spec, "hostname"),
            subdomain=text(spec, "subdomain"),
            host_network=flag(spec, "hostNetwork"),
            readiness_gates=tuple(
                [text(gate, "conditionType") for gate in items(spec, "readinessGates")]
            ),
            restart_policy=text(spec, "restartPolicy", "Always"),
            grace_s=number(spec, "terminationGracePeriodSeconds", DEFAULT_GRACE_S),
        )

    def resolve_port(self, port: int | str, protocol: str = "TCP") -> int | None:
        """The number of a target port: itself, or that of the first container port so named."""
        if isinstance(port, int):
            return port
        for container in self.containers:
            for declared in container.ports:
                if declared.name == port and declared.protocol == protocol:
                    return declared.port
        return None


@dataclass(frozen=True, slots=True)
class Condition:
    """A status condition. `status` is True, False or Unknown; `since` is RFC 3339 or empty."""

    type: str
    status: str
    since: str = ""
    reason: str = ""
    message: str = ""

    @classmethod
    def parse(cls, obj: Json) -> Condition:
        """From a member of status.conditions."""
        return cls(
            text(obj, "type"),
            text(obj, "status"),
            text(obj, "lastTransitionTime"),
            text(obj, "reason"),
            text(obj, "message"),
        )


@dataclass(frozen=True, slots=True)
class Pod(Resource):
    """A pod with the part of its status that the network depends on.

    `ip` is empty and `address` None until one is given; `wanted_ip` is the annotation that asks
    for one. `restarts` is the sum over containers.
    """

    kind: ClassVar[str] = "Pod"
    spec: PodSpec
    phase: str = "Pending"
    ip: str = ""
    address: int | None = None
    wanted_ip: str = ""
    host_ip: str = ""
    started: str = ""
    restarts: int = 0
    conditions: tuple[Condition, ...] = ()

    @classmethod
    def parse(cls, obj: Json, spec: PodSpec | None = None) -> Pod:
        """From a Pod object; `spec` if its spec was read already."""
        status, meta = mapping(obj, "status"), Metadata.parse(obj)
        ip = text(status, "podIP")
        return cls(
            meta=meta,
            spec=spec or PodSpec.parse(mapping(obj, "spec")),
            phase=text(status, "phase", "Pending"),
            ip=ip,
            address=address_or_none(ip) if ip else None,
            wanted_ip=meta.annotations.get(POD_IP_ANNOTATION, ""),
            host_ip=text(status, "hostIP"),
            started=text(status, "startTime"),
            restarts=sum(number(c, "restartCount") for c in items(status, "containerStatuses")),
            conditions=tuple([Condition.parse(c) for c in items(status, "conditions")]),
        )

    def condition(self, name: str) -> Condition | None:
        """The condition of that type."""
        return next((c for c in self.conditions if c.type == name), None)

    @property
    def ready(self) -> bool:
        """Whether condition Ready is True."""
        found = self.condition("Ready")
        return found is not None and found.status == "True"

    @property
    def hostname(self) -> str:
        """What `hostname` prints inside: spec.hostname or the pod's name, 63 characters at most.

        On its node's network the node's name.
        """
        own = self.spec.hostname or self.name
        return (self.spec.node if self.spec.host_network else own)[:63].rstrip("-.")


@dataclass(frozen=True, slots=True)
class PodTemplate:
    """What a ReplicaSet makes pods of; `raw` is the template as given."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    spec: PodSpec
    raw: Json

    @classmethod
    def parse(cls, template: Json) -> PodTemplate:
        """From spec.template."""
        meta = mapping(template, "metadata")
        return cls(
            strings(meta, "labels"),
            strings(meta, "annotations"),
            PodSpec.parse(mapping(template, "spec")),
            template,
        )
