"""A node that is nothing but Linux: namespaces with a kernel VXLAN device, as flannel sets it up.

It hangs on the lab's fabric bridge like the lab's own nodes. Its namespaces live as long as the
two `sleep`s that hold them, and everything in them goes with them.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from netsim import Lab
from netsim.api.fields import Json, items, mapping, text
from tests.e2e.world import eventually

NAME = "kernel"
ADDRESS = "172.18.200.1"
RANGE = "10.244.200.0/24"
DEVICE_ADDRESS, GATEWAY, POD = "10.244.200.0", "10.244.200.1", "10.244.200.2"
MAC = "4e:38:ae:b0:85:95"
MTU = 1450


def external_node() -> Json:
    """The Node object that tells the lab about this node."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": NAME,
            "annotations": {
                "netsim.dev/external": "true",
                "flannel.alpha.coreos.com/backend-data": json.dumps({"VNI": 1, "VtepMAC": MAC}),
                "flannel.alpha.coreos.com/backend-type": "vxlan",
                "flannel.alpha.coreos.com/public-ip": ADDRESS,
            },
        },
        "spec": {"podCIDR": RANGE},
        "status": {"addresses": [{"type": "InternalIP", "address": ADDRESS}]},
    }


@dataclass(frozen=True)
class Space:
    """A network namespace, held by a process."""

    pid: int

    def argv(self, argv: Sequence[str]) -> list[str]:
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", *argv]

    def run(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(argv), check=check, capture_output=True, text=True, timeout=60
        )

    def popen(self, *argv: str) -> subprocess.Popen[str]:
        return subprocess.Popen(self.argv(argv), text=True, stdout=subprocess.PIPE)


@contextmanager
def space() -> Iterator[Space]:
    """A new, empty network namespace."""
    own = subprocess.check_output(["readlink", "/proc/self/ns/net"])
    holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
    link = f"/proc/{holder.pid}/ns/net"
    try:
        eventually(lambda: subprocess.check_output(["readlink", link]) != own, "unshare")
        yield Space(holder.pid)
    finally:
        holder.kill()
        holder.wait()


@contextmanager
def kernel_node(lab: Lab) -> Iterator[tuple[Space, Space]]:
    """The node and one pod on it, joined to a lab that knows `external_node()`."""
    with space() as node, space() as pod:
        _join_fabric(lab, node)
        _make_pod(node, pod)
        make_vxlan(lab, node)
        yield node, pod


def _join_fabric(lab: Lab, node: Space) -> None:
    fabric = ["nsenter", f"--net=/run/netns/{lab.name}-_fabric", "ip", "link"]
    peer = ["peer", "name", "eth0", "netns", str(node.pid)]
    subprocess.run([*fabric, "add", "kernel0", "type", "veth", *peer], check=True)
    subprocess.run([*fabric, "set", "kernel0", "master", "br0", "up"], check=True)
    node.run("ip", "link", "set", "lo", "up")
    node.run("ip", "address", "add", f"{ADDRESS}/16", "dev", "eth0")
    node.run("ip", "link", "set", "eth0", "up")
    # as a network card would: a veth leaves the checksums, inner ones too, for the receiving kernel
    node.run("ethtool", "-K", "eth0", "tx", "off")


def _make_pod(node: Space, pod: Space) -> None:
    """A pod with the overlay's MTU behind the node, which forwards."""
    peer = ["peer", "name", "eth0", "netns", str(pod.pid)]
    node.run("ip", "link", "add", "cni0", "mtu", str(MTU), "type", "veth", *peer)
    node.run("ip", "address", "add", f"{GATEWAY}/24", "dev", "cni0")
    node.run("ip", "link", "set", "cni0", "up")
    node.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    pod.run("ip", "link", "set", "lo", "up")
    pod.run("ip", "link", "set", "eth0", "mtu", str(MTU), "up")
    pod.run("ip", "address", "add", f"{POD}/24", "dev", "eth0")
    pod.run("ip", "route", "add", "default", "via", GATEWAY)


def make_vxlan(lab: Lab, node: Space, checksum: str = "udpcsum") -> None:
    """The device, then for every node of the lab what flannel adds per lease: spec 2.2.

    Replaces one that is there. With `noudpcsum` the outer UDP checksum is zero.
    """
    node.run("ip", "link", "delete", "flannel.1", check=False)
    kind = ["type", "vxlan", "id", "1", "dstport", "8472", "nolearning"]
    kind += ["local", ADDRESS, "dev", "eth0", checksum]
    node.run("ip", "link", "add", "flannel.1", "address", MAC, "mtu", str(MTU), *kind)
    node.run("ip", "address", "add", f"{DEVICE_ADDRESS}/32", "dev", "flannel.1")
    node.run("ip", "link", "set", "flannel.1", "up")
    for peer in lab.objects("node"):
        if text(mapping(peer, "metadata"), "name") != NAME:
            _add_peer(node, peer)


def _add_peer(node: Space, peer: Json) -> None:
    annotations = mapping(mapping(peer, "metadata"), "annotations")
    mac = json.loads(text(annotations, "flannel.alpha.coreos.com/backend-data"))["VtepMAC"]
    address = text(items(mapping(peer, "status"), "addresses")[0], "address")
    pods = text(mapping(peer, "spec"), "podCIDR")
    base = pods.partition("/")[0]
    dev = ["dev", "flannel.1"]
    node.run("ip", "neighbour", "add", base, "lladdr", mac, *dev, "nud", "permanent")
    node.run("bridge", "fdb", "append", mac, *dev, "dst", address, "self", "permanent")
    node.run("ip", "route", "add", pods, "via", base, *dev, "onlink")
