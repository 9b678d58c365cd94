"""Flannel's host-gw backend: plain routes. Every node must be a neighbour of every other.

With a router in between packets are dropped there: it knows nothing of pod ranges. Spec 2.3.
"""

from __future__ import annotations

from netsim.backends.base import NO_MAC, NodeNet, path_to
from netsim.dataplane.rows import PathRow, PeerRow


class HostGateway:
    """Adds nothing to a packet."""

    name = "host-gw"
    overhead = 0
    default_port = 0

    def device(self, vni: int) -> None:
        """No tunnel, no device."""
        del vni

    def tunnel_addr(self, node: NodeNet) -> int:
        """Base address of the node's pod range; no device has it, the data plane answers for it."""
        return node.pod_cidr

    def lease_data(self, vni: int, mac: bytes) -> str:
        """Flannel's lease carries no data for this backend."""
        del vni, mac
        return "null"

    def peer(self, node: NodeNet) -> PeerRow:
        """The node itself is the next hop."""
        return PeerRow(node.name, node.address, 0, NO_MAC, node.local)

    def path(self, node: NodeNet) -> PathRow:
        """Flannel: `<pod range> via <node address> dev eth0`."""
        return path_to(node)
