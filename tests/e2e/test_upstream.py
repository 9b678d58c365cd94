"""What upstream's end-to-end tests ask of Services, of one lab with real programs.

The C- numbers are those of docs/conformance.md. Services come and go; pods that end stubbornly show
what a Service does with them meanwhile.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import quantiles

import pytest

from netsim import Lab
from netsim.api.fields import Json, items, mapping, number, text
from netsim.api.meta import KIND_BY_NAME, name_of
from netsim.lab.launch import state_dir
from tests.e2e import world
from tests.e2e.asking import Asker, asker
from tests.e2e.workload import addresses
from tests.e2e.world import eventually, program

pytestmark = pytest.mark.linux

NODE1, NODE2, OUTSIDE = "172.18.0.2", "172.18.0.3", "outside/client"
HTTP, WORDS = [("TCP", 80, 8080)], [("UDP", 80, 8081)]
REFUSED, TIMED_OUT = 7, 28  # curl's exit codes
LOCAL = "Local"
# Serves while it is told to end, for as long as it may.
STUBBORN = ("sh", "-c", "trap '' TERM; exec python3 -m http.server 8080")
NEVER: Json = {"exec": {"command": ["false"]}}


@dataclass(frozen=True)
class World:
    lab: Lab

    def code(self, source: str, url: str) -> int:
        """curl's exit code for a connection that gets an answer or not."""
        argv = ["curl", "-s", "-o", "/dev/null", "--connect-timeout", "1", f"http://{url}"]
        return self.lab.run(source, argv, check=False).returncode

    def says(self, source: str, url: str, path: str = "hostname") -> str:
        argv = ["curl", "-s", "--connect-timeout", "1", f"http://{url}/{path}"]
        return self.lab.run(source, argv, check=False).stdout

    def answers(self, source: str, url: str) -> set[str]:
        """Who answers sixteen connections; nobody if one fails."""
        address, _, port = url.partition(":")
        argv = program("connections.py", address, port or "80", "16", "/hostname")
        done = self.lab.run(source, argv, check=False)
        return set(json.loads(done.stdout)) if done.returncode == 0 else set()

    def heard(self, source: str, url: str, wanted: set[str]) -> None:
        """Wait until these, and nobody else, answer."""
        eventually(lambda: self.answers(source, url) == wanted, f"{wanted} answer")

    def field(self, name: str, *path: str) -> int:
        found = self.lab.get("service", name)
        for word in path[:-1]:
            found = mapping(found, word)
        return number(found, path[-1])

    def balancer(self, name: str) -> str:
        status = mapping(self.lab.get("service", name), "status")
        [ingress] = items(mapping(status, "loadBalancer"), "ingress")
        return text(ingress, "ip")

    def health(self, name: str) -> tuple[str, str]:
        """What the two nodes say to the Service's health check."""
        port = self.field(name, "spec", "healthCheckNodePort")
        argv = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}"]
        first, second = (
            self.lab.run(OUTSIDE, [*argv, f"http://{node}:{port}/"], check=False).stdout
            for node in (NODE1, NODE2)
        )
        return first, second


def service(name: str, app: str, ports: list[tuple[str, int, int]], **spec: object) -> Json:
    """A Service with an address of the allocator's."""
    made = world.service(name, "", ports, selector={"app": app}, **spec)
    fields = {key: value for key, value in mapping(made, "spec").items() if key != "clusterIP"}
    return {**made, "spec": fields}


def ending(name: str, node: int, ready: Json | None = None, **labels: str) -> Json:
    """A pod that goes on serving when it is deleted."""
    made = world.pod(name, node, command=STUBBORN, labels=labels, ready=ready)
    return {**made, "spec": {**mapping(made, "spec"), "terminationGracePeriodSeconds": 60}}


