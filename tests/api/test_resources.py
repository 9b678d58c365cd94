"""Typed views say what the objects say, and never fail on what validation lets through."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from netsim.api.addresses import Cidr, parse_address
from netsim.api.fields import Json
from netsim.api.lab_spec import ConntrackSpec
from netsim.api.manifests import load_text
from netsim.api.resources import (
    BackendSpec,
    ContainerPort,
    Deployment,
    EndpointPort,
    Endpoints,
    EndpointSlice,
    EnvVar,
    Lab,
    Namespace,
    Node,
    Owner,
    Pod,
    PodSpec,
    Probe,
    ReplicaSet,
    Service,
    ServiceCIDR,
    ServicePort,
)

PARSERS: Mapping[str, Callable[[Json], object]] = {
    "Lab": Lab.parse,
    "Node": Node.parse,
    "Namespace": Namespace.parse,
    "ServiceCIDR": ServiceCIDR.parse,
    "Pod": Pod.parse,
    "Service": Service.parse,
    "EndpointSlice": EndpointSlice.parse,
    "Endpoints": Endpoints.parse,
    "ReplicaSet": ReplicaSet.parse,
    "Deployment": Deployment.parse,
}


def one(text: str) -> Json:
    loaded = load_text(text)
    assert loaded.ok, loaded.problems
    return loaded.objects[0].obj


@pytest.mark.parametrize("kind", PARSERS)
def test_an_empty_object_has_only_defaults(kind: str) -> None:
    assert PARSERS[kind]({"kind": kind}) == PARSERS[kind](
        {"kind": kind, "metadata": None, "spec": None, "status": None}
    )


def test_a_lab_without_a_word_has_the_documented_defaults() -> None:
    lab = Lab.parse({})
    assert (str(lab.pod_cidr), str(lab.service_cidr), str(lab.node_cidr)) == (
        "10.244.0.0/16",
        "10.96.0.0/12",
        "172.18.0.0/16",
    )
    assert lab.backend == BackendSpec("vxlan", 1, 8472)
    assert (lab.wire, lab.mtu, lab.workers, lab.proxy_mode) == ("udp", 1500, 0, "iptables")
    assert (lab.seed, lab.generate, lab.node_pod_length) == (1, None, 24)


@pytest.mark.parametrize(
    ("backend", "expected"),
    [
        ("vxlan", BackendSpec("vxlan", 1, 8472)),
        ("udp", BackendSpec("udp", 1, 8285)),
        ("host-gw", BackendSpec("host-gw", 1, 0)),
        ({"vxlan": {"vni": 7}}, BackendSpec("vxlan", 7, 8472)),
        ({"vxlan": None}, BackendSpec("vxlan", 1, 8472)),
        ({"udp": {"port": 9}}, BackendSpec("udp", 1, 9)),
        ({"host-gw": {}}, BackendSpec("host-gw", 1, 0)),
    ],
)
def test_a_backend_is_a_word_or_an_object(backend: object, expected: BackendSpec) -> None:
    assert Lab.parse({"spec": {"backend": backend}}).backend == expected


@pytest.mark.parametrize(
    ("cidr", "length"), [("10.0.0.0/8", 24), ("10.0.0.0/23", 25), ("10.0.0.0/28", 30)]
)
def test_a_nodes_range_is_a_24_or_two_bits_of_a_small_range(cidr: str, length: int) -> None:
    assert Lab.parse({"spec": {"podCIDR": cidr}}).node_pod_length == length


POD = """
apiVersion: v1
kind: Pod
metadata:
  name: web-0
  namespace: shop
  labels: {app: web}
  annotations: {netsim.dev/pod-ip: 10.244.0.9}
  ownerReferences:
  - {apiVersion: apps/v1, kind: ReplicaSet, name: web, uid: u, controller: true}
