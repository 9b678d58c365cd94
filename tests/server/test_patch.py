"""Patches as pure functions: tables of examples, and properties."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.server.json_patch import json_patch, merge_patch
from netsim.server.strategic import strategic_merge
from netsim.store.errors import ApiError
from netsim.store.lifecycle import same

values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from(("", "a", "~/"))),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(("a", "b", "/", "~", "")), inner, max_size=3),
    ),
    max_leaves=8,
)

MERGES: list[tuple[object, object, object]] = [
    ({"a": 1}, {"a": 2}, {"a": 2}),
    ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
    ({"a": 1, "b": 2}, {"a": None}, {"b": 2}),
    ({"a": 1}, {"b": None}, {"a": 1}),
    ({"a": {"b": 1, "c": 2}}, {"a": {"b": None, "d": 3}}, {"a": {"c": 2, "d": 3}}),
    ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
    ({"a": [{"b": 1}]}, {"a": [{"c": None}]}, {"a": [{"c": None}]}),
    ({"a": "text"}, {"a": {"b": {"c": None}}}, {"a": {"b": {}}}),
    ({"a": {"b": 1}}, {"a": "text"}, {"a": "text"}),
    ({"a": 1}, {}, {"a": 1}),
    ({"a": 1}, "text", "text"),
    ([1], {"a": 1}, {"a": 1}),
    ("text", None, None),
]


@pytest.mark.parametrize(("target", "patch", "merged"), MERGES)
def test_merge_patch(target: object, patch: object, merged: object) -> None:
    assert merge_patch(target, patch) == merged


@given(values, values)
def test_merging_twice_is_merging_once(target: object, patch: object) -> None:
    once = merge_patch(target, patch)
    assert merge_patch(once, patch) == once


def op(name: str, path: str, *value: object, **more: object) -> dict[str, object]:
    made: dict[str, object] = {"op": name, "path": path, **more}
    if value:
        made["value"] = value[0]
    return made


def moved(name: str, source: str, path: str) -> dict[str, object]:
    return {"op": name, "from": source, "path": path}


OPERATIONS: list[tuple[object, list[object], object]] = [
    ({"a": 1}, [op("add", "/b", 2)], {"a": 1, "b": 2}),
    ({"a": 1}, [op("add", "/a", 2)], {"a": 2}),
    ({"a": 1}, [op("add", "/b", None)], {"a": 1, "b": None}),
    ({"a": [1, 3]}, [op("add", "/a/1", 2)], {"a": [1, 2, 3]}),
    ({"a": [1]}, [op("add", "/a/-", 2)], {"a": [1, 2]}),
    ({"a": [1]}, [op("add", "/a/1", [2])], {"a": [1, [2]]}),
    ({"a": {"b": {}}}, [op("add", "/a/b/c", 1)], {"a": {"b": {"c": 1}}}),
    ({"a": 1}, [op("add", "", [1])], [1]),
    ({"a": 1, "b": 2}, [op("remove", "/a")], {"b": 2}),
    ({"a": [1, 2, 3]}, [op("remove", "/a/1")], {"a": [1, 3]}),
    ({"a": 1}, [op("replace", "/a", None)], {"a": None}),
    ({"a": [1, 2]}, [op("replace", "/a/0", 3)], {"a": [3, 2]}),
    ({"a": 1}, [op("replace", "", 2)], 2),
    ({"a": {"b": 1}}, [moved("move", "/a/b", "/c")], {"a": {}, "c": 1}),
    ({"a": [1, 2, 3]}, [moved("move", "/a/0", "/a/2")], {"a": [2, 3, 1]}),
    ({"a": 1}, [moved("move", "/a", "/a")], {"a": 1}),
    ({"a": {"b": 1}}, [moved("copy", "/a", "/c")], {"a": {"b": 1}, "c": {"b": 1}}),
    ({"a": {"b": 1}}, [moved("copy", "/a", "/a/c")], {"a": {"b": 1, "c": {"b": 1}}}),
    ({"a": [1, {"b": 2}]}, [op("test", "/a", [1, {"b": 2}])], {"a": [1, {"b": 2}]}),
    ({"a": 1}, [op("test", "/a", 1.0)], {"a": 1}),
    ({"a/b": 1, "m~n": 2, "": 3}, [op("remove", "/a~1b"), op("remove", "/m~0n")], {"": 3}),
    ({"": {"": 1}}, [op("replace", "//", 2)], {"": {"": 2}}),
    ({"~1": 1}, [op("remove", "/~01")], {}),
    ({}, [], {}),
    ({}, [op("add", "/a", 1, ignored=True)], {"a": 1}),
]


@pytest.mark.parametrize(("target", "patch", "result"), OPERATIONS)
def test_json_patch(target: object, patch: list[object], result: object) -> None:
    assert json_patch(target, patch) == result


FAILURES: list[tuple[object, object, int]] = [
    ({}, {}, 400),
    ({}, [1], 400),
    ({}, [{"op": "spin", "path": "/a"}], 400),
    ({}, [{"op": ["add"], "path": "/a"}], 400),
    ({}, [{"path": "/a", "value": 1}], 400),
    ({}, [op("add", "a", 1)], 400),
    ({}, [{"op": "add", "path": 5, "value": 1}], 400),
    ({}, [{"op": "add", "value": 1}], 400),
    ({}, [op("add", "/a")], 400),
    ({}, [op("move", "/a")], 400),
    ({}, [op("add", "/a/b", 1)], 422),
    ({"a": 1}, [op("add", "/a/b", 1)], 422),
    ({"a": []}, [op("add", "/a/1", 1)], 422),
    ({"a": []}, [op("add", "/a/01", 1)], 422),
    ({"a": []}, [op("add", "/a/x", 1)], 422),
    ({"a": [1]}, [op("remove", "/a/-")], 422),
    ({"a": [1]}, [op("remove", "/a/1")], 422),
    ({}, [op("remove", "/a")], 422),
    ({}, [op("remove", "")], 422),
    ({}, [op("replace", "/a", 1)], 422),
    ({"a": 1}, [op("test", "/a", True)], 422),
    ({"a": 0}, [op("test", "/a", False)], 422),
    ({"a": {"b": 1}}, [op("test", "/a", {"b": 1, "c": 2})], 422),
    ({}, [op("test", "/a", None)], 422),
    ({"a": {}}, [moved("move", "/a", "/a/b")], 422),
    ({"a": {}}, [moved("copy", "/b", "/c")], 422),
    ({}, [op("add", "/a" * 300, 1)], 422),
    ({}, [op("add", "/a", 1)] * 10_001, 422),
    ({"a": "x" * 99}, [moved("copy", "", "/b"), moved("copy", "", "/c")] * 40, 422),
    ({"a": {"b": 1}}, [moved("copy", "/a", "/a/b")] * 9_000, 422),
]


@pytest.mark.parametrize(("target", "patch", "code"), FAILURES)
def test_json_patch_refuses(target: object, patch: object, code: int) -> None:
    with pytest.raises(ApiError) as raised:
        json_patch(target, patch)
    assert raised.value.code == code


@given(values, values)
def test_a_patch_leaves_what_it_was_given_alone(target: object, patch: object) -> None:
    before = repr(target)
    merge_patch(target, patch)
    with contextlib.suppress(ApiError):
        json_patch(target, patch)
    assert repr(target) == before


@given(values, values)
def test_add_then_test_holds(target: object, value: object) -> None:
    patch = [op("add", "", {"old": target}), op("add", "/new", value), op("test", "/new", value)]
    assert same(json_patch({}, patch), {"old": target, "new": value})


class Strategic(NamedTuple):
    why: str
    kind: str
    target: object
    patch: object
    merged: object


def spec(**fields: object) -> dict[str, object]:
    return {"spec": fields}


def containers(*elements: Mapping[str, object], **more: object) -> dict[str, object]:
    return spec(containers=list(elements), **more)


A, B, C = {"name": "a"}, {"name": "b"}, {"name": "c"}

STRATEGIC = [
    Strategic("objects merge, null removes", "Pod", {"a": {"b": 1, "c": 2}},
              {"a": {"b": None, "d": 3}}, {"a": {"c": 2, "d": 3}}),
    Strategic("containers merge by name", "Pod", containers({**A, "x": 1}, B),
              containers({**A, "y": 2}, C), containers({**A, "x": 1, "y": 2}, B, C)),
    Strategic("containers of a template too", "Deployment",
              spec(template=containers({**A, "image": "1"})),
              spec(template=containers({**A, "env": [{"name": "E", "value": "1"}]})),
              spec(template=containers({**A, "image": "1", "env": [{"name": "E", "value": "1"}]}))),
    Strategic("env merges by name", "Pod", containers({**A, "env": [{**B, "value": "1"}]}),
              containers({**A, "env": [{**B, "value": "2"}, C]}),
              containers({**A, "env": [{**B, "value": "2"}, C]})),
    Strategic("container ports by number", "Pod",
              containers({**A, "ports": [{"containerPort": 1}]}),
              containers({**A, "ports": [{"containerPort": 1, "name": "x"}]}),
              containers({**A, "ports": [{"containerPort": 1, "name": "x"}]})),
    Strategic("arguments are replaced", "Pod", containers({**A, "args": ["x", "y"]}),
              containers({**A, "args": ["z"]}), containers({**A, "args": ["z"]})),
    Strategic("service ports by port", "Service", spec(ports=[{"port": 80, "name": "x"}]),
              spec(ports=[{"port": 80, "targetPort": 8080}, {"port": 81}]),
              spec(ports=[{"port": 80, "name": "x", "targetPort": 8080}, {"port": 81}])),
    Strategic("ports of another kind are replaced", "EndpointSlice", {"ports": [{"port": 1}]},
              {"ports": [{"port": 2}]}, {"ports": [{"port": 2}]}),
    Strategic("conditions by type", "Node",
              {"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "x"}]}},
              {"status": {"conditions": [{"type": "Ready", "status": "False"}]}},
              {"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "x"}]}}),
    Strategic("taints are replaced", "Node", spec(taints=[{"key": "a"}]),
              spec(taints=[{"key": "b"}]), spec(taints=[{"key": "b"}])),
    Strategic("finalizers join", "Pod", {"metadata": {"finalizers": ["a"]}},
              {"metadata": {"finalizers": ["b", "a"]}}, {"metadata": {"finalizers": ["a", "b"]}}),
    Strategic("delete an element", "Pod", containers(A, B), containers({**A, "$patch": "delete"}),
              containers(B)),
    Strategic("delete what is not there", "Pod", containers(B),
              containers({**A, "$patch": "delete"}), containers(B)),
    Strategic("replace a list", "Pod", containers(A, B), containers({"$patch": "replace"}, C),
              containers(C)),
    Strategic("replace an object", "Pod", spec(a=1, b=2), spec(**{"$patch": "replace", "c": 3}),
              spec(c=3)),
    Strategic("delete an object", "Pod", {"spec": {"x": {"y": 1}, "z": 1}},
              {"spec": {"x": {"$patch": "delete"}}}, {"spec": {"z": 1}}),
    Strategic("merge said aloud", "Pod", spec(a=1), spec(**{"$patch": "merge", "b": 2}),
              spec(a=1, b=2)),
    Strategic("retain keys", "Deployment", spec(strategy={"type": "RollingUpdate", "x": 1}),
              spec(strategy={"$retainKeys": ["type"], "type": "Recreate"}),
              spec(strategy={"type": "Recreate"})),
    Strategic("an order", "Pod", containers(A, B, C),
              containers(C, **{"$setElementOrder/containers": [C, A, B]}), containers(C, A, B)),
    Strategic("an order that does not know all", "Pod", containers(A, B, C),
              containers(**{"$setElementOrder/containers": [C, A]}), containers(B, C, A)),
    Strategic("an order of values", "Pod", {"metadata": {"finalizers": ["a", "b"]}},
              {"metadata": {"$setElementOrder/finalizers": ["b", "a"]}},
              {"metadata": {"finalizers": ["b", "a"]}}),
    Strategic("delete values", "Pod", {"metadata": {"finalizers": ["a", "b"]}},
              {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}},
              {"metadata": {"finalizers": ["b"]}}),
    Strategic("new objects come without nulls", "Pod", {}, spec(a={"b": None, "c": 1}),
              spec(a={"c": 1})),
    Strategic("text becomes an object", "Pod", {"spec": "x"}, spec(a=1), spec(a=1)),
    Strategic("a list becomes text", "Pod", containers(A), {"spec": {"containers": "x"}},
              {"spec": {"containers": "x"}}),
    Strategic("what kubectl apply sends", "Service",
              {"metadata": {"annotations": {"last": "1"}}, **spec(ports=[{"port": 80}])},
              {"metadata": {"annotations": {"last": "2"}},
               **spec(**{"$setElementOrder/ports": [{"port": 81}],
                         "ports": [{"port": 81}, {"$patch": "delete", "port": 80}]})},
              {"metadata": {"annotations": {"last": "2"}}, **spec(ports=[{"port": 81}])}),
]  # fmt: skip


@pytest.mark.parametrize("case", STRATEGIC, ids=lambda case: case.why)
def test_strategic_merge(case: Strategic) -> None:
    before = repr(case.target)
    assert strategic_merge(case.target, case.patch, case.kind) == case.merged
    assert repr(case.target) == before


@pytest.mark.parametrize(
    "patch",
    [
        [],
        "x",
        {"$patch": "delete"},
        {"$patch": "burn"},
        containers({"image": "no name"}),
        spec(containers=[1]),
        spec(**{"$retainKeys": "x"}),
        spec(**{"$setElementOrder/containers": {}}),
        spec(**{"$deleteFromPrimitiveList/containers": 1}),
    ],
)
def test_strategic_merge_refuses(patch: object) -> None:
    with pytest.raises(ApiError) as raised:
        strategic_merge(containers(A), patch, "Pod")
    assert raised.value.code == 400


directives = st.sampled_from(
    ("spec", "containers", "name", "ports", "port", "$patch", "$retainKeys", "metadata",
     "$setElementOrder/containers", "$deleteFromPrimitiveList/containers")
)  # fmt: skip
words = st.one_of(st.none(), st.integers(0, 2), st.sampled_from(("a", "delete", "replace")))
bodies = st.recursive(
    words,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(directives, inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(directives, bodies), bodies, st.sampled_from(("Pod", "Service", "Node")))
def test_strategic_merge_takes_anything(target: object, patch: object, kind: str) -> None:
    before = repr(target)
    with contextlib.suppress(ApiError):
        assert isinstance(strategic_merge(target, patch, kind), dict)
    assert repr(target) == before
