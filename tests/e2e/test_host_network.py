"""Pods on their node's network, and pods with host ports.

The C- numbers are those of docs/conformance.md.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import pytest

from netsim import Lab
from netsim.api.fields import Json, items, mapping, number, text
from netsim.api.meta import name_of
from netsim.lab.topology import Source
from tests.e2e import world
from tests.e2e.asking import asker
from tests.e2e.processes import crash, netsim
from tests.e2e.world import eventually, program

pytestmark = pytest.mark.linux

NODE1, NODE2, OUTSIDE = "172.18.0.2", "172.18.0.3", "outside/client"
HOSTS_IP, HOSTS_LOCAL_IP, PODS_LOCAL_IP, MOVING_IP = (f"10.96.0.{n}" for n in (81, 82, 83, 84))
HTTP, WORDS, NODE_PORT = 80, 53, 30080
REFUSED, TIMED_OUT = 7, 28  # curl's exit codes


def on_host(pod: Json, *ports: Json) -> Json:
    """The pod on its node's network, with an answerer on these ports if there are any."""
    spec = {**mapping(pod, "spec"), "hostNetwork": True}
    if ports:
        spec["containers"] = [{"name": "main", "ports": list(ports)}]
    return {**pod, "spec": spec}


def answerer(name: str, node: int, app: str) -> Json:
    """It answers HTTP on 9080 and datagrams on 9081 of its node, ports with names."""
    return on_host(
        world.pod(name, node, labels={"app": app}),
        {"name": "http", "containerPort": 9080},
        {"name": "words", "containerPort": 9081, "protocol": "UDP"},
    )


def service(name: str, address: str, app: str, **spec: object) -> Json:
    made = world.service(name, address, [], **spec)
    ports = [
        {"name": "http", "port": HTTP, "targetPort": "http"},
        {"name": "words", "port": WORDS, "targetPort": "words", "protocol": "UDP"},
    ]
    return {**made, "spec": {**mapping(made, "spec"), "selector": {"app": app}, "ports": ports}}


def near(name: str, node: int) -> Json:
    """A plain pod that answers on ports of the same names."""
    made = world.pod(name, node, labels={"app": "pods"})
    ports = [
        {"name": "http", "containerPort": 8080},
        {"name": "words", "containerPort": 8081, "protocol": "UDP"},
    ]
    return {
        **made,
        "spec": {**mapping(made, "spec"), "containers": [{"name": "c", "ports": ports}]},
    }


@pytest.fixture(scope="module")
def lab(module_lab: Callable[[Source], Lab]) -> Lab:
    hosts = service("hosts", HOSTS_IP, "hosts", type="NodePort")
    [http, words] = items(mapping(hosts, "spec"), "ports")
    ports = [{**http, "nodePort": NODE_PORT}, {**words, "nodePort": NODE_PORT + 1}]
    return module_lab(
        [
            world.lab(outside=["client"]),
            answerer("host-1", 1, "hosts"),
            answerer("host-2", 2, "hosts"),
            near("pod-1", 1),
            world.pod("asker-2", 2),
            on_host(world.pod("client-1", 1)),
            on_host(world.pod("client-2", 2)),
            {**hosts, "spec": {**mapping(hosts, "spec"), "ports": ports}},
            service("hosts-local", HOSTS_LOCAL_IP, "near", internalTrafficPolicy="Local"),
            service("pods-local", PODS_LOCAL_IP, "pods", internalTrafficPolicy="Local"),
            on_host(
                world.pod("near-1", 1, labels={"app": "near"}),
                {"name": "http", "containerPort": 9082},
                {"name": "words", "containerPort": 9083, "protocol": "UDP"},
            ),
        ]
    )


def answers(lab: Lab, source: str, address: str, port: int = HTTP) -> set[str]:
    """Who answers sixteen connections."""
    argv = program("connections.py", address, str(port), "16", "/hostname")
    return set(json.loads(lab.run(source, argv).stdout))


def code(lab: Lab, source: str, address: str) -> int:
    argv = ["curl", "-s", "-o", "/dev/null", "--connect-timeout", "0.3", f"http://{address}"]
    return lab.run(source, argv, check=False).returncode


def test_it_is_the_node_but_for_its_files_and_programs(lab: Lab) -> None:
    status = mapping(lab.get("pod", "host-1"), "status")
    assert (text(status, "podIP"), text(status, "hostIP")) == (NODE1, NODE1)
    script = "hostname; cat /etc/hosts; ls /sys/class/net"
    hostname, header, *rest = lab.run("client-1", ["sh", "-c", script]).stdout.split("\n")
    assert hostname == "node1"
    assert header == "# Kubernetes-managed hosts file (host network)."
    assert {"cni0", "eth0", "lo"} <= set(rest)
    same = "mount -t tmpfs none /mnt; touch /mnt/own; ls /mnt"
    assert lab.run("client-1", ["sh", "-c", same]).stdout == "own\n"
    assert "own" not in lab.run("node/node1", ["ls", "/mnt"]).stdout
    assert "tcp:9080" in netsim("logs", "host-1", "-L", lab.name).stdout


