"""What a backend is: a way to join nodes. One file each; this one holds the interface they share.

A backend owns its overhead and turns a node into the two rows by which the others reach it. It
runs nothing, watches nothing and keeps nothing.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from netsim.dataplane.rows import PathRow, PeerRow

NO_MAC = bytes(6)


class NodeNet(NamedTuple):
    """A node as a backend sees it. Addresses are integers in host order.

    `port` is the lab's UDP port for the backend, `mac` the node's VTEP (`NO_MAC` where the backend
    has none). `local` is False for a node outside this process.
    """

    name: str
    address: int
    pod_cidr: int
    pod_len: int
    port: int
    mac: bytes
    local: bool


class Backend(Protocol):
    """A way to join nodes.

    `overhead` is in bytes per packet (spec 2.0); `default_port` is 0 where nothing is encapsulated.
    """

    @property
    def name(self) -> str:
        """As in `Lab.spec.backend` and flannel's configuration."""

    @property
    def overhead(self) -> int:
        """Bytes that the backend puts around a pod's packet."""

    @property
    def default_port(self) -> int:
        """UDP port, 0 for none."""

    def device(self, vni: int) -> str | None:
        """Name of the tunnel device on a node, as flannel names it; None if there is none."""

    def tunnel_addr(self, node: NodeNet) -> int:
        """Address that stands for the node in the overlay: its tunnel device's, if it has one."""

    def lease_data(self, vni: int, mac: bytes) -> str:
        """JSON for the annotation `flannel.alpha.coreos.com/backend-data`."""

    def peer(self, node: NodeNet) -> PeerRow:
        """Where the others send what is for `node`."""

    def path(self, node: NodeNet) -> PathRow:
        """Which addresses are behind `node`."""


def path_to(node: NodeNet) -> PathRow:
    """The whole pod range of `node`, through it: what every backend here installs."""
    return PathRow(node.pod_cidr, node.pod_len, node.name)


def format_mac(mac: bytes) -> str:
    """Six bytes as `aa:bb:cc:dd:ee:ff`."""
    return mac.hex(":")


def parse_mac(text: str) -> bytes:
    """Six bytes of `aa:bb:cc:dd:ee:ff`. ValueError if it is not that."""
    parts = text.split(":")
    if len(parts) != 6 or any(len(part) != 2 for part in parts):
        raise ValueError(f"not a MAC address: {text!r}")
    return bytes(int(part, 16) for part in parts)
