"""netsim doing the peer's work: the same pods, the same Service, its own data plane."""

from __future__ import annotations

import os
from collections.abc import Sequence

import netsim
from benchmarks.peer import SERVICE
from benchmarks.work import PORT, PORTS
from netsim.lab import launch


def manifests(wire: str, servers: int) -> list[dict[str, object]]:
    """Two nodes; a client on the first, the servers on the second; one Service."""
    idle = {"command": ["sleep", "infinity"], "image": "none"}
    objects: list[dict[str, object]] = [
        {
            "apiVersion": "netsim.dev/v1alpha1",
            "kind": "Lab",
            "metadata": {"name": f"bench-{os.getpid()}"},
            "spec": {"wire": wire, "backend": {"vxlan": {}}, "generate": {"nodes": 2}},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "bench"},
            "spec": {
                "clusterIP": SERVICE,
                "selector": {"app": "server"},
                "ports": [
                    {"name": name, "port": PORT + offset, "protocol": protocol}
                    for offset, (name, protocol) in enumerate(PORTS)
                ],
            },
        },
    ]
    pods = [("client", "node1")] + [(f"server{i}", "node2") for i in range(servers)]
    objects += [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": {"app": name.rstrip("0123456789")}},
            "spec": {"nodeName": node, "containers": [{"name": "main", **idle}]},
        }
        for name, node in pods
    ]
    return objects


class NetsimSide:
    """A lab of netsim's."""

    name = "netsim"
    service = SERVICE

    def __init__(self, wire: str, servers: int) -> None:
        self._lab = netsim.Lab(manifests(wire, servers))
        try:
            self._lab.up()
            found = launch.find_lab(self._lab.name)
        except BaseException:
            self._lab.down()
            raise
        self._init = found.init_pid if found is not None else os.getpid()

    def client_argv(self, argv: Sequence[str]) -> list[str]:
        """How to run a program in the client pod."""
        return self._lab.exec_argv("client", argv)

    def server_argv(self, index: int, argv: Sequence[str]) -> list[str]:
        """How to run a program in a server pod."""
        return self._lab.exec_argv(f"server{index}", argv)

    def roots(self) -> list[int]:
        """The lab's init."""
        return [self._init]

    def close(self) -> None:
        """Take the lab down."""
        self._lab.down()