@pytest.mark.parametrize("source", ["pod-1", "asker-2", "client-1", "node/node2"])
def test_it_is_an_endpoint_for_everybody(lab: Lab, source: str) -> None:
    """C-187: http and datagrams, by names of ports; itself and its node, too."""
    assert answers(lab, source, HOSTS_IP) == {"node1", "node2"}
    assert answers(lab, source, NODE2, 9080) == {"node2"}
    with asker(lab, source, "udp_client.py", HOSTS_IP, str(WORDS)) as udp:
        assert udp.ask("hostname") in ("node1", "node2")


def test_it_is_an_endpoint_from_outside(lab: Lab) -> None:
    assert answers(lab, OUTSIDE, NODE1, NODE_PORT) == {"node1", "node2"}
    with asker(lab, OUTSIDE, "udp_client.py", NODE1, str(NODE_PORT + 1)) as udp:
        assert udp.ask("hostname") in ("node1", "node2")


def test_it_reaches_itself(lab: Lab) -> None:
    assert answers(lab, "near-1", HOSTS_LOCAL_IP) == {"node1"}


def test_policy_local_keeps_to_the_node(lab: Lab) -> None:
    """C-158: from a pod and from a pod on the node's network to pods; and the other way round."""
    for source in ("pod-1", "client-1", "node/node1"):
        assert answers(lab, source, HOSTS_LOCAL_IP) == {"node1"}
        assert answers(lab, source, PODS_LOCAL_IP) == {"pod-1"}
    for source in ("asker-2", "client-2"):
        assert code(lab, source, HOSTS_LOCAL_IP) == TIMED_OUT
        assert code(lab, source, PODS_LOCAL_IP) == TIMED_OUT


def test_udp_of_a_client_on_its_nodes_network_moves(lab: Lab) -> None:
    """C-174: from one port, and what does not fit a connection does not end it."""
    moving = [world.answerer(f"moving-{n}", n, labels={"app": "moving"}) for n in (1, 2)]
    lab.apply([moving[0], world.service("moving", MOVING_IP, [("UDP", 80, 8081)])])
    with asker(lab, "client-1", "udp_client.py", MOVING_IP, "80", "12345") as udp:
        eventually(lambda: udp.ask("hostname") == "moving-1", "the first answers")
        lab.apply([moving[1]])
        lab.wait()
        lab.delete("pod", "moving-1", grace_s=0)
        eventually(lambda: udp.ask("hostname") == "moving-2", "the second answers")


def test_two_with_one_port_do_not_share_a_node(lab: Lab) -> None:
    """Bound by hand, as here, a pod waits too, until the port is free."""

    def phase(name: str) -> tuple[str, str]:
        status = mapping(lab.get("pod", name), "status")
        return text(status, "phase"), text(status, "message")

    free = "node(s) didn't have free ports for the requested pod ports"
    lab.apply([answerer("second", 1, "second")])
    eventually(lambda: phase("second") == ("Pending", free), "it waits")
    unbound = answerer("third", 1, "third")
    spec = {k: v for k, v in mapping(unbound, "spec").items() if k != "nodeName"}
    lab.apply([{**unbound, "spec": spec}])

    def refusal() -> str:
        conditions = items(mapping(lab.get("pod", "third"), "status"), "conditions")
        return next((text(c, "message") for c in conditions if c["type"] == "PodScheduled"), "")

    eventually(lambda: refusal() == f"0/2 nodes are available: 2 {free}.", "no node has it free")
    lab.delete("pod", "host-1", grace_s=0)
    eventually(lambda: phase("second")[0] == "Running", "it has the port now")
    lab.delete("pod", "third")
    lab.delete("pod", "second", grace_s=0)
    lab.apply([answerer("host-1", 1, "hosts")])
    lab.wait()


def with_host_port(name: str, node: int, port: int, address: str = "", kind: str = "TCP") -> Json:
    made = world.answerer(name, node)
    given = {"hostIP": address} if address else {}
    target = 8081 if kind == "UDP" else 8080
    ports = [{"containerPort": target, "hostPort": port, "protocol": kind, **given}]
    return {
        **made,
        "spec": {**mapping(made, "spec"), "containers": [{"name": "c", "ports": ports}]},
    }


