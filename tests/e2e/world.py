"""Small topologies for tests with real programs: builders of Kubernetes objects, and waiting."""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from netsim.api.fields import Json

T = TypeVar("T")

PROGRAMS = Path(__file__).with_name("programs")
TIMEOUT_S = 20.0
SHELL = ("sleep", "infinity")
OVERHEAD = {"vxlan": 50, "udp": 28, "host-gw": 0}
NUMBERS = itertools.count()


def lab_name() -> str:
    """A name that no other lab on this machine has."""
    return f"e{os.getpid()}-{next(NUMBERS)}"


def program(name: str, *args: str) -> list[str]:
    """The argv of a script in programs/."""
    return [sys.executable, "-I", str(PROGRAMS / name), *args]


def eventually(check: Callable[[], T | None], what: str, timeout_s: float = TIMEOUT_S) -> T:
    """The first true answer of `check`; fails when there is none in time."""
    end = time.monotonic() + timeout_s
    while True:
        answer = check()
        if answer:
            return answer
        assert time.monotonic() < end, f"not within {timeout_s:g} s: {what}; last: {answer!r}"
        time.sleep(0.02)


def lab(backend: str = "vxlan", wire: str = "udp", nodes: int = 2, **spec: object) -> Json:
    return {
        "apiVersion": "netsim.dev/v1alpha1",
        "kind": "Lab",
        "metadata": {"name": "test"},
        "spec": {"backend": backend, "wire": wire, "generate": {"nodes": nodes}, **spec},
    }


def pod(
    name: str,
    node: int,
    address: str = "",
    command: Sequence[str] = SHELL,
    labels: Json | None = None,
    ready: Json | None = None,
) -> Json:
    """A pod on `node<node>` that runs `command`."""
    container: dict[str, object] = {"name": "main", "command": list(command)}
    if ready:
        container["readinessProbe"] = {**ready, "periodSeconds": 1}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": labels or {},
            "annotations": {"netsim.dev/pod-ip": address} if address else {},
        },
        "spec": {
            "nodeName": f"node{node}",
            "terminationGracePeriodSeconds": 0,
            "containers": [container],
        },
    }


def answerer(name: str, node: int, address: str = "", labels: Json | None = None) -> Json:
    """A pod that answers HTTP on 8080 and datagrams on 8081."""
    made = pod(name, node, address, labels=labels)
    container: dict[str, object] = {
        "name": "main",
        "ports": [
            {"containerPort": 8080},
            {"containerPort": 8081, "protocol": "UDP"},
        ],
    }
    spec = made["spec"]
    assert isinstance(spec, dict)
    return {**made, "spec": {**spec, "containers": [container]}}


def service(name: str, address: str, ports: Sequence[tuple[str, int, int]], **spec: object) -> Json:
    """A Service of pods labelled `app: <name>`; `ports`: (protocol, port, target port)."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {
            "clusterIP": address,
            "selector": {"app": name},
            "ports": [
                {"name": f"p{n}", "protocol": protocol, "port": port, "targetPort": target}
                for n, (protocol, port, target) in enumerate(ports)
            ],
            **spec,
        },
    }
