"""Services over the API as upstream's conformance tests use it: C-162 to C-164."""

from __future__ import annotations

import json

from netsim.api.fields import items, mapping
from tests.server.running import Server
from tests.server.test_requests import MERGE, PATCH, SERVICES, head, names, service

EVERYWHERE = "/api/v1/services"
MANAGED = "test-service=yes"


def labelled(name: str, namespace: str = "default") -> dict[str, object]:
    made = service(name, clusterIP="None", ports=[{"port": 80}])
    labels = dict([MANAGED.split("=")])
    return {**made, "metadata": {"name": name, "namespace": namespace, "labels": labels}}


def test_a_service_is_found_among_those_of_all_namespaces(server: Server) -> None:
    for namespace in ("default", "shop"):
        url = f"/api/v1/namespaces/{namespace}/services"
        assert server.request("POST", url, labelled("found", namespace)).code == 201
    found = items(server.request("GET", EVERYWHERE).body, "items")
    assert {(head(s)["namespace"], head(s)["name"]) for s in found} >= {
        ("default", "found"),
        ("shop", "found"),
    }


def test_a_services_status_has_a_life(server: Server) -> None:
    made = server.request("POST", SERVICES, labelled("life"))
    url = f"{SERVICES}/life/status"
    assert mapping(server.request("GET", url).body, "status").get("loadBalancer", {}) == {}
    ingress = {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}}
    patch = {"metadata": {"annotations": {"patched": "true"}}, "status": ingress}
    patched = server.request("PATCH", url, patch, content_type=MERGE)
    assert patched.body["status"] == {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}}
    condition = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set"}
    changed = {**patched.body, "status": {**ingress, "conditions": [condition]}}
    updated = server.request("PUT", url, changed)
    [kept] = items(mapping(updated.body, "status"), "conditions")
    assert (kept["type"], kept["reason"]) == ("StatusUpdate", "E2E")
    replace = [{"op": "add", "path": "/metadata/labels/test-service", "value": "patched"}]
    spec = server.request("PATCH", f"{SERVICES}/life", replace, content_type=PATCH)
    assert spec.body["status"] == updated.body["status"]
    since = head(made)["resourceVersion"]
    server.request("DELETE", f"{SERVICES}/life")
    seen = server.request(
        "GET",
        f"{SERVICES}?watch=true&resourceVersion={since}&timeoutSeconds=1"
        "&fieldSelector=metadata.name%3Dlife",
    )
    events = [json.loads(line) for line in seen.raw.splitlines()]
    assert [event["type"] for event in events] == ["MODIFIED"] * 3 + ["DELETED"]


def test_a_collection_of_services_is_deleted(server: Server) -> None:
    for name in ("one", "two", "three"):
        server.request("POST", SERVICES, labelled(name))
    server.request("POST", SERVICES, service("other", clusterIP="None", ports=[{"port": 80}]))
    assert server.request("DELETE", f"{SERVICES}?labelSelector={MANAGED}").code == 200
    assert names(server.request("GET", SERVICES)) == ["other"]
