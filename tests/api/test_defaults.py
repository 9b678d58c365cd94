"""Defaults are those of the API server, and validation finds the same with and without them."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from netsim.api.defaults import with_defaults
from netsim.api.manifests import load
from netsim.api.validation import validate_object

EXAMPLES = sorted(Path(__file__).parents[2].joinpath("examples").glob("*.yaml"))


def spec(obj: dict[str, object]) -> dict[str, object]:
    found = with_defaults(obj)["spec"]
    assert isinstance(found, dict)
    return found


def test_a_service_gets_k_67() -> None:
    obj: dict[str, object] = {"kind": "Service", "spec": {"selector": {}, "ports": [{"port": 80}]}}
    assert spec(obj) == {
        "type": "ClusterIP",
        "sessionAffinity": "None",
        "internalTrafficPolicy": "Cluster",
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
    }


def test_affinity_lasts_three_hours() -> None:
    found = spec({"kind": "Service", "spec": {"sessionAffinity": "ClientIP"}})
    assert found["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}
    given: dict[str, object] = {"clientIP": {"timeoutSeconds": 5}}
    obj: dict[str, object] = {
        "kind": "Service",
        "spec": {"sessionAffinity": "ClientIP", "sessionAffinityConfig": given},
    }
    assert spec(obj)["sessionAffinityConfig"] == given


def test_what_is_reachable_from_outside_has_an_external_policy() -> None:
    assert spec({"kind": "Service", "spec": {"type": "NodePort"}})["externalTrafficPolicy"] == (
        "Cluster"
    )
    balancer = spec({"kind": "Service", "spec": {"type": "LoadBalancer"}})
    assert balancer["allocateLoadBalancerNodePorts"] is True
    assert "internalTrafficPolicy" not in spec(
        {"kind": "Service", "spec": {"type": "ExternalName"}}
    )


def test_a_deployment_gets_a_strategy_and_its_template_a_policy() -> None:
    template: dict[str, object] = {
        "spec": {
            "containers": [
                {
                    "name": "c",
                    "ports": [{"containerPort": 80}],
                    "readinessProbe": {"httpGet": {"port": 80}},
                }
            ]
        }
    }
    found = spec({"kind": "Deployment", "spec": {"template": template}})
    assert (found["replicas"], found["revisionHistoryLimit"]) == (1, 10)
    assert found["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"},
    }
    assert found["template"] == {
        "spec": {
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst",
            "schedulerName": "default-scheduler",
            "containers": [
                {
                    "name": "c",
                    "ports": [{"containerPort": 80, "protocol": "TCP"}],
                    "readinessProbe": {
                        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
                        "timeoutSeconds": 1,
                        "periodSeconds": 10,
                        "successThreshold": 1,
                        "failureThreshold": 3,
                    },
                }
            ],
        }
    }


def test_recreate_has_no_shares() -> None:
    found = spec({"kind": "Deployment", "spec": {"strategy": {"type": "Recreate"}}})
    assert found["strategy"] == {"type": "Recreate"}


def test_names_and_namespaces() -> None:
    assert with_defaults({"kind": "Pod"})["metadata"] == {"namespace": "default"}
    assert with_defaults({"kind": "Node"})["metadata"] == {}
    assert with_defaults({"kind": "Lab"})["metadata"] == {"name": "default"}
    namespace = with_defaults({"kind": "Namespace", "metadata": {"name": "a"}})
    assert namespace["metadata"] == {
        "name": "a",
        "labels": {"kubernetes.io/metadata.name": "a"},
    }
    assert namespace["status"] == {"phase": "Active"}


def test_null_is_dropped_but_empty_among_strings() -> None:
    found = with_defaults(
        {
            "kind": "Pod",
            "metadata": {"labels": {"a": None}, "creationTimestamp": None},
            "spec": {"containers": [{"name": "c", "command": None}], "volumes": [{"x": None}]},
        }
    )
    assert found["metadata"] == {"namespace": "default", "labels": {"a": ""}}
    kept = found["spec"]
    assert isinstance(kept, dict)
    assert (kept["containers"], kept["volumes"]) == ([{"name": "c"}], [{}])


MALFORMED: list[dict[str, object]] = [
    {"kind": "Pod", "metadata": [], "spec": {}},
    {"kind": "Pod", "spec": "x"},
    {"kind": "Pod", "spec": {"containers": {"a": "b"}}},
    {"kind": "Service", "spec": {"ports": ["x", 1, {"port": "y"}]}},
    {"kind": "Service", "spec": {"sessionAffinity": "ClientIP", "sessionAffinityConfig": 5}},
    {"kind": "Deployment", "spec": {"strategy": [], "template": {"spec": []}}},
    {"kind": "Namespace", "metadata": {"name": "a", "labels": []}},
    {"kind": "Endpoints", "subsets": [{"ports": 5}, 5]},
    {"kind": 5},
]


@pytest.mark.parametrize("obj", MALFORMED)
def test_what_is_malformed_stays_for_validation_to_find(obj: dict[str, object]) -> None:
    versions = {"Deployment": "apps/v1"}
    obj = {"apiVersion": versions.get(str(obj["kind"]), "v1"), **obj}
    before = copy.deepcopy(obj)
    mistyped = {p.path for p in validate_object(obj) if p.reason == "FieldValueTypeInvalid"}
    after = {
        p.path for p in validate_object(with_defaults(obj)) if p.reason == "FieldValueTypeInvalid"
    }
    assert obj == before
    assert mistyped == after
    assert mistyped or obj["kind"] == 5


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_twice_is_as_good_as_once(path: Path) -> None:
    for item in load([str(path)]).objects:
        before = copy.deepcopy(item.obj)
        once = with_defaults(item.obj)
        assert item.obj == before
        assert with_defaults(once) == once
        assert [p for p in validate_object(once, once) if p.severity == "error"] == []
