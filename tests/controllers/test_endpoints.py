from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsim.api.fields import Json, items, mapping, text, texts
from netsim.api.meta import ObjectKey, annotations_of, labels_of, metadata, name_of
from netsim.controllers.base import Pass
from netsim.controllers.endpoints import Endpoints
from netsim.controllers.objects import spec, status, uid_of, with_metadata, with_spec, with_status
from netsim.store.memory import ObjectStore
from tests.controllers.cluster import WEB, Cluster, named, web
from tests.controllers.world import (
    NOW,
    Object,
    container,
    pod,
    port,
    service,
)


def test_a_ready_pod_is_an_endpoint() -> None:
    c = Cluster(service("web", WEB), web("p", "10.0.0.2"))
    (shown,) = c.shown()
    assert shown == {
        "addresses": ["10.0.0.2"],
        "conditions": {"ready": True, "serving": True, "terminating": False},
        "nodeName": "a",
        "zone": "east",
        "targetRef": {
            "kind": "Pod",
            "namespace": "default",
            "name": "p",
            "uid": uid_of(c.get("Pod", "p")),
        },
    }


# K-03 as a table: (pod, service fields) to conditions
UNREADY_TOO: Object = {"publishNotReadyAddresses": True}
CONDITIONS = [
    ("ready", web("p", "10.0.0.2"), {}, (True, True, False)),
    ("not ready", web("p", "10.0.0.2", ready=False), {}, (False, False, False)),
    ("terminating", web("p", "10.0.0.2", deleting=True), {}, (False, True, True)),
    (
        "terminating and not ready",
        web("p", "10.0.0.2", ready=False, deleting=True),
        {},
        (False, False, True),
    ),
    ("published unready", web("p", "10.0.0.2", ready=False), UNREADY_TOO, (True, False, False)),
    ("published going", web("p", "10.0.0.2", deleting=True), UNREADY_TOO, (True, True, True)),
]


@pytest.mark.parametrize(
    ("given", "fields", "wanted"), [c[1:] for c in CONDITIONS], ids=[c[0] for c in CONDITIONS]
)
def test_conditions(given: Json, fields: Object, wanted: tuple[bool, bool, bool]) -> None:
    c = Cluster(service("web", WEB, **fields))  # type: ignore[arg-type]
    terminating = "deletionTimestamp" in metadata(given)
    c.store.create(given)
    if terminating:
        c.store.delete(ObjectKey("Pod", "default", "p"), grace_s=30)
    c.settle()
    (shown,) = c.shown()
    found = mapping(shown, "conditions")
    assert (found["ready"], found["serving"], found["terminating"]) == wanted


# K-02, K-0A: pods that are no endpoints
ABSENT = [
    ("no address", web("p")),
    ("other labels", web("p", "10.0.0.2", labels={"app": "x"})),
    ("succeeded", web("p", "10.0.0.2", phase="Succeeded")),
    ("failed", web("p", "10.0.0.2", phase="Failed")),
    ("another namespace", web("p", "10.0.0.2", namespace="other")),
    ("an unknown node", web("p", "10.0.0.2", on="nowhere")),
]


@pytest.mark.parametrize("given", [a[1] for a in ABSENT], ids=[a[0] for a in ABSENT])
def test_who_is_no_endpoint(given: Json) -> None:
    c = Cluster(service("web", WEB), given)
    assert c.shown() == []
    (placeholder,) = c.slices()
    assert placeholder["ports"] == []


def test_metadata_of_slices() -> None:
    c = Cluster(
        service(
            "web", WEB, labels={"team": "x", "kubernetes.io/service-name": "lies"}, clusterIP="None"
        )
    )
    (only,) = c.slices()
    assert labels_of(only) == {
        "team": "x",
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        "service.kubernetes.io/headless": "",
    }
    (owner,) = items(metadata(only), "ownerReferences")
    assert (owner["kind"], owner["name"], owner["controller"]) == ("Service", "web", True)
    assert metadata(only)["generateName"] == "web-"
    assert name_of(only).startswith("web-")