spec:
  nodeName: node1
  hostname: first
  subdomain: web
  terminationGracePeriodSeconds: 5
  containers:
  - name: a
    command: [serve]
    args: [--port, "80"]
    workingDir: /tmp
    env:
    - {name: A, value: b}
    - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    ports:
    - {name: http, containerPort: 80}
    - {name: dns, containerPort: 53, protocol: UDP}
    readinessProbe:
      httpGet: {path: /ready, port: http, httpHeaders: [{name: Host, value: x}]}
      periodSeconds: 2
status:
  phase: Running
  podIP: 10.244.0.9
  startTime: "2026-01-01T00:00:00Z"
  containerStatuses: [{name: a, restartCount: 2}, {name: b, restartCount: 1}]
  conditions:
  - {type: Ready, status: "True", lastTransitionTime: "2026-01-01T00:00:05Z"}
"""


def test_a_pod_is_read_with_its_status() -> None:
    pod = Pod.parse(one(POD))
    (container,) = pod.spec.containers
    assert (str(pod.key), pod.hostname, pod.spec.grace_s) == ("Pod shop/web-0", "first", 5)
    assert (pod.address, pod.wanted_ip) == (parse_address("10.244.0.9"), "10.244.0.9")
    assert (pod.ready, pod.restarts, pod.phase) == (True, 3, "Running")
    assert pod.meta.controller == Owner("ReplicaSet", "web", "u", controller=True)
    assert container.env == (EnvVar("A", "b"), EnvVar("IP", field_path="status.podIP"))
    assert container.ports == (ContainerPort(80, "http"), ContainerPort(53, "dns", "UDP"))
    assert (container.command, container.args) == (("serve",), ("--port", "80"))
    assert container.readiness == Probe(
        "http", "http", "/ready", headers=(("Host", "x"),), period_s=2
    )


@pytest.mark.parametrize(
    ("handler", "probe"),
    [
        ({"tcpSocket": {"port": 5}}, Probe("tcp", 5)),
        ({"exec": {"command": ["true"]}}, Probe("exec", command=("true",))),
        ({"httpGet": {"port": 80}}, Probe("http", 80)),
        ({"grpc": {"port": 80}}, Probe("none")),
    ],
)
def test_a_probe_has_one_action(handler: Json, probe: Probe) -> None:
    assert Probe.parse(handler) == probe


def test_a_target_port_is_resolved_by_name_and_protocol() -> None:
    spec = PodSpec.parse(
        {
            "containers": [
                {"name": "a", "ports": [{"name": "x", "containerPort": 1, "protocol": "UDP"}]},
                {"name": "b", "ports": [{"name": "x", "containerPort": 2}]},
            ]
        }
    )
    assert spec.resolve_port("x") == 2
    assert spec.resolve_port("x", "UDP") == 1
    assert spec.resolve_port("y") is None
    assert spec.resolve_port(9, "SCTP") == 9


def test_a_service_is_read() -> None:
    service = Service.parse(
        one("""
apiVersion: v1
kind: Service
metadata: {name: s}
spec:
  clusterIP: 10.96.0.9
  selector: {app: a}
  sessionAffinity: ClientIP
  ports:
  - {name: a, port: 80, targetPort: http}
  - {name: b, port: 53, protocol: UDP}
