"""Plans: the three-way merge as properties, and what steps an apply takes."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.api.defaults import with_defaults
from netsim.api.fields import Json, mapping
from netsim.lab import apply
from netsim.lab.admission import Admission
from netsim.lab.initial import admitted, in_order, write_steps
from netsim.store.memory import ObjectStore

KEYS = st.sampled_from("abcd")
LEAVES = st.integers(0, 3) | st.lists(st.integers(0, 3), max_size=2)
VALUES = st.recursive(LEAVES, lambda inner: st.dictionaries(KEYS, inner, max_size=3))
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=4)


def contains(whole: object, part: object) -> bool:
    """Whether every field of `part` is in `whole`, with its value."""
    if isinstance(part, Mapping):
        return isinstance(whole, Mapping) and all(
            k in whole and contains(whole[k], v) for k, v in part.items()
        )
    return whole == part


def paths(value: object, at: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """Paths of leaves; an empty object is one."""
    if isinstance(value, Mapping) and value:
        return {path for k, v in value.items() for path in paths(v, (*at, k))}
    return {at}


@given(OBJECTS, OBJECTS, OBJECTS)
def test_what_is_asked_for_is_there(last: Json, new: Json, live: Json) -> None:
    assert contains(apply.merge(last, new, live), new)


@given(OBJECTS, OBJECTS, OBJECTS)
def test_applying_again_changes_nothing(last: Json, new: Json, live: Json) -> None:
    once = apply.merge(last, new, live)
    assert apply.merge(new, new, once) == once


@given(OBJECTS, OBJECTS)
def test_what_nobody_changed_stays(new: Json, live: Json) -> None:
    """With nothing applied before, no field goes but those that change their type."""
    merged = apply.merge({}, new, live)
    assert contains(apply.merge({}, live, merged), live)
    for key in live.keys() - new.keys():
        assert merged[key] == live[key]


@given(OBJECTS, OBJECTS)
def test_what_was_applied_and_is_not_asked_for_any_more_goes(last: Json, new: Json) -> None:
    assert apply.merge(last, new, last) == new or not contains(new, {})
    for key in last.keys() - new.keys():
        assert key not in apply.merge(last, new, last)


@given(OBJECTS, OBJECTS, OBJECTS)
def test_nothing_is_made_up(last: Json, new: Json, live: Json) -> None:
    merged = apply.merge(last, new, live)
    for path in paths(merged):
        ends = [path[:n] for n in range(len(path) + 1)]
        assert any(end in paths(new) | paths(live) for end in ends) or path in all_paths(new, live)


def all_paths(*values: object, at: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    found = {at}
    for value in values:
        if isinstance(value, Mapping):
            for k, v in value.items():
                found |= all_paths(v, at=(*at, k))
    return found


@given(OBJECTS, OBJECTS, OBJECTS)
def test_merging_changes_no_argument(last: Json, new: Json, live: Json) -> None:
    before = copy.deepcopy((last, new, live))
    apply.merge(last, new, live)
    assert (last, new, live) == before


@given(OBJECTS, OBJECTS)
def test_fields_change_exactly_where_values_differ(before: Json, after: Json) -> None:
    fields = apply.changed_fields(before, after)
    assert bool(fields) == (before != after)
    assert len(fields) == len(set(fields))


@pytest.mark.parametrize(
    ("before", "after", "fields"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": {"b": 1}}, {"a": {"b": 2, "c": 3}}, ["a.b", "a.c"]),
        ({"a": {"b": 1}}, {"a": {}}, ["a.b"]),
        ({"a": [{"b": 1}, {"b": 2}]}, {"a": [{"b": 1}, {"b": 3}]}, ["a[1].b"]),
        ({"a": [1]}, {"a": [1, 2]}, ["a"]),
        ({"a": {"b": 1}}, {"a": [1]}, ["a"]),
    ],
)
def test_changes_name_fields(before: Json, after: Json, fields: list[str]) -> None:
    assert apply.changed_fields(before, after) == fields


def service(name: str = "web", port: int = 80, **spec: object) -> Json:
    ports = [{"port": port, "targetPort": 8080}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": "web"}, "ports": ports, **spec},
    }


LAB = {"apiVersion": "netsim.dev/v1alpha1", "kind": "Lab", "metadata": {"name": "t"}, "spec": {}}


class World:
    """A store that plans are applied to, as control does it."""

    def __init__(self) -> None:
        self.store = ObjectStore()
        self.admission = Admission()

    def apply(
        self, *objects: Json, prune: bool = False, dry_run: bool = False
    ) -> list[tuple[str, str, tuple[str, ...]]]:
        view = self.store.view()
        stored = [obj for kind in ("Lab", "Service", "Pod") for obj in view.list(kind)]
        steps = apply.plan(stored, in_order(objects), prune=prune)
        write_steps(self.store, steps, self.admission, dry_run=dry_run)
        return [(step.verb, step.key.name, step.fields) for step in steps]

    def service(self, name: str = "web") -> Json:
        return next(
            o for o in self.store.view().list("Service") if mapping(o, "metadata")["name"] == name
        )


def test_applied_twice_is_unchanged_although_the_server_filled_fields_in() -> None:
    world = World()
    assert world.apply(LAB, service()) == [("created", "t", ()), ("created", "web", ())]
    stored = mapping(world.service(), "spec")
    assert stored["clusterIP"]
    assert stored["ports"] == [{"port": 80, "targetPort": 8080, "protocol": "TCP"}]
    revision = world.store.revision
    assert world.apply(LAB, service()) == [("unchanged", "t", ()), ("unchanged", "web", ())]
    assert world.store.revision == revision


def test_a_change_keeps_what_the_server_filled_in() -> None:
    world = World()
    world.apply(LAB, service())
    address = mapping(world.service(), "spec")["clusterIP"]
    assert world.apply(service(port=81)) == [("configured", "web", ("spec.ports[0].port",))]
    assert mapping(world.service(), "spec")["clusterIP"] == address


def test_a_field_that_is_dropped_goes() -> None:
    world = World()
    world.apply(LAB, service(sessionAffinity="ClientIP"))
    verb, _, fields = world.apply(service())[0]
    assert (verb, fields[0]) == ("configured", "spec.sessionAffinity")
    assert mapping(world.service(), "spec")["sessionAffinity"] == "None"


def test_pruning_deletes_what_was_applied_and_nothing_else() -> None:
    world = World()
    world.apply(LAB, service("a"), service("b"))
    world.store.create(with_defaults(service("by-hand")))
    assert world.apply(LAB, service("a")) == [("unchanged", "t", ()), ("unchanged", "a", ())]
    assert world.apply(LAB, service("a"), prune=True)[-1] == ("deleted", "b", ())
    assert [mapping(s, "metadata")["name"] for s in world.store.view().list("Service")] == [
        "a",
        "by-hand",
    ]


def test_a_dry_run_changes_nothing() -> None:
    world = World()
    world.apply(LAB, service())
    revision = world.store.revision
    assert world.apply(service(port=81), service("new"), dry_run=True) == [
        ("configured", "web", ("spec.ports[0].port",)),
        ("created", "new", ()),
    ]
    assert world.store.revision == revision


def test_services_that_name_their_address_get_it_first() -> None:
    names = [
        mapping(o, "metadata")["name"]
        for o in in_order([service("a"), service("b", clusterIP="10.96.0.9"), LAB])
    ]
    assert names == ["t", "b", "a"]


def test_a_dump_of_the_server_applies_as_unchanged() -> None:
    world = World()
    world.apply(LAB, service())
    assert world.apply(world.service()) == [("unchanged", "web", ())]


def test_what_a_new_lab_would_take_is_known_before_there_is_one() -> None:
    lab, web = admitted([service(), LAB])
    assert [mapping(obj, "metadata")["name"] for obj in (lab, web)] == ["t", "web"]
    assert mapping(web, "spec")["clusterIP"], "it is as the lab will store it"


def test_a_pod_stays_on_its_node() -> None:
    spec = {"containers": [{"name": "c", "command": ["sleep"]}]}
    bound = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {**spec}}
    bound["spec"] = {**spec, "nodeName": "node2"}
    world = World()
    world.apply(LAB, bound)
    assert world.apply({**bound, "spec": spec}) == [("unchanged", "p", ())]
