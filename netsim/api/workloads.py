"""Node, Namespace, ReplicaSet and Deployment as typed views."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from netsim.api.addresses import Cidr, address_or_none, cidr_or_none
from netsim.api.fields import Json, flag, int_or_text, items, mapping, number, text
from netsim.api.object_meta import Metadata, Resource
from netsim.api.pods import Condition, PodTemplate
from netsim.api.selectors import LabelSelector

EXTERNAL_ANNOTATION = "netsim.dev/external"
"""`"true"` on a Node that another program runs: a peer, without a sandbox here."""

NODE_IP_ANNOTATION = "netsim.dev/node-ip"
"""Asks for this underlay address instead of one that is allocated."""

PROXY_MODE_ANNOTATION = "netsim.dev/proxy-mode"
"""The node's own mode of the service proxy, instead of the Lab's."""

GENERATED_ANNOTATION = "netsim.dev/generated"
"""On nodes that a lab made because `generate` says so, or because there was none."""

BACKEND_DATA_ANNOTATION = "flannel.alpha.coreos.com/backend-data"
"""flannel's JSON about a node, such as {"VNI":1,"VtepMAC":"4e:38:ae:b0:85:95"}."""


@dataclass(frozen=True, slots=True)
class Node(Resource):
    """A node. `pod_cidr` and `address` are None and `ip` empty until given.

    `backend_data` is the annotation's text, empty without one.
    """

    kind: ClassVar[str] = "Node"
    pod_cidr: Cidr | None = None
    ip: str = ""
    address: int | None = None
    unschedulable: bool = False
    external: bool = False
    backend_data: str = ""
    conditions: tuple[Condition, ...] = ()

    @classmethod
    def parse(cls, obj: Json) -> Node:
        """From a Node object."""
        spec, status, meta = mapping(obj, "spec"), mapping(obj, "status"), Metadata.parse(obj)
        ip = _internal_ip(status)
        return cls(
            meta=meta,
            pod_cidr=cidr_or_none(text(spec, "podCIDR")),
            ip=ip,
            address=address_or_none(ip),
            unschedulable=flag(spec, "unschedulable"),
            external=meta.annotations.get(EXTERNAL_ANNOTATION) == "true",
            backend_data=meta.annotations.get(BACKEND_DATA_ANNOTATION, ""),
            conditions=tuple([Condition.parse(c) for c in items(status, "conditions")]),
        )

    @property
    def ready(self) -> bool:
        """Whether condition Ready is True."""
        return any(c.type == "Ready" and c.status == "True" for c in self.conditions)


def _internal_ip(status: Json) -> str:
    """The first InternalIP that is IPv4."""
    inner = (a for a in items(status, "addresses") if a.get("type") == "InternalIP")
    found = (text(a, "address") for a in inner)
    return next((ip for ip in found if address_or_none(ip) is not None), "")


@dataclass(frozen=True, slots=True)
class Namespace(Resource):
    """A namespace; its name is all there is to it."""

    kind: ClassVar[str] = "Namespace"

    @classmethod
    def parse(cls, obj: Json) -> Namespace:
        """From a Namespace object."""
        return cls(Metadata.parse(obj))


@dataclass(frozen=True, slots=True)
class ReplicaSet(Resource):
    """A ReplicaSet."""

    kind: ClassVar[str] = "ReplicaSet"
    replicas: int
    selector: LabelSelector
    template: PodTemplate
    min_ready_s: int = 0

    @classmethod
    def parse(cls, obj: Json) -> ReplicaSet:
        """From a ReplicaSet object."""
        spec = mapping(obj, "spec")
        return cls(
            Metadata.parse(obj),
            number(spec, "replicas", 1),
            LabelSelector.of(mapping(spec, "selector")),
            PodTemplate.parse(mapping(spec, "template")),
            number(spec, "minReadySeconds"),
        )


@dataclass(frozen=True, slots=True)
class Deployment(Resource):
    """A Deployment. `max_surge` and `max_unavailable` are counts or percentages such as `25%`."""

    kind: ClassVar[str] = "Deployment"
    replicas: int
    selector: LabelSelector
    template: PodTemplate
    min_ready_s: int = 0
    strategy: str = "RollingUpdate"
    max_surge: int | str = "25%"
    max_unavailable: int | str = "25%"
    paused: bool = False
    history_limit: int = 10

    @classmethod
    def parse(cls, obj: Json) -> Deployment:
        """From a Deployment object."""
        spec = mapping(obj, "spec")
        strategy = mapping(spec, "strategy")
        rolling = mapping(strategy, "rollingUpdate")
        return cls(
            meta=Metadata.parse(obj),
            replicas=number(spec, "replicas", 1),
            selector=LabelSelector.of(mapping(spec, "selector")),
            template=PodTemplate.parse(mapping(spec, "template")),
            min_ready_s=number(spec, "minReadySeconds"),
            strategy=text(strategy, "type", "RollingUpdate"),
            max_surge=int_or_text(rolling, "maxSurge", "25%"),
            max_unavailable=int_or_text(rolling, "maxUnavailable", "25%"),
            paused=flag(spec, "paused"),
            history_limit=number(spec, "revisionHistoryLimit", 10),
        )
