"""What only shows between objects: names and addresses given twice, ranges that do not fit.

The checks see the objects of a manifest and those that a lab has already; they report on the former
only. Each goes over the objects once or through an index, never over pairs of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from netsim.api.addresses import Cidr, address_or_none
from netsim.api.cross_services import check_services
from netsim.api.fields import Json
from netsim.api.lab_spec import DEFAULT_NODES, DNS_NAME, DNS_NAMESPACE, Lab
from netsim.api.located import Findings, Located
from netsim.api.meta import KIND_BY_NAME, ObjectKey, key_of
from netsim.api.pods import POD_IP_ANNOTATION, Pod, PodSpec
from netsim.api.problems import Path, Problem, duplicate, invalid, warning
from netsim.api.service_cidrs import range_problems, service_ranges
from netsim.api.services import Service
from netsim.api.workloads import (
    GENERATED_ANNOTATION,
    NODE_IP_ANNOTATION,
    Deployment,
    Node,
    ReplicaSet,
)

POD_CIDR: Path = ("spec", "podCIDR")
CLUSTER_IP: Path = ("spec", "clusterIPs", 0)
DNS = ObjectKey("Service", DNS_NAMESPACE, DNS_NAME)
RESERVED_LOW = 2
"""Addresses at a range's start that the lab itself uses: the tunnel's and cni0's, the bridge's."""


@dataclass(frozen=True)
class Cluster:
    """All there will be: a lab's objects with the manifest's in their place."""

    objects: Mapping[ObjectKey, Located]
    lab: Lab

    def of(self, kind: str) -> list[Located]:
        """The objects of one kind, in order."""
        return [item for key, item in self.objects.items() if key.kind == kind]

    @cached_property
    def nodes(self) -> Mapping[str, tuple[Located, Node]]:
        """Nodes by name; not those that are still to be generated."""
        found = [(item, Node.parse(item.obj)) for item in self.of("Node")]
        return {node.name: (item, node) for item, node in found}

    @cached_property
    def service_ranges(self) -> tuple[Cidr, ...]:
        """Where cluster IPs come from."""
        return service_ranges(self.lab, [item.obj for item in self.of("ServiceCIDR")])

    @cached_property
    def node_names(self) -> frozenset[str]:
        """Names of all nodes, generated ones too."""
        return frozenset(self.nodes) | set(
            generated_nodes(self.lab, [n for _, n in self.nodes.values()])
        )


def generated_nodes(lab: Lab, nodes: Sequence[Node]) -> list[str]:
    """Names of the nodes that a lab makes: node1 to nodeN, two when nobody names any node."""
    given = [n for n in nodes if GENERATED_ANNOTATION not in n.meta.annotations]
    count = lab.generate if lab.generate is not None else 0 if given else DEFAULT_NODES
    return [f"node{number}" for number in range(1, count + 1)]


def validate_all(
    objects: Sequence[Located], existing: Iterable[Json] = (), lab: Lab | None = None
) -> list[Problem]:
    """Problems between `objects`, and between them and what a lab has already.

    `lab` is taken from the objects, from `existing`, or from the defaults when it is not given.
    The objects have passed `validate_object`.
    """
    known = {key_of(obj): Located(dict(obj)) for obj in existing}
    mine: dict[ObjectKey, Located] = {}
    findings = [*_check_names(objects, mine)]
    merged = known | mine
    labs = [item for key, item in merged.items() if key.kind == "Lab"]
    cluster = Cluster(merged, lab or Lab.parse(labs[-1].obj if labs else {}))
    for check in (_check_nodes, _check_capacity, _check_pods, _check_cluster_ips):
        findings += check(cluster)
    findings += check_services(cluster.objects, cluster.lab)
    written = {id(item) for item in objects}
    return [item.placed(problem) for item, problem in findings if id(item) in written]


def _check_names(objects: Sequence[Located], found: dict[ObjectKey, Located]) -> Findings:
    """One object of each name, and one Lab; fills `found`."""
    lab: Located | None = None
    for item in objects:
        key = item.key
        if key.kind not in KIND_BY_NAME or (not key.name and key.kind != "Lab"):
            continue
        first = found.setdefault(key, item)
        if first is not item:
            hint = f"{key} is already at {first.place()}"
            yield item, duplicate(("metadata", "name"), key.name, hint)
        elif key.kind == "Lab":
            if lab is not None:
                hint = f"the other is at {lab.place()}"
                yield item, Problem("error", "a topology has one Lab", ("kind",), hint)
            lab = lab or item


def _check_nodes(cluster: Cluster) -> Findings:
    """Pod ranges inside the cluster's and apart, addresses on the underlay and apart."""
    lab = cluster.lab
    ranges: list[tuple[Cidr, Located]] = []
    addresses: dict[int, Located] = {}
    for item, node in cluster.nodes.values():
        if node.pod_cidr is not None:
            ranges.append((node.pod_cidr, item))
            if not lab.pod_cidr.covers(node.pod_cidr):
                detail = f"is outside the cluster's pod range {lab.pod_cidr}"
                hint = "change it, or Lab's spec.podCIDR"
                yield item, invalid(POD_CIDR, str(node.pod_cidr), detail, hint)
        where, text = _node_address(item, node)
        address = address_or_none(text)
        if address is None:
            continue
        first = addresses.setdefault(address, item)
        if first is not item:
            hint = f"{first.key} has it, at {first.place()}"
            yield item, duplicate(where, text, hint)
        usable = lab.node_cidr.base + RESERVED_LOW <= address < lab.node_cidr.last
        if not usable and not node.external:
            detail = f"is not a usable address of the nodes' range {lab.node_cidr}"
            yield item, invalid(where, text, detail, "change it, or Lab's spec.nodeCIDR")
    ranges.sort(key=lambda entry: entry[0])
    for (low, first), (high, item) in pairwise(ranges):
        if low.overlaps(high):
            detail = f"overlaps {low} of {first.key}"
            yield (
                item,
                invalid(POD_CIDR, str(high), detail, f"the other is at {first.place(POD_CIDR)}"),
            )
            yield first, invalid(POD_CIDR, str(low), f"overlaps {high} of {item.key}")


