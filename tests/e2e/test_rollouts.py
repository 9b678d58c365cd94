"""New pods take the place of old ones behind a Service, and no connection fails.

The C- numbers are those of docs/conformance.md.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from netsim import Lab
from netsim.api.fields import Json, items, mapping, number, text
from netsim.api.meta import name_of
from netsim.lab.topology import Source
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
