"""Small clusters in one engine: node n has 10.244.n.0/24, pod 10.244.n.2 and 192.168.0.n+1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from netsim.dataplane._core import Engine
from netsim.dataplane.records import PeerRecord, RouteRecord
from netsim.dataplane.rows import NodeRow

Backend = Literal["vxlan", "udp", "host-gw"]
PORTS = {"vxlan": 8472, "udp": 8285, "host-gw": 0}
MTUS = {"vxlan": 1450, "udp": 1472, "host-gw": 1500}
CLUSTER = 0x0AF40000
NODES = 0xC0A80000


def pod_addr(node: int) -> int:
    return CLUSTER + (node << 8) + 2


def node_addr(node: int) -> int:
    return NODES + node + 1


def mac(node: int) -> bytes:
    return bytes([2, 0, 0, 0, 0, node])


def node_row(node: int, backend: Backend) -> NodeRow:
    return NodeRow(
        name=f"n{node}",
        uid=node + 1,
        address=node_addr(node),
        pod_cidr=CLUSTER + (node << 8),
        pod_len=24,
        cni_addr=CLUSTER + (node << 8) + 1,
        tunnel_addr=CLUSTER + (node << 8),
        cluster_cidr=CLUSTER,
        cluster_len=16,
        backend=backend,
        vtep_mac=mac(node),
        vni=1,
        port=PORTS[backend],
        mtu=MTUS[backend],
        flows_max=10000,
    )


@dataclass
class Cluster:
    """Ids by node; `wires` are empty until somebody makes them."""

    engine: Engine
    backend: Backend
    nodes: list[int]
    pods: list[int]
    wires: list[int]

    def routes(self) -> None:
        """Shared routes and peers, each node's own pod."""
        count = len(self.nodes)
        self.engine.peers(
            [
                PeerRecord(node_addr(n), PORTS[self.backend], mac(n), self.nodes[n])
                for n in range(count)
            ]
        )
        self.engine.routes([RouteRecord(CLUSTER + (n << 8), 24, "peer", n) for n in range(count)])
        for n in range(count):
            own = RouteRecord(pod_addr(n), 32, "pod", self.pods[n])
            self.engine.node_routes(self.nodes[n], [own])
        self.engine.publish(1)


def fabric(backend: Backend, count: int = 2, workers: int = 0) -> Cluster:
    """Nodes joined by the fabric, pods in memory."""
    engine = Engine(workers, 1)
    mtu = MTUS[backend]
    nodes = [engine.node_add(node_row(n, backend)) for n in range(count)]
    wires = [engine.iface_link(node, "eth0", mtu=1500) for node in nodes]
    pods = [
        engine.iface_queue(node, "pod", f"default/p{n}", mtu=mtu, addr=pod_addr(n))
        for n, node in enumerate(nodes)
    ]
    made = Cluster(engine, backend, nodes, pods, wires)
    made.routes()
    return made
