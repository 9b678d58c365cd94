"""Flannel's udp backend: the bare inner packet as UDP payload, port 8285 at both ends. Spec 2.1."""

from __future__ import annotations

from netsim.backends.base import NO_MAC, NodeNet, path_to
from netsim.dataplane.rows import PathRow, PeerRow


class Udp:
    """IP 20, UDP 8."""

    name = "udp"
    overhead = 28
    default_port = 8285

    def device(self, vni: int) -> str:
        """A TUN, the same name whatever the VNI."""
        del vni
        return "flannel0"

    def tunnel_addr(self, node: NodeNet) -> int:
        """Base address of the node's pod range."""
        return node.pod_cidr

    def lease_data(self, vni: int, mac: bytes) -> str:
        """Flannel's lease carries no data for this backend."""
        del vni, mac
        return "null"

    def peer(self, node: NodeNet) -> PeerRow:
        """The proxy that listens at the node's address."""
        return PeerRow(node.name, node.address, node.port, NO_MAC, node.local)

    def path(self, node: NodeNet) -> PathRow:
        """Flannel: one entry of the proxy's route table."""
        return path_to(node)