def _node_address(item: Located, node: Node) -> tuple[Path, str]:
    """Where a node says its address, and the address."""
    asked = node.meta.annotations.get(NODE_IP_ANNOTATION)
    if asked:
        return ("metadata", "annotations", NODE_IP_ANNOTATION), asked
    return ("status", "addresses"), node.ip


def _check_capacity(cluster: Cluster) -> Findings:
    """No more nodes than ranges and addresses."""
    lab, count = cluster.lab, len(cluster.node_names)
    ranges = lab.pod_cidr.count(lab.node_pod_length)
    addresses = lab.node_cidr.size - RESERVED_LOW - 1
    labs = cluster.of("Lab")
    items = [*labs, *(item for item, _ in cluster.nodes.values())]
    for room, what, name in (
        (ranges, f"pod ranges /{lab.node_pod_length} in {lab.pod_cidr}", "podCIDR"),
        (addresses, f"addresses in {lab.node_cidr}", "nodeCIDR"),
    ):
        if count > room and items:
            at = ("spec", "generate", "nodes") if items[0] in labs else ("metadata", "name")
            message = f"{count} nodes, but only {room} {what}"
            yield items[0], Problem("error", message, at, f"give Lab a larger spec.{name}")


def _check_pods(cluster: Cluster) -> Findings:
    """Pods on nodes that exist, with addresses that their nodes have."""
    taken: dict[int, Located] = {}
    for item in cluster.of("Pod"):
        pod = Pod.parse(item.obj)
        yield from _check_placement(cluster, item, pod.spec, ("spec",))
        address = address_or_none(pod.wanted_ip)
        if address is not None:
            yield from _check_pod_ip(cluster, item, pod, address)
            first = taken.setdefault(address, item)
            if first is not item:
                where = ("metadata", "annotations", POD_IP_ANNOTATION)
                hint = f"{first.key} has it, at {first.place()}"
                yield item, duplicate(where, pod.wanted_ip, hint)
    for kind, parse in (("Deployment", Deployment.parse), ("ReplicaSet", ReplicaSet.parse)):
        for item in cluster.of(kind):
            spec = parse(item.obj).template.spec
            yield from _check_placement(cluster, item, spec, ("spec", "template", "spec"))


