"""JSONPath templates: kubectl's documented cases, mistakes, and a property over any object."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.cli import jsonpath
from netsim.errors import UsageError

# the object and most cases of https://kubernetes.io/docs/reference/kubectl/jsonpath/
OBJECT = {
    "kind": "List",
    "items": [
        {
            "kind": "None",
            "metadata": {"name": "127.0.0.1", "labels": {"kubernetes.io/hostname": "127.0.0.1"}},
            "status": {
                "capacity": {"cpu": "4"},
                "addresses": [{"type": "LegacyHostIP", "address": "127.0.0.1"}],
            },
        },
        {
            "kind": "None",
            "metadata": {"name": "127.0.0.2"},
            "status": {
                "capacity": {"cpu": "8"},
                "addresses": [
                    {"type": "LegacyHostIP", "address": "127.0.0.2"},
                    {"type": "another", "address": "127.0.0.3"},
                ],
            },
        },
    ],
    "users": [
        {"name": "myself", "user": {}},
        {"name": "e2e", "user": {"username": "admin", "password": "secret"}},
    ],
    "ports": [80, 443, 8080],
}

TEMPLATES = {
    "text": ("kind is {.kind}", "kind is List"),
    "brackets": ("{['kind']}", "List"),
    "bare name": ("{kind}", "List"),
    "anywhere": ("{..name}", "127.0.0.1 127.0.0.2 myself e2e"),
    "all of a list": ("{.items[*].metadata.name}", "127.0.0.1 127.0.0.2"),
    "one of a list": ("{.users[0].name}", "myself"),
    "the last": ("{.ports[-1]}", "8080"),
    "the one before": ("{.ports[-2]}", "443"),
    "none there": ("{.ports[7]}", ""),
    "a slice": ("{.ports[0:2]}", "80 443"),
    "an open slice": ("{.ports[1:]}", "443 8080"),
    "every value": ("{.items[0].status.capacity.*}", "4"),
    "an escaped dot": (r"{.items[0].metadata.labels.kubernetes\.io/hostname}", "127.0.0.1"),
    "a key in quotes": ('{.items[0].metadata.labels["kubernetes.io/hostname"]}', "127.0.0.1"),
    "a filter": ('{.users[?(@.name=="e2e")].user.password}', "secret"),
    "a filter by number": ("{.ports[?(@>100)]}", "443 8080"),
    "a filter by presence": ("{.users[?(@.user.username)].name}", "e2e"),
    "a filter by not": ("{.users[?(@.name!='e2e')].name}", "myself"),
    "a range": ("{range .ports[*]}{@};{end}", "80;443;8080;"),
    "a range of two": (
        '{range .items[*]}{.metadata.name}{"\\t"}{.status.capacity.cpu}{"\\n"}{end}',
        "127.0.0.1\t4\n127.0.0.2\t8\n",
    ),
    "a range in a range": (
        "{range .items[*]}{.metadata.name}={range .status.addresses[*]}{.type},{end} {end}",
        "127.0.0.1=LegacyHostIP, 127.0.0.2=LegacyHostIP,another, ",
    ),
    "an object": ("{.items[0].status.capacity}", '{"cpu":"4"}'),
    "nothing there": ("{.nothing.at.all}", ""),
    "the whole": ("{.users[0].user}", "{}"),
    "no fields": ("just text", "just text"),
}


@pytest.mark.parametrize(("template", "shown"), TEMPLATES.values(), ids=TEMPLATES)
def test_a_template_is_filled_in(template: str, shown: str) -> None:
    assert jsonpath.render(template, OBJECT) == shown


MISTAKES = ["{.a", "a}", "{range .a}x", "{end}", "{.a[}", "{.a[?(}", "{.a b}", "{.a[x]}"]


@pytest.mark.parametrize("template", MISTAKES)
def test_a_malformed_template_is_a_usage_error(template: str) -> None:
    with pytest.raises(UsageError, match="jsonpath"):
        jsonpath.render(template, OBJECT)


KEYS = st.text("abcXYZ019_-", min_size=1)
LEAVES = st.none() | st.booleans() | st.integers() | st.text()
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4)
)


def leaves(value: object, path: str = "") -> list[tuple[str, object]]:
    """Every leaf with the path that leads to it."""
    if isinstance(value, dict):
        return [leaf for k, v in value.items() for leaf in leaves(v, f"{path}.{k}")]
    if isinstance(value, list):
        return [leaf for n, v in enumerate(value) for leaf in leaves(v, f"{path}[{n}]")]
    return [(path or "@", value)]


@given(VALUES)
def test_every_leaf_is_found_by_its_path(value: object) -> None:
    for path, leaf in leaves(value):
        assert jsonpath.find(path, value) == [leaf]


@given(st.text(), VALUES)
def test_any_template_is_filled_in_or_refused(template: str, value: object) -> None:
    try:
        jsonpath.render(template, value)
    except UsageError:
        return


@given(st.text("{}.[]@*?()=!<>'\"abc01: range end"), VALUES)
def test_any_almost_template_is_filled_in_or_refused(template: str, value: object) -> None:
    try:
        jsonpath.render(template, value)
    except UsageError:
        return
