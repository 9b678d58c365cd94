"""The kernel as peer: veth and bridge, its VXLAN device as flannel sets it up, kube-proxy's rules.

Two nodes; per peer one ARP entry, one FDB entry and one route. Everything lives in namespaces
without names, see space.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from netsim.bench import rules
from netsim.bench.rules import ServicePort
from netsim.bench.side import CLIENT, NEAR, server_names
from netsim.bench.space import Space, ToolError
from netsim.errors import PreconditionError

NODES = ("172.31.0.1", "172.31.0.2")


class Kind(NamedTuple):
    """How a peer tunnels, and who translates."""

    title: str
    tunnel: bool
    proxy: str  # iptables or nft


KINDS = {
    "kernel": Kind("kernel VXLAN + iptables", True, "iptables"),
    "kernel-nft": Kind("kernel VXLAN + nftables", True, "nft"),
    "host-gw": Kind("kernel routes + iptables", False, "iptables"),
}
TUNNEL_MTU, LINK_MTU = 1450, 1500


class KernelPeer:
    """A client and a server on node 1, SERVERS servers on node 2, the kernel between them."""

    service = rules.SERVICE

    def __init__(self, name: str) -> None:
        self.name, self._kind = name, KINDS[name]
        self.title = self._kind.title
        self._mtu = TUNNEL_MTU if self._kind.tunnel else LINK_MTU
        self._spaces: dict[str, Space] = {}
        self._addresses = {CLIENT: "10.244.1.2", NEAR: "10.244.1.3"}
        self._endpoints = [f"10.244.2.{i + 2}" for i in range(len(server_names()))]
        self._addresses |= dict(zip(server_names(), self._endpoints, strict=True))
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def space(self, pod: str) -> Space:
        """A pod's namespace, or `node1`'s, `node2`'s."""
        return self._spaces[pod]

    def servers(self) -> list[str]:
        """Pods that must serve."""
        return [NEAR, *server_names()]

    def address(self, pod: str) -> str | None:
        """A pod's address."""
        return self._addresses.get(pod)

    def roots(self) -> list[int]:
        """Its work is the kernel's."""
        return []

    def close(self) -> None:
        """Let go of the namespaces, and with them of every link and rule."""
        for space in self._spaces.values():
            space.close()
        self._spaces.clear()

    def load_rules(self, more: Sequence[ServicePort] = ()) -> None:
        """Replace the client's node's rules: those of the measured service, after `more`."""
        services = [*more, *rules.measured(self._endpoints)]
        if self._kind.proxy == "iptables":
            self.restore(rules.iptables(services))
        else:
            self.nft(f"{self._nft_flush()}{rules.nft(services)}")

    def change(self, service: ServicePort) -> None:
        """One service has changed: the partial restore, or the transaction."""
        if self._kind.proxy == "iptables":
            self.restore(rules.iptables_change(service), "--noflush")
        else:
            self.nft(rules.nft_change(service))

    def restore(self, text: str, *options: str) -> None:
        """Run iptables-restore on the client's node."""
        self._spaces["node1"].run("iptables-restore", *options, stdin=text)

    def nft(self, text: str) -> None:
        """Run an nft script on the client's node."""
        self._spaces["node1"].run("nft", "-f", "-", stdin=text)

    def _nft_flush(self) -> str:
        return "add table ip kube-proxy\ndelete table ip kube-proxy\n"

    def _build(self) -> None:
        for name in ("fabric", "node1", "node2", CLIENT, NEAR, *server_names()):
            self._spaces[name] = Space.made()
        self._spaces["fabric"].run(
            *("ip", "-b", "-"), stdin="link add br0 type bridge\nlink set br0 up\n"
        )
        for index in range(2):
            self._node(index)
        for pod, address in self._addresses.items():
            self._pod("node1" if pod in (CLIENT, NEAR) else "node2", pod, address)
        self.load_rules()

    def _node(self, index: int) -> None:
        node, fabric = self._spaces[f"node{index + 1}"], self._spaces["fabric"]
        own, far = NODES[index], NODES[1 - index]
        base, far_base = (f"10.244.{n + 1}" for n in (index, 1 - index))
        batch = f"""
link add eth0 mtu {LINK_MTU} type veth peer name port{index} mtu {LINK_MTU} netns {fabric.path}
addr add {own}/24 dev eth0
link set eth0 up
link add cni0 type bridge
addr add {base}.1/24 dev cni0
link set cni0 mtu {self._mtu} up
"""
        node.run("ip", "-b", "-", stdin=batch)
        fabric.run("ip", "link", "set", f"port{index}", "master", "br0", "up")
        node.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        if self._kind.tunnel:
            self._tunnel(node, index)
        else:
            node.run("ip", "route", "add", f"{far_base}.0/24", "via", far)

    def _tunnel(self, node: Space, index: int) -> None:
        own, far = NODES[index], NODES[1 - index]
        base, far_base = (f"10.244.{n + 1}" for n in (index, 1 - index))
        mac, far_mac = (f"02:00:00:00:00:0{n + 1}" for n in (index, 1 - index))
        batch = f"""
link add flannel.1 type vxlan id 1 dstport 8472 local {own} dev eth0 nolearning
link set flannel.1 address {mac} mtu {self._mtu}
addr add {base}.0/32 dev flannel.1
link set flannel.1 up
neigh add {far_base}.0 lladdr {far_mac} dev flannel.1 nud permanent
route add {far_base}.0/24 via {far_base}.0 dev flannel.1 onlink
"""
        node.run("ip", "-b", "-", stdin=batch)
        node.run("bridge", "fdb", "append", far_mac, "dev", "flannel.1", "dst", far)

    def _pod(self, node: str, name: str, address: str) -> None:
        port = f"p{address.rsplit('.', 1)[1]}"
        gateway = address.rsplit(".", 1)[0] + ".1"
        pair = f"link add eth0 mtu {self._mtu} type veth peer name {port} mtu {self._mtu}"
        batch = f"""
{pair} netns {self._spaces[node].path}
addr add {address}/24 dev eth0
link set eth0 up
route add default via {gateway}
"""
        self._spaces[name].run("ip", "-b", "-", stdin=batch)
        self._spaces[node].run("ip", "link", "set", port, "master", "cni0", "up")


NEEDS = {
    "ip": "modprobe veth bridge vxlan (CONFIG_VETH, CONFIG_BRIDGE, CONFIG_VXLAN)",
    "bridge": "modprobe vxlan (CONFIG_VXLAN)",
    "iptables-restore": "modprobe nf_conntrack nf_nat xt_statistic xt_mark xt_MASQUERADE",
    "nft": "modprobe nf_tables nft_nat nft_masq nft_numgen nft_ct nft_reject",
}


def build(name: str) -> KernelPeer:
    """A peer by name. PreconditionError with the fix when the kernel or a tool lacks something."""
    try:
        return KernelPeer(name)
    except ToolError as error:
        tool = error.what.split()[0]
        fix = NEEDS.get(tool, "netsim doctor")
        raise PreconditionError(
            f"peer {name} can not be built", str(error), f"{fix}; or --peer none"
        ) from error
    except PreconditionError as error:
        raise PreconditionError(
            f"peer {name} can not be built", error.what, f"{error.hint}; or --peer none"
        ) from error
