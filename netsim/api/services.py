"""Service, EndpointSlice and Endpoints as typed views; cheap, because there are thousands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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

DEFAULT_AFFINITY_S = 10_800
NO_CLUSTER_IP = "None"
NODE_PORT_MIN, NODE_PORT_MAX = 30_000, 32_767
SERVICE_NAME_LABEL = "kubernetes.io/service-name"
SERVICE_PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name"


def needs_node_ports(service: Json) -> bool:
    """Whether the ports of a Service may have node ports, by its type."""
    return text(mapping(service, "spec"), "type") in ("NodePort", "LoadBalancer")


def externally_accessible(service: Json) -> bool:
    """Whether a Service can be reached from outside, so that it has an externalTrafficPolicy."""
    spec = mapping(service, "spec")
    return needs_node_ports(service) or (
        text(spec, "type", "ClusterIP") == "ClusterIP" and bool(texts(spec, "externalIPs"))
    )


def needs_health_check(service: Json) -> bool:
    """Whether a Service has a port by which nodes tell if they have endpoints (P-74)."""
    spec = mapping(service, "spec")
    return text(spec, "type") == "LoadBalancer" and text(spec, "externalTrafficPolicy") == "Local"


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of a Service. `target` is a number, or a container port's name."""

    port: int
    target: int | str
    name: str = ""
    protocol: str = "TCP"
    node_port: int = 0

    @classmethod
    def parse(cls, obj: Json) -> ServicePort:
        """From a member of spec.ports; the target is the port itself when not given."""
        port = number(obj, "port")
        return cls(
            port,
            int_or_text(obj, "targetPort", port),
            text(obj, "name"),
            text(obj, "protocol", "TCP"),
            number(obj, "nodePort"),
        )


@dataclass(frozen=True, slots=True)
class Service(Resource):
    """A Service.

    `selector` is None when absent (endpoints are the user's). `cluster_ip` is the text, empty
    until allocated, `None` when headless; `address` is its number, None when there is none.
    `affinity_s` is 0 without session affinity.
    """

    kind: ClassVar[str] = "Service"
    type: str
    cluster_ip: str
    address: int | None
    ports: tuple[ServicePort, ...]
    selector: Mapping[str, str] | None
    affinity_s: int = 0
    publish_not_ready: bool = False

    @classmethod
    def parse(cls, obj: Json) -> Service:
        """From a Service object."""
        spec = mapping(obj, "spec")
        cluster_ip = text(spec, "clusterIP")
        return cls(
            meta=Metadata.parse(obj),
            type=text(spec, "type", "ClusterIP"),
            cluster_ip=cluster_ip,
            address=address_or_none(cluster_ip),
            ports=tuple([ServicePort.parse(p) for p in items(spec, "ports")]),
            selector=strings(spec, "selector") or None,
            affinity_s=_affinity(spec),
            publish_not_ready=flag(spec, "publishNotReadyAddresses"),
        )

    @property
    def headless(self) -> bool:
        """clusterIP: None."""
        return self.cluster_ip == NO_CLUSTER_IP

    @property
    def proxied(self) -> bool:
        """Whether the default proxy serves it, by address and type (P-02, P-03, P-08)."""
        return (
            self.address is not None
            and self.type != "ExternalName"
            and SERVICE_PROXY_NAME_LABEL not in self.meta.labels
        )


def _affinity(spec: Json) -> int:
    if text(spec, "sessionAffinity") != "ClientIP":
        return 0
    config = mapping(mapping(spec, "sessionAffinityConfig"), "clientIP")
    return number(config, "timeoutSeconds", DEFAULT_AFFINITY_S)


@dataclass(frozen=True, slots=True)
class EndpointPort:
    """A port of a slice or subset; `name` equals the service port's, empty when unnamed."""

    port: int
    name: str = ""
    protocol: str = "TCP"

    @classmethod
    def parse(cls, obj: Json) -> EndpointPort:
        """From a member of ports; 0 when it has no number."""
        return cls(number(obj, "port"), text(obj, "name"), text(obj, "protocol", "TCP"))


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint of a slice. `address` is None when its first address is not IPv4 (P-50)."""

    ip: str
    address: int | None
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    node: str = ""
    target_kind: str = ""
    target_name: str = ""

    @classmethod
    def parse(cls, obj: Json) -> Endpoint:
        """From a member of endpoints; conditions that are absent count as P-50 says."""
        conditions, target = mapping(obj, "conditions"), mapping(obj, "targetRef")
        ip = next(iter(texts(obj, "addresses")), "")
        return cls(
            ip,
            address_or_none(ip),
            flag(conditions, "ready", default=True),
            flag(conditions, "serving", default=True),
            flag(conditions, "terminating"),
            text(obj, "nodeName"),
            text(target, "kind"),
            text(target, "name"),
        )


@dataclass(frozen=True, slots=True)
class EndpointSlice(Resource):
    """A slice; `service` is the name in its label, empty when it belongs to none."""

    kind: ClassVar[str] = "EndpointSlice"
    address_type: str
    service: str
    ports: tuple[EndpointPort, ...]
    endpoints: tuple[Endpoint, ...]

    @classmethod
    def parse(cls, obj: Json) -> EndpointSlice:
        """From an EndpointSlice object."""
        meta = Metadata.parse(obj)
        return cls(
            meta,
            text(obj, "addressType"),
            meta.labels.get(SERVICE_NAME_LABEL, ""),
            tuple([EndpointPort.parse(p) for p in items(obj, "ports")]),
            tuple([Endpoint.parse(e) for e in items(obj, "endpoints")]),
        )


@dataclass(frozen=True, slots=True)
class EndpointAddress:
    """One address of a subset; `address` is None when it is not IPv4."""

    ip: str
    address: int | None
    node: str = ""
    hostname: str = ""
    target_kind: str = ""
    target_name: str = ""

    @classmethod
    def parse(cls, obj: Json) -> EndpointAddress:
        """From a member of addresses or notReadyAddresses."""
        ip, target = text(obj, "ip"), mapping(obj, "targetRef")
        return cls(
            ip,
            address_or_none(ip),
            text(obj, "nodeName"),
            text(obj, "hostname"),
            text(target, "kind"),
            text(target, "name"),
        )


@dataclass(frozen=True, slots=True)
class EndpointSubset:
    """Addresses that share ports."""

    ready: tuple[EndpointAddress, ...]
    not_ready: tuple[EndpointAddress, ...]
    ports: tuple[EndpointPort, ...]

    @classmethod
    def parse(cls, obj: Json) -> EndpointSubset:
        """From a member of subsets."""
        return cls(
            tuple([EndpointAddress.parse(a) for a in items(obj, "addresses")]),
            tuple([EndpointAddress.parse(a) for a in items(obj, "notReadyAddresses")]),
            tuple([EndpointPort.parse(p) for p in items(obj, "ports")]),
        )


@dataclass(frozen=True, slots=True)
class Endpoints(Resource):
    """An Endpoints object; it belongs to the Service of the same name."""

    kind: ClassVar[str] = "Endpoints"
    subsets: tuple[EndpointSubset, ...]

    @classmethod
    def parse(cls, obj: Json) -> Endpoints:
        """From an Endpoints object."""
        subsets = tuple([EndpointSubset.parse(s) for s in items(obj, "subsets")])
        return cls(Metadata.parse(obj), subsets)
