"""Nodes: made where the lab asks for them, and given what a cluster's node controllers give.

That is a pod range (K-65), an address on the underlay, the annotations of flannel's kube manager
with the VTEP's MAC, and conditions. What a Node says already is kept, so that a cluster's dump
keeps its addresses. Where the range allocation stands is kept in an annotation of the Lab.

A Node annotated `netsim.dev/external: "true"` is a machine outside the lab (interop): it brings its
InternalIP and, for vxlan, flannel's backend-data, and gets a pod range if it has none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

from netsim.api.addresses import Cidr, address_or_none, cidr_or_none, format_address
from netsim.api.fields import Json, items, text
from netsim.api.lab_spec import Lab
from netsim.api.meta import ObjectKey, annotations_of, labels_of, name_of, namespace_of
from netsim.api.workloads import (
    BACKEND_DATA_ANNOTATION,
    EXTERNAL_ANNOTATION,
    GENERATED_ANNOTATION,
    NODE_IP_ANNOTATION,
    PROXY_MODE_ANNOTATION,
)
from netsim.backends.base import NO_MAC, Backend, parse_mac
from netsim.controllers.base import Create, Delete, Pass, Update, Write, lab_of
from netsim.controllers.objects import (
    deleting,
    spec,
    status,
    with_annotations,
    with_condition,
    with_metadata,
    with_spec,
    with_status,
)
from netsim.controllers.ranges import next_free

LAST_POD_CIDR = "netsim.dev/last-pod-cidr"
FLANNEL = "flannel.alpha.coreos.com/"
HOSTNAME_LABEL = "kubernetes.io/hostname"
DEFAULT_NODES = 2
# The underlay's first address is the bridge's.
RESERVED_LOW = 2


def nodes(p: Pass, backends: Mapping[str, Backend]) -> list[Write]:
    """The writes that make nodes and complete them."""
    lab = lab_of(p.view)
    if lab is None:
        return []
    stored = [node for node in p.view.list("Node") if not deleting(node)]
    return (
        _generate(lab, stored)
        or _ranges(p, lab, stored)
        or _complete(p, lab, stored, backends[lab.backend.name])
    )


def lost_pods(p: Pass) -> list[Write]:
    """Delete pods whose node is gone: nobody is left to end them gracefully (K-45)."""
    known = {name_of(node) for node in p.view.list("Node")}
    return [
        Delete(ObjectKey("Pod", namespace_of(pod), name_of(pod)), grace_s=0)
        for pod in p.view.list("Pod")
        if (node := text(spec(pod), "nodeName")) and node not in known
    ]


def is_external(node: Json) -> bool:
    """Whether the node is outside this lab's processes."""
    return annotations_of(node).get(EXTERNAL_ANNOTATION) == "true"


def internal_ip(node: Json) -> str:
    """The node's InternalIP (the first that is IPv4), empty if it has none yet."""
    for entry in items(status(node), "addresses"):
        address = text(entry, "address")
        if entry.get("type") == "InternalIP" and address_or_none(address) is not None:
            return address
    return ""


def pod_range(node: Json) -> Cidr | None:
    """The node's pod range, None if it has none yet."""
    return cidr_or_none(text(spec(node), "podCIDR"))


def proxy_mode(lab: Lab, node: Json) -> str:
    """The mode of the node's service proxy: its own, or the lab's."""
    return annotations_of(node).get(PROXY_MODE_ANNOTATION) or lab.proxy_mode


def vtep_mac(node: Json) -> bytes:
    """The VTEP's MAC as the node announces it, zero without one."""
    try:
        data = json.loads(annotations_of(node).get(BACKEND_DATA_ANNOTATION, ""))
        return parse_mac(data["VtepMAC"])
    except (ValueError, TypeError, KeyError):
        return NO_MAC


def derived_mac(lab: Lab, name: str) -> bytes:
    """A locally administered unicast MAC, the same for the same lab, seed and node."""
    digest = sha256(f"{lab.seed}/{lab.name}/{name}".encode()).digest()
    return bytes([digest[0] & 0xFC | 0x02]) + digest[1:6]


def _generate(lab: Lab, stored: Sequence[Json]) -> list[Write]:
    """node1, node2, ...: as many as the lab asks for, two if nobody names any node."""
    made = {name_of(n): n for n in stored if annotations_of(n).get(GENERATED_ANNOTATION) == "true"}
    count = lab.generate
    if count is None:
        count = DEFAULT_NODES if len(made) == len(stored) else len(made)
    wanted = [f"node{i + 1}" for i in range(count)]
    present = {name_of(node) for node in stored}
    writes: list[Write] = [Create(_node(name)) for name in wanted if name not in present]
    return writes + [
        Delete(ObjectKey("Node", "", name)) for name in made if name not in set(wanted)
    ]


def _node(name: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {HOSTNAME_LABEL: name},
            "annotations": {GENERATED_ANNOTATION: "true"},
        },
        "spec": {},
    }


