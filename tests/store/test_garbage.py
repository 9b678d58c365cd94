"""What goes with what is deleted."""

from __future__ import annotations

import pytest

from netsim.api.fields import Json
from netsim.store.base import Delete
from netsim.store.garbage import Propagation, cascade, once, sweep
from netsim.store.memory import ObjectStore
from tests.store.objects import key, metadata, namespace, owned, pod


def workload(kind: str, name: str) -> dict[str, object]:
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": {},
    }


def family(store: ObjectStore) -> None:
    """A deployment with a replica set with two pods, one of them started; and a stranger."""
    deployment = store.create(workload("Deployment", "web"))
    replicas = store.create(owned(workload("ReplicaSet", "web-1"), deployment))
    store.create(owned(pod("web-1-a", node="n1"), replicas))
    store.create(owned(pod("web-1-b"), replicas))
    store.create(pod("stranger"))


def names(store: ObjectStore, kind: str) -> list[str]:
    """The objects of a kind; those that are marked for deletion with a minus."""
    return [
        ("-" if "deletionTimestamp" in metadata(obj) else "") + str(metadata(obj)["name"])
        for obj in store.view().list(kind)
    ]


def remove(store: ObjectStore, delete: Delete, how: Propagation = "Background") -> None:
    store.transaction(cascade(store.view(), delete, how))


@pytest.mark.parametrize("how", ["Background", "Foreground"])
def test_dependents_go_at_every_depth(how: Propagation) -> None:
    store = ObjectStore()
    family(store)
    remove(store, Delete(key("Deployment", "web")), how)
    assert names(store, "Deployment") == names(store, "ReplicaSet") == []
    assert names(store, "Pod") == ["stranger", "-web-1-a"]


def test_orphans_stay_without_the_reference() -> None:
    store = ObjectStore()
    family(store)
    remove(store, Delete(key("Deployment", "web")), "Orphan")
    assert names(store, "ReplicaSet") == ["web-1"]
    assert "ownerReferences" not in metadata(store.view().list("ReplicaSet")[0])
    assert names(store, "Pod") == ["stranger", "web-1-a", "web-1-b"]


def test_who_has_another_owner_stays() -> None:
    store = ObjectStore()
    one = store.create(workload("ReplicaSet", "one"))
    two = store.create(workload("ReplicaSet", "two"))
    store.create(owned(pod("shared"), one, two))
    remove(store, Delete(key("ReplicaSet", "one")))
    assert names(store, "Pod") == ["shared"]
    remove(store, Delete(key("ReplicaSet", "two")))
    assert names(store, "Pod") == []


def test_owners_that_own_each_other_end() -> None:
    store = ObjectStore()
    one = store.create(workload("ReplicaSet", "one"))
    two = store.create(owned(workload("ReplicaSet", "two"), one))
    store.update(owned(workload("ReplicaSet", "one"), two))
    remove(store, Delete(key("ReplicaSet", "one")))
    assert names(store, "ReplicaSet") == []


def test_what_has_gone_meanwhile_is_not_found() -> None:
    store = ObjectStore()
    assert cascade(store.view(), Delete(key("Pod", "p"))) == [Delete(key("Pod", "p"))]


NAMESPACE = key("Namespace", "other", "")


def in_other(*pods: dict[str, object]) -> ObjectStore:
    store = ObjectStore()
    store.create(namespace("other"))
    store.create(pod("elsewhere"))
    for obj in pods:
        store.create(obj)
    return store


def test_a_namespace_goes_with_its_content() -> None:
    store = in_other(pod("p", namespace="other"))
    remove(store, Delete(NAMESPACE))
    assert names(store, "Namespace") == []
    assert names(store, "Pod") == ["elsewhere"]


def test_a_namespace_waits_for_its_pods_to_stop() -> None:
    store = in_other(pod("p", node="n1", namespace="other"), pod("q", namespace="other"))
    remove(store, Delete(NAMESPACE))
    assert names(store, "Namespace") == ["-other"]
    assert names(store, "Pod") == ["elsewhere", "-p"]
    assert store.view().list("Namespace")[0]["status"] == {"phase": "Terminating"}
    assert sweep(store.view()) == []
    remove(store, Delete(NAMESPACE))
    assert names(store, "Namespace") == ["-other"]
    store.delete(key("Pod", "p", "other"), 0)
    store.transaction(sweep(store.view()))
    assert names(store, "Namespace") == []
    assert sweep(store.view()) == []


def test_what_still_gets_into_an_ending_namespace_goes_too() -> None:
    store = in_other(pod("p", node="n1", namespace="other"))
    remove(store, Delete(NAMESPACE))
    store.create(pod("late", namespace="other"))
    store.transaction(sweep(store.view()))
    assert names(store, "Pod") == ["elsewhere", "-p"]


def test_somebody_elses_finalizer_still_holds_an_empty_namespace() -> None:
    store = ObjectStore()
    held: Json = {**namespace("other"), "metadata": {"name": "other", "finalizers": ["a/b"]}}
    store.create(held)
    remove(store, Delete(NAMESPACE))
    assert sweep(store.view()) == []
    assert names(store, "Namespace") == ["-other"]
    store.update(namespace("other"))
    assert names(store, "Namespace") == []


def test_an_imported_object_without_its_owner_stays() -> None:
    store = ObjectStore()
    gone = {**workload("ReplicaSet", "gone"), "metadata": {"name": "gone", "uid": "1"}}
    store.create(owned(pod("p"), gone))
    assert sweep(store.view()) == []


def test_each_object_is_deleted_once() -> None:
    first, second = Delete(key("Pod", "p"), 3), Delete(key("Pod", "p"))
    assert once([first, second, Delete(key("Pod", "q"))]) == [first, Delete(key("Pod", "q"))]
