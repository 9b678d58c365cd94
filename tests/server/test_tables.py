"""Tables: cells of every kind, wide columns, ages, and what rows carry."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from netsim.api.fields import Json, items, mapping
from netsim.api.meta import KINDS
from netsim.server.accept import wants_table
from netsim.server.ages import age, duration
from netsim.server.tables import columns, table
from tests.server.running import Server
from tests.server.test_requests import PODS, pod

NOW = datetime(2026, 1, 2, 0, 0, 0, tzinfo=UTC)
HOUR_AGO = "2026-01-01T23:00:00Z"


def obj(kind: str, metadata: Json | None = None, **parts: object) -> dict[str, object]:
    head = {"name": "x", "creationTimestamp": HOUR_AGO, **(metadata or {})}
    return {"kind": kind, "metadata": head, **parts}


def running(*, ready: bool, restarts: int = 0) -> dict[str, object]:
    return {"ready": ready, "restartCount": restarts, "state": {"running": {"startedAt": HOUR_AGO}}}


def waiting(reason: str) -> dict[str, object]:
    return {"ready": False, "state": {"waiting": {"reason": reason}}}


def ended(**how: object) -> dict[str, object]:
    return {"ready": False, "state": {"terminated": how}}


def status(phase: str, *containers: dict[str, object], **more: object) -> dict[str, object]:
    return {"phase": phase, "containerStatuses": list(containers), **more}


ONE = {"containers": [{"name": "c"}]}
TWO = {"containers": [{"name": "c"}, {"name": "d"}], "nodeName": "n1"}
READY = {"conditions": [{"type": "Ready", "status": "True"}]}

# object, cells without wide columns, wide cells
ROWS: list[tuple[dict[str, object], list[object], list[object]]] = [
    (obj("Pod", spec=TWO, status=status("Running", running(ready=True, restarts=2),
                                        running(ready=False), podIP="10.0.0.1")),
     ["x", "1/2", "Running", "2", "60m"], ["10.0.0.1", "n1"]),
    (obj("Pod", spec=ONE, status={"phase": "Pending"}),
     ["x", "0/1", "Pending", "0", "60m"], ["<none>", "<none>"]),
    (obj("Pod", spec=ONE, status=status("Running", waiting("CrashLoopBackOff"))),
     ["x", "0/1", "CrashLoopBackOff", "0", "60m"], ["<none>", "<none>"]),
    (obj("Pod", {"deletionTimestamp": HOUR_AGO}, spec=ONE,
         status=status("Running", running(ready=True))),
     ["x", "1/1", "Terminating", "0", "60m"], ["<none>", "<none>"]),
    (obj("Node", {"labels": {"node-role.kubernetes.io/worker": "", "kubernetes.io/role": "edge"}},
         spec={"podCIDR": "10.0.1.0/24", "unschedulable": True},
         status={**READY, "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}],
                 "nodeInfo": {"kubeletVersion": "v1"}}),
     ["x", "Ready,SchedulingDisabled", "edge,worker", "60m", "v1"],
     ["192.0.2.1", "<none>", "10.0.1.0/24"]),
    (obj("Node", status={"conditions": [{"type": "Ready", "status": "False"}]}),
     ["x", "NotReady", "<none>", "60m", "<unknown>"], ["<none>", "<none>", "<none>"]),
    (obj("Service", spec={"type": "NodePort", "clusterIP": "10.96.0.1", "selector": {"b": "2",
         "a": "1"}, "ports": [{"port": 80, "nodePort": 30080}, {"port": 53, "protocol": "UDP"}]}),
     ["x", "NodePort", "10.96.0.1", "<none>", "80:30080/TCP,53/UDP", "60m"], ["a=1,b=2"]),
    (obj("Service", spec={"type": "LoadBalancer", "clusterIP": "10.96.0.1"}),
     ["x", "LoadBalancer", "10.96.0.1", "<pending>", "<none>", "60m"], ["<none>"]),
    (obj("Service", spec={"type": "LoadBalancer", "clusterIP": "10.96.0.1",
                          "externalIPs": ["198.51.100.1"]},
         status={"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}}),
     ["x", "LoadBalancer", "10.96.0.1", "203.0.113.1,198.51.100.1", "<none>", "60m"], ["<none>"]),
    (obj("Service", spec={"type": "ExternalName", "externalName": "example.com"}),
     ["x", "ExternalName", "<none>", "example.com", "<none>", "60m"], ["<none>"]),
    (obj("EndpointSlice", addressType="IPv4", ports=[{"port": 80}],
         endpoints=[{"addresses": [f"10.0.0.{n}"]} for n in range(5)]),
     ["x", "IPv4", "80", "10.0.0.0,10.0.0.1,10.0.0.2 + 2 more...", "60m"], []),
    (obj("EndpointSlice", addressType="IPv4", endpoints=[]),
     ["x", "IPv4", "<unset>", "<unset>", "60m"], []),
    (obj("Endpoints", subsets=[{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]},
                               {"addresses": [{"ip": "10.0.0.2"}]}]),
     ["x", "10.0.0.1:80,10.0.0.2", "60m"], []),
    (obj("Endpoints"), ["x", "<none>", "60m"], []),
    (obj("Deployment", spec={"replicas": 3, "selector": {"matchLabels": {"a": "1"},
         "matchExpressions": [{"key": "b", "operator": "In", "values": ["y", "x"]},
                              {"key": "c", "operator": "Exists"}]},
         "template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}},
         status={"readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 1}),
     ["x", "2/3", 3, 1, "60m"], ["c", "i", "a=1,b in (x,y),c"]),
    (obj("ReplicaSet", spec={"replicas": 2}, status={"replicas": 2, "readyReplicas": 1}),
     ["x", 2, 2, 1, "60m"], ["<none>", "<none>", "<none>"]),
    (obj("Namespace", status={"phase": "Terminating"}), ["x", "Terminating", "60m"], []),
    (obj("Namespace"), ["x", "Active", "60m"], []),
    (obj("ServiceCIDR", spec={"cidrs": ["10.1.0.0/24", "fd00::/64"]}),
     ["x", "10.1.0.0/24,fd00::/64", "60m"], []),
    (obj("Lab", spec={"backend": "host-gw", "wire": "fabric", "podCIDR": "10.1.0.0/16"}),
     ["x", "host-gw", "fabric", "10.1.0.0/16", "10.96.0.0/12", "60m"], []),
    (obj("Lab", spec={"backend": {"udp": {"port": 8285}}}),
     ["x", "udp", "udp", "10.244.0.0/16", "10.96.0.0/12", "60m"], []),
]  # fmt: skip


@pytest.mark.parametrize(("shown", "cells", "wide"), ROWS)
def test_cells(shown: dict[str, object], cells: list[object], wide: list[object]) -> None:
    kind = str(shown["kind"])
    (row,) = items(table(kind, [shown], NOW), "rows")
    found = row["cells"]
    assert isinstance(found, list)
    priorities = [column.priority for column in columns(kind)]
    assert [cell for cell, p in zip(found, priorities, strict=True) if not p] == cells
    assert [cell for cell, p in zip(found, priorities, strict=True) if p] == wide


# containers' statuses, phase, other status fields, the word
WORDS: list[tuple[str, dict[str, object], str]] = [
    ("nothing known", {}, "Unknown"),
    ("a reason of its own", {"phase": "Failed", "reason": "Evicted"}, "Evicted"),
    ("ended well", status("Succeeded", ended(exitCode=0, reason="Completed")), "Completed"),
    ("by exit code", status("Failed", ended(exitCode=3)), "ExitCode:3"),
    ("by signal", status("Failed", ended(exitCode=137, signal=9)), "Signal:9"),
    ("one ended, one runs", status("Running", ended(reason="Completed"), running(ready=True)),
     "NotReady"),
    ("and is ready", {**status("Running", ended(reason="Completed"), running(ready=True)), **READY},
     "Running"),
    ("first trouble wins", status("Running", waiting("A"), waiting("B")), "A"),
    ("initialising", {"phase": "Pending", "initContainerStatuses": [ended(exitCode=0), {}]},
     "Init:1/2"),
    ("initialising failed", {"phase": "Pending", "initContainerStatuses": [ended(exitCode=1)]},
     "Init:ExitCode:1"),
    ("initialising waits", {"phase": "Pending", "initContainerStatuses": [waiting("Backoff")]},
     "Init:Backoff"),
    ("not begun", {"phase": "Pending", "initContainerStatuses": [waiting("PodInitializing")]},
     "Init:0/2"),
    ("all initialised", {"phase": "Running", "initContainerStatuses": [ended(exitCode=0)]},
     "Running"),
]  # fmt: skip


@pytest.mark.parametrize(("why", "state", "word"), WORDS)
def test_a_pods_word(why: str, state: dict[str, object], word: str) -> None:
    spec: dict[str, object] = {"containers": [{}, {}], "initContainers": [{}, {}]}
    (row,) = items(table("Pod", [obj("Pod", spec=spec, status=state)], NOW), "rows")
    cells = row["cells"]
    assert isinstance(cells, list)
    assert cells[2] == word, why


def test_restarts_say_when_the_last_one_was() -> None:
    last = {"lastState": {"terminated": {"finishedAt": "2026-01-01T23:59:00Z"}}}
    state = status("Running", {**running(ready=True, restarts=3), **last})
    (row,) = items(table("Pod", [obj("Pod", spec=ONE, status=state)], NOW), "rows")
    cells = row["cells"]
    assert isinstance(cells, list)
    assert cells[3] == "3 (60s ago)"


DURATIONS = [
    (-5, "<invalid>"), (-1, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (125, "2m5s"),
    (599, "9m59s"), (600, "10m"), (3600, "60m"), (10_799, "179m"), (10_800, "3h"),
    (13_500, "3h45m"), (28_800, "8h"), (172_799, "47h"), (172_800, "2d"), (176_400, "2d1h"),
    (691_200, "8d"), (63_072_000, "2y"), (63_158_400, "2y1d"), (252_288_000, "8y"),
    (999_999_999, "31y"),
]  # fmt: skip


@pytest.mark.parametrize(("seconds", "text"), DURATIONS)
def test_durations(seconds: int, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize("since", ["", "yesterday", "2026-13-01T00:00:00Z"])
def test_an_age_that_cannot_be_told(since: str) -> None:
    assert age(since, NOW) == "<unknown>"


def test_an_age_without_a_zone_is_utc() -> None:
    assert age("2026-01-01T23:59:50", NOW) == "10s"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_any_kind_of_nonsense_has_cells(kind: object) -> None:
    name = getattr(kind, "name", "")
    nonsense: list[dict[str, object]] = [
        {"kind": name},
        {"kind": name, "metadata": 5, "spec": "x", "status": []},
        {"kind": name, "metadata": {}, "spec": {"ports": [1], "selector": 3}, "status": {}},
    ]
    assert len(items(table(name, nonsense, NOW), "rows")) == 3


ACCEPTS = [
    ("", False),
    ("application/json", False),
    ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", True),
    ("application/json;as=Table;v=v1beta1;g=meta.k8s.io", True),
    ("application/json, application/json;as=Table;v=v1;g=meta.k8s.io", False),
    ("application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,application/json", False),
    (
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json",
        False,
    ),
    ("*/*", False),
]


@pytest.mark.parametrize(("accept", "wanted"), ACCEPTS)
def test_who_gets_a_table(accept: str, wanted: bool) -> None:
    assert wants_table(accept) is wanted


def test_tables_over_http(server: Server) -> None:
    server.request("POST", PODS, pod("a"))
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    shown = server.request("GET", PODS, accept=accept).body
    assert (shown["kind"], shown["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert mapping(shown, "metadata")["resourceVersion"] == str(server.api.store.revision)
    names = [column["name"] for column in items(shown, "columnDefinitions")]
    assert names == ["Name", "Ready", "Status", "Restarts", "Age", "IP", "Node"]
    (row,) = items(shown, "rows")
    assert "spec" not in mapping(row, "object")
    for url, wanted in ((f"{PODS}?includeObject=Object", True), (f"{PODS}/a", False)):
        (row,) = items(server.request("GET", url, accept=accept).body, "rows")
        assert ("spec" in mapping(row, "object")) is wanted
    (row,) = items(server.request("GET", f"{PODS}?includeObject=None", accept=accept).body, "rows")
    assert "object" not in row
