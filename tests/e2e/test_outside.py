"""Services from outside the cluster, with real sockets: who answers, and whom it sees."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from netsim import Lab
from netsim.api.fields import Json, items, mapping, number, text
from tests.e2e import world
from tests.e2e.asking import asker
from tests.e2e.world import eventually, program

pytestmark = pytest.mark.linux

NETWORKS = [("vxlan", "udp"), ("vxlan", "fabric"), ("host-gw", "udp")]
NODE1, NODE2 = "172.18.0.2", "172.18.0.3"
OUTSIDE, EXTERNAL = "172.18.255.254", "192.0.2.7"
REFUSED, TIMED_OUT = 7, 28  # curl's exit codes


def from_outside(name: str, address: str, ports: Mapping[str, int], **spec: object) -> Json:
    """A Service of pods labelled `app: <name>`; `ports`: node ports by protocol."""
    made = world.service(name, address, [(p, 80, 8080 if p == "TCP" else 8081) for p in ports])
    fields = mapping(made, "spec")
    numbered = [
        {**port, "nodePort": number}
        for port, number in zip(items(fields, "ports"), ports.values(), strict=True)
    ]
    return {**made, "spec": {**fields, "type": "NodePort", "ports": numbered, **spec}}


@dataclass(frozen=True)
class Network:
    lab: Lab

    def code(self, source: str, url: str) -> int:
        argv = ["curl", "-s", "--connect-timeout", "1", f"http://{url}"]
        return self.lab.run(source, argv, check=False).returncode

    def many(self, source: str, url: str, path: str) -> set[str]:
        """What is answered to connections one after the other."""
        address, _, port = url.partition(":")
        argv = program("connections.py", address, port or "80", "24", path)
        return set(json.loads(self.lab.run(source, argv).stdout))

    def answers(self, source: str, url: str) -> set[str]:
        return self.many(source, url, "/hostname")

    def seen_as(self, source: str, url: str) -> set[str]:
        """The client's address as the endpoints see it."""
        return {seen.rpartition(":")[0] for seen in self.many(source, url, "/clientip")}

    def balancer(self, name: str) -> str:
        """The address that a load balancer was given."""
        service = self.lab.get("service", name)
        [ingress] = items(mapping(mapping(service, "status"), "loadBalancer"), "ingress")
        return text(ingress, "ip")


@pytest.fixture(scope="module", params=NETWORKS, ids="-".join)
def network(request: pytest.FixtureRequest, runnable: None) -> Iterator[Network]:
    both = {"TCP": 30080, "UDP": 30080}
    local = {"TCP": 30081, "UDP": 30081}
    objects = [
        world.lab(*request.param, outside=["client"]),
        world.pod("asker", 1),
        world.answerer("web-1", 1, labels={"app": "web"}),
        world.answerer("web-2", 2, labels={"app": "web"}),
        world.answerer("here", 1, labels={"app": "here"}),
        from_outside("web", "10.96.1.1", both, type="LoadBalancer", externalIPs=[EXTERNAL]),
        from_outside(
            "here", "10.96.1.2", local, type="LoadBalancer", externalTrafficPolicy="Local"
        ),
        from_outside("nobody", "10.96.1.3", {"TCP": 30082}),
        from_outside(
            "guarded",
            "10.96.1.4",
            {"TCP": 30083},
            type="LoadBalancer",
            selector={"app": "web"},
            loadBalancerSourceRanges=["172.18.0.0/24"],
        ),
    ]
    with Lab(objects, name=world.lab_name()) as lab:
        yield Network(lab)


def test_a_node_port_of_every_node_leads_to_every_endpoint(network: Network) -> None:
    for node in (NODE1, NODE2):
        assert network.answers("outside/client", f"{node}:30080") == {"web-1", "web-2"}
        assert OUTSIDE not in network.seen_as("outside/client", f"{node}:30080"), "masqueraded"


def test_policy_local_keeps_the_client_and_knows_only_its_own(network: Network) -> None:
    assert network.answers("outside/client", f"{NODE1}:30081") == {"here"}
    assert network.seen_as("outside/client", f"{NODE1}:30081") == {OUTSIDE}
    assert network.code("outside/client", f"{NODE2}:30081") == TIMED_OUT
    assert network.answers("asker", f"{NODE1}:30081") == {"here"}, "a pod, by its own node"


def test_datagrams_come_and_go(network: Network) -> None:
    for at, name in ((30080, "web-"), (30081, "here")):
        script = ("udp_client.py", NODE1, str(at))
        with asker(network.lab, "outside/client", *script) as udp:
            assert udp.ask("hostname").startswith(name)


