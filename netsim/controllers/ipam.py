"""Pod addresses: the next free one of the node's range after the last that was given out (K-66).

So a pod that is made again almost never gets the address back, and who still talks to the old one
talks to nobody. The last address given out is kept in an annotation of the node.

A pod that was bound to its node by hand and asks for a host port that another one has waits for it.
"""

from __future__ import annotations

from collections.abc import Iterable

from netsim.api.addresses import Cidr, address_or_none, format_address
from netsim.api.fields import Json, flag, text
from netsim.api.meta import ObjectKey, annotations_of, name_of, namespace_of
from netsim.api.pods import POD_IP_ANNOTATION
from netsim.controllers.base import Pass, Update, Write
from netsim.controllers.host_ports import NO_FREE_PORTS, HeldPorts, host_ports
from netsim.controllers.nodes import internal_ip, is_external, pod_range
from netsim.controllers.objects import (
    deleting,
    finished,
    spec,
    status,
    with_annotations,
    with_status,
)
from netsim.controllers.ranges import next_free

LAST_RESERVED = "netsim.dev/last-reserved-ip"
# Of a node's range: the base is the tunnel's, the first address is cni0's, the last is broadcast.
RESERVED_LOW = 2
RESERVED_HIGH = 1
# Why a pod waits.
NO_ADDRESS, NO_PORTS = "NoAddress", "NodePorts"


def ipam(p: Pass) -> list[Write]:
    """The writes that give addresses to bound pods."""
    by_node: dict[str, list[Json]] = {}
    for pod in p.view.list("Pod"):
        name = text(spec(pod), "nodeName")
        if name and not finished(pod):
            by_node.setdefault(name, []).append(pod)
    writes: list[Write] = []
    for name, pods in by_node.items():
        node = p.view.get(ObjectKey("Node", "", name))
        if node is not None and not is_external(node):
            writes += _node(node, pods)
    return writes


def host_network(pod: Json) -> bool:
    """Whether the pod uses its node's network."""
    return flag(spec(pod), "hostNetwork")


def _node(node: Json, pods: Iterable[Json]) -> list[Write]:
    """Addresses for the pods of one node, and the node's pointer if it moved."""
    host, cidr = internal_ip(node), pod_range(node)
    if not host or cidr is None:
        return []
    used: dict[int, Json] = {}
    wanting: list[Json] = []
    writes: list[Write] = []
    held = HeldPorts()
    for pod in sorted(pods, key=lambda pod: not text(status(pod), "podIP")):
        address = address_or_none(text(status(pod), "podIP"))
        ports = host_ports(pod)
        if address is None and not held.free(ports):
            writes += _refused(pod, NO_PORTS, NO_FREE_PORTS)
            continue
        held.hold(ports)
        if host_network(pod):
            writes += _given(pod, host, host)
        elif address is not None and usable(cidr, address) and address not in used:
            used[address] = pod
            writes += _given(pod, text(status(pod), "podIP"), host)
        elif not deleting(pod):
            wanting.append(pod)
    return writes + _allocate(node, cidr, wanting, used)


def _allocate(
    node: Json, cidr: Cidr, wanting: Iterable[Json], used: dict[int, Json]
) -> list[Write]:
    """New addresses, and where the round robin stands after them."""
    first, last = cidr.base + RESERVED_LOW, cidr.last - RESERVED_HIGH
    start = pointer = address_or_none(annotations_of(node).get(LAST_RESERVED, "")) or first - 1
    writes: list[Write] = []
    for pod in sorted(wanting, key=lambda pod: POD_IP_ANNOTATION not in annotations_of(pod)):
        fixed = annotations_of(pod).get(POD_IP_ANNOTATION)
        address = address_or_none(fixed) if fixed else next_free(first, last, pointer, used)
        why = _refusal(cidr, fixed, address, used)
        if why or address is None:
            writes += _refused(pod, NO_ADDRESS, why)
            continue
        used[address] = pod
        pointer = pointer if fixed else address
        writes += _given(pod, format_address(address), internal_ip(node))
    if pointer != start:
        writes.append(Update(with_annotations(node, {LAST_RESERVED: format_address(pointer)})))
    return writes


def _refusal(cidr: Cidr, fixed: str | None, address: int | None, used: dict[int, Json]) -> str:
    """Why the pod cannot have the address, empty if it can."""
    if address is None:
        return f"no free address in {cidr}" if not fixed else f"{fixed} is not an address"
    if not usable(cidr, address):
        return f"{fixed} cannot be a pod's address on this node: its range is {cidr}"
    if address in used:
        return f"{fixed} is held by pod {namespace_of(used[address])}/{name_of(used[address])}"
    return ""


def usable(cidr: Cidr, address: int) -> bool:
    """Whether a pod of the node may have the address."""
    return cidr.base + RESERVED_LOW <= address <= cidr.last - RESERVED_HIGH


def _given(pod: Json, address: str, host: str) -> list[Write]:
    wanted: dict[str, object] = {
        "podIP": address,
        "podIPs": [{"ip": address}],
        "hostIP": host,
        "hostIPs": [{"ip": host}],
    }
    if all(status(pod).get(key) == value for key, value in wanted.items()):
        return []
    if text(status(pod), "reason") in (NO_ADDRESS, NO_PORTS):
        wanted.update(reason=None, message=None)
    return [Update(with_status(pod, **wanted))]


def _refused(pod: Json, reason: str, why: str) -> list[Write]:
    """Say why the pod waits; it is asked again in every pass."""
    if text(status(pod), "message") == why:
        return []
    return [Update(with_status(pod, phase="Pending", reason=reason, message=why))]
