"""The field tables know Kubernetes' fields, and the JSON Schema says the same as the check."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from netsim.api import schema
from netsim.api.manifests import load
from netsim.api.meta import KINDS
from netsim.api.schema import Either, ListOf, MapOf, Record, Type, check
from netsim.api.schema_export import json_schema
from netsim.api.schema_tables import KIND_TABLES

EXAMPLES = sorted(Path(__file__).parents[2].joinpath("examples").glob("*.yaml"))

# Kubernetes 1.33, from the OpenAPI document of its API server.
KUBERNETES: Mapping[str, str] = {
    "ObjectMeta": "annotations creationTimestamp deletionGracePeriodSeconds deletionTimestamp"
    " finalizers generateName generation labels managedFields name namespace ownerReferences"
    " resourceVersion selfLink uid",
    "PodSpec": "activeDeadlineSeconds affinity automountServiceAccountToken containers dnsConfig"
    " dnsPolicy enableServiceLinks ephemeralContainers hostAliases hostIPC hostNetwork hostPID"
    " hostUsers hostname imagePullSecrets initContainers nodeName nodeSelector os overhead"
    " preemptionPolicy priority priorityClassName readinessGates resourceClaims resources"
    " restartPolicy runtimeClassName schedulerName schedulingGates securityContext serviceAccount"
    " serviceAccountName setHostnameAsFQDN shareProcessNamespace subdomain"
    " terminationGracePeriodSeconds tolerations topologySpreadConstraints volumes",
    "Container": "args command env envFrom image imagePullPolicy lifecycle livenessProbe name ports"
    " readinessProbe resizePolicy resources restartPolicy securityContext startupProbe stdin"
    " stdinOnce terminationMessagePath terminationMessagePolicy tty volumeDevices volumeMounts"
    " workingDir",
    "Probe": "exec failureThreshold grpc httpGet initialDelaySeconds periodSeconds"
    " successThreshold tcpSocket terminationGracePeriodSeconds timeoutSeconds",
    "ServiceSpec": "allocateLoadBalancerNodePorts clusterIP clusterIPs externalIPs externalName"
    " externalTrafficPolicy healthCheckNodePort internalTrafficPolicy ipFamilies ipFamilyPolicy"
    " loadBalancerClass loadBalancerIP loadBalancerSourceRanges ports publishNotReadyAddresses"
    " selector sessionAffinity sessionAffinityConfig trafficDistribution type",
    "ServicePort": "appProtocol name nodePort port protocol targetPort",
    "DeploymentSpec": "minReadySeconds paused progressDeadlineSeconds replicas"
    " revisionHistoryLimit selector strategy template",
    "ReplicaSetSpec": "minReadySeconds replicas selector template",
    "NodeSpec": "configSource externalID podCIDR podCIDRs providerID taints unschedulable",
    "NodeStatus": "addresses allocatable capacity conditions config daemonEndpoints features images"
    " nodeInfo phase runtimeHandlers volumesAttached volumesInUse",
    "Endpoint": "addresses conditions deprecatedTopology hints hostname nodeName targetRef zone",
    "EndpointAddress": "hostname ip nodeName targetRef",
    "EndpointSubset": "addresses notReadyAddresses ports",
    "EndpointPort": "appProtocol name port protocol",
    "ContainerPort": "containerPort hostIP hostPort name protocol",
    "EnvVarSource": "configMapKeyRef fieldRef resourceFieldRef secretKeyRef",
    "HTTPGetAction": "host httpHeaders path port scheme",
    "ObjectReference": "apiVersion fieldPath kind name namespace resourceVersion uid",
    "OwnerReference": "apiVersion blockOwnerDeletion controller kind name uid",
}


def records(kind: Type) -> Iterator[Record]:
    if isinstance(kind, ListOf):
        yield from records(kind.item)
    elif isinstance(kind, MapOf):
        yield from records(kind.value)
    elif isinstance(kind, Either):
        yield from records(kind.record)
    elif isinstance(kind, Record):
        yield kind
        for field in kind.fields.values():
            yield from records(field.type)


TABLES = {found.name: found for kind in KIND_TABLES.values() for found in records(kind)}


@pytest.mark.parametrize("name", KUBERNETES)
def test_every_field_of_kubernetes_is_known_and_no_other(name: str) -> None:
    own = {"ObjectMeta": {"clusterName"}}.get(name, set())
    assert set(TABLES[name].fields) - own == set(KUBERNETES[name].split())


def test_every_kind_has_a_table() -> None:
    assert set(KIND_TABLES) == {kind.name for kind in KINDS}


def test_one_name_is_one_record() -> None:
    for kind in KIND_TABLES.values():
        for found in records(kind):
            assert TABLES[found.name] == found


def allows(found: object, value: object, root: Mapping[str, object]) -> bool:
    """A JSON Schema validator of the words that `json_schema` uses."""
    if not isinstance(found, dict):
        return False
    if "$ref" in found:
        name = str(found["$ref"]).rpartition("/")[2]
        definitions = root["$defs"]
        assert isinstance(definitions, dict)
        return allows(definitions[name], value, root)
    if "anyOf" in found and not any(allows(s, value, root) for s in found["anyOf"]):
        return False
    for rule in found.get("allOf", ()):
        if allows(rule["if"], value, root) and not allows(rule["then"], value, root):
            return False
    if "const" in found and value != found["const"]:
        return False
    if "enum" in found and value not in found["enum"]:
        return False
    if "type" in found and json_type(value) not in [*found["type"], found["type"]]:
        return False
    if isinstance(value, list):
        return all(allows(found.get("items", {}), item, root) for item in value)
    if not isinstance(value, dict):
        return True
    properties, others = found.get("properties", {}), found.get("additionalProperties", {})
    return all(name in value for name in found.get("required", ())) and all(
        allows(properties.get(key, others), inner, root) for key, inner in value.items()
    )


def json_type(value: object) -> str:
    if value is None:
        return "null"
    names = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "number")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_json_schema_allows_the_examples(path: Path) -> None:
    root = json_schema()
    for item in load([str(path)]).objects:
        assert allows(root, item.obj, root), item.key


@pytest.mark.parametrize(
    "obj",
    [
        {"kind": "Pod"},
        {"apiVersion": "v2", "kind": "Pod"},
        {"apiVersion": "v1", "kind": "Pod", "spec": {"containrs": []}},
        {"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": "80"}]}},
        {"apiVersion": "v1", "kind": "Service", "spec": {"sessionAffinity": "ClientIp"}},
        {"apiVersion": "netsim.dev/v1alpha1", "kind": "Lab", "spec": {"backend": "vx"}},
        {"apiVersion": "netsim.dev/v1alpha1", "kind": "Lab", "spec": {"backend": {"vx": {}}}},
    ],
)
def test_the_json_schema_refuses(obj: dict[str, object]) -> None:
    root = json_schema()
    assert not allows(root, obj, root)


def test_checking_costs_one_look_per_value(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    original = check

    def counted(value: object, kind: Type, path: tuple[str | int, ...] = ()) -> Iterator[object]:
        nonlocal looks
        looks += 1
        return original(value, kind, path)

    monkeypatch.setattr(schema, "check", counted)

    def cost(count: int) -> int:
        nonlocal looks
        looks = 0
        ports = [{"name": f"p{n}", "port": n} for n in range(1, count + 1)]
        obj = {"apiVersion": "v1", "kind": "Service", "spec": {"ports": ports}}
        assert list(original(obj, KIND_TABLES["Service"])) == []
        return looks

    assert cost(200) - cost(100) == 100 * 3