def test_addresses_that_are_no_nodes(network: Network) -> None:
    for address in (EXTERNAL, network.balancer("web")):
        for source in ("outside/client", "asker", "node/node2"):
            assert network.answers(source, address) == {"web-1", "web-2"}, (source, address)
        assert network.code("outside/client", f"{address}:81") == TIMED_OUT


def test_a_balancer_with_ranges(network: Network) -> None:
    address = network.balancer("guarded")
    assert network.code("outside/client", address) == TIMED_OUT
    assert network.code("asker", address) == TIMED_OUT
    assert network.code("node/node1", address) == 0
    assert network.code("outside/client", f"{NODE1}:30083") == 0, "node ports are not guarded"


@pytest.mark.parametrize("node", ["node1", "node2"])
def test_a_node_asks_its_own_ports(network: Network, node: str) -> None:
    own = NODE1 if node == "node1" else NODE2
    for address in (own, "127.0.0.1"):
        assert network.answers(f"node/{node}", f"{address}:30080") == {"web-1", "web-2"}


def test_a_port_without_endpoints_and_a_port_without_a_service_refuse(network: Network) -> None:
    for source in ("outside/client", "node/node1", "asker"):
        for port in (30082, 30099):
            assert network.code(source, f"{NODE1}:{port}") == REFUSED, (source, port)


def test_nodes_say_whether_they_have_an_endpoint(network: Network) -> None:
    service = network.lab.get("service", "here")
    port = number(mapping(service, "spec"), "healthCheckNodePort")
    status = ["-o", "/dev/null", "-w", "%{http_code}"]
    for node, wanted in ((NODE1, "200"), (NODE2, "503")):
        for source in ("outside/client", "asker"):
            argv = ["curl", "-s", "-m", "5", *status, f"http://{node}:{port}/"]
            assert network.lab.run(source, argv).stdout == wanted, (node, source)


def test_a_nodes_own_program_is_reached_at_such_a_port(network: Network) -> None:
    argv = [sys.executable, "-m", "http.server", "30099"]
    server = network.lab.popen("node/node1", argv)
    try:
        eventually(lambda: network.code("node/node1", f"{NODE1}:30099") == 0, "the server")
        for source in ("outside/client", "node/node1", "asker", "node/node2"):
            assert network.code(source, f"{NODE1}:30099") == 0, source
        assert network.code("node/node1", "127.0.0.1:30099") == 0
    finally:
        server.kill()
        server.wait()


def test_a_service_that_becomes_a_cluster_ip_is_gone_from_outside(network: Network) -> None:
    extra = from_outside("extra", "10.96.1.9", {"TCP": 30090}, selector={"app": "web"})
    network.lab.apply([extra])
    eventually(lambda: network.code("outside/client", f"{NODE1}:30090") == 0, "the node port")
    plain = world.service("extra", "10.96.1.9", [("TCP", 80, 8080)], selector={"app": "web"})
    network.lab.apply([plain])
    assert network.code("outside/client", f"{NODE1}:30090") == REFUSED
    assert network.code("asker", "10.96.1.9") == 0


def metrics(lab: Lab, node: str) -> dict[str, str]:
    """What a node's proxy says to Prometheus."""
    argv = ["curl", "-s", "http://127.0.0.1:10249/metrics"]
    lines = lab.run(f"node/{node}", argv).stdout.splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))


def test_nodes_say_how_their_proxy_is(network: Network) -> None:
    lab = network.lab
    for node, address in (("node1", NODE1), ("node2", NODE2)):
        said = lab.run("outside/client", ["curl", "-s", f"http://{address}:10256/healthz"]).stdout
        assert json.loads(said)["nodeEligible"] is True
        found = metrics(lab, node)
        assert float(found["kubeproxy_sync_proxy_rules_duration_seconds_count"]) > 0
        assert float(found["kubeproxy_network_programming_duration_seconds_count"]) > 0
        assert int(found['kubeproxy_proxy_healthz_total{code="200"}']) > 0
        assert "kubeproxy_iptables_ct_state_invalid_dropped_packets_total" in found
        with lab.api as api:
            served = api.raw("GET", f"/netsim/metrics?node={node}").decode()
        assert served.startswith("# HELP kubeproxy_network_programming_duration_seconds ")
    name = "kubeproxy_iptables_localhost_nodeports_accepted_packets_total"
    before = int(metrics(lab, "node1")[name])
    assert network.answers("node/node1", "127.0.0.1:30080") == {"web-1", "web-2"}
    assert int(metrics(lab, "node1")[name]) - before == 24
    assert lab.run("node/node1", ["curl", "-s", "http://127.0.0.1:10249/proxyMode"]).stdout == (
        "iptables"
    )
