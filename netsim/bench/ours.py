"""netsim doing the peer's work: the same pods, the same Service, its own data plane.

A lab outlives whoever started it, so a guard takes it down should this process be killed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress

from netsim.api.fields import mapping, text
from netsim.bench import rules
from netsim.bench.rules import PORT, PORTS, SERVICE, ServicePort
from netsim.bench.side import CLIENT, NEAR, server_names
from netsim.bench.space import Space
from netsim.lab import launch
from netsim.lab.lab import Lab
from netsim.lab.targets import locate, qualified

PREFIX = "bench-"
READY_S = 300.0

Manifest = dict[str, object]
Spec = Sequence[tuple[str, object]]


def lab_name(word: str) -> str:
    """A name that says whose lab it is."""
    return f"{PREFIX}{os.getpid()}-{word}"


def lab_manifest(name: str, wire: str, nodes: int, spec: Spec = ()) -> Manifest:
    """The Lab; `spec` are more of its fields."""
    return {
        "apiVersion": "netsim.dev/v1alpha1",
        "kind": "Lab",
        "metadata": {"name": name},
        "spec": {
            "wire": wire,
            "backend": {"vxlan": {}},
            "generate": {"nodes": nodes},
            **dict(spec),
        },
    }


def pod_manifest(name: str, node: str) -> Manifest:
    """A pod in which nothing happens."""
    main = {"name": "main", "image": "none", "command": ["sleep", "infinity"]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name.rstrip("0123456789")}},
        "spec": {"nodeName": node, "containers": [main]},
    }


def service_manifest() -> Manifest:
    """The Service that the load asks."""
    ports = [
        {"name": name, "port": PORT + offset, "protocol": protocol}
        for offset, (name, protocol) in enumerate(PORTS)
    ]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "bench"},
        "spec": {"clusterIP": SERVICE, "selector": {"app": "server"}, "ports": ports},
    }


def other_manifests(service: ServicePort) -> list[Manifest]:
    """A Service without selector, and its EndpointSlice."""
    port = {"name": "main", "port": service.port, "protocol": service.protocol.upper()}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": service.name},
            "spec": {"clusterIP": service.address, "ports": [port]},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": service.name,
                "labels": {"kubernetes.io/service-name": service.name},
            },
            "addressType": "IPv4",
            "endpoints": endpoints_of(service),
            "ports": [port],
        },
    ]


def endpoints_of(service: ServicePort) -> list[Manifest]:
    """The EndpointSlice's endpoints."""
    return [
        {"addresses": [address], "conditions": {"ready": True}} for address in service.endpoints
    ]


def manifests(
    name: str, wire: str, services: Sequence[ServicePort] = (), spec: Spec = ()
) -> list[Manifest]:
    """Two nodes; a client and a server on the first, SERVERS servers on the second."""
    objects = [lab_manifest(name, wire, 2, spec), service_manifest()]
    objects += [pod_manifest(CLIENT, "node1"), pod_manifest(NEAR, "node1")]
    objects += [pod_manifest(server, "node2") for server in server_names()]
    return objects + [manifest for s in services for manifest in other_manifests(s)]


class Guard:
    """A process that takes a lab down when we end without having done so."""

    def __init__(self, lab: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "netsim.bench.guard", lab],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """The lab is down."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError), self._process.stdin:
            self._process.stdin.write(b"x")
        self._process.wait()


class GuardedLab:
    """A lab that goes when we go."""

    def __init__(self, name: str, objects: Sequence[Manifest]) -> None:
        self.lab = Lab(list(objects))
        self._guard = Guard(name)
        try:
            self.lab.up(timeout_s=READY_S)
            found = launch.find_lab(name)
            self.init_pid = found.init_pid if found is not None else 0
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Take the lab down."""
        self.lab.down()
        self._guard.dismiss()


class NetsimSide:
    """A lab over one kind of wire."""

    service = SERVICE

    def __init__(self, wire: str, others: int = 0, spec: Spec = ()) -> None:
        self.wire = wire
        self.name = f"netsim-{wire}"
        self.title = f"netsim, wire {wire}"
        name = lab_name(f"{wire}{others or ''}")
        self._guarded = GuardedLab(name, manifests(name, wire, rules.others(others, 1), spec))
        self.lab = self._guarded.lab
        self._spaces: dict[str, Space] = {}

    def space(self, pod: str) -> Space:
        """A pod's namespace, as init holds it."""
        if pod not in self._spaces:
            pid, numbers = locate(self.lab.name, qualified(pod))
            self._spaces[pod] = Space.of(pid, numbers["net"])
        return self._spaces[pod]

    def servers(self) -> list[str]:
        """Pods that must serve."""
        return [NEAR, *server_names()]

    def address(self, pod: str) -> str | None:
        """A pod's address."""
        return text(mapping(self.lab.get("pod", pod), "status"), "podIP")

    def roots(self) -> list[int]:
        """The lab's init."""
        return [self._guarded.init_pid]

    def close(self) -> None:
        """Take the lab down."""
        for space in self._spaces.values():
            space.close()
        self._guarded.close()


def sweep() -> None:
    """Take down labs of benchmarks that died together with their guard."""
    for lab in launch.list_labs():
        owner, _, _ = lab.name.removeprefix(PREFIX).partition("-")
        if lab.name.startswith(PREFIX) and owner.isdigit() and not _lives(int(owner)):
            launch.stop_lab(lab.name)


def _lives(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False