def test_a_named_port_is_resolved_for_each_pod() -> None:
    c = Cluster(
        service("web", WEB, port(80, "web", target="http")),
        named("p", "10.0.0.2", 8080),
        named("q", "10.0.0.3", 9090),
        named("r", "10.0.0.4", 8080),
        web("s", "10.0.0.5"),
    )
    found = {
        tuple((p["name"], p["port"]) for p in items(s, "ports")): sorted(
            texts(e, "addresses")[0] for e in items(s, "endpoints")
        )
        for s in c.slices()
    }
    assert found == {
        (("web", 8080),): ["10.0.0.2", "10.0.0.4"],
        (("web", 9090),): ["10.0.0.3"],
        (): ["10.0.0.5"],
    }


def test_a_named_port_of_another_protocol_is_another_port() -> None:
    c = Cluster(
        service("web", WEB, port(53, "dns", "UDP", target="http")), named("p", "10.0.0.2", 8080)
    )
    assert [s["ports"] for s in c.slices()] == [[]]


def test_a_restartable_init_container_can_hold_the_port() -> None:
    sidecar = container("s", {"name": "http", "containerPort": 81}, restartPolicy="Always")
    c = Cluster(
        service("web", WEB, port(80, target="http")),
        web("p", "10.0.0.2", initContainers=[container("i"), sidecar]),
    )
    assert [p["port"] for s in c.slices() for p in items(s, "ports")] == [81]


def test_hostname_only_in_its_own_subdomain() -> None:
    c = Cluster(
        service("web", WEB),
        web("p", "10.0.0.2", hostname="db-0", subdomain="web"),
        web("q", "10.0.0.3", hostname="db-1", subdomain="other"),
    )
    assert [e.get("hostname") for e in c.shown()] == ["db-0", None]


def test_trigger_time_is_the_oldest_unseen_change() -> None:
    c = Cluster(service("web", WEB), web("p", "10.0.0.2"))
    p = c.get("Pod", "p")
    late = {"type": "Ready", "status": "False", "lastTransitionTime": "2030-01-01T00:00:00Z"}
    c.update(with_status(p, conditions=[late]))
    (only,) = c.slices()
    note = annotations_of(only)["endpoints.kubernetes.io/last-change-trigger-time"]
    assert note == "2030-01-01T00:00:00Z"


def test_a_service_without_selector_is_left_alone() -> None:
    c = Cluster(service("web"), web("p", "10.0.0.2"))
    assert c.slices() == ()
    assert not c.store.view().list("Endpoints")


def test_an_empty_selector_selects_every_pod_of_the_namespace() -> None:
    c = Cluster(service("all", {}), web("p", "10.0.0.2"), web("q", "10.0.0.3", labels={}))
    assert c.addresses() == ["10.0.0.2", "10.0.0.3"]


def test_external_name_is_skipped() -> None:
    c = Cluster(service("web", WEB, type="ExternalName"), web("p", "10.0.0.2"))
    assert c.slices() == ()


def test_a_zone_that_changes_shows() -> None:
    c = Cluster(service("web", WEB), web("p", "10.0.0.2", on="b"))
    assert c.shown()[0].get("zone") is None
    stored = c.store.view().get(ObjectKey("Node", "", "b"))
    assert stored is not None
    c.update(with_metadata(stored, labels={"topology.kubernetes.io/zone": "west"}))
    assert c.shown()[0]["zone"] == "west"


# The twin: endpoints from pods, computed anew each time, without any index.

Naive = dict[tuple[str, str, object], tuple[bool, bool, bool]]


