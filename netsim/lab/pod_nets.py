"""What sandbox a pod should have: one of its own, or its node's, except for mounts.

On the node's network (hostNetwork), host name and network are the node's, as container runtimes do
it; /etc/hosts is a copy of its. When such a pod goes, so does everything that it started, and
nothing else of the node.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from netsim.api.lab_spec import Lab
from netsim.api.pods import Pod
from netsim.backends.base import Backend
from netsim.controllers.routes import overlay_mtu, wire_segments
from netsim.lab.hosts import host_pod_hosts, short_hostname
from netsim.lab.sandbox import PodNet
from netsim.linux.sandboxes import Recipe


class HostPodNet(NamedTuple):
    """The sandbox of a pod on the network of `node`, whose address is `address`."""

    name: str
    namespace: str
    node: str
    address: int


SandboxNet: TypeAlias = PodNet | HostPodNet


def sandbox_net(lab: Lab, backend: Backend, pod: Pod) -> SandboxNet:
    """The sandbox that a pod should have; it has its address."""
    if pod.spec.host_network:
        return HostPodNet(pod.name, pod.namespace, pod.spec.node, pod.address or 0)
    return PodNet(
        name=pod.hostname,
        namespace=pod.namespace,
        address=pod.address or 0,
        mtu=overlay_mtu(lab, backend),
        nameserver=lab.dns_address,
        segments=wire_segments(lab, backend),
    )


def host_recipe(pod: HostPodNet, node: Mapping[str, int]) -> Recipe:
    """How the sandbox is made; `node` has the descriptors of the node's."""
    hostname = short_hostname(pod.node)
    files = {"hostname": f"{hostname}\n", "hosts": host_pod_hosts(pod.node, pod.address)}
    what = f"pod {pod.namespace}/{pod.name}"
    return Recipe(what, hostname, files, (), net=node["net"], uts=node["uts"])
