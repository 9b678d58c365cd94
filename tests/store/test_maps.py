"""Maps that share: as dictionaries, unchanged by changes, and compared by what differs only."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netsim.api.fields import Json
from netsim.api.meta import ObjectKey
from netsim.maps import SharedMap, different
from netsim.store.base import Create, Delete, Update
from netsim.store.memory import ObjectStore
from tests.store.objects import key, pod

# keys that meet in one leaf, in one branch, and in none
KEYS = st.sampled_from([0, 4096, 8192, 1, 64, 65, 129, 4097, -1])
STEPS = st.lists(st.dictionaries(KEYS, st.none() | st.integers(), max_size=4), max_size=12)


def stepped(before: dict[int, int], changes: dict[int, int | None]) -> dict[int, int]:
    after = {**before, **changes}
    return {k: v for k, v in after.items() if v is not None}


@given(STEPS)
def test_a_shared_map_is_the_dictionary_of_its_changes(steps: list[dict[int, int | None]]) -> None:
    versions: list[tuple[SharedMap[int, int], dict[int, int]]] = [(SharedMap(), {})]
    for changes in steps:
        shared, plain = versions[-1]
        versions.append((shared.changed(changes), stepped(plain, changes)))
    for shared, plain in versions:
        assert dict(shared.pairs()) == dict(shared) == plain
        assert len(shared) == len(plain)
        for k in (0, 4096, 8192, 1, 64, 65, 129, 4097, -1, 7):
            assert shared.get(k) == plain.get(k)
            assert (k in shared) == (k in plain)


def naive(old: dict[int, Json], new: dict[int, Json]) -> set[int]:
    return {k for k in old.keys() | new.keys() if old.get(k) is not new.get(k)}


@given(STEPS, STEPS)
def test_what_differs_is_what_is_not_the_same_object(
    before: list[dict[int, int | None]], after: list[dict[int, int | None]]
) -> None:
    objects: dict[int, Json] = {}
    old: SharedMap[int, Json] = SharedMap()
    new = old
    for steps, is_old in ((before, True), (after, False)):
        for changes in steps:
            made = {k: v if v is None else {"v": v} for k, v in changes.items()}
            new = new.changed(made)
        if is_old:
            old, objects = new, dict(new.pairs())
    found = different(old, new)
    assert found == sorted(naive(objects, dict(new.pairs())))
    assert set(different(objects, new)) == set(different(old, dict(new.pairs()))) == set(found)


def test_a_comparison_looks_only_where_maps_do_not_share() -> None:
    class Loud:
        def __init__(self, number: int) -> None:
            self.number = number

        def __hash__(self) -> int:
            return self.number

        def __eq__(self, other: object) -> bool:
            compared.append(self.number)
            return isinstance(other, Loud) and other.number == self.number

        def __lt__(self, other: Loud) -> bool:
            return self.number < other.number

    compared: list[int] = []
    keys = [Loud(number) for number in range(10_000)]
    old = SharedMap.of(dict.fromkeys(keys, 1))
    new = old.changed({keys[17]: 1000})
    compared.clear()
    assert different(old, new) == [keys[17]]
    assert len(compared) < 10


PODS = st.lists(st.sampled_from(["put a", "put b", "put c", "drop a", "drop b", "look"]))


@given(PODS)
def test_changes_between_views_are_the_objects_that_are_others(steps: list[str]) -> None:
    store = ObjectStore()
    views = [store.view()]
    for number, step in enumerate(steps):
        verb, _, name = step.partition(" ")
        there = store.view().get(key("Pod", name)) is not None
        if verb == "look":
            views.append(store.view())
        elif verb == "drop" and there:
            store.transaction([Delete(ObjectKey("Pod", "default", name))])
        elif verb == "put":
            made = pod(name, labels={"n": str(number)})
            store.transaction([Update(made) if there else Create(made)])
    last = store.view()
    for view in views:
        was = {str(o["metadata"]): o for o in view.list("Pod")}
        now = {str(o["metadata"]): o for o in last.list("Pod")}
        changes = last.changes("Pod", view)
        assert [o for o, _ in changes if o is not None] == [
            o for k, o in was.items() if k not in now
        ]
        assert [o for _, o in changes if o is not None] == [
            o for k, o in now.items() if k not in was
        ]
    assert [new for _, new in last.changes("Pod", None)] == list(last.list("Pod"))
    assert last.changes("Pod", last) == ()
