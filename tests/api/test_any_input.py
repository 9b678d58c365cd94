"""Whatever comes in, reports come out: never an exception, never a view that fails."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from netsim.api import resources
from netsim.api.defaults import with_defaults
from netsim.api.fields import Json
from netsim.api.manifests import from_objects, load_text
from netsim.api.problems import format_path
from netsim.api.schema_tables import KIND_TABLES
from netsim.api.validation import validate_all, validate_object

PARSERS: Mapping[str, Callable[[Json], object]] = {
    "Lab": resources.Lab.parse,
    "Node": resources.Node.parse,
    "Namespace": resources.Namespace.parse,
    "ServiceCIDR": resources.ServiceCIDR.parse,
    "Pod": resources.Pod.parse,
    "Service": resources.Service.parse,
    "EndpointSlice": resources.EndpointSlice.parse,
    "Endpoints": resources.Endpoints.parse,
    "ReplicaSet": resources.ReplicaSet.parse,
    "Deployment": resources.Deployment.parse,
}
FOLDER = Path(__file__).parents[2] / "examples"
TEXTS = [path.read_text() for path in sorted(FOLDER.glob("*.yaml"))]
SNIPPETS = ["\t", ":", "- ", "{", "}", "[", "]", "&a ", "*a", "!!int ", "'", '"', "|", ">", "---\n"]
SNIPPETS += ["null", "-1", "1e999", "99999999999999999999", "yes", "\x00", "\u2028", "\ud800", "%"]
SNIPPETS += ["<<: ", "kind: Pod\n", "10.0.0.0/33", "items:\n", "? ", "\n", "    "]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["10.0.0.1", "10.0.0.0/8", "None", "TCP", "80", "ClientIP", "50%", "a/b/c"]),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=10,
)


def report(text: str) -> None:
    """Everything that `netsim validate` does with a text."""
    loaded = load_text(text, "t")
    problems = [*loaded.problems, *validate_all(loaded.objects)]
    lines = len(text.splitlines()) + 1
    for problem in problems:
        assert str(problem)
        assert 0 <= problem.line <= lines
    if loaded.ok:
        for item in loaded.objects:
            PARSERS[item.key.kind](item.obj)
            assert not [
                p for p in validate_object(with_defaults(item.obj)) if p.severity == "error"
            ]


@given(st.text(max_size=200))
def test_any_text_is_reported_on(text: str) -> None:
    report(text)


@given(
    st.sampled_from(TEXTS),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 12), st.sampled_from(SNIPPETS))),
)
def test_any_mutilated_example_is_reported_on(text: str, cuts: list[tuple[int, int, str]]) -> None:
    for at, length, snippet in cuts[:6]:
        place = at % len(text)
        text = text[:place] + snippet + text[place + length :]
    report(text)


@given(st.sampled_from(TEXTS), st.randoms(use_true_random=False), values)
def test_any_value_in_any_place_is_reported_on(
    text: str, chance: random.Random, value: object
) -> None:
    objects = [item.obj for item in load_text(text).objects]
    objects.append(replaced(chance.choice(objects), chance, value))
    loaded = from_objects(objects)
    for problem in [*loaded.problems, *validate_all(loaded.objects)]:
        assert str(problem)
    for obj in objects:
        if str(obj.get("kind")) in PARSERS:
            PARSERS[str(obj["kind"])](obj)
        validate_object(with_defaults(obj), objects[0])


def replaced(obj: dict[str, object], chance: random.Random, value: object) -> dict[str, object]:
    """A copy with one field, at a place drawn by chance, replaced."""
    key = chance.choice(sorted(obj)) if obj else "spec"
    inner = obj.get(key)
    if isinstance(inner, dict) and inner and chance.random() < 0.8:
        return {**obj, key: replaced(inner, chance, value)}
    if isinstance(inner, list) and inner and chance.random() < 0.8:
        index = chance.randrange(len(inner))
        member = inner[index]
        changed = replaced(member, chance, value) if isinstance(member, dict) else value
        return {**obj, key: [*inner[:index], changed, *inner[index + 1 :]]}
    return {**obj, key: value}


@given(st.sampled_from(sorted(KIND_TABLES)), st.dictionaries(st.text(max_size=6), values), values)
def test_any_object_of_any_kind_is_reported_on(
    kind: str, rest: dict[str, object], spec: object
) -> None:
    version = {"Lab": "netsim.dev/v1alpha1", "Deployment": "apps/v1", "ReplicaSet": "apps/v1"}
    obj = {**rest, "apiVersion": version.get(kind, "v1"), "kind": kind, "spec": spec}
    loaded = from_objects([obj])
    validate_all(loaded.objects)
    PARSERS[kind](obj)
    with_defaults(obj)


@given(st.lists(st.one_of(st.text(max_size=5), st.integers(0, 9))))
def test_any_path_has_a_text(path: list[str | int]) -> None:
    assert isinstance(format_path(tuple(path)), str)
