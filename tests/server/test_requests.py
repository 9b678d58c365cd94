"""Requests and their answers: one table of refusals, and the life of objects over HTTP."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from netsim.api.fields import Json, items, mapping, text
from tests.server.running import Answer, Server

PODS = "/api/v1/namespaces/default/pods"
SERVICES = "/api/v1/namespaces/default/services"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
NODES = "/api/v1/nodes"
MERGE, PATCH = "application/merge-patch+json", "application/json-patch+json"
STRATEGIC, APPLY = "application/strategic-merge-patch+json", "application/apply-patch+yaml"


def pod(name: str, **more: object) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, **more},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }


def service(name: str, **spec: object) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def deployment(name: str, replicas: int = 1) -> dict[str, object]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}},
    }


def head(answer: Answer | Json) -> Json:
    return mapping(answer.body if isinstance(answer, Answer) else answer, "metadata")


def names(answer: Answer) -> list[str]:
    return [text(head(obj), "name") for obj in items(answer.body, "items")]


class Refusal(NamedTuple):
    """A request to a server that holds Pod p, Service s and Deployment d, and its refusal."""

    why: str
    method: str
    url: str
    body: object
    code: int
    reason: str
    message: str
    content_type: str | None = "application/json"


REFUSALS = [
    Refusal("no such path", "GET", "/nope", None, 404, "NotFound", "could not find"),
    Refusal("no such group", "GET", "/apis/batch/v1/jobs", None, 404, "NotFound", "not find"),
    Refusal("no such kind", "GET", "/api/v1/secrets", None, 404, "NotFound", "could not find"),
    Refusal("no such part", "GET", f"{PODS}/p/exec", None, 404, "NotFound", "could not find"),
    Refusal("no such object", "GET", f"{PODS}/x", None, 404, "NotFound", 'pods "x" not found'),
    Refusal("nor in a group", "GET", f"{DEPLOYMENTS}/x", None, 404, "NotFound",
            'deployments.apps "x" not found'),
    Refusal("nor to patch", "PATCH", f"{PODS}/x", {}, 404, "NotFound", "not found", MERGE),
    Refusal("nor to replace", "PUT", f"{PODS}/x", pod("x"), 404, "NotFound", "not found"),
    Refusal("nor to delete", "DELETE", f"{PODS}/x", None, 404, "NotFound", "not found"),
    Refusal("create everywhere", "POST", "/api/v1/pods", pod("x"), 405, "MethodNotAllowed",
            "does not allow this method"),
    Refusal("post an object", "POST", f"{PODS}/p", pod("p"), 405, "MethodNotAllowed", "method"),
    Refusal("write a log", "PUT", f"{PODS}/p/log", {}, 405, "MethodNotAllowed", "method"),
    Refusal("post a version", "POST", "/version", {}, 405, "MethodNotAllowed", "method"),
    Refusal("odd method", "TRACE", PODS, None, 405, "MethodNotAllowed", "method"),
    Refusal("no body", "POST", PODS, b"", 400, "BadRequest", "not JSON"),
    Refusal("half a body", "POST", PODS, b'{"a":', 400, "BadRequest", "not JSON"),
    Refusal("not text", "POST", PODS, b"\xff\xfe", 400, "BadRequest", "not JSON"),
    Refusal("too deep", "POST", PODS, b"[" * 100_000, 400, "BadRequest", "deeper than 200"),
    Refusal("deep enough to hurt", "POST", PODS, b'{"a":' * 300 + b"1" + b"}" * 300, 400,
            "BadRequest", "deeper than 200"),
    Refusal("a list", "POST", PODS, [], 400, "BadRequest", "must be an object"),
    Refusal("null", "POST", PODS, b"null", 400, "BadRequest", "must be an object"),
    Refusal("too large", "POST", PODS, b" " * (4 << 20), 413, "RequestEntityTooLarge", "larger"),
    Refusal("another kind", "POST", PODS, service("x"), 400, "BadRequest", "Service of v1"),
    Refusal("another version", "POST", PODS, {**pod("x"), "apiVersion": "v2"}, 400, "BadRequest",
            "Pod of v2"),
    Refusal("another namespace", "POST", PODS, pod("x", namespace="y"), 400, "BadRequest",
            "the namespace of the object (y) does not match"),
    Refusal("another name", "PUT", f"{PODS}/p", pod("q"), 400, "BadRequest", "does not match"),
    Refusal("a node in a namespace", "POST", NODES,
            {"kind": "Node", "metadata": {"name": "n", "namespace": "x"}}, 400, "BadRequest",
            "does not match"),
    Refusal("metadata is text", "POST", PODS, {"metadata": "x"}, 400, "BadRequest", "metadata"),
    Refusal("protobuf", "POST", PODS, b"k8s\0", 415, "UnsupportedMediaType", "unknown format",
            "application/vnd.kubernetes.protobuf"),
    Refusal("a form", "POST", PODS, b"a=b", 415, "UnsupportedMediaType", "unknown format",
            "application/x-www-form-urlencoded"),
    Refusal("a patch that is plain JSON", "PATCH", f"{PODS}/p", {}, 415, "UnsupportedMediaType",
            "application/merge-patch+json"),
    Refusal("broken YAML", "POST", PODS, b"a: [", 400, "BadRequest", "not YAML",
            "application/yaml"),
    Refusal("YAML bomb", "POST", PODS, b"a: &a [x]\nb: [*a, *a]\n", 400, "BadRequest", "aliases",
            "application/yaml"),
    Refusal("deep YAML", "POST", PODS, b"[" * 100_000, 400, "BadRequest", "deeper than",
            "application/yaml"),
    Refusal("exists", "POST", PODS, pod("p"), 409, "AlreadyExists", 'pods "p" already exists'),
    Refusal("stale", "PUT", f"{PODS}/p", pod("p", resourceVersion="1"), 409, "Conflict",
            "the object has been modified"),
    Refusal("stale patch", "PATCH", f"{PODS}/p", {"metadata": {"resourceVersion": "1"}}, 409,
            "Conflict", "the object has been modified", MERGE),
    Refusal("another uid", "PATCH", f"{PODS}/p", {"metadata": {"uid": "x"}}, 409, "Conflict",
            "UID in precondition", MERGE),
    Refusal("renaming", "PATCH", f"{PODS}/p", {"metadata": {"name": "q"}}, 400, "BadRequest",
            "does not match", MERGE),
    Refusal("changing kind", "PATCH", f"{PODS}/p", {"kind": "Service"}, 400, "BadRequest",
            "Service of v1", MERGE),
    Refusal("a failing test", "PATCH", f"{PODS}/p", [{"op": "test", "path": "/kind", "value": 1}],
            422, "Invalid", "testing path /kind failed", PATCH),
    Refusal("no patch", "PATCH", f"{PODS}/p", {"op": "add"}, 400, "BadRequest", "a list", PATCH),
    Refusal("an element without its key", "PATCH", f"{PODS}/p",
            {"spec": {"containers": [{"image": "x"}]}}, 400, "BadRequest", "spec.containers",
            STRATEGIC),
    Refusal("wrong selector", "GET", f"{PODS}?labelSelector=a%20b%20c", None, 400, "BadRequest",
            "label selector"),
    Refusal("wrong field", "GET", f"{PODS}?fieldSelector=spec.x%3D1", None, 400, "BadRequest",
            "field label not supported: spec.x"),
    Refusal("wrong number", "GET", f"{PODS}?limit=many", None, 400, "BadRequest", "limit"),
    Refusal("negative", "GET", f"{PODS}?limit=-1", None, 400, "BadRequest", "limit"),
    Refusal("wrong flag", "GET", f"{PODS}?watch=maybe", None, 400, "BadRequest", "watch"),
    Refusal("wrong token", "GET", f"{PODS}?continue=xyz", None, 400, "BadRequest", "continue"),
    Refusal("old token", "GET", f"{PODS}?continue=eyJyZXZpc2lvbiI6MSwib2Zmc2V0IjoxfQ==", None, 410,
            "Expired", "too old"),
    Refusal("the future", "GET", f"{PODS}?resourceVersion=99", None, 504, "Timeout",
            "Too large resource version"),
    Refusal("an exact past", "GET", f"{PODS}?resourceVersion=1&resourceVersionMatch=Exact", None,
            410, "Expired", "too old"),
    Refusal("unknown match", "GET", f"{PODS}?resourceVersion=1&resourceVersionMatch=x", None, 422,
            "Invalid", "resourceVersionMatch"),
    Refusal("unknown dry run", "POST", f"{PODS}?dryRun=Some", pod("x"), 422, "Invalid", "dryRun"),
    Refusal("unknown validation", "POST", f"{PODS}?fieldValidation=x", pod("x"), 422, "Invalid",
            "fieldValidation"),
    Refusal("unknown propagation", "DELETE", f"{PODS}/p", {"propagationPolicy": "x"}, 422,
            "Invalid", "propagationPolicy"),
    Refusal("grace is text", "DELETE", f"{PODS}/p", {"gracePeriodSeconds": "x"}, 400, "BadRequest",
            "gracePeriodSeconds"),
    Refusal("wrong precondition", "DELETE", f"{PODS}/p", {"preconditions": {"uid": "x"}}, 409,
            "Conflict", "UID in precondition"),
    Refusal("not options", "DELETE", f"{PODS}/p", pod("p"), 400, "BadRequest", "DeleteOptions"),
    Refusal("the default namespace", "DELETE", "/api/v1/namespaces/default", None, 403,
            "Forbidden", "may not be deleted"),
    Refusal("negative scale", "PATCH", f"{DEPLOYMENTS}/d/scale", {"spec": {"replicas": -1}}, 422,
            "Invalid", "spec.replicas", MERGE),
    Refusal("scale by text", "PATCH", f"{DEPLOYMENTS}/d/scale", {"spec": {"replicas": "x"}}, 400,
            "BadRequest", "spec.replicas", MERGE),
    Refusal("stale scale", "PUT", f"{DEPLOYMENTS}/d/scale",
            {"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 1}}, 409, "Conflict",
            "modified"),
    Refusal("bind to nothing", "POST", f"{PODS}/p/binding", {}, 400, "BadRequest", "target.name"),
    Refusal("no logs here", "GET", f"{PODS}/p/log", None, 501, "NotImplemented", "no logs"),
    Refusal("no such container", "GET", f"{PODS}/p/log?container=x", None, 501, "NotImplemented",
            "no logs"),
]  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case.why)
def test_refusals(server: Server, case: Refusal) -> None:
    for collection, obj in (
        (PODS, pod("p")),
        (SERVICES, service("s")),
        (DEPLOYMENTS, deployment("d")),
    ):
        assert server.request("POST", collection, obj).code == 201
    revision = server.api.store.revision
    answer = server.request(case.method, case.url, case.body, content_type=case.content_type)
    assert (answer.code, answer.body.get("reason")) == (case.code, case.reason), answer.raw
    assert case.message in text(answer.body, "message")
    assert answer.body["kind"] == "Status"
    assert (answer.body["apiVersion"], answer.body["status"]) == ("v1", "Failure")
    assert answer.body["code"] == case.code
    assert server.api.store.revision == revision


# metadata that is refused with 422, and the fields that are named
BAD_METADATA: list[tuple[Json, list[str]]] = [
    ({}, ["metadata.name"]),
    ({"name": ""}, ["metadata.name"]),
    ({"name": 5}, ["metadata.name"]),
    ({"name": "UPPER"}, ["metadata.name"]),
    ({"name": "a/b"}, ["metadata.name"]),
    ({"name": "x" * 300}, ["metadata.name"]),
    ({"generateName": "-x"}, ["metadata.generateName"]),
    ({"name": "a", "labels": []}, ["metadata.labels"]),
    ({"name": "a", "labels": {"x": 1}}, ["metadata.labels.x"]),
    ({"name": "a", "labels": {"-": "v", "k": "two words"}}, ["metadata.labels"] * 2),
    ({"name": "a", "annotations": {"k": None}}, ["metadata.annotations.k"]),
    ({"name": "a", "finalizers": "x"}, ["metadata.finalizers"]),
    ({"name": "a", "ownerReferences": [{}]},
     [f"metadata.ownerReferences[0].{f}" for f in ("apiVersion", "kind", "name", "uid")]),
    ({"name": "a", "ownerReferences": {}}, ["metadata.ownerReferences"]),
    ({"name": "a", "uid": 5, "resourceVersion": 6}, ["metadata.uid", "metadata.resourceVersion"]),
]  # fmt: skip


@pytest.mark.parametrize(("metadata", "fields"), BAD_METADATA)
def test_bad_metadata_is_named_field_by_field(
    server: Server, metadata: Json, fields: list[str]
) -> None:
    answer = server.request("POST", PODS, {**pod("x"), "metadata": metadata})
    assert (answer.code, answer.body["reason"]) == (422, "Invalid")
    details = mapping(answer.body, "details")
    assert [cause["field"] for cause in items(details, "causes")] == fields
    assert details["kind"] == "Pod"


def test_the_life_of_an_object(server: Server) -> None:
    created = server.request("POST", PODS, pod("p", labels={"a": "b"}))
    assert created.code == 201
    assert head(created)["namespace"] == "default"
    assert server.request("GET", f"{PODS}/p").body == created.body
    bare = {"metadata": {"name": "p"}, "spec": {"containers": [], "x": 1}}
    replaced = server.request("PUT", f"{PODS}/p", bare)
    assert (replaced.code, head(replaced)["generation"]) == (200, 2)
    assert head(replaced)["uid"] == head(created)["uid"]
    guarded = server.request("PUT", f"{PODS}/p", replaced.body)
    assert (guarded.code, guarded.body) == (200, replaced.body)
    gone = server.request("DELETE", f"{PODS}/p")
    assert (gone.code, gone.body["kind"]) == (200, "Pod")
    assert server.request("GET", f"{PODS}/p").code == 404


def test_bodies_may_be_yaml(server: Server) -> None:
    text_of_pod = b"metadata:\n  name: p\n  annotations: {day: 2024-01-02}\n"
    made = server.request("POST", PODS, text_of_pod, content_type="application/yaml")
    assert made.code == 201
    assert mapping(head(made), "annotations") == {"day": "2024-01-02"}
    assert made.body["apiVersion"] == "v1"


def test_names_are_generated(server: Server) -> None:
    made = server.request("POST", PODS, {**pod(""), "metadata": {"generateName": "job-"}})
    assert made.code == 201
    assert text(head(made), "name").startswith("job-")
    assert len(text(head(made), "name")) == 9


def test_status_is_written_through_its_own_path_only(server: Server) -> None:
    asked = {**deployment("d"), "status": {"replicas": 9}}
    assert "status" not in server.request("POST", DEPLOYMENTS, asked).body
    assert "status" not in server.request("PUT", f"{DEPLOYMENTS}/d", asked).body
    other_spec = {**asked, "spec": {"replicas": 7}}
    answer = server.request("PUT", f"{DEPLOYMENTS}/d/status", other_spec)
    assert answer.body["status"] == {"replicas": 9}
    assert mapping(answer.body, "spec")["replicas"] == 1
    patch = {"status": {"readyReplicas": 2}, "spec": {"replicas": 5}}
    answer = server.request("PATCH", f"{DEPLOYMENTS}/d/status", patch, content_type=MERGE)
    assert answer.body["status"] == {"replicas": 9, "readyReplicas": 2}
    assert mapping(answer.body, "spec")["replicas"] == 1
    server.request("PATCH", f"{DEPLOYMENTS}/d", {"status": None}, content_type=MERGE)
    assert server.request("GET", f"{DEPLOYMENTS}/d/status").body["status"] == answer.body["status"]


def test_a_nodes_status_may_come_with_it(server: Server) -> None:
    addresses = {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]}
    node = {"metadata": {"name": "n"}, "status": addresses}
    assert server.request("POST", NODES, node).body["status"] == addresses
    assert server.request("GET", f"{NODES}/n").body["status"] == addresses


def test_a_dry_run_changes_nothing(server: Server) -> None:
    assert server.request("POST", f"{PODS}?dryRun=All", pod("p")).code == 201
    assert server.request("GET", f"{PODS}/p").code == 404
    server.request("POST", PODS, pod("p"))
    revision = server.api.store.revision
    patch = {"metadata": {"labels": {"a": "b"}}}
    tried = server.request("PATCH", f"{PODS}/p?dryRun=All", patch, content_type=MERGE)
    assert mapping(head(tried), "labels") == {"a": "b"}
    assert server.request("DELETE", f"{PODS}/p?dryRun=All").code == 200
    assert server.request("DELETE", f"{PODS}/p", {"dryRun": ["All"]}).code == 200
    assert server.request("DELETE", f"{PODS}?dryRun=All").code == 200
    assert server.api.store.revision == revision


def test_lists_are_selected_and_sorted(server: Server) -> None:
    for name, labels in (("c", {"a": "1"}), ("a", {"a": "2"}), ("b", {})):
        server.request("POST", PODS, pod(name, labels=labels))
    other = "/api/v1/namespaces/other/pods"
    server.request("POST", other, pod("z", labels={"a": "1"}))
    assert names(server.request("GET", PODS)) == ["a", "b", "c"]
    assert names(server.request("GET", "/api/v1/pods")) == ["a", "b", "c", "z"]
    assert names(server.request("GET", f"{PODS}?labelSelector=a%3D1")) == ["c"]
    assert names(server.request("GET", "/api/v1/pods?labelSelector=a")) == ["a", "c", "z"]
    assert names(server.request("GET", f"{PODS}?labelSelector=!a")) == ["b"]
    assert names(server.request("GET", f"{PODS}?fieldSelector=metadata.name%3Db")) == ["b"]
    assert names(server.request("GET", f"{PODS}?fieldSelector=status.phase%3DRunning")) == []
    everything = server.request("GET", PODS).body
    assert (everything["kind"], everything["apiVersion"]) == ("PodList", "v1")
    assert head(everything)["resourceVersion"] == str(server.api.store.revision)


def test_pages_show_one_state_while_it_changes(server: Server) -> None:
    for name in "abcde":
        server.request("POST", PODS, pod(name))
    first = server.request("GET", f"{PODS}?limit=2")
    assert (names(first), head(first)["remainingItemCount"]) == (["a", "b"], 3)
    server.request("POST", PODS, pod("aa"))
    server.request("DELETE", f"{PODS}/d")
    second = server.request("GET", f"{PODS}?limit=2&continue={head(first)['continue']}")
    assert names(second) == ["c", "d"]
    assert head(second)["resourceVersion"] == head(first)["resourceVersion"]
    last = server.request("GET", f"{PODS}?limit=2&continue={head(second)['continue']}")
    assert (names(last), "continue" in head(last)) == (["e"], False)
    exact = f"{PODS}?resourceVersion={head(first)['resourceVersion']}&resourceVersionMatch=Exact"
    assert names(server.request("GET", exact)) == ["a", "b", "c", "d", "e"]


def test_collections_are_deleted_by_selector(server: Server) -> None:
    for name, labels in (("a", {"x": "1"}), ("b", {"x": "1"}), ("c", {})):
        server.request("POST", PODS, pod(name, labels=labels))
    answer = server.request("DELETE", f"{PODS}?labelSelector=x%3D1")
    assert (answer.code, names(answer)) == (200, ["a", "b"])
    assert names(server.request("GET", PODS)) == ["c"]


def test_deleting_a_deployment_takes_its_pods_along(server: Server) -> None:
    owner = server.request("POST", DEPLOYMENTS, deployment("d")).body
    uid = head(owner)["uid"]
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d", "uid": uid}
    server.request("POST", PODS, pod("p", ownerReferences=[reference]))
    answer = server.request("DELETE", f"{DEPLOYMENTS}/d", {"propagationPolicy": "Background"})
    assert (answer.body["kind"], answer.body["status"]) == ("Status", "Success")
    assert mapping(answer.body, "details") == {
        "name": "d", "group": "apps", "kind": "deployments", "uid": uid,
    }  # fmt: skip
    assert names(server.request("GET", PODS)) == []


def test_a_started_pod_is_deleted_in_two_steps(server: Server) -> None:
    server.request("POST", PODS, {**pod("p"), "spec": {"nodeName": "n1"}})
    marked = server.request("DELETE", f"{PODS}/p", {"gracePeriodSeconds": 5})
    assert head(marked)["deletionGracePeriodSeconds"] == 5
    assert server.request("GET", f"{PODS}/p").code == 200
    assert server.request("DELETE", f"{PODS}/p?gracePeriodSeconds=0").code == 200
    assert server.request("GET", f"{PODS}/p").code == 404


def test_an_ending_namespace_takes_nothing_new(server: Server) -> None:
    server.request("POST", "/api/v1/namespaces", {"metadata": {"name": "other"}})
    other = "/api/v1/namespaces/other/pods"
    server.request("POST", other, {**pod("p"), "spec": {"nodeName": "n1"}})
    answer = server.request("DELETE", "/api/v1/namespaces/other")
    assert (answer.code, answer.body["kind"]) == (200, "Namespace")
    assert mapping(answer.body, "status")["phase"] == "Terminating"
    refused = server.request("POST", other, pod("q"))
    assert (refused.code, refused.body["reason"]) == (403, "Forbidden")
    assert "is being terminated" in text(refused.body, "message")


def test_scale_is_a_view_of_the_object(server: Server) -> None:
    server.request("POST", DEPLOYMENTS, deployment("d", 3))
    scale = server.request("GET", f"{DEPLOYMENTS}/d/scale").body
    assert (scale["kind"], scale["apiVersion"]) == ("Scale", "autoscaling/v1")
    assert scale["spec"] == {"replicas": 3}
    assert scale["status"] == {"replicas": 0, "selector": "app=d"}
    patch = {"spec": {"replicas": 5}}
    scaled = server.request("PATCH", f"{DEPLOYMENTS}/d/scale", patch, content_type=MERGE)
    assert (scaled.code, mapping(scaled.body, "spec")) == (200, {"replicas": 5})
    assert server.request("PUT", f"{DEPLOYMENTS}/d/scale", {**scaled.body, "spec": {}}).code == 200
    assert mapping(server.request("GET", f"{DEPLOYMENTS}/d").body, "spec")["replicas"] == 0


def test_binding_and_eviction(server: Server) -> None:
    server.request("POST", PODS, pod("p"))
    binding = {"target": {"kind": "Node", "name": "n1"}}
    assert server.request("POST", f"{PODS}/p/binding", binding).code == 201
    assert mapping(server.request("GET", f"{PODS}/p").body, "spec")["nodeName"] == "n1"
    assert server.request("POST", f"{PODS}/p/binding", binding).code == 409
    eviction = {"kind": "Eviction", "deleteOptions": {"gracePeriodSeconds": 0}}
    assert server.request("POST", f"{PODS}/p/eviction", eviction).code == 201
    assert server.request("GET", f"{PODS}/p").code == 404


def test_apply_creates_then_merges(server: Server) -> None:
    url = f"{SERVICES}/s?fieldManager=test&force=true"
    first = service("s", ports=[{"port": 80}], selector={"a": "b"})
    made = server.request("PATCH", url, first, content_type=APPLY)
    assert made.code == 201
    body = b"kind: Service\napiVersion: v1\nspec: {ports: [{port: 80, name: http}, {port: 81}]}"
    merged = server.request("PATCH", url, body, content_type=APPLY)
    assert merged.code == 200
    assert merged.body["spec"] == {
        "ports": [{"port": 80, "name": "http"}, {"port": 81}],
        "selector": {"a": "b"},
    }