def _ranges(p: Pass, lab: Lab, stored: Sequence[Json]) -> list[Write]:
    """A pod range for each node without one, and where the allocation then stands."""
    length, cluster = lab.node_pod_length, lab.pod_cidr
    size = 1 << (32 - length)
    used: set[int] = set()
    for cidr in filter(None, map(pod_range, stored)):
        if cluster.covers(cidr):
            first = (cidr.base - cluster.base) // size
            used.update(range(first, (cidr.last - cluster.base) // size + 1))
    stored_lab = p.view.list("Lab")[0]
    last = _index(cluster, length, annotations_of(stored_lab).get(LAST_POD_CIDR, ""))
    writes: list[Write] = []
    for node in stored:
        if pod_range(node) is not None:
            continue
        found = next_free(0, cluster.count(length) - 1, last, used)
        if found is None:
            break
        last = found
        used.add(found)
        given = str(cluster.subnet(length, found))
        writes.append(Update(with_spec(node, podCIDR=given, podCIDRs=[given])))
    if writes:
        pointer = {LAST_POD_CIDR: str(cluster.subnet(length, last))}
        writes.append(Update(with_annotations(stored_lab, pointer)))
    return writes


def _index(cluster: Cidr, length: int, text_of_cidr: str) -> int:
    """Number of a range inside the cluster's, -1 if it is not one."""
    cidr = cidr_or_none(text_of_cidr)
    if cidr is None or not cluster.covers(cidr):
        return -1
    return (cidr.base - cluster.base) >> (32 - length)


def _complete(p: Pass, lab: Lab, stored: Sequence[Json], backend: Backend) -> list[Write]:
    """Addresses, annotations, conditions, where they are not what they should be."""
    addresses = _addresses(lab, stored)
    writes: list[Write] = []
    for node in stored:
        if is_external(node):
            continue
        wanted = _with_identity(lab, node, addresses.get(name_of(node)), backend)
        wanted = _with_conditions(lab, wanted, p)
        if wanted != node:
            writes.append(Update(wanted))
    return writes


def _addresses(lab: Lab, stored: Iterable[Json]) -> dict[str, int]:
    """Underlay addresses by node: what the nodes say, then the lowest free ones."""
    first, last = lab.node_cidr.base + RESERVED_LOW, lab.node_cidr.last - 1
    found: dict[str, int] = {}
    used: set[int] = set()
    wanting: list[str] = []
    for node in stored:
        asked = annotations_of(node).get(NODE_IP_ANNOTATION) or internal_ip(node)
        address = address_or_none(asked)
        inside = address is not None and first <= address <= last
        if address is not None and address not in used and (inside or is_external(node)):
            used.add(address)
            found[name_of(node)] = address
        else:
            wanting.append(name_of(node))
    for name in wanting:
        free = next_free(first, last, first - 1, used)
        if free is not None:
            used.add(free)
            found[name] = free
    return found


def _with_identity(lab: Lab, node: Json, address: int | None, backend: Backend) -> Json:
    """The node with its address and flannel's annotations."""
    if address is None:
        return node
    name = name_of(node)
    mac = vtep_mac(node)
    if mac == NO_MAC:
        mac = derived_mac(lab, name)
    ip = format_address(address)
    annotated = with_annotations(
        node,
        {
            FLANNEL + "backend-type": lab.backend.name,
            BACKEND_DATA_ANNOTATION: backend.lease_data(lab.backend.vni, mac),
            FLANNEL + "public-ip": ip,
            FLANNEL + "kube-subnet-manager": "true",
        },
    )
    labels = {HOSTNAME_LABEL: name, **labels_of(node)}
    addresses = [{"type": "InternalIP", "address": ip}, {"type": "Hostname", "address": name}]
    return with_status(with_metadata(annotated, labels=labels), addresses=addresses)


def _with_conditions(lab: Lab, node: Json, p: Pass) -> Json:
    """The node with `Ready` and `NetworkUnavailable` as they are."""
    problem = "the node's namespaces do not exist yet"
    if pod_range(node) is None:
        problem = f"CIDRNotAvailable: no free pod range in {lab.pod_cidr}"
    elif not internal_ip(node):
        problem = f"no free address in {lab.node_cidr}"
    elif name_of(node) in p.nodes_up:
        problem = ""
    entries = with_condition(
        items(status(node), "conditions"),
        "NetworkUnavailable",
        "True" if problem else "False",
        p.now,
        reason="NoFlannel" if problem else "FlannelIsUp",
        message=problem or "Flannel is running on this node",
    )
    entries = with_condition(
        entries,
        "Ready",
        "False" if problem else "True",
        p.now,
        reason="KubeletNotReady" if problem else "KubeletReady",
        message=problem or "the node's namespaces exist",
    )
    return with_status(node, conditions=entries)
