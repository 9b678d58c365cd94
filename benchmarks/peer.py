"""The kernel as peer: its VXLAN device as flannel sets it up, iptables as kube-proxy writes it.

Two nodes; per peer one ARP entry, one FDB entry and one route; one ClusterIP.
Everything lives in network namespaces named `benchpeer-<pid>-*`; `Peer.close()` removes them.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from benchmarks.work import PORT, PORTS

SERVICE = "10.96.0.10"
NODES = ("172.31.0.1", "172.31.0.2")


def run(*argv: str, stdin: str | None = None) -> str:
    """Run a tool; RuntimeError with what it printed when it fails."""
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def port_rules(name: str, protocol: str, port: int, endpoints: Sequence[str]) -> list[str]:
    """kube-proxy's chains for one port of the service: the choice, then a chain per endpoint."""
    service = f"KUBE-SVC-{name}"
    chains = [f"KUBE-SEP-{name}-{i}" for i in range(len(endpoints))]
    lines = [f":{service} -", *(f":{chain} -" for chain in chains)]
    to_service = f"-d {SERVICE}/32 -p {protocol} --dport {port}"
    lines.append(f"-A KUBE-SERVICES {to_service} -j {service}")
    lines.append(f"-A {service} ! -s 10.244.0.0/16 {to_service} -j KUBE-MARK-MASQ")
    for i, chain in enumerate(chains):
        left = len(chains) - i
        odds = f"-m statistic --mode random --probability {1 / left:.10f} " if left > 1 else ""
        lines.append(f"-A {service} {odds}-j {chain}")
    for chain, endpoint in zip(chains, endpoints, strict=True):
        lines.append(f"-A {chain} -s {endpoint}/32 -j KUBE-MARK-MASQ")
        lines.append(f"-A {chain} -p {protocol} -j DNAT --to-destination {endpoint}:{port}")
    return lines


def rules(endpoints: Sequence[str]) -> str:
    """iptables-restore input: kube-proxy's chains for one service, pods of 10.244.0.0/16 local."""
    lines = ["*nat", ":KUBE-SERVICES -", ":KUBE-MARK-MASQ -", ":KUBE-POSTROUTING -"]
    lines += [
        "-A PREROUTING -j KUBE-SERVICES",
        "-A OUTPUT -j KUBE-SERVICES",
        "-A POSTROUTING -j KUBE-POSTROUTING",
        "-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000",
        "-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN",
        "-A KUBE-POSTROUTING -j MASQUERADE --random-fully",
    ]
    for offset, (name, protocol) in enumerate(PORTS):
        lines += port_rules(name, protocol.lower(), PORT + offset, endpoints)
    lines += [
        "COMMIT",
        "*filter",
        "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    ]
    return "\n".join([*lines, "COMMIT", ""])


class Peer:
    """A client pod on node 1 and `servers` pods on node 2, the kernel between them."""

    name = "kernel vxlan + iptables"
    service = SERVICE

    def __init__(self, servers: int) -> None:
        self._prefix = f"benchpeer-{os.getpid()}"
        self.client = f"{self._prefix}-client"
        self.servers = [f"{self._prefix}-server{i}" for i in range(servers)]
        self._made: list[str] = []
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def _netns(self, name: str) -> str:
        run("ip", "netns", "add", name)
        self._made.append(name)
        run("ip", "-n", name, "link", "set", "lo", "up")
        return name

    def _build(self) -> None:
        fabric = self._netns(f"{self._prefix}-fabric")
        run("ip", "-n", fabric, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", fabric, "link", "set", "br0", "up")
        nodes = [self._node(fabric, i) for i in range(2)]
        self._pod(nodes[0], self.client, "10.244.1.2")
        addresses = [f"10.244.2.{i + 2}" for i in range(len(self.servers))]
        for server, address in zip(self.servers, addresses, strict=True):
            self._pod(nodes[1], server, address)
        run("ip", "netns", "exec", nodes[0], "iptables-restore", stdin=rules(addresses))

    def _node(self, fabric: str, index: int) -> str:
        node = self._netns(f"{self._prefix}-node{index + 1}")
        own, far = NODES[index], NODES[1 - index]
        mac, far_mac = (f"02:00:00:00:00:0{n + 1}" for n in (index, 1 - index))
        base, far_base = (f"10.244.{n + 1}" for n in (index, 1 - index))
        batch = f"""
link add eth0 type veth peer name port{index} netns {fabric}
addr add {own}/24 dev eth0
link set eth0 up
link add flannel.1 type vxlan id 1 dstport 8472 local {own} dev eth0 nolearning
link set flannel.1 address {mac} mtu 1450
addr add {base}.0/32 dev flannel.1
link set flannel.1 up
neigh add {far_base}.0 lladdr {far_mac} dev flannel.1 nud permanent
route add {far_base}.0/24 via {far_base}.0 dev flannel.1 onlink
link add cni0 type bridge
addr add {base}.1/24 dev cni0
link set cni0 mtu 1450 up
"""
        run("ip", "-n", node, "-b", "-", stdin=batch)
        run("bridge", "-n", node, "fdb", "append", far_mac, "dev", "flannel.1", "dst", far)
        run("ip", "-n", fabric, "link", "set", f"port{index}", "master", "br0", "up")
        run("ip", "netns", "exec", node, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        return node

    def _pod(self, node: str, name: str, address: str) -> None:
        self._netns(name)
        port = f"p{address.rsplit('.', 1)[1]}"
        gateway = address.rsplit(".", 1)[0] + ".1"
        batch = f"""
link add eth0 mtu 1450 type veth peer name {port} mtu 1450 netns {node}
addr add {address}/24 dev eth0
link set eth0 up
route add default via {gateway}
"""
        run("ip", "-n", name, "-b", "-", stdin=batch)
        run("ip", "-n", node, "link", "set", port, "master", "cni0", "up")

    def client_argv(self, argv: Sequence[str]) -> list[str]:
        """How to run a program in the client pod."""
        return ["ip", "netns", "exec", self.client, *argv]

    def server_argv(self, index: int, argv: Sequence[str]) -> list[str]:
        """How to run a program in a server pod."""
        return ["ip", "netns", "exec", self.servers[index], *argv]

    def roots(self) -> list[int]:
        """Its work is the kernel's."""
        return []

    def close(self) -> None:
        """Remove the namespaces and with them every link and rule."""
        for name in reversed(self._made):
            run("ip", "netns", "del", name)
        self._made.clear()