@pytest.fixture(scope="module")
def upstream(runnable: None) -> Iterator[World]:
    objects = [
        world.lab(wire="fabric", outside=["client"], proxy={"minSyncPeriod": "50ms"}),
        world.pod("asker", 1),
        world.pod("asker2", 2),
        world.answerer("web-1", 1, labels={"app": "web"}),
        world.answerer("web-2", 2, labels={"app": "web"}),
        ending("ending", 1, app="ending"),
    ]
    with Lab(objects, name=world.lab_name()) as lab:
        yield World(lab)


def cluster_ip(w: World, name: str) -> str:
    return text(mapping(w.lab.get("service", name), "spec"), "clusterIP")


def test_services_go_and_come_back(upstream: World) -> None:
    """C-133, C-181: others with the same selector do not notice."""
    three = [service(name, "web", HTTP) for name in ("up-1", "up-2", "up-3")]
    upstream.lab.apply(three)
    for name in ("up-1", "up-2", "up-3"):
        upstream.heard("asker", cluster_ip(upstream, name), {"web-1", "web-2"})
    gone = cluster_ip(upstream, "up-2")
    upstream.lab.delete("service", "up-2")
    eventually(lambda: upstream.code("asker", gone) == TIMED_OUT, "it is gone")
    for name in ("up-1", "up-3"):
        assert upstream.code("asker", cluster_ip(upstream, name)) == 0
    upstream.lab.apply([three[1]])
    upstream.heard("asker", cluster_ip(upstream, "up-2"), {"web-1", "web-2"})


def test_a_service_becomes_a_node_port_of_two_protocols(upstream: World) -> None:
    """C-139."""
    upstream.lab.apply([service("both", "web", HTTP + WORDS)])
    made = service("both", "web", HTTP + WORDS, type="NodePort")
    spec = mapping(made, "spec")
    ports = [{**port, "nodePort": 30100} for port in items(spec, "ports")]
    upstream.lab.apply([{**made, "spec": {**spec, "ports": ports}}])
    upstream.heard(OUTSIDE, f"{NODE2}:30100", {"web-1", "web-2"})
    with asker(upstream.lab, OUTSIDE, "udp_client.py", NODE1, "30100") as udp:
        assert udp.ask("hostname").startswith("web-")


def test_the_api_leads_into_pods_and_services(upstream: World) -> None:
    """C-199: by port's name and number, to a pod, and with nobody there."""
    upstream.lab.apply([service("led", "web", HTTP), service("idle", "nobody", HTTP)])

    def ask(what: str) -> str:
        socket = str(state_dir(upstream.lab.name) / "api.sock")
        url = f"http://lab/api/v1/namespaces/default/{what}"
        argv = ["curl", "-s", "--unix-socket", socket, url]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    upstream.heard("asker", cluster_ip(upstream, "led"), {"web-1", "web-2"})
    for port in ("p0", "80"):
        assert ask(f"services/led:{port}/proxy/hostname") in ("web-1", "web-2")
    for pod in ("pods/web-1", "pods/web-2:8080"):
        assert ask(f"{pod}/proxy/hostname") == pod.partition("/")[2].partition(":")[0]
    assert ask("pods/web-2:8080/proxy/clientip").startswith("10.244.1.1:"), "from its node"
    assert "no endpoints available for service" in ask("services/idle:80/proxy/")
    assert ":9999: connect: connection refused" in ask("pods/web-1:9999/proxy/")


def test_services_are_served_on_addresses_of_another_range(upstream: World) -> None:
    """C-198; and the range stays while a Service needs it."""
    more = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": {"name": "more"},
        "spec": {"cidrs": ["10.77.0.0/24"]},
    }
    made = world.service("ranged", "10.77.0.9", HTTP, selector={"app": "web"})
    upstream.lab.apply([more, made])
    upstream.heard("asker", "10.77.0.9", {"web-1", "web-2"})
    for node in ("node/node1", "node/node2"):
        upstream.heard(node, "10.77.0.9", {"web-1", "web-2"})
    assert upstream.code("asker", "10.77.0.10") == TIMED_OUT
    upstream.lab.delete("servicecidr", "more")
    kept = upstream.lab.get("servicecidr", "more")
    assert "deletionTimestamp" in mapping(kept, "metadata")
    upstream.heard("asker2", "10.77.0.9", {"web-1", "web-2"})
    upstream.lab.delete("service", "ranged")

    def ranges() -> set[str]:
        return {name_of(obj) for obj in upstream.lab.objects("servicecidr")}

    eventually(lambda: ranges() == {"kubernetes"}, "the range goes with its last Service")
    routes = upstream.lab.run("node/node1", ["ip", "route"]).stdout
    assert "10.77.0.0/24" not in routes
    assert "10.96.0.0/12 dev cni0" in routes