def naive(view_: Sequence[Json], services: Sequence[Json]) -> Naive:
    """(service, address, port) to (ready, serving, terminating)."""
    found: Naive = {}
    for svc in services:
        selector = spec(svc).get("selector")
        for p in view_:
            if not isinstance(selector, Mapping) or not text(status(p), "podIP"):
                continue
            labels = labels_of(p)
            if any(labels.get(k) != v for k, v in selector.items()):
                continue
            if text(status(p), "phase") in ("Succeeded", "Failed"):
                continue
            serving = any(
                c["type"] == "Ready" and c["status"] == "True"
                for c in items(status(p), "conditions")
            )
            going = "deletionTimestamp" in metadata(p)
            for each in items(spec(svc), "ports"):
                number: object = each["targetPort"]
                if isinstance(number, str):
                    ports = [q for k in items(spec(p), "containers") for q in items(k, "ports")]
                    number = next((q["containerPort"] for q in ports if q["name"] == number), None)
                if number is not None:
                    key = (name_of(svc), text(status(p), "podIP"), number)
                    found[key] = (serving and not going, serving, going)
    return found


def shown(c: Cluster) -> Naive:
    found: Naive = {}
    for s in c.slices():
        for e in items(s, "endpoints"):
            conditions = mapping(e, "conditions")
            state = (conditions["ready"], conditions["serving"], conditions["terminating"])
            for p in items(s, "ports"):
                key = (
                    labels_of(s)["kubernetes.io/service-name"],
                    texts(e, "addresses")[0],
                    p["port"],
                )
                found[key] = cast("tuple[bool, bool, bool]", state)
    return found


COLORS = st.sampled_from(["red", "blue"])
SELECTORS = st.dictionaries(st.sampled_from(["app", "tier"]), COLORS, max_size=2)
POD = st.tuples(SELECTORS, st.booleans(), st.booleans(), st.sampled_from([0, 81, 82]))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("pod"), st.integers(0, 5), POD),
        st.tuples(st.just("kill"), st.integers(0, 5), st.booleans()),
        st.tuples(st.just("service"), st.integers(0, 2), st.tuples(SELECTORS, st.booleans())),
        st.tuples(st.just("drop"), st.integers(0, 2), st.none()),
    ),
    max_size=25,
)


def apply(store: ObjectStore, what: str, number: int, detail: object) -> None:
    kind = "Pod" if what in ("pod", "kill") else "Service"
    key = ObjectKey(kind, "default", f"{kind.lower()}{number}")
    stored = store.view().get(key)
    if what == "pod":
        labels, ready, ended, http = cast("tuple[dict[str, str], bool, bool, int]", detail)
        ports = [{"name": "http", "containerPort": http}] if http else []
        made = pod(
            key.name,
            labels=labels,
            on="a",
            ip=f"10.0.0.{number + 2}",
            ready=ready,
            phase="Failed" if ended else "Running",
            containers=[container("main", *ports)],
        )
        if stored is None:
            store.create(made)
        else:
            changed = with_metadata(stored, labels=labels)
            store.update({**changed, "spec": made["spec"], "status": made["status"]})
    elif what == "kill" and stored is not None:
        store.delete(key, grace_s=30 if detail else 0)
    elif what == "service":
        selector, by_name = cast("tuple[dict[str, str], bool]", detail)
        wanted = service(key.name, selector, port(80, "x", target="http" if by_name else 80))
        if stored is None:
            store.create(wanted)
        else:
            store.update(with_spec(stored, **cast("dict[str, object]", wanted["spec"])))
    elif what == "drop" and stored is not None:
        store.delete(key)


@settings(max_examples=60)
@given(STEPS)
def test_slices_equal_the_naive_join_after_every_step(
    steps: list[tuple[str, int, object]],
) -> None:
    c = Cluster()
    for step in steps:
        apply(c.store, *step)
        c.settle()
        view_ = c.store.view()
        assert shown(c) == naive(view_.list("Pod"), view_.list("Service"))
        fresh = Endpoints()(Pass(view_, NOW))
        assert fresh == [], "a controller that starts now finds nothing to do"
