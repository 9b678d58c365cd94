"""What is taken over from a cluster's dump."""

from __future__ import annotations

from netsim.api.manifests import Loaded, load_text
from netsim.api.validation import validate_all

HEAD = "---\napiVersion: {version}\nkind: {kind}\nmetadata:\n  name: {name}\n  uid: u-{name}\n"
OWNER = "  ownerReferences: [{{kind: {kind}, name: {name}, controller: true}}]\n"


def obj(kind: str, name: str, rest: str = "", *, owner: tuple[str, str] | None = None) -> str:
    version = {"ReplicaSet": "apps/v1", "EndpointSlice": "discovery.k8s.io/v1"}.get(kind, "v1")
    head = HEAD.format(version=version, kind=kind, name=name)
    return head + (OWNER.format(kind=owner[0], name=owner[1]) if owner else "") + rest


def node(name: str, cidr: str, ip: str) -> str:
    return obj(
        "Node",
        name,
        f"spec: {{podCIDR: {cidr}}}\n"
        f"status: {{addresses: [{{type: InternalIP, address: {ip}}}], nodeInfo: {{x: y}}}}\n",
    )


SPEC = "spec:\n  nodeName: {node}\n  containers: [{{name: c}}]\nstatus: {{podIP: 10.42.0.5}}\n"
SET = (
    "spec:\n  selector: {matchLabels: {a: b}}\n"
    "  template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c}]}}\n"
)
SERVICE = "spec: {clusterIP: 10.96.0.9, selector: {a: b}, ports: [{port: 80}]}\n"
SLICE = (
    "  labels:\n    kubernetes.io/service-name: s\n"
    "    endpointslice.kubernetes.io/managed-by: endpointslice-controller.k8s.io\n"
    "addressType: IPv4\n"
)


def keys(loaded: Loaded) -> list[str]:
    return [item.key.short for item in loaded.objects]


def test_what_controllers_make_again_is_left_out() -> None:
    text = (
        obj("ReplicaSet", "r", SET)
        + obj("Pod", "r-1", SPEC.format(node="n"), owner=("ReplicaSet", "r"))
        + obj("Service", "s", SERVICE)
        + obj("EndpointSlice", "s-1", SLICE)
        + obj("Endpoints", "s", "subsets: [{addresses: [{ip: 10.42.0.5}]}]\n")
    )
    loaded = load_text(text)
    assert keys(loaded) == ["ReplicaSet r", "Service s"]
    assert loaded.problems == []


def test_what_nobody_makes_again_is_kept_and_cut_loose() -> None:
    text = (
        obj("Pod", "p", SPEC.format(node="gone"), owner=("DaemonSet", "d"))
        + obj("EndpointSlice", "s-1", SLICE)
        + obj("Service", "kubernetes", "spec: {clusterIP: 10.96.0.1, ports: [{port: 443}]}\n")
        + obj("Endpoints", "kubernetes", "subsets: [{addresses: [{ip: 172.18.0.2}]}]\n")
    )
    loaded = load_text(text)
    assert loaded.problems == []
    assert keys(loaded) == [
        "Pod p",
        "EndpointSlice s-1",
        "Service kubernetes",
        "Endpoints kubernetes",
    ]
    assert loaded.objects[0].obj == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c"}]},
    }


def test_a_pod_stays_on_its_node_when_the_node_is_there() -> None:
    text = node("n", "10.244.0.0/24", "172.18.0.9") + obj("Pod", "p", SPEC.format(node="n"))
    pod = load_text(text).objects[1].obj
    assert pod["spec"] == {"nodeName": "n", "containers": [{"name": "c"}]}


ON_HOST = SPEC.format(node="n").replace("  containers:", "  hostNetwork: true\n  containers:")


def test_pods_of_what_netsim_does_itself_are_left_out_with_a_warning() -> None:
    loaded = load_text(obj("Pod", "proxy", "  namespace: kube-system\n" + ON_HOST), "t")
    assert [str(p) for p in loaded.problems] == [
        "t:10:16: warning: spec.hostNetwork: left out: netsim does its work"
    ]
    assert load_text(obj("Pod", "p", ON_HOST), "t").problems == []


def test_ranges_are_read_off_the_addresses() -> None:
    text = (
        node("a", "10.42.0.0/24", "192.168.56.11")
        + node("b", "10.42.1.0/24", "192.168.57.12")
        + obj("Service", "s", SERVICE.replace("10.96.0.9", "10.43.7.7"))
    )
    loaded = load_text(text)
    assert loaded.objects[0].obj["spec"] == {
        "podCIDR": "10.42.0.0/16",
        "serviceCIDR": "10.43.0.0/16",
        "nodeCIDR": "192.168.56.0/23",
    }
    assert [p.severity for p in loaded.problems] == ["warning"]
    assert [p for p in validate_all(loaded.objects) if p.severity == "error"] == []


def test_a_lab_decides_about_the_ranges() -> None:
    lab = "apiVersion: netsim.dev/v1alpha1\nkind: Lab\nspec: {podCIDR: 10.42.0.0/16}\n"
    loaded = load_text(lab + node("a", "10.42.0.0/24", "172.18.0.9"))
    assert (keys(loaded), loaded.problems) == (["Lab default", "Node a"], [])


def test_what_a_lab_printed_says_nothing_about_ranges() -> None:
    text = obj("Service", "s", SERVICE.replace("10.96.0.9", "10.43.7.7"))
    text = text.replace("uid: u-s\n", "uid: u-s\n  annotations: {netsim.dev/last-applied: '{}'}\n")
    assert keys(load_text(text)) == ["Service s"]


def test_a_range_that_was_written_by_hand_is_not_guessed() -> None:
    text = "apiVersion: v1\nkind: Node\nmetadata: {name: n}\nspec: {podCIDR: 10.1.0.0/24}\n"
    loaded = load_text(text)
    assert keys(loaded) == ["Node n"]
    assert [p.severity for p in validate_all(loaded.objects)] == ["error"]


def service_cidr(name: str, *cidrs: str) -> str:
    text = obj("ServiceCIDR", name, f"spec: {{cidrs: [{', '.join(cidrs)}]}}\n")
    return text.replace("apiVersion: v1\n", "apiVersion: networking.k8s.io/v1\n")


def test_the_range_of_services_is_the_one_that_the_cluster_names() -> None:
    text = (
        service_cidr("kubernetes", "10.43.0.0/20")
        + service_cidr("more", "10.77.0.0/24")
        + obj("Service", "s", SERVICE.replace("10.96.0.9", "10.43.7.7"))
        + obj("Service", "t", SERVICE.replace("10.96.0.9", "10.77.0.7"))
    )
    loaded = load_text(text)
    assert loaded.objects[0].obj["spec"] == {"serviceCIDR": "10.43.0.0/20"}
    assert [p for p in validate_all(loaded.objects) if p.severity == "error"] == []
