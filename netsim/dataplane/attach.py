"""Attach: descriptors that init keeps become ifaces of the engine.

Descriptors come by name, as netsim/lab/sandbox.py makes them; they are the caller's copies. What is
not used is closed here, what is used is the engine's.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping

from netsim.dataplane._core import Engine
from netsim.dataplane.rows import NodeRow, PodRow

Fetch = Callable[[str], Mapping[str, int]]

OVERHEAD_BYTES = {"vxlan": 50, "udp": 28, "host-gw": 0}
ETH_P_ALL = 3
TUNNEL_NAME = {"vxlan": "flannel.{vni}", "udp": "flannel0"}


class Descriptors:
    """The descriptors of one sandbox; those not taken are closed at the end of the block."""

    def __init__(self, key: str, fds: Mapping[str, int]) -> None:
        self._key = key
        self._fds = dict(fds)

    def __enter__(self) -> Descriptors:
        return self

    def __exit__(self, *_: object) -> None:
        for fd in self._fds.values():
            os.close(fd)

    def __contains__(self, name: str) -> bool:
        return name in self._fds

    def __getitem__(self, name: str) -> int:
        """One descriptor, still ours. LookupError: the sandbox has none of this name."""
        try:
            return self._fds[name]
        except KeyError:
            raise LookupError(f"{self._key} has no descriptor {name!r}") from None

    def take(self, name: str) -> int:
        """One descriptor, now the caller's. LookupError: the sandbox has none of this name."""
        fd = self[name]
        del self._fds[name]
        return fd

    def take_numbered(self, prefix: str) -> list[int]:
        """prefix0, prefix1, ... as far as they go. LookupError: not even one."""
        taken = [self.take(f"{prefix}0")]
        while f"{prefix}{len(taken)}" in self:
            taken.append(self.take(f"{prefix}{len(taken)}"))
        return taken


def attach_pod(engine: Engine, fetch: Fetch, node: int, row: PodRow) -> int:
    """The pod's eth0 on a node; returns the iface's id. LookupError: init has no such sandbox."""
    with Descriptors(row.sandbox, fetch(row.sandbox)) as fds:
        return engine.iface_tun(node, "pod", row.name, fds.take("tun"), mtu=row.mtu, addr=row.addr)


def attach_node(engine: Engine, fetch: Fetch, node: int, row: NodeRow, wire: str) -> dict[str, int]:
    """A node's cni0, tunnel device and wire; iface ids by "cni", "tunnel", "wire".

    host-gw over real links has no wire of ours: the node's own kernel forwards between eth0 and
    cni0. LookupError: init has no such sandbox, or it lacks a descriptor.
    """
    key = f"node/{row.name}"
    with Descriptors(key, fetch(key)) as fds:
        ifaces = {"cni": engine.iface_tun(node, "stack", "cni0", fds.take("cni"), mtu=row.mtu)}
        if row.backend in TUNNEL_NAME:
            name = TUNNEL_NAME[row.backend].format(vni=row.vni)
            ifaces["tunnel"] = engine.iface_tun(
                node, "tunnel", name, fds.take("tunnel"), mtu=row.mtu
            )
        mtu = row.mtu + OVERHEAD_BYTES[row.backend]
        if wire == "fabric":
            ifaces["wire"] = engine.iface_link(node, "eth0", mtu=mtu)
        elif row.backend != "host-gw":
            ifaces["wire"] = engine.iface_udp(node, "eth0", fds.take_numbered("udp"), mtu=mtu)
    return ifaces


def open_packet_socket(fetch: Fetch, node: str) -> int:
    """A socket that sees what crosses a node's eth0, for captures. OSError: not permitted."""
    from netsim.linux.ns import in_namespace  # only when somebody captures a node

    key = f"node/{node}"
    with Descriptors(key, fetch(key)) as fds, in_namespace({"net": fds["net"]}):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        sock.bind(("eth0", ETH_P_ALL))
        return sock.detach()
