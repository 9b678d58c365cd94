"""Pods take the place of others behind a Service, and Services change: no connection fails.

The C- numbers are those of docs/conformance.md.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from netsim import Lab
from netsim.api.fields import Json, items, mapping, number, text, texts
from netsim.api.meta import KIND_BY_NAME, name_of
from netsim.lab.topology import Source
from netsim.server.write import STRATEGIC
from tests.e2e import world
from tests.e2e.loads import load
from tests.e2e.workload import deployment, pods, settled
from tests.e2e.world import eventually

pytestmark = pytest.mark.linux

OUTSIDE = "outside/client"
CLUSTER_IP, LOCAL_IP, HTTP = "10.96.0.80", "10.96.0.81", 80


def version(number_: int, replicas: int = 4) -> Json:
    """The web; of another version it has another template."""
    made = deployment("web", replicas, env=[{"name": "VERSION", "value": str(number_)}])
    shares = {"maxSurge": 1, "maxUnavailable": 0}
    strategy = {"type": "RollingUpdate", "rollingUpdate": shares}
    return {**made, "spec": {**mapping(made, "spec"), "strategy": strategy}}


def balanced(name: str, address: str, policy: str) -> Json:
    made = world.service(name, address, [("TCP", HTTP, 8080)], type="LoadBalancer")
    spec = {**mapping(made, "spec"), "selector": {"app": "web"}, "externalTrafficPolicy": policy}
    return {**made, "spec": spec}


@pytest.fixture(scope="module")
def lab(module_lab: Callable[[Source], Lab]) -> Lab:
    return module_lab(
        [
            world.lab(wire="fabric", outside=["client"]),
            version(1),
            balanced("cluster", CLUSTER_IP, "Cluster"),
            balanced("local", LOCAL_IP, "Local"),
            world.pod("client", 2),
        ]
    )


def balancer(lab: Lab, name: str) -> str:
    status = mapping(lab.get("service", name), "status")
    [ingress] = items(mapping(status, "loadBalancer"), "ingress")
    return text(ingress, "ip")


def rolled_out(lab: Lab, name: str) -> bool:
    """What `kubectl rollout status` looks at."""
    found = lab.get("deployment", name)
    status, replicas = mapping(found, "status"), number(mapping(found, "spec"), "replicas")
    counts = ("replicas", "updatedReplicas", "availableReplicas")
    generation = number(mapping(found, "metadata"), "generation")
    seen = number(status, "observedGeneration") == generation
    return seen and all(number(status, key) == replicas for key in counts)


def test_a_rolling_update_loses_no_connection(lab: Lab) -> None:
    """C-205, policies Cluster and Local."""
    before = settled(lab, "web", 4)
    with (
        load(lab, OUTSIDE, "tcp", balancer(lab, "cluster"), HTTP, 8) as cluster,
        load(lab, OUTSIDE, "tcp", balancer(lab, "local"), HTTP, 8) as local,
        load(lab, "client", "tcp", CLUSTER_IP, HTTP, 8) as inside,
    ):
        lab.apply([version(2)])
        eventually(lambda: rolled_out(lab, "web"), "all are of the new version")
        after = settled(lab, "web", 4)
        assert not before & after
        for each in (cluster, inside):
            each.hear(after)
        near = {name_of(p) for p in pods(lab, "web") if mapping(p, "spec")["nodeName"] == "node1"}
        local.hear(near)
    for each in (cluster, local, inside):
        assert each.lost(lab) == []


GATE, GREEN_IP = "example.com/in-use", "10.96.0.82"


def gated(color: str, node: int) -> Json:
    made = world.answerer(color, node, labels={"app": "gated"})
    gates = [{"conditionType": GATE}]
    return {**made, "spec": {**mapping(made, "spec"), "readinessGates": gates}}


def put_in_use(lab: Lab, pod: str, value: str) -> None:
    """Open or shut the pod's gate."""
    said = {"status": {"conditions": [{"type": GATE, "status": value}]}}
    with lab.api as api:
        kind = KIND_BY_NAME["Pod"]
        api.patch(kind, pod, said, "default", part="status", content_type=STRATEGIC)
    eventually(lambda: ready(lab, pod) == value, f"{pod} is ready: {value}")


def ready(lab: Lab, pod: str) -> str:
    conditions = items(mapping(lab.get("pod", pod), "status"), "conditions")
    return next((text(c, "status") for c in conditions if c["type"] == "Ready"), "")


def test_blue_and_green_change_places_without_a_loss(lab: Lab) -> None:
    """C-194: by readiness gates."""
    lab.apply([gated("blue", 1), world.service("gated", GREEN_IP, [("TCP", HTTP, 8080)])])
    eventually(lambda: ready(lab, "blue") == "False", "its gate is shut")
    put_in_use(lab, "blue", "True")
    with load(lab, "client", "tcp", GREEN_IP, HTTP, 8) as requests:
        requests.hear({"blue"})
        lab.apply([gated("green", 2)])
        eventually(lambda: ready(lab, "green") == "False", "its gate is shut")
        assert "green" not in requests.more().hosts
        put_in_use(lab, "green", "True")
        requests.hear({"green"})
        put_in_use(lab, "blue", "False")

        def quiet() -> bool:
            return requests.more().hosts["blue"] == requests.more().hosts["blue"]

        eventually(quiet, "it gets no new connection")
    assert requests.lost(lab) == []
    for color in ("blue", "green"):  # one is not ready, and would be waited for
        lab.delete("pod", color, grace_s=0)


def test_a_balancer_without_node_ports_is_given_some(lab: Lab) -> None:
    """C-203: it serves either way, and goes when it is told to."""

    def bare(allocate: bool) -> Json:
        made = world.service("bare", "10.96.0.83", [("TCP", HTTP, 8080)], type="LoadBalancer")
        more = {"selector": {"app": "web"}, "allocateLoadBalancerNodePorts": allocate}
        return {**made, "spec": {**mapping(made, "spec"), **more}}

    def node_port() -> int:
        [port] = items(mapping(lab.get("service", "bare"), "spec"), "ports")
        return number(port, "nodePort")

    def code(address: str) -> int:
        argv = ["curl", "-s", "-o", "/dev/null", "--connect-timeout", "0.5", f"http://{address}"]
        return lab.run(OUTSIDE, argv, check=False).returncode

    lab.apply([bare(False)])
    lab.wait()
    address = balancer(lab, "bare")
    cleanup = "service.kubernetes.io/load-balancer-cleanup"
    assert texts(mapping(lab.get("service", "bare"), "metadata"), "finalizers") == (cleanup,)
    assert (code(address), node_port()) == (0, 0)
    lab.apply([bare(True)])
    eventually(node_port, "it has a node port")
    eventually(lambda: code(f"172.18.0.3:{node_port()}") == 0, "which leads there")
    assert code(address) == 0
    lab.delete("service", "bare")
    eventually(lambda: code(address) != 0, "it is gone")
    assert "bare" not in {name_of(service) for service in lab.objects("service")}