""")
    )
    assert service.ports == (ServicePort(80, "http", "a"), ServicePort(53, 53, "b", "UDP"))
    assert (service.address, service.affinity_s) == (parse_address("10.96.0.9"), 10800)
    assert (service.proxied, service.headless, service.selector) == (True, False, {"app": "a"})


@pytest.mark.parametrize(
    ("spec", "labels"),
    [
        ({"clusterIP": "None"}, {}),
        ({"clusterIP": ""}, {}),
        ({"clusterIP": "10.96.0.1"}, {"service.kubernetes.io/service-proxy-name": "other"}),
        ({"type": "ExternalName", "clusterIP": "10.96.0.1"}, {}),
        ({"clusterIP": "fd00::1"}, {}),
    ],
)
def test_a_service_is_not_proxied_when(spec: Json, labels: Json) -> None:
    service = Service.parse({"metadata": {"labels": labels}, "spec": spec})
    assert not service.proxied


def test_an_empty_selector_is_none() -> None:
    assert Service.parse({"spec": {"selector": {}}}).selector is None


def test_a_slice_counts_absent_conditions_as_p_50() -> None:
    found = EndpointSlice.parse(
        one("""
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: e, labels: {kubernetes.io/service-name: s}}
addressType: IPv4
ports: [{name: http, port: 80}]
endpoints:
- {addresses: [10.0.0.1], nodeName: n, targetRef: {kind: Pod, name: p}}
- {addresses: [10.0.0.2], conditions: {ready: false, serving: true, terminating: true}}
""")
    )
    first, second = found.endpoints
    assert (found.service, found.ports) == ("s", (EndpointPort(80, "http"),))
    assert (first.ready, first.serving, first.terminating) == (True, True, False)
    assert (second.ready, second.serving, second.terminating) == (False, True, True)
    assert (first.address, first.node, first.target_name) == (parse_address("10.0.0.1"), "n", "p")


def test_endpoints_are_read() -> None:
    found = Endpoints.parse(
        one("""
apiVersion: v1
kind: Endpoints
metadata: {name: s}
subsets:
- addresses: [{ip: 10.0.0.1, nodeName: n}]
  notReadyAddresses: [{ip: 10.0.0.2, hostname: h}]
  ports: [{port: 80}]
""")
    )
    (subset,) = found.subsets
    assert [a.ip for a in (*subset.ready, *subset.not_ready)] == ["10.0.0.1", "10.0.0.2"]
    assert (subset.not_ready[0].hostname, subset.ports) == ("h", (EndpointPort(80),))


def test_a_node_is_read() -> None:
    node = Node.parse(
        one("""
apiVersion: v1
kind: Node
metadata: {name: n, annotations: {netsim.dev/external: "true"}}
spec: {podCIDR: 10.244.7.0/24, unschedulable: true}
status:
  addresses:
  - {type: InternalIP, address: "fd00::1"}
  - {type: InternalIP, address: 172.18.0.9}
  conditions: [{type: Ready, status: "False"}]
""")
    )
    assert (node.pod_cidr, node.ip) == (Cidr.parse("10.244.7.0/24"), "172.18.0.9")
    assert (node.external, node.unschedulable, node.ready) == (True, True, False)
    assert (node.namespace, node.key.namespace) == ("", "")


def test_a_deployment_is_read() -> None:
    deployment = Deployment.parse(
        one("""
apiVersion: apps/v1
kind: Deployment
metadata: {name: d}
spec:
  replicas: 0
  selector: {matchLabels: {app: a}}
  strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 50%}}
  template:
    metadata: {labels: {app: a}, annotations: {x: y}}
    spec: {containers: [{name: c}]}
""")
    )
    assert (deployment.replicas, deployment.max_surge, deployment.max_unavailable) == (0, 1, "50%")
    assert deployment.selector.matches(deployment.template.labels)
    assert deployment.template.annotations == {"x": "y"}
    assert deployment.template.spec.containers[0].name == "c"


@pytest.mark.parametrize(
    ("processors", "flows"), [(1, 131_072), (4, 131_072), (6, 196_608), (4096, 8_380_416)]
)
def test_connections_per_node_grow_with_the_processors(
    processors: int, flows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(processors)))
    assert Lab.parse({}).flows_max == flows
    assert Lab.parse({"spec": {"flowsMax": 5000}}).flows_max == 5000


def test_connection_tracking_loses_nothing_unless_asked_to() -> None:
    assert Lab.parse({}).conntrack == ConntrackSpec(False, False, False)
    asked = {"tcpBeLiberal": True, "loseOnPortCollision": True, "udpRace": True}
    assert Lab.parse({"spec": {"conntrack": asked}}).conntrack == ConntrackSpec(True, True, True)