def test_the_external_policy_changes(upstream: World) -> None:
    """C-168, C-206: the client's address, health checks, and what pods get."""
    upstream.lab.apply([world.answerer("far", 2, labels={"app": "far"})])
    lb = {"type": "LoadBalancer"}
    upstream.lab.apply([service("far", "far", HTTP, **lb, externalTrafficPolicy=LOCAL)])
    upstream.lab.wait()
    address, port = upstream.balancer("far"), 0
    spec = items(mapping(upstream.lab.get("service", "far"), "spec"), "ports")
    port = number(spec[0], "nodePort")
    eventually(lambda: upstream.health("far") == ("503", "200"), "only node2 has it")
    assert upstream.says(OUTSIDE, f"{NODE2}:{port}", "clientip").startswith("172.18.255.254:")
    assert upstream.code(OUTSIDE, f"{NODE1}:{port}") == TIMED_OUT
    for source in ("asker", "asker2"):
        assert upstream.says(source, address) == "far"
    check = upstream.field("far", "spec", "healthCheckNodePort")
    upstream.lab.apply([service("far", "far", HTTP, **lb, externalTrafficPolicy="Cluster")])
    eventually(lambda: upstream.code(OUTSIDE, f"{NODE1}:{port}") == 0, "every node has it")
    assert not upstream.says(OUTSIDE, f"{NODE1}:{port}", "clientip").startswith("172.18.255.254")
    eventually(lambda: upstream.code(OUTSIDE, f"{NODE2}:{check}") == REFUSED, "no health check")
    upstream.lab.apply([world.answerer("near", 1, labels={"app": "far"})])
    upstream.lab.apply([service("far", "far", HTTP, **lb, externalTrafficPolicy=LOCAL)])
    eventually(lambda: upstream.health("far") == ("200", "200"), "both nodes have one")
    assert upstream.says(OUTSIDE, f"{NODE1}:{port}") == "near"


@pytest.mark.parametrize("policy", ["Cluster", LOCAL])
def test_a_load_balancer_s_affinity_is_switched(upstream: World, policy: str) -> None:
    """C-202. The balancer's address is node1's to outside, and web-1 its only endpoint."""
    name, everyone = f"sticky-{policy.lower()}", {"web-1", "web-2"}
    more = {"type": "LoadBalancer", "externalTrafficPolicy": policy}
    upstream.lab.apply([service(name, "web", HTTP, **more, sessionAffinity="ClientIP")])
    address = eventually(lambda: upstream.balancer(name), "an address")
    eventually(lambda: upstream.code("asker", address) == 0, "it answers")
    for source in (OUTSIDE, "asker"):
        assert len(upstream.answers(source, address)) == 1
    upstream.lab.apply([service(name, "web", HTTP, **more, sessionAffinity="None")])
    upstream.heard("asker", address, everyone)
    upstream.heard(OUTSIDE, address, everyone if policy == "Cluster" else {"web-1"})
    upstream.lab.apply([service(name, "web", HTTP, **more, sessionAffinity="ClientIP")])
    upstream.lab.wait()
    eventually(lambda: len(upstream.answers("asker", address)) == 1, "one of them")


