"""What only shows between objects, with both places where there are two."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from netsim.api.lab_spec import Lab
from netsim.api.manifests import from_objects, load_text
from netsim.api.validation import validate_all


class Case(NamedTuple):
    name: str
    text: str
    problems: list[str]


def node(name: str, cidr: str = "", ip: str = "") -> str:
    note = f", annotations: {{netsim.dev/node-ip: {ip}}}" if ip else ""
    spec = f"spec: {{podCIDR: {cidr}}}\n" if cidr else ""
    return f"---\napiVersion: v1\nkind: Node\nmetadata: {{name: {name}{note}}}\n{spec}"


def pod(name: str, *, ip: str = "", spec: str = "", labels: str = "app: web") -> str:
    note = f", annotations: {{netsim.dev/pod-ip: {ip}}}" if ip else ""
    return (
        f"---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{{labels}}}{note}}}\n"
        f"spec:\n{spec}  containers:\n"
        "  - {name: c, ports: [{name: http, containerPort: 8080}]}\n"
    )


def service(name: str, ip: str = "", port: str = "port: 80, targetPort: 8080") -> str:
    address = f"  clusterIP: {ip}\n" if ip else ""
    return (
        f"---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n{address}"
        f"  selector: {{app: web}}\n  ports: [{{{port}}}]\n"
    )


def lab(spec: str) -> str:
    return f"---\napiVersion: netsim.dev/v1alpha1\nkind: Lab\nspec: {{{spec}}}\n"


OUT = (
    "---\napiVersion: v1\nkind: Service\nmetadata: {name: out}\n"
    "spec: {type: ExternalName, externalName: example.com}\n"
)
CASES = [
    Case("all is well", pod("a") + service("web") + node("n", "10.244.3.0/24", "172.18.0.9"), []),
    Case(
        "one name twice",
        pod("a") + pod("a"),
        ['t:11:18: error: metadata.name: Duplicate value: "a" (Pod default/a is already at t:2)'],
    ),
    Case(
        "one name in two namespaces, of two kinds",
        pod("a") + pod("a").replace("name: a", "name: a, namespace: b") + service("a"),
        [],
    ),
    Case(
        "two labs",
        lab("seed: 1") + lab("seed: 2").replace("kind: Lab\n", "kind: Lab\nmetadata: {name: b}\n"),
        ["t:7:7: error: kind: a topology has one Lab (the other is at t:2)"],
    ),
    Case(
        "a pod range outside the cluster's",
        node("n", "10.1.0.0/24"),
        [
            't:5:17: error: spec.podCIDR: Invalid value: "10.1.0.0/24": is outside the cluster\'s'
            " pod range 10.244.0.0/16 (change it, or Lab's spec.podCIDR)"
        ],
    ),
    Case(
        "pod ranges that overlap",
        node("a", "10.244.0.0/23") + node("b", "10.244.1.0/24"),
        [
            't:5:17: error: spec.podCIDR: Invalid value: "10.244.0.0/23":'
            " overlaps 10.244.1.0/24 of Node b",
            't:10:17: error: spec.podCIDR: Invalid value: "10.244.1.0/24":'
            " overlaps 10.244.0.0/23 of Node a (the other is at t:5)",
        ],
    ),
    Case(
        "one node address twice, and one of another range",
        node("a", ip="172.18.0.9") + node("b", ip="172.18.0.9") + node("c", ip="10.0.0.9"),
        [
            't:8:55: error: metadata.annotations[netsim.dev/node-ip]: Duplicate value: "172.18.0.9"'
            " (Node a has it, at t:2)",
            't:12:55: error: metadata.annotations[netsim.dev/node-ip]: Invalid value: "10.0.0.9":'
            " is not a usable address of the nodes' range 172.18.0.0/16"
            " (change it, or Lab's spec.nodeCIDR)",
        ],
    ),
    Case(
        "more nodes than ranges and addresses",
        lab("podCIDR: 10.1.0.0/23, nodeCIDR: 10.2.0.0/29, generate: {nodes: 6}"),
        [
            "t:4:71: error: spec.generate.nodes: 6 nodes, but only 4 pod ranges /25 in 10.1.0.0/23"
            " (give Lab a larger spec.podCIDR)",
            "t:4:71: error: spec.generate.nodes: 6 nodes, but only 5 addresses in 10.2.0.0/29"
            " (give Lab a larger spec.nodeCIDR)",
        ],
    ),
    Case(
        "a pod on a node that there is not",
        node("a") + pod("p", spec="  nodeName: b\n"),
        [
            't:10:13: error: spec.nodeName: Not found: "b": there is no such node (nodes: a)',
        ],
    ),
    Case(
        "an external name without a DNS that says it",
        OUT,
        [
            "t:5:14: warning: spec.type: ExternalName has no effect: this lab has no DNS server"
            " (the Lab's spec.clusterDNS: true starts one)",
        ],
    ),
    Case("an external name and the cluster's DNS", OUT + lab("clusterDNS: true"), []),
    Case("a pod on a generated node", pod("p", spec="  nodeName: node2\n"), []),
    Case(
        "a node selector that no node meets",
        node("a") + pod("p", spec="  nodeSelector: {disk: ssd}\n"),
        ["t:10:3: warning: spec.nodeSelector: no node has these labels: pods stay Pending"],
    ),
    Case(
        "a node selector by host name",
        node("a") + pod("p", spec="  nodeSelector: {kubernetes.io/hostname: a}\n"),
        [],
    ),
    Case(
        "a node selector by the host name of a generated node",
        pod("p", spec="  nodeSelector: {kubernetes.io/hostname: node2}\n"),
        [],
    ),
    Case(
        "a node selector by the host name of no generated node",
        pod("p", spec="  nodeSelector: {kubernetes.io/hostname: node3}\n"),
        ["t:6:3: warning: spec.nodeSelector: no node has these labels: pods stay Pending"],
    ),
    Case(
        "fixed addresses: of another node, reserved, twice, of no node",
        node("a", "10.244.0.0/24")
        + node("b", "10.244.1.0/24")
        + pod("p", ip="10.244.1.5", spec="  nodeName: a\n")
        + pod("q", ip="10.244.1.1")
        + pod("r", ip="10.244.1.5")
        + pod("s", ip="10.244.2.5"),
        [
            't:14:74: error: metadata.annotations[netsim.dev/pod-ip]: Invalid value: "10.244.1.5":'
            " is outside the pod range of a 10.244.0.0/24",
            't:22:74: error: metadata.annotations[netsim.dev/pod-ip]: Invalid value: "10.244.1.1":'
            " is reserved (the first two and the last address of 10.244.1.0/24 are the node's)",
            't:29:74: error: metadata.annotations[netsim.dev/pod-ip]: Duplicate value: "10.244.1.5"'
            " (Pod default/p has it, at t:12)",
            't:36:74: error: metadata.annotations[netsim.dev/pod-ip]: Invalid value: "10.244.2.5":'
            " is outside any node's pod range 10.244.0.0/24, 10.244.1.0/24",
        ],
    ),
    Case(
        "cluster IPs: of another range, the range's own, twice",
        pod("p")
        + service("a", "10.1.0.1")
        + service("b", "10.96.0.0")
        + service("c", "10.96.0.9")
        + service("d", "10.96.0.9"),
        [
            't:13:14: error: spec.clusterIPs[0]: Invalid value: "10.1.0.1": failed to allocate IP'
            " 10.1.0.1: the provided IP (10.1.0.1) is not in the valid range."
            " The range of valid IPs is 10.96.0.0/12",
            't:21:14: error: spec.clusterIPs[0]: Invalid value: "10.96.0.0": failed to allocate IP'
            " 10.96.0.0: the provided IP (10.96.0.0) is not in the valid range."
            " The range of valid IPs is 10.96.0.0/12",
            't:37:14: error: spec.clusterIPs[0]: Invalid value: "10.96.0.9": failed to allocate IP'
            " 10.96.0.9: provided IP is already allocated (Service default/c has it, at t:25)",
        ],
    ),
    Case(
        "a selector that matches nothing",
        pod("p", labels="app: wob") + service("web"),
        [
            "t:13:3: warning: spec.selector: matches no pod"
            " (no pod in namespace default is labelled app=web)"
        ],
    ),
    Case(
        "a selector whose labels are never together",
        pod("p", labels="app: web")
        + pod("q", labels="tier: front")
        + service("s").replace("{app: web}", "{app: web, tier: front}"),
        ["t:20:3: warning: spec.selector: matches no pod (no pod has all of its labels together)"],
    ),
    Case(
        "a selector that matches pods of another namespace",
        pod("p").replace("name: p", "name: p, namespace: x") + service("s"),
        [
            "t:13:3: warning: spec.selector: matches no pod"
            " (no pod in namespace default is labelled app=web)"
        ],
    ),
    Case(
        "a named target port that no pod has",
        pod("p") + service("s", port="port: 80, targetPort: web"),
        [
            "t:14:34: warning: spec.ports[0].targetPort: no pod it selects has a TCP port named"
            ' "web" (they have http (8080))'
        ],
    ),
    Case(
        "a named target port of another protocol",
        pod("p") + service("s", port="port: 80, targetPort: http, protocol: UDP"),
        [
            "t:14:34: warning: spec.ports[0].targetPort: no pod it selects has a UDP port named"
            ' "http"'
        ],
    ),
    Case(
        "a target port that the answerer does not serve",
        pod("p") + service("s", port="port: 80"),
        [
            "t:14:18: warning: spec.ports[0].port: nothing listens on TCP port 80 in the pods it"
            " selects (they have http (8080))"
        ],
    ),
    Case(
        "a target port of a program of the user's",
        pod("p").replace("name: c,", "name: c, command: [x],") + service("s", port="port: 80"),
        [],
    ),
    Case(
        "slices and Endpoints of nothing, or of a Service that has a selector",
        pod("p")
        + service("web")
        + "---\napiVersion: v1\nkind: Endpoints\nmetadata: {name: web}\n"
        + "subsets: [{addresses: [{ip: 10.244.0.9}]}]\n"
        + "---\napiVersion: v1\nkind: Endpoints\nmetadata: {name: wob}\n"
        + "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
        + "metadata: {name: a, labels: {kubernetes.io/service-name: wob}}\naddressType: IPv4\n"
        + "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
        + "metadata: {name: b}\naddressType: IPv4\n",
        [
            't:19:1: warning: subsets: replaced: the selector of Service "web" decides'
            " (remove the selector to set endpoints by hand)",
            't:23:18: warning: metadata.name: there is no Service "wob" in this namespace',
            "t:27:58: warning: metadata.labels[kubernetes.io/service-name]:"
            ' there is no Service "wob" in this namespace',
            "t:32:1: warning: metadata.labels: the slice belongs to no Service"
            " (the label kubernetes.io/service-name says which)",
        ],
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_says_what_does_not_fit_and_where(case: Case) -> None:
    loaded = load_text(case.text, "t")
    assert loaded.problems == []
    found = sorted(validate_all(loaded.objects), key=lambda p: (p.line, p.column))
    assert [str(problem) for problem in found] == case.problems


def test_what_a_lab_has_counts_but_is_not_reported() -> None:
    existing = [
        item.obj
        for item in load_text(service("a", "10.96.0.9") + service("b", "10.96.0.9")).objects
    ]
    loaded = load_text(service("c", "10.96.0.9") + pod("p"), "t")
    (problem,) = validate_all(loaded.objects, existing)
    assert problem.message.endswith("provided IP is already allocated")
    assert problem.hint == "Service default/a has it, at Service default/a"


def test_the_address_of_the_cluster_s_dns_is_its_own() -> None:
    loaded = load_text(service("a", "10.96.0.10") + pod("p"), "t")
    assert validate_all(loaded.objects, lab=Lab.parse({})) == []
    (problem,) = validate_all(loaded.objects, lab=Lab.parse({"spec": {"clusterDNS": True}}))
    assert (problem.file, problem.line) == ("t", 6)
    assert problem.message.endswith("provided IP is already allocated")
    assert problem.hint == "Service kube-system/kube-dns has it: clusterDNS of the Lab"


def test_replacing_an_object_is_no_duplicate() -> None:
    loaded = load_text(service("a", "10.96.0.9") + pod("p"), "t")
    assert validate_all(loaded.objects, [item.obj for item in loaded.objects]) == []


def test_the_lab_may_be_given() -> None:
    loaded = load_text(service("a", "10.43.0.9") + pod("p"), "t")
    spec = Lab.parse({"spec": {"serviceCIDR": "10.43.0.0/16"}})
    assert validate_all(loaded.objects, lab=spec) == []
    assert len(validate_all(loaded.objects)) == 1


def test_objects_made_in_python_are_named_instead_of_placed() -> None:
    objects = [
        item.obj
        for item in load_text(service("a", "10.96.0.9") + service("b", "10.96.0.9")).objects
    ]
    problems = validate_all(from_objects(objects).objects)
    assert [(p.file, p.line, p.subject) for p in problems if p.severity == "error"] == [
        ("", 0, "Service default/b")
    ]
