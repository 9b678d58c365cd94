"""JSON read as JSON: values and places as by the parser of YAML, and what is left to that."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.api.json_text import ODD, plain_json
from netsim.api.manifests import load_text
from netsim.api.places import Place, json_mark
from netsim.api.yaml_reader import DEPTH_MAX, Text, read

PRINTABLE = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn", "Zl", "Zp")))
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | PRINTABLE,
    lambda inner: st.lists(inner) | st.dictionaries(PRINTABLE, inner),
    max_leaves=20,
)
CONTAINERS = st.lists(VALUES) | st.dictionaries(PRINTABLE, VALUES)
INDENTS = st.sampled_from([None, 0, 2, 4])


def tree(place: Place) -> object:
    """Everything that a place knows."""
    keys = {key: (tree(at), tree(value)) for key, (at, value) in place.keys.items()}
    return place.line, place.column, keys, [tree(each) for each in place.items]


@given(CONTAINERS, INDENTS, st.booleans())
def test_values_and_places_are_those_of_the_other_way(
    value: object, indent: int | None, ascii_only: bool
) -> None:
    text = "\n " + json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    found = plain_json(text, DEPTH_MAX)
    if "\\ud" in text or "\ufeff" in text or "\ufffe" in text:  # what YAML can not say
        return
    assert found is not ODD
    # nothing but a comment before it, which JSON has not
    [document], problems = read(f"# YAML\n{text}", "t")
    assert problems == []
    assert (found, str(found)) == (document.value, str(document.value))
    [mark] = Text("t", f"# YAML\n{text}").marks
    assert tree(json_mark(f"      \n{text}", 1)) == tree(mark)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        '"a"',
        "a: 1",
        "{a: 1}",
        "{'a': 1}",
        "[1,]",
        '{"a": 1, "a": 2}',
        '{"a": NaN}',
        '{"a": Infinity}',
        '{"a": 1} {"b": 2}',
        '{"a": "\\ud83d\\ude00"}',
        '{"a": "b\nc"}',
        "[" * 66 + "]" * 66,
        '{"a":' * 65 + "1" + "}" * 65,
        "[" * 100_000,
    ],
)
def test_what_is_odd_is_left_to_the_other_way(text: str) -> None:
    assert plain_json(text, DEPTH_MAX) is ODD


def test_numbers_of_any_length_have_places() -> None:
    """More digits than Python makes an integer of."""
    text = '{"a": ' + "9" * 5000 + ', "b": [1]}'
    [mark] = Text("t", f"# YAML\n{text}").marks
    assert tree(json_mark(f"      \n{text}", 1)) == tree(mark)


@pytest.mark.parametrize("text", ["[" * 65 + "]" * 65, '{"a":' * 64 + "1" + "}" * 64])
def test_as_deep_as_the_other_way_goes(text: str) -> None:
    [document], problems = read(f"# YAML\n{text}", "t")
    assert problems == []
    assert plain_json(text, DEPTH_MAX) == document.value


def test_problems_of_a_dump_have_their_places() -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}
    bad = {**pod, "metadata": {"name": "B"}, "spec": {"containers": [{"name": "c"}]}}
    good = {**pod, "spec": {"containers": [{"name": "c"}]}}
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": [good, bad]}, indent=1)
    problems = [p for p in load_text(text, "dump.json").problems if p.severity == "error"]
    line = next(n for n, each in enumerate(text.split("\n"), start=1) if '"B"' in each)
    column = text.split("\n")[line - 1].index('"B"') + 1
    assert [(p.line, p.column) for p in problems] == [(line, column)]
    assert problems[0].where == ("metadata", "name")
