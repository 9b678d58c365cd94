"""Nodes in mode userspace, asked with real sockets: what the relay is to a lab."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest

from netsim import Lab
from netsim.api.fields import Json, items, number
from netsim.controllers.objects import spec
from tests.e2e import world
from tests.e2e.asking import asker
from tests.e2e.processes import crash, netsim
from tests.e2e.world import eventually

pytestmark = pytest.mark.linux

WEB, HALF, NONE, LATER = (f"10.96.1.{n}" for n in (1, 2, 3, 4))
ENDPOINT, GONE = "10.244.0.50", "10.244.0.250"
MODES = {"node1": "", "node2": "", "node3": "iptables"}  # beside the lab's


def node(name: str, mode: str) -> Json:
    notes = {"netsim.dev/proxy-mode": mode} if mode else {}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "annotations": notes}}


def half(*addresses: str) -> Json:
    """Endpoints that somebody has written."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "half-1", "labels": {"kubernetes.io/service-name": "half"}},
        "addressType": "IPv4",
        "ports": [{"name": "p0", "port": 8080}],
        "endpoints": [{"addresses": [address]} for address in addresses],
    }


def objects() -> list[Json]:
    written = world.service("half", HALF, [("TCP", 80, 8080)])
    fields = spec(written)
    return [
        world.lab(wire="fabric", nodes=0, proxyMode="userspace", outside=["client"]),
        *(node(name, mode) for name, mode in MODES.items()),
        world.answerer("web-1", 1, ENDPOINT, labels={"app": "web"}),
        world.answerer("web-2", 2, labels={"app": "web"}),
        *(world.pod(f"client-{n}", n) for n in (1, 3)),
        world.service("web", WEB, [("TCP", 80, 8080), ("UDP", 81, 8081)], type="NodePort"),
        {**written, "spec": {k: v for k, v in fields.items() if k != "selector"}},
        half(ENDPOINT, GONE),
        world.service("none", NONE, [("TCP", 80, 8080)]),
    ]


@pytest.fixture(scope="module")
def lab(runnable: None) -> Iterator[Lab]:
    with Lab(objects(), name=world.lab_name()) as lab:
        yield lab


def curl(lab: Lab, source: str, where: str, path: str = "/hostname", *, seconds: str = "3") -> str:
    argv = ["curl", "-s", "-m", seconds, f"http://{where}{path}"]
    return lab.run(source, argv, check=False).stdout


def port_of(lab: Lab, name: str = "web") -> int:
    return number(items(spec(lab.get("service", name)), "ports")[0], "nodePort")


def listeners(lab: Lab, name: str) -> set[str]:
    """Addresses and ports that the relay has at a node."""
    lines = lab.run(f"node/{name}", ["ss", "-Hlntup"]).stdout.splitlines()
    return {line.split()[4] for line in lines if '"relay"' in line}


def test_every_way_in_is_relayed_and_the_client_s_address_is_lost(lab: Lab) -> None:
    """3.11, C-116: endpoints see the node."""
    port, web = port_of(lab), {"web-1", "web-2"}
    ways = [
        ("client-1", WEB),
        ("client-1", f"172.18.0.2:{port}"),
        ("node/node1", WEB),
        ("node/node1", f"172.18.0.2:{port}"),
        ("node/node1", f"127.0.0.1:{port}"),
        ("outside/client", f"172.18.0.3:{port}"),
    ]
    for source, where in ways:
        assert {curl(lab, source, where) for _ in range(2)} == web, (source, where)
    seen = {curl(lab, "client-1", WEB, "/clientip").rpartition(":")[0] for _ in range(2)}
    assert seen == {"10.244.0.0", "10.244.0.1"}  # by flannel.1 and by cni0
    assert curl(lab, "client-3", WEB, "/clientip").startswith("10.244.2.")


def test_endpoints_take_turns(lab: Lab) -> None:
    found = [curl(lab, "client-1", WEB) for _ in range(6)]
    assert all(one != other for one, other in pairwise(found))


def test_datagrams_are_relayed(lab: Lab) -> None:
    with asker(lab, "client-1", "udp_client.py", WEB, "81") as client:
        assert client.ask("hostname") in ("web-1", "web-2")
        assert client.ask("echo " + "x" * 3000) == "x" * 3000


