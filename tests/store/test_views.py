"""Views: dependents by index and by looking at everything agree; views of given objects."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netsim.api.meta import ObjectKey, key_of
from netsim.store.base import Create, Delete, Update, Write
from netsim.store.errors import ApiError
from netsim.store.memory import ObjectStore
from netsim.store.views import MemoryView
from tests.store.objects import key, metadata, pod

UIDS = ("u1", "u2", "u3")
owners = st.lists(st.sampled_from(UIDS), max_size=3)


def child(name: str, uids: list[str]) -> dict[str, object]:
    references = [
        {"apiVersion": "v1", "kind": "ReplicaSet", "name": uid, "uid": uid} for uid in uids
    ]
    return pod(name, ownerReferences=references) if references else pod(name)


def naive(view: MemoryView, uid: str) -> set[str]:
    found = set()
    for obj in view.list("Pod"):
        references = metadata(obj).get("ownerReferences", [])
        assert isinstance(references, list)
        if any(reference["uid"] == uid for reference in references):
            found.add(str(metadata(obj)["name"]))
    return found


def check(view: MemoryView) -> None:
    for uid in UIDS:
        assert {key_of(obj).name for obj in view.dependents(uid)} == naive(view, uid)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(("create", "update", "delete", "view")), st.sampled_from("abc"), owners
        ),
        max_size=30,
    )
)
def test_dependents_are_those_that_name_the_owner(steps: list[tuple[str, str, list[str]]]) -> None:
    store = ObjectStore()
    views = []
    for step, name, uids in steps:
        writes: dict[str, Write] = {
            "create": Create(child(name, uids)),
            "update": Update(child(name, uids)),
            "delete": Delete(key("Pod", name)),
        }
        if step == "view":
            views.append(store.view())
            continue
        try:
            store.transaction([writes[step]])
        except ApiError:
            continue
        check(store.view())
    for view in views:
        check(view)


def test_namespaces_are_those_that_hold_something() -> None:
    store = ObjectStore()
    assert set(store.view().namespaces("Pod")) == set()
    for namespace in ("a", "b"):
        store.create(pod("p", namespace=namespace))
    assert set(store.view().namespaces("Pod")) == {"a", "b"}
    store.delete(ObjectKey("Pod", "a", "p"), grace_s=0)
    assert set(store.view().namespaces("Pod")) == {"b"}


def test_a_view_of_given_objects() -> None:
    view = MemoryView.of([child("b", ["u1"]), child("a", [])], 7)
    assert view.revision == view.kind_revision("Pod") == 7
    assert [key_of(obj).name for obj in view.list("Pod", "default")] == ["a", "b"]
    assert [key_of(obj).name for obj in view.dependents("u1")] == ["b"]
    assert view.list("Pod", "other") == view.list("Node") == ()
    assert view.get(key("Pod", "c")) is None
