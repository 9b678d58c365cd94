"""What may not change in an object that exists."""

from __future__ import annotations

import pytest

from netsim.api.defaults import with_defaults
from netsim.api.fields import Json
from netsim.api.manifests import load_text
from netsim.api.validation import validate_object

SERVICE = (
    "apiVersion: v1\nkind: Service\nmetadata: {name: s}\n"
    "spec: {clusterIP: 10.96.0.9, ports: [{port: 80}]}\n"
)
BALANCED = SERVICE.replace(
    "clusterIP",
    "type: LoadBalancer, externalTrafficPolicy: Local, healthCheckNodePort: 30001, clusterIP",
)
POD = (
    "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n"
    "spec:\n  nodeName: a\n  containers: [{name: c, image: x}]\n"
)
DEPLOYMENT = (
    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n"
    "spec:\n  selector: {matchLabels: {app: a}}\n"
    "  template: {metadata: {labels: {app: a, x: y}}, spec: {containers: [{name: c}]}}\n"
)
NODE = "apiVersion: v1\nkind: Node\nmetadata: {name: n}\nspec: {podCIDR: 10.244.0.0/24}\n"
SLICE = (
    "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: e}\n"
    "addressType: IPv4\nendpoints: []\n"
)


def one(text: str) -> Json:
    (item,) = load_text(text).objects
    return with_defaults(item.obj)


CASES = [
    ("nothing changes", SERVICE, SERVICE, []),
    (
        "a cluster IP",
        SERVICE,
        SERVICE.replace("96.0.9", "96.0.8"),
        ['spec.clusterIPs[0]: Invalid value: ["10.96.0.8"]: may not change once set'],
    ),
    ("a cluster IP that is left out stays", SERVICE, SERVICE.replace("10.96.0.9", '""'), []),
    ("a first cluster IP", SERVICE.replace("10.96.0.9", '""'), SERVICE, []),
    (
        "a cluster IP on the way to ExternalName",
        SERVICE,
        SERVICE.replace("clusterIP: 10.96.0.9", "type: ExternalName, externalName: a"),
        [],
    ),
    (
        "None stays",
        SERVICE.replace("10.96.0.9", "None"),
        SERVICE,
        ['spec.clusterIPs[0]: Invalid value: ["10.96.0.9"]: may not change once set'],
    ),
    (
        "a health check's port",
        BALANCED,
        BALANCED.replace("30001", "30002"),
        ["spec.healthCheckNodePort: Forbidden: field is immutable"],
    ),
    ("a health check's port that is left out", BALANCED, BALANCED.replace("30001", "0"), []),
    (
        "a load balancer's class",
        BALANCED,
        BALANCED.replace("clusterIP", "loadBalancerClass: a, clusterIP"),
        ['spec.loadBalancerClass: Invalid value: "a": may not change once set'],
    ),
    ("a pod's image and grace", POD, POD.replace("x}", "y}") + "  tolerations: [{}]\n", []),
    ("a pod is bound", POD.replace("  nodeName: a\n", ""), POD, []),
    (
        "a pod's node is left out",
        POD,
        POD.replace("  nodeName: a\n", ""),
        [
            "spec: Forbidden: pod updates may not change fields other than"
            " `spec.containers[*].image`, `spec.activeDeadlineSeconds`, `spec.tolerations` (only"
            " additions to existing tolerations), `spec.terminationGracePeriodSeconds`"
        ],
    ),
    (
        "a pod's node",
        POD,
        POD.replace("nodeName: a", "nodeName: b"),
        [
            "spec: Forbidden: pod updates may not change fields other than"
            " `spec.containers[*].image`, `spec.activeDeadlineSeconds`, `spec.tolerations` (only"
            " additions to existing tolerations), `spec.terminationGracePeriodSeconds`"
        ],
    ),
    (
        "a selector",
        DEPLOYMENT,
        DEPLOYMENT.replace("{app: a}}", "{x: y}}"),
        ['spec.selector: Invalid value: {"matchLabels":{"x":"y"}}: field is immutable'],
    ),
    ("replicas", DEPLOYMENT, DEPLOYMENT + "  replicas: 5\n", []),
    (
        "a pod range",
        NODE,
        NODE.replace("0.0/24", "1.0/24"),
        ['spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid'],
    ),
    (
        "a node's proxy mode",
        NODE,
        NODE.replace("metadata: {", "metadata: {annotations: {netsim.dev/proxy-mode: iptables}, "),
        [
            'metadata.annotations[netsim.dev/proxy-mode]: Invalid value: "iptables":'
            " field is immutable"
        ],
    ),
    (
        "an address type",
        SLICE,
        SLICE.replace("IPv4", "FQDN"),
        ['addressType: Invalid value: "FQDN": field is immutable'],
    ),
]


@pytest.mark.parametrize(("name", "old", "new", "expected"), CASES, ids=[c[0] for c in CASES])
def test_an_update_is_refused_when(name: str, old: str, new: str, expected: list[str]) -> None:
    found = validate_object(one(new), one(old))
    assert [f"{p.path}: {p.message}" for p in found if p.severity == "error"] == expected


def test_a_kind_that_a_lab_does_not_have_is_one_error() -> None:
    (problem,) = validate_object({"apiVersion": "v1", "kind": "Secret"})
    assert (problem.severity, problem.path) == ("error", "kind")
