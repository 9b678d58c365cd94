"""The store beside a naive twin: a dictionary, a counter, and copies instead of views."""

from __future__ import annotations

import copy
import shutil
import tempfile
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from netsim.api.fields import Json
from netsim.api.meta import KIND_BY_NAME, ObjectKey, key_of
from netsim.store.base import Create, Delete, Update, Write
from netsim.store.errors import ApiError
from netsim.store.sqlite import open_store
from netsim.store.views import MemoryView
from tests.store.objects import Clock, metadata

KINDS = ("Service", "Pod", "Node")
NAMESPACES = ("default", "other")
NAMES = ("a", "b", "c")

keys = st.builds(
    lambda kind, namespace, name: ObjectKey(
        kind, namespace if KIND_BY_NAME[kind].namespaced else "", name
    ),
    st.sampled_from(KINDS),
    st.sampled_from(NAMESPACES),
    st.sampled_from(NAMES),
)
contents = st.dictionaries(
    st.sampled_from(("spec", "status")),
    st.dictionaries(st.sampled_from(("x", "y")), st.integers(0, 2), max_size=2),
)
finalizers = st.sampled_from(([], [], ["test/f"]))


def made(key: ObjectKey, content: dict[str, dict[str, int]], held: list[str]) -> dict[str, object]:
    head: dict[str, object] = {"name": key.name}
    if key.namespace:
        head["namespace"] = key.namespace
    if held:
        head["finalizers"] = held
    kind = KIND_BY_NAME[key.kind]
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": head, **content}


class Twin:
    """What the store should be, said as plainly as possible; refuses with the HTTP code."""

    def __init__(self) -> None:
        self.objects: dict[ObjectKey, dict[str, object]] = {}
        self.generations: dict[ObjectKey, int] = {}
        self.revision = 0

    def transaction(self, writes: list[Write]) -> int:
        before = copy.deepcopy((self.objects, self.generations)), self.revision
        for write in writes:
            code = self.write(write)
            if code:
                (self.objects, self.generations), self.revision = before
                return code
        return 0

    def write(self, write: Write) -> int:
        key = write.key if isinstance(write, Delete) else key_of(write.obj)
        if isinstance(write, Create):
            if key in self.objects:
                return 409
            self.put(key, write.obj, 1)
            return 0
        if key not in self.objects:
            return 404
        old = self.objects[key]
        if isinstance(write, Update):
            asked = metadata(write.obj).get("resourceVersion")
            if asked and asked != metadata(old)["resourceVersion"]:
                return 409
            return self.update(key, old, write.obj)
        if not metadata(old).get("finalizers"):
            self.remove(key)
        elif "deletionTimestamp" not in metadata(old):
            head = {**metadata(old), "deletionTimestamp": "some time"}
            self.put(key, {**old, "metadata": head}, self.generations[key])
        return 0

    def update(self, key: ObjectKey, old: dict[str, object], new: Json) -> int:
        head = {**metadata(new), "resourceVersion": metadata(old)["resourceVersion"]}
        if "deletionTimestamp" in metadata(old):
            head["deletionTimestamp"] = "some time"
            if not head.get("finalizers"):
                self.remove(key)
                return 0
        changed = {**new, "metadata": head}
        if changed == old:
            return 0
        spec_changed = new.get("spec") != old.get("spec")
        self.put(key, changed, self.generations[key] + spec_changed)
        return 0

    def put(self, key: ObjectKey, obj: Json, generation: int) -> None:
        self.revision += 1
        head = {**metadata(obj), "resourceVersion": str(self.revision)}
        self.objects[key] = {**obj, "metadata": head}
        self.generations[key] = generation

    def remove(self, key: ObjectKey) -> None:
        self.revision += 1
        del self.objects[key]


def comparable(obj: Json) -> dict[str, object]:
    """An object of the store as the twin has it."""
    head = dict(metadata(obj))
    for field in ("uid", "generation", "creationTimestamp", "deletionGracePeriodSeconds"):
        head.pop(field, None)
    if "deletionTimestamp" in head:
        head["deletionTimestamp"] = "some time"
    return {**obj, "metadata": head}


class StoreBesideTwin(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.mkdtemp()
        self.path = str(Path(self.directory) / "store.sqlite")
        self.clock = Clock()
        self.store = open_store(self.path, now=self.clock)
        self.twin = Twin()
        self.views: list[tuple[MemoryView, dict[ObjectKey, dict[str, object]], int]] = []

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.directory)

    def write(self, writes: list[Write]) -> None:
        expected = self.twin.transaction(writes)
        code = 0
        try:
            self.store.rehearse(writes)
            self.store.transaction(writes)
        except ApiError as error:
            code = error.code
        assert code == expected

    @rule(key=keys, content=contents, held=finalizers)
    def create(self, key: ObjectKey, content: dict[str, dict[str, int]], held: list[str]) -> None:
        self.write([Create(made(key, content, held))])

    @rule(key=keys, content=contents, held=finalizers, guard=st.sampled_from(("", "same", "stale")))
    def update(
        self, key: ObjectKey, content: dict[str, dict[str, int]], held: list[str], guard: str
    ) -> None:
        obj = made(key, content, held)
        stored = self.twin.objects.get(key)
        if guard and stored is not None:
            revision = str(metadata(stored)["resourceVersion"])
            metadata(obj)["resourceVersion"] = revision if guard == "same" else "999999"
        self.write([Update(obj)])

    @rule(key=keys)
    def delete(self, key: ObjectKey) -> None:
        self.write([Delete(key)])

    @rule(
        several=st.lists(
            st.one_of(
                st.builds(lambda k, c: Create(made(k, c, [])), keys, contents),
                st.builds(lambda k, c: Update(made(k, c, [])), keys, contents),
                st.builds(Delete, keys),
            ),
            max_size=5,
        )
    )
    def transaction(self, several: list[Write]) -> None:
        self.write(several)

    @rule()
    def take_view(self) -> None:
        frozen = copy.deepcopy(self.twin.objects)
        self.views.append((self.store.view(), frozen, self.twin.revision))

    @precondition(lambda self: self.views)
    @rule()
    def forget_views(self) -> None:
        self.views.clear()

    @rule()
    def reopen(self) -> None:
        before = {k: self.store.view().get(k) for k in self.twin.objects}
        self.store.close()
        self.store = open_store(self.path, now=self.clock)
        assert {k: self.store.view().get(k) for k in self.twin.objects} == before

    @invariant()
    def shows_what_the_twin_has(self) -> None:
        assert self.store.revision == self.twin.revision
        check_view(self.store.view(), self.twin.objects, self.twin.revision)
        for key, generation in self.twin.generations.items():
            obj = self.store.view().get(key)
            assert obj is None or metadata(obj)["generation"] == generation

    @invariant()
    def old_views_stay_as_they_were(self) -> None:
        for view, objects, revision in self.views:
            check_view(view, objects, revision)


def check_view(
    view: MemoryView, objects: dict[ObjectKey, dict[str, object]], revision: int
) -> None:
    assert view.revision == revision
    for kind in KINDS:
        found = sorted(key for key in objects if key.kind == kind)
        listed = view.list(kind)
        assert [key_of(obj) for obj in listed] == found
        assert [comparable(obj) for obj in listed] == [objects[key] for key in found]
        for namespace in ("", *NAMESPACES):
            inside = [key for key in found if key.namespace == namespace]
            assert [key_of(obj) for obj in view.list(kind, namespace)] == inside
        for key in found:
            obj = view.get(key)
            assert obj is not None
            assert comparable(obj) == objects[key]


TestStoreBesideTwin = StoreBesideTwin.TestCase