def test_endpoints_follow_a_new_service_soon(upstream: World) -> None:
    """C-200: upstream allows 20 s at the median and 50 s for 99 of 100."""
    took = []
    for name in [f"quick-{n}" for n in range(10)]:
        began = time.monotonic()
        upstream.lab.apply([service(name, "web", HTTP)])
        while len(addresses(upstream.lab, name)) < 2:
            assert time.monotonic() - began < world.TIMEOUT_S
        took.append(time.monotonic() - began)
    assert quantiles(took, n=100)[49] < 20
    assert quantiles(took, n=100)[98] < 50


def syncs(w: World) -> int:
    argv = ["curl", "-s", "http://127.0.0.1:10249/metrics"]
    lines = w.lab.run("node/node1", argv).stdout.splitlines()
    [count] = [line for line in lines if "sync_proxy_rules_duration_seconds_count" in line]
    return int(count.split()[1])


def test_changes_are_gathered_and_none_is_left_out(upstream: World) -> None:
    """P-91 with a minSyncPeriod of 50 ms."""
    before, began = syncs(upstream), time.monotonic()
    for round_ in range(30):
        upstream.lab.apply([service("often", "web", [("TCP", 100 + round_, 8080)])])
    upstream.heard("asker", f"{cluster_ip(upstream, 'often')}:129", {"web-1", "web-2"})
    assert syncs(upstream) - before <= 2 + (time.monotonic() - began) / 0.05 + 1


def udp_service(name: str, **spec: object) -> Json:
    return service(name, name, WORDS, **spec)


def answered_by(udp: Asker, name: str) -> None:
    eventually(lambda: udp.ask("hostname") == name, f"{name} answers", timeout_s=15)


WAYS: Mapping[str, tuple[int, Mapping[str, object]]] = {
    "node-port": (2, {"type": "NodePort"}),  # C-171
    "internal-local": (1, {"internalTrafficPolicy": LOCAL}),  # C-173
    "balancer": (2, {"type": "LoadBalancer"}),  # C-204, different nodes
    "balancer-near": (1, {"type": "LoadBalancer"}),  # C-204, same node
}


@pytest.mark.parametrize("way", WAYS)
def test_udp_from_one_port_moves_when_the_server_does(upstream: World, way: str) -> None:
    """C-171, C-173, C-204; and C-175: it begins when nobody is there."""
    node, spec = WAYS[way]
    lab, source = upstream.lab, "asker" if way == "internal-local" else OUTSIDE
    lab.apply([udp_service(way, **spec)])
    lab.wait()
    at, port = cluster_ip(upstream, way), 80
    if way == "node-port":
        at, port = (
            NODE1,
            number(items(mapping(lab.get("service", way), "spec"), "ports")[0], "nodePort"),
        )
    elif spec.get("type") == "LoadBalancer":
        at = upstream.balancer(way)
    with asker(lab, source, "udp_client.py", at, str(port), "12345") as udp:
        assert udp.ask("hostname") in ("ECONNREFUSED", "timeout")
        lab.apply([world.answerer(f"{way}-1", 1, labels={"app": way})])
        answered_by(udp, f"{way}-1")
        lab.apply([world.answerer(f"{way}-2", node, labels={"app": way})])
        eventually(lambda: len(addresses(lab, way)) == 2, "both are endpoints")
        assert udp.ask("hostname") == f"{way}-1"
        lab.delete("pod", f"{way}-1", grace_s=0)
        answered_by(udp, f"{way}-2")


def test_udp_from_one_port_follows_the_target_port(upstream: World) -> None:
    """C-177."""
    pod = world.answerer("ports", 2, labels={"app": "ports"})
    [main] = items(mapping(pod, "spec"), "containers")
    more = [*items(main, "ports"), {"containerPort": 8082, "protocol": "UDP"}]
    pod = {**pod, "spec": {**mapping(pod, "spec"), "containers": [{**main, "ports": more}]}}
    upstream.lab.apply([pod, udp_service("ports", type="NodePort")])
    upstream.lab.wait()
    [port] = items(mapping(upstream.lab.get("service", "ports"), "spec"), "ports")
    node_port = number(port, "nodePort")
    with asker(upstream.lab, OUTSIDE, "udp_client.py", NODE1, str(node_port), "12346") as udp:
        answered_by(udp, "ports")
        upstream.lab.apply([service("ports", "ports", [("UDP", 80, 8082)], type="NodePort")])
        answered_by(udp, "ports")

        def target() -> list[int]:
            udp.ask("hostname")
            flows = upstream.lab.flows("node1", protocol="udp", sport=12346, dport=node_port)
            return [flow.reply.source_port for flow in flows]

        eventually(lambda: target() == [8082], "the flow goes to the new port")


