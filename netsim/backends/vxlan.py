"""Flannel's vxlan backend: Ethernet in VXLAN between the nodes' VTEPs.

Flannel's first version learned peers from the kernel's L3 and L2 misses, the second from L2 misses
only; since 0.9 everything is installed when a peer appears (ARP, FDB, route). The rows here are
those entries. Spec 2.2.
"""

from __future__ import annotations

import json

from netsim.backends.base import NodeNet, format_mac, path_to
from netsim.dataplane.rows import PathRow, PeerRow


class Vxlan:
    """IP 20, UDP 8, VXLAN 8, inner Ethernet 14. Port 8472 is Linux' default, not IANA's 4789."""

    name = "vxlan"
    overhead = 50
    default_port = 8472

    def device(self, vni: int) -> str:
        """`flannel.1` for the default VNI."""
        return f"flannel.{vni}"

    def tunnel_addr(self, node: NodeNet) -> int:
        """Base address of the node's pod range."""
        return node.pod_cidr

    def lease_data(self, vni: int, mac: bytes) -> str:
        """The peers need the VTEP's MAC to address the inner frame."""
        return json.dumps({"VNI": vni, "VtepMAC": format_mac(mac)}, separators=(",", ":"))

    def peer(self, node: NodeNet) -> PeerRow:
        """The VTEP behind the node's address."""
        return PeerRow(node.name, node.address, node.port, node.mac, node.local)

    def path(self, node: NodeNet) -> PathRow:
        """Flannel: `<pod range> via <base> dev flannel.1 onlink`."""
        return path_to(node)
