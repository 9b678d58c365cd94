"""Metadata that the store owns, and how objects go."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from netsim.api.fields import Json
from netsim.store.base import Create, Delete, Update
from netsim.store.errors import AlreadyExistsError, ObjectNotFoundError, StaleError
from netsim.store.memory import ObjectStore
from tests.store.objects import Clock, key, metadata, namespace, pod


def test_a_new_object_gets_its_identity_from_the_store() -> None:
    store = ObjectStore(now=Clock())
    head = metadata(store.create(pod("p", uid="mine", resourceVersion="7", generation=9)))
    assert re.fullmatch("[0-9a-f-]{36}", str(head.pop("uid")))
    assert head == {
        "name": "p",
        "namespace": "default",
        "resourceVersion": "1",
        "generation": 1,
        "creationTimestamp": "2026-01-02T03:04:05Z",
    }


def test_an_object_without_a_namespace_is_in_default() -> None:
    store = ObjectStore()
    obj = pod("p")
    del metadata(obj)["namespace"]
    assert metadata(store.create(obj))["namespace"] == "default"
    assert metadata(store.update({**obj, "status": {}}))["namespace"] == "default"


def test_a_generated_name_has_the_prefix_and_fits() -> None:
    store = ObjectStore()
    obj = pod("", generateName="x" * 70)
    name = str(metadata(store.create(obj))["name"])
    assert re.fullmatch("x{58}[bcdfghjklmnpqrstvwxz2456789]{5}", name)
    several = {str(metadata(store.create(pod("", generateName="p-")))["name"]) for _ in range(50)}
    assert len(several) == 50


def test_a_generated_name_that_is_always_taken_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("netsim.store.lifecycle.generated_name", lambda prefix: prefix + "same")
    store = ObjectStore()
    store.create(pod("", generateName="p-"))
    with pytest.raises(AlreadyExistsError):
        store.create(pod("", generateName="p-"))


GENERATION = [
    ("the same again", {}, 1, 1),
    ("another spec", {"spec": {"x": 1}}, 2, 2),
    ("another status", {"status": {"x": 1}}, 2, 1),
    ("a label", {"metadata": {"name": "p", "labels": {"a": "b"}}}, 2, 1),
    ("another top-level field", {"endpoints": []}, 2, 2),
]


@pytest.mark.parametrize(("case", "change", "revision", "generation"), GENERATION)
def test_revision_and_generation_rise_with_what_they_count(
    case: str, change: Json, revision: int, generation: int
) -> None:
    store = ObjectStore()
    created = store.create(pod("p"))
    after = store.update({**pod("p"), **change})
    assert store.revision == revision, case
    assert metadata(after)["generation"] == generation
    assert metadata(after)["uid"] == metadata(created)["uid"]
    assert metadata(after)["creationTimestamp"] == metadata(created)["creationTimestamp"]


def test_true_and_one_are_different_values() -> None:
    store = ObjectStore()
    store.create({**pod("p"), "status": {"n": 1}})
    store.update({**pod("p"), "status": {"n": True}})
    assert store.revision == 2


def test_refusals_name_the_object() -> None:
    store = ObjectStore()
    created = store.create(pod("p"))
    with pytest.raises(AlreadyExistsError, match=r'^pods "p" already exists$'):
        store.create(pod("p"))
    with pytest.raises(ObjectNotFoundError, match=r'^pods "q" not found$'):
        store.update(pod("q"))
    with pytest.raises(ObjectNotFoundError, match=r'^deployments.apps "d" not found$'):
        store.delete(key("Deployment", "d"))
    store.update({**created, "status": {"x": 1}})
    with pytest.raises(StaleError, match="the object has been modified"):
        store.update({**created, "status": {"x": 2}})
    with pytest.raises(StaleError, match="UID in precondition: other"):
        store.update(pod("p", uid="other"))
    with pytest.raises(StaleError):
        store.transaction([Delete(key("Pod", "p"), uid="other")])
    with pytest.raises(StaleError):
        store.transaction([Delete(key("Pod", "p"), revision=1)])


def started(finalizers: Sequence[str] = ()) -> dict[str, object]:
    return pod("p", node="n1", finalizers=list(finalizers))


# object, grace that is asked for, seconds the object stays marked (None: it goes at once)
DELETIONS: list[tuple[str, Json, int | None, int | None]] = [
    ("a started pod", started(), None, 30),
    ("its own grace", {**started(), "spec": {"nodeName": "n", "terminationGracePeriodSeconds": 5}},
     None, 5),
    ("another grace", started(), 3, 3),
    ("no grace", started(), 0, None),
    ("a pod without a node", pod("p"), None, None),
    ("a pod without a node, with grace", pod("p"), 10, None),
    ("an ended pod", {**started(), "status": {"phase": "Succeeded"}}, 10, None),
    ("a failed pod", {**started(), "status": {"phase": "Failed"}}, None, None),
    ("another kind", namespace("p"), 10, None),
    ("held by a finalizer", pod("p", finalizers=["a/b"]), None, 0),
    ("both", started(finalizers=["a/b"]), None, 30),
    ("nonsense", {**started(), "spec": {"nodeName": "n", "terminationGracePeriodSeconds": "x"}},
     None, 30),
]  # fmt: skip


@pytest.mark.parametrize(("case", "obj", "asked", "stays"), DELETIONS)
def test_deletion(case: str, obj: Json, asked: int | None, stays: int | None) -> None:
    store = ObjectStore(now=Clock())
    store.create(obj)
    where = key(str(obj["kind"]), "p", "default" if obj["kind"] == "Pod" else "")
    left = store.delete(where, asked)
    if stays is None:
        assert store.view().get(where) is None, case
        assert metadata(left)["resourceVersion"] == "2"
        return
    head = metadata(left)
    assert store.view().get(where) == left
    assert head["deletionGracePeriodSeconds"] == stays
    assert head["deletionTimestamp"] == f"2026-01-02T03:04:{5 + stays:02}Z"


def test_asking_again_only_shortens_the_grace() -> None:
    clock = Clock()
    store = ObjectStore(now=clock)
    store.create(started())
    where = key("Pod", "p")
    first = store.delete(where)
    clock.step(3)
    assert store.delete(where) == first
    assert store.delete(where, 60) == first
    assert store.revision == 2
    shorter = metadata(store.delete(where, 10))
    assert shorter["deletionTimestamp"] == "2026-01-02T03:04:18Z"
    store.delete(where, 0)
    assert store.view().get(where) is None


def test_an_update_cannot_undo_a_deletion() -> None:
    store = ObjectStore()
    store.create(started())
    marked = metadata(store.delete(key("Pod", "p")))
    after = metadata(store.update({**started(), "status": {"phase": "Running"}}))
    assert after["deletionTimestamp"] == marked["deletionTimestamp"]


def test_the_last_finalizer_lets_the_object_go() -> None:
    store = ObjectStore()
    store.create(pod("p", finalizers=["a/a", "b/b"]))
    where = key("Pod", "p")
    store.delete(where)
    store.update(pod("p", finalizers=["b/b"]))
    assert store.view().get(where) is not None
    watch = store.watch(None, store.revision)
    store.update(pod("p"))
    assert store.view().get(where) is None
    assert [event.type for event in watch.pending()] == ["DELETED"]


def test_a_transaction_sees_its_own_writes() -> None:
    store = ObjectStore()
    left = store.transaction(
        [
            Create(pod("p")),
            Update({**pod("p"), "status": {"x": 1}}),
            Delete(key("Pod", "p")),
            Create(pod("p")),
        ]
    )
    assert [metadata(obj)["resourceVersion"] for obj in left] == ["1", "2", "3", "4"]
    assert metadata(left[0])["uid"] != metadata(left[3])["uid"]
    assert store.revision == 4


def test_a_rehearsal_changes_nothing() -> None:
    store = ObjectStore()
    assert metadata(store.rehearse([Create(pod("p"))])[0])["resourceVersion"] == "1"
    assert (store.revision, store.view().list("Pod")) == (0, ())


def test_kind_revisions_rise_only_with_their_kind() -> None:
    store = ObjectStore()
    store.create(pod("p"))
    store.create(namespace("n"))
    first = store.view()
    assert (first.kind_revision("Pod"), first.kind_revision("Namespace")) == (1, 2)
    store.delete(key("Pod", "p"))
    assert (store.view().kind_revision("Pod"), first.kind_revision("Pod")) == (3, 1)
    assert store.view().kind_revision("Service") == 0
