"""One small topology for two sides: addresses, services, which netsim and the kernel both get."""

from __future__ import annotations

from dataclasses import dataclass

from netsim.api.fields import Json
from tests.e2e import world

TCP_PORT, UDP_PORT, CLOSED_PORT, SERVICE_PORT = 8080, 8081, 9, 80
CLUSTER, SERVICES_RANGE, UNDERLAY = "10.244.0.0/16", "10.96.0.0/12", 16
NODES = ("172.18.0.2", "172.18.0.3")
AFFINITY_S = 600


@dataclass(frozen=True)
class Pod:
    name: str
    node: int
    address: str


@dataclass(frozen=True)
class Service:
    """`endpoints`: pods, or `node1` for a program on a node."""

    name: str
    address: str
    endpoints: tuple[str, ...]
    affinity_s: int = 0
    closed: bool = False

    def target(self, protocol: str) -> int:
        if self.closed:
            return CLOSED_PORT
        return TCP_PORT if protocol == "TCP" else UDP_PORT


PODS = (
    Pod("client", 1, "10.244.0.10"),
    Pod("near", 1, "10.244.0.11"),
    Pod("far", 2, "10.244.1.10"),
    Pod("other", 2, "10.244.1.11"),
)
ADDRESS = {pod.name: pod.address for pod in PODS} | {"node1": NODES[0], "node2": NODES[1]}
ALL = ("client", "near", "far", "other")
SERVICES = (
    Service("near", "10.96.2.1", ("near",)),
    Service("far", "10.96.2.2", ("far",)),
    Service("all", "10.96.2.3", ALL),
    Service("sticky", "10.96.2.4", ALL, affinity_s=AFFINITY_S),
    Service("self", "10.96.2.5", ("client",)),
    Service("empty", "10.96.2.6", ()),
    Service("closed-near", "10.96.2.7", ("near",), closed=True),
    Service("closed-far", "10.96.2.8", ("far",), closed=True),
    Service("host", "10.96.2.9", ("node1",)),
)
VIP = {service.name: service.address for service in SERVICES}
UNUSED_VIP = "10.96.2.200"
PROTOCOLS = ("TCP", "UDP")


def server(name: str) -> list[str]:
    """The program that every pod and the first node run."""
    return world.program("peer_server.py", name, str(TCP_PORT), str(UDP_PORT))


def _label(service: Service) -> str:
    return f"serves-{service.name}"


def _service(service: Service) -> list[Json]:
    ports = [(protocol, SERVICE_PORT, service.target(protocol)) for protocol in PROTOCOLS]
    made = world.service(service.name, service.address, ports, selector={_label(service): "yes"})
    if service.affinity_s:
        sticky = {"clientIP": {"timeoutSeconds": service.affinity_s}}
        made = world.service(
            service.name,
            service.address,
            ports,
            selector={_label(service): "yes"},
            sessionAffinity="ClientIP",
            sessionAffinityConfig=sticky,
        )
    if not any(name.startswith("node") for name in service.endpoints):
        return [made]
    spec = made["spec"]
    assert isinstance(spec, dict)
    by_hand = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{service.name}-1",
            "labels": {"kubernetes.io/service-name": service.name},
        },
        "addressType": "IPv4",
        "ports": [
            {"name": f"p{n}", "protocol": protocol, "port": service.target(protocol)}
            for n, protocol in enumerate(PROTOCOLS)
        ],
        "endpoints": [{"addresses": [ADDRESS[name]]} for name in service.endpoints],
    }
    return [{**made, "spec": {k: v for k, v in spec.items() if k != "selector"}}, by_hand]


def objects(wire: str) -> list[Json]:
    """The lab's side, over vxlan."""
    ready = {"tcpSocket": {"port": TCP_PORT}}
    pods = [
        world.pod(
            pod.name,
            pod.node,
            pod.address,
            server(pod.name),
            {_label(s): "yes" for s in SERVICES if pod.name in s.endpoints},
            ready,
        )
        for pod in PODS
    ]
    return [world.lab("vxlan", wire), *pods, *[o for s in SERVICES for o in _service(s)]]
