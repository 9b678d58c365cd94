"""Plain scalars mean what Kubernetes' YAML reader makes of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.api.scalars import Scalar, resolve_plain, resolve_tagged

CASES: list[tuple[str, Scalar]] = [
    ("", None),
    ("~", None),
    ("null", None),
    ("nul", "nul"),
    ("yes", True),
    ("On", True),
    ("oFF", "oFF"),
    ("no", False),
    ("y", "y"),
    ("80", 80),
    ("-1", -1),
    ("+7", 7),
    ("0", 0),
    ("0644", 420),
    ("0o17", 15),
    ("0x1F", 31),
    ("0b101", 5),
    ("1_000", 1000),
    ("08", 8.0),
    ("1.5", 1.5),
    ("1e3", 1000.0),
    (".5", 0.5),
    ("1e999", "1e999"),
    (".inf", ".inf"),
    (".nan", ".nan"),
    ("22:22", "22:22"),
    ("10.0.0.1", "10.0.0.1"),
    ("10.244.0.0/16", "10.244.0.0/16"),
    ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
    ("1" * 65, "1" * 65),
    ("-", "-"),
]


@pytest.mark.parametrize(("text", "value"), CASES)
def test_resolves_as_kubernetes_does(text: str, value: Scalar) -> None:
    found = resolve_plain(text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("tag", "text", "value"),
    [("!!str", "80", "80"), ("!", "yes", "yes"), ("!!int", "80", 80), ("!!float", "1", 1)],
)
def test_an_explicit_tag_wins(tag: str, text: str, value: Scalar) -> None:
    assert resolve_tagged(tag.replace("!!", "tag:yaml.org,2002:"), text) == value


@pytest.mark.parametrize(("tag", "text"), [("!!int", "x"), ("!!int", "true"), ("!mine", "x")])
def test_a_tag_that_does_not_fit_is_an_error(tag: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"is not (known|of type)"):
        resolve_tagged(tag.replace("!!", "tag:yaml.org,2002:"), text)


@given(st.text())
def test_any_text_resolves_to_something_json_has(text: str) -> None:
    assert isinstance(resolve_plain(text), str | int | float | bool | None)