def source_of(lab: Lab, asker_: str, address: str) -> str:
    """Whom the pod behind an address sees."""
    said = lab.run(asker_, ["curl", "-s", "-m", "2", f"http://{address}/clientip"]).stdout
    return said.partition(":")[0]


def reserved(lab: Lab, node: str) -> str:
    """Ports that the node's kernel does not choose for connections."""
    path = "/proc/sys/net/ipv4/ip_local_reserved_ports"
    return lab.run(f"node/{node}", ["cat", path]).stdout.strip()


def test_a_host_port_leads_to_its_pod(lab: Lab) -> None:
    lab.apply([with_host_port("held", 1, 8888)])
    lab.wait()
    for source in ("pod-1", "asker-2", "client-1", "node/node1", "node/node2", OUTSIDE):
        assert answers(lab, source, NODE1, 8888) == {"held"}
    assert answers(lab, "node/node1", "127.0.0.1", 8888) == {"held"}
    assert (reserved(lab, "node1"), reserved(lab, "node2")) == ("8888", "")
    assert code(lab, "node/node2", f"{NODE2}:8888") == REFUSED, "it is not that node's"
    assert source_of(lab, OUTSIDE, f"{NODE1}:8888") == "172.18.255.254"
    pod = text(mapping(lab.get("pod", "pod-1"), "status"), "podIP")
    assert source_of(lab, "pod-1", f"{NODE1}:8888") == pod
    assert source_of(lab, "held", f"{NODE1}:8888") == "10.244.0.1", "a pod that reaches itself"
    crash(lab, "control", "dataplane")
    lab.wait()
    assert answers(lab, OUTSIDE, NODE1, 8888) == {"held"}
    lab.delete("pod", "held", grace_s=0)
    eventually(lambda: code(lab, OUTSIDE, f"{NODE1}:8888") == REFUSED, "it went with its pod")
    eventually(lambda: reserved(lab, "node1") == "", "nothing of it is left")
    assert "8888" not in lab.run("node/node1", ["ip", "rule"]).stdout


def test_one_number_is_several_ports(lab: Lab) -> None:
    """C-192: by hostIP and protocol."""
    pods = [
        with_host_port("by-loopback", 2, 54323, "127.0.0.1"),
        with_host_port("by-address", 2, 54323, NODE2),
        with_host_port("by-protocol", 2, 54323, NODE2, "UDP"),
    ]
    lab.apply(pods)
    lab.wait()
    for source in ("node/node2", "client-2"):
        assert answers(lab, source, "127.0.0.1", 54323) == {"by-loopback"}
        assert answers(lab, source, NODE2, 54323) == {"by-address"}
    for source in ("client-2", "pod-1", OUTSIDE):
        with asker(lab, source, "udp_client.py", NODE2, "54323") as udp:
            assert udp.ask("hostname") == "by-protocol"
    for pod in pods:
        lab.delete("pod", name_of(pod), grace_s=0)


def daemons() -> list[str]:
    found = subprocess.run(["pgrep", "-f", "sleep 7654[12]"], capture_output=True, text=True)
    return found.stdout.split()


def test_it_goes_with_all_that_it_started_and_nothing_else(lab: Lab) -> None:
    lab.apply([on_host(world.pod("leaver", 1))])
    lab.wait()
    for source, seconds in (("leaver", "76541"), ("node/node1", "76542")):
        lab.run(source, ["sh", "-c", f"setsid sleep {seconds} >/dev/null 2>&1 </dev/null &"])
    eventually(lambda: len(daemons()) == 2, "both run")
    lab.delete("pod", "leaver", grace_s=0)
    eventually(lambda: len(daemons()) == 1, "the node's runs on")
    assert answers(lab, "asker-2", NODE1, 9080) == {"node1"}
    lab.run("node/node1", ["pkill", "-f", "sleep 76542"])


def restarts(lab: Lab) -> dict[str, int]:
    return {
        name_of(pod): number(one, "restartCount")
        for pod in lab.objects("pod")
        for one in items(mapping(pod, "status"), "containerStatuses")
    }


def test_it_outlives_control_and_the_data_plane(lab: Lab) -> None:
    before = restarts(lab)
    with asker(lab, "client-1", "udp_client.py", HOSTS_IP, str(WORDS), "12347") as udp:
        assert udp.ask("hostname").startswith("node")
        for process in ("control", "dataplane"):
            crash(lab, process)
            lab.wait()
            eventually(lambda: udp.ask("hostname").startswith("node"), f"after {process}")
    assert answers(lab, "asker-2", HOSTS_IP) == {"node1", "node2"}
    assert restarts(lab) == before
    lab.delete("pod", "host-2", grace_s=0)
    eventually(lambda: answers(lab, "asker-2", HOSTS_IP) == {"node1"}, "what is left answers")