def test_who_meets_a_dead_endpoint_gets_another(lab: Lab) -> None:
    """P-102."""
    assert [curl(lab, "client-1", HALF) for _ in range(4)] == ["web-1"] * 4
    metrics = curl(lab, "node/node1", "127.0.0.1:10249", "/metrics")
    [failed] = [x for x in metrics.splitlines() if x.startswith("kubeproxy_userspace_dials_failed")]
    assert int(failed.split()[1]) >= 1


def test_without_endpoints_connections_are_accepted_and_closed(lab: Lab) -> None:
    argv = ["curl", "-s", "-m", "3", f"http://{NONE}"]
    assert lab.run("client-1", argv, check=False).returncode in (52, 56)
    assert lab.run("client-3", argv, check=False).returncode == 7


def test_both_halves_are_tracked_and_the_relay_sees_who_asks(lab: Lab) -> None:
    """P-101: redirected to the address of cni0."""
    curl(lab, "outside/client", f"172.18.0.2:{port_of(lab)}")
    client = "172.18.255.254"
    [flow, *_] = lab.flows("node1", src=client)
    assert (flow.reply.source, flow.reply.destination) == ("10.244.0.1", client)
    assert lab.flows("node1", dst=ENDPOINT)


def test_a_node_port_is_taken_and_rules_are_not_made_up(lab: Lab) -> None:
    """P-100."""
    taken = f"import socket; socket.socket().bind(('', {port_of(lab)}))"
    failed = lab.run("node/node1", ["python3", "-c", taken], check=False)
    assert "Address already in use" in failed.stderr
    refused = netsim("get", "rules", "node1", "-L", lab.name)
    assert refused.returncode != 0
    assert "node node1 is in mode userspace, whose rules are not rendered" in refused.stderr
    assert netsim("get", "rules", "node3", "-L", lab.name).returncode == 0


def test_a_killed_relay_ends_what_it_relayed_and_the_next_one_serves(lab: Lab) -> None:
    with asker(lab, "client-1", "tcp_client.py", WEB, "80") as client:
        assert client.ask("/hostname") in ("web-1", "web-2")
        crash(lab, "relay")
        assert "web" not in client.ask("/hostname")
    eventually(lambda: curl(lab, "client-1", WEB), "the next relay serves")
    eventually(lambda: len(listeners(lab, "node2")) == 6, "everything is there again")
    lab.wait()


@pytest.mark.parametrize("victim", ["control", "dataplane"])
def test_connections_outlive_control_and_data_plane(lab: Lab, victim: str) -> None:
    with asker(lab, "client-1", "tcp_client.py", WEB, "80") as client:
        name = client.ask("/hostname")
        crash(lab, victim)
        assert client.ask("/hostname") == name
        lab.wait()
        assert curl(lab, "client-1", WEB)
        assert client.ask("/hostname") == name


def test_a_service_that_comes_changes_and_goes(lab: Lab) -> None:
    """C-118 to C-122."""
    before = listeners(lab, "node1")
    lab.apply([world.service("later", LATER, [("TCP", 80, 8080)], selector={"app": "web"})])
    lab.wait()
    assert curl(lab, "client-1", LATER)
    assert len(listeners(lab, "node1") - before) == 1
    ports = [("TCP", 82, 8080), ("TCP", 83, 8080)]
    external = {"selector": {"app": "web"}, "externalIPs": ["192.0.2.7"]}
    lab.apply([world.service("later", LATER, ports, **external)])
    lab.wait()
    for where in (f"{LATER}:82", f"{LATER}:83", "192.0.2.7:83"):
        assert curl(lab, "client-1", where), where
    assert not curl(lab, "client-1", LATER, seconds="0.3")
    lab.delete("service", "later")
    eventually(lambda: listeners(lab, "node1") == before, "nothing is left")
    lab.apply([world.service("later", "None", [("TCP", 80, 8080)], selector={"app": "web"})])
    lab.wait()
    assert listeners(lab, "node1") == before  # headless
    lab.delete("service", "later")


def test_a_node_that_relays_comes_and_goes(lab: Lab) -> None:
    """A node's mode is for life: to change it, the node is made anew."""
    lab.apply([node("node4", "userspace")])
    lab.wait()
    eventually(lambda: curl(lab, "node/node4", WEB), "node4 relays")
    assert len(listeners(lab, "node4")) == 6
    lab.delete("node", "node4")
    eventually(lambda: len(lab.objects("node")) == 3, "node4 has gone")
    lab.apply([node("node4", "iptables")])
    lab.wait()
    eventually(lambda: curl(lab, "node/node4", WEB), "node4 serves")
    assert listeners(lab, "node4") == set()
    lab.delete("node", "node4")