def _check_placement(cluster: Cluster, item: Located, spec: PodSpec, where: Path) -> Findings:
    """Where a pod asks to run: nodeName and nodeSelector."""
    names = cluster.node_names
    if spec.node and spec.node not in names:
        near = ", ".join(sorted(names)[:8])
        yield (
            item,
            Problem(
                "error",
                f'Not found: "{spec.node}": there is no such node',
                (*where, "nodeName"),
                f"nodes: {near}" if near else "",
                "FieldValueNotFound",
            ),
        )
    if spec.node_selector and not spec.node:
        wanted = spec.node_selector.items()
        labels = [_node_labels(name, cluster.nodes.get(name)) for name in names]
        if not any(wanted <= one for one in labels):
            yield (
                item,
                warning((*where, "nodeSelector"), "no node has these labels: pods stay Pending"),
            )


def _node_labels(name: str, found: tuple[Located, Node] | None) -> frozenset[tuple[str, str]]:
    """A node's labels as pairs; one that is still to be generated has its name only."""
    own = found[1].labels if found else {}
    return frozenset({**own, "kubernetes.io/hostname": name}.items())


def _check_pod_ip(cluster: Cluster, item: Located, pod: Pod, address: int) -> Findings:
    """A fixed address must be one that the pod's node, or some node, can give."""
    where = ("metadata", "annotations", POD_IP_ANNOTATION)
    node = cluster.nodes.get(pod.spec.node)
    owned = [n.pod_cidr for _, n in cluster.nodes.values() if n.pod_cidr and not n.external]
    if node and node[1].pod_cidr:
        ranges, whose = [node[1].pod_cidr], f"the pod range of {pod.spec.node}"
    elif owned and len(owned) == len(cluster.node_names):
        ranges, whose = owned, "any node's pod range"
    else:
        ranges, whose = [cluster.lab.pod_cidr], "the cluster's pod range"
    inside = next((r for r in ranges if r.contains(address)), None)
    if inside is None:
        detail = f"is outside {whose} {', '.join(map(str, ranges[:4]))}"
        yield item, invalid(where, pod.wanted_ip, detail)
    elif not inside.base + RESERVED_LOW <= address < inside.last:
        hint = f"the first two and the last address of {inside} are the node's"
        yield item, invalid(where, pod.wanted_ip, "is reserved", hint)


def cluster_ip_problem(cluster_ip: str, ranges: Sequence[Cidr]) -> Problem | None:
    """Why a Service cannot have this cluster IP (K-61), None when it can."""
    address = address_or_none(cluster_ip)
    if address is None or any(cidr.base < address < cidr.last for cidr in ranges):
        return None
    allowed = ", ".join(map(str, ranges))
    detail = (
        f"failed to allocate IP {cluster_ip}: the provided IP ({cluster_ip}) is not in the valid "
        f"range. The range of valid IPs is {allowed}"
    )
    return invalid(CLUSTER_IP, cluster_ip, detail).placed_at(("spec", "clusterIP"))


def _check_cluster_ips(cluster: Cluster) -> Findings:
    """Cluster IPs in the services' ranges, each given once; ranges apart from the Lab's others."""
    for item in cluster.of("ServiceCIDR"):
        for found in range_problems(item.obj, cluster.lab):
            yield item, found
    taken: dict[int, Located] = {}
    dns = cluster.lab.dns_address if cluster.lab.cluster_dns else None
    for item in cluster.of("Service"):
        service = Service.parse(item.obj)
        if service.address is None:
            continue
        problem = cluster_ip_problem(service.cluster_ip, cluster.service_ranges)
        if problem:
            yield item, problem
        first = taken.setdefault(service.address, item)
        if first is not item:
            yield item, _taken(service, f"{first.key} has it, at {first.place()}")
        elif service.address == dns and item.key != DNS:
            yield item, _taken(service, f"{DNS} has it: clusterDNS of the Lab")


def _taken(service: Service, hint: str) -> Problem:
    detail = f"failed to allocate IP {service.cluster_ip}: provided IP is already allocated"
    return invalid(CLUSTER_IP, service.cluster_ip, detail, hint).placed_at(("spec", "clusterIP"))