def test_the_only_endpoint_ends(upstream: World) -> None:
    """C-160, C-161, C-193: it is asked as long as it serves, but balancers are told to go."""
    lb = {"type": "LoadBalancer", "externalTrafficPolicy": LOCAL}
    upstream.lab.apply(
        [
            service("ending", "ending", HTTP, **lb),
            service("ending-all", "ending", HTTP, type="NodePort"),
            service("ending-near", "ending", HTTP, internalTrafficPolicy=LOCAL),
        ]
    )
    eventually(lambda: upstream.health("ending") == ("200", "503"), "node1 has it")
    upstream.lab.delete("pod", "ending")
    eventually(lambda: upstream.health("ending") == ("503", "503"), "it ends")
    local, every = (
        number(items(mapping(upstream.lab.get("service", n), "spec"), "ports")[0], "nodePort")
        for n in ("ending", "ending-all")
    )
    near, all_ = cluster_ip(upstream, "ending-near"), cluster_ip(upstream, "ending-all")
    pod = text(mapping(upstream.lab.get("pod", "ending"), "status"), "podIP")
    answers = {
        ("asker2", all_): 0,
        ("asker", near): 0,
        ("asker2", near): TIMED_OUT,
        (OUTSIDE, f"{NODE2}:{every}"): 0,
        (OUTSIDE, f"{NODE1}:{local}"): 0,
        (OUTSIDE, f"{NODE2}:{local}"): TIMED_OUT,
        ("asker2", f"{pod}:8080"): 0,
    }
    assert {asked: upstream.code(*asked) for asked in answers} == answers
    assert upstream.code("ending", cluster_ip(upstream, "up-1")) == 0, "it may ask others"


def metadata(w: World, pod: str) -> Json:
    return mapping(w.lab.get("pod", pod), "metadata")


def test_pods_that_are_not_ready_and_end(upstream: World) -> None:
    """C-148, C-149: reached where publishNotReadyAddresses says so, and only there."""
    upstream.lab.apply(
        [
            ending("unready", 2, NEVER, app="unready"),
            service("published", "unready", HTTP, publishNotReadyAddresses=True),
            service("unpublished", "unready", HTTP),
        ]
    )
    published, other = (cluster_ip(upstream, n) for n in ("published", "unpublished"))
    eventually(lambda: upstream.code("asker", published) == 0, "it is published")
    assert upstream.code("asker", other) == REFUSED
    upstream.lab.delete("pod", "unready")
    eventually(lambda: "deletionTimestamp" in metadata(upstream, "unready"), "it ends")
    assert upstream.code("asker", published) == 0
    assert upstream.code("asker", other) == REFUSED


def test_an_evicted_pod_serves_nobody(upstream: World) -> None:
    """C-157: kubelet would say so in the pod's status."""
    pod = world.answerer("evicted", 2, labels={"app": "evicted"})
    upstream.lab.apply([pod, service("evicted", "evicted", HTTP)])
    address = cluster_ip(upstream, "evicted")
    upstream.heard("asker", address, {"evicted"})
    evicted = {"status": {"phase": "Failed", "reason": "Evicted"}}
    with upstream.lab.api as api:
        api.patch(KIND_BY_NAME["Pod"], "evicted", evicted, "default", part="status")
    eventually(lambda: upstream.code("asker", address) == REFUSED, "nobody is asked")
