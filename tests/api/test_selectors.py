"""Selectors match as Kubernetes' do, and say what is wrong with them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.api.selectors import FieldSelector, LabelSelector, Requirement
from netsim.errors import UsageError

LABELS = {"app": "web", "tier": "front", "n": "5", "empty": ""}

MATCHES = [
    ("", True),
    ("app=web", True),
    ("app==web", True),
    ("app=db", False),
    ("app!=db", True),
    ("app!=web", False),
    ("gone!=x", True),
    ("app", True),
    ("gone", False),
    ("!gone", True),
    ("!app", False),
    ("app in (db, web)", True),
    ("app in (db)", False),
    ("app notin (db)", True),
    ("gone notin (db)", True),
    ("app notin (web)", False),
    ("gone in (a)", False),
    ("empty=", True),
    ("empty in (,a)", True),
    ("app=", False),
    ("n>4", True),
    ("n<5", False),
    ("app>4", False),
    ("gone>4", False),
    (" app = web , tier in ( front , back ) ", True),
    ("app=web,tier=back", False),
    ("app in (web),!gone,tier", True),
]


@pytest.mark.parametrize(("expression", "matches"), MATCHES)
def test_a_label_selector_matches(expression: str, matches: bool) -> None:
    selector = LabelSelector.parse(expression)
    assert selector.matches(LABELS) == matches
    assert LabelSelector.parse(str(selector)) == selector


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("app=", ""),
        ("=web", "'=' is not a label key"),
        ("app=web,", "it ends too early"),
        ("app in web", "found 'web', expected '('"),
        ("app in (web", "it ends too early"),
        ("app web", "found 'web', expected ','"),
        ("a/b/c=d", "'a/b/c' is not a label key"),
        ("/a=d", "prefix part must be non-empty"),
        ("a/=d", "name part must be non-empty"),
        ("app=a@b", "'a@b' is not a label value"),
        ("n>x", "n> needs an integer"),
        ("!", "it ends too early"),
    ],
)
def test_a_bad_label_selector_says_why(expression: str, why: str) -> None:
    if not why:
        LabelSelector.parse(expression)
        return
    with pytest.raises(UsageError) as caught:
        LabelSelector.parse(expression)
    assert why in caught.value.why
    assert caught.value.exit_code == 2


def test_match_labels_and_expressions_hold_together() -> None:
    selector = LabelSelector.of(
        {
            "matchLabels": {"app": "web"},
            "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["front", "back"]},
                {"key": "gone", "operator": "DoesNotExist"},
            ],
        }
    )
    assert selector.matches(LABELS)
    assert not selector.matches({**LABELS, "gone": "no"})
    assert str(selector) == "app=web,tier in (back,front),!gone"
    assert LabelSelector.of({}).matches({})


keys = st.sampled_from(["a", "b", "c"])
values = st.sampled_from(["x", "y", ""])
requirements = st.one_of(
    st.builds(
        Requirement,
        keys,
        st.sampled_from(["In", "NotIn"]),
        st.frozensets(values, min_size=1),
    ),
    st.builds(
        Requirement, keys, st.sampled_from(["Exists", "DoesNotExist"]), st.just(frozenset[str]())
    ),
)


@given(st.lists(requirements), st.dictionaries(keys, values))
def test_a_selector_agrees_with_its_twin(found: list[Requirement], labels: dict[str, str]) -> None:
    def holds(r: Requirement) -> bool:
        inside = r.key in labels and (not r.values or labels[r.key] in r.values)
        return inside == (r.operator in ("In", "Exists"))

    selector = LabelSelector(tuple(found))
    assert selector.matches(labels) == all(map(holds, found))
    assert LabelSelector.parse(str(selector)).matches(labels) == selector.matches(labels)


@given(st.text(alphabet="ab=!,() <>/._-0@", max_size=20))
def test_any_expression_parses_or_is_a_usage_error(expression: str) -> None:
    try:
        selector = LabelSelector.parse(expression)
    except UsageError:
        return
    assert LabelSelector.parse(str(selector)) == selector


POD = {
    "metadata": {"name": "p", "namespace": "default"},
    "spec": {"nodeName": "node1"},
    "status": {"phase": "Running"},
}


@pytest.mark.parametrize(
    ("expression", "matches"),
    [
        ("", True),
        ("metadata.name=p", True),
        ("metadata.name==q", False),
        ("metadata.name!=q,status.phase=Running", True),
        ("spec.nodeName=node1,metadata.namespace=default", True),
        ("status.podIP=", True),
    ],
)
def test_a_field_selector_matches(expression: str, matches: bool) -> None:
    assert FieldSelector.parse(expression, "Pod").matches(POD) == matches


def test_a_field_selector_reads_booleans() -> None:
    selector = FieldSelector.parse("spec.unschedulable=true", "Node")
    assert selector.matches({"spec": {"unschedulable": True}})
    assert str(selector) == "spec.unschedulable=true"


@pytest.mark.parametrize("expression", ["spec.image=x", "metadata.name", "status.phase=x=y,a"])
def test_a_bad_field_selector_is_a_usage_error(expression: str) -> None:
    with pytest.raises(UsageError):
        FieldSelector.parse(expression, "Pod")
