"""No item is left out, and none passes without a test that exists."""

from __future__ import annotations

import re

from tests.conformance.document import HERE, PAGE, STATES, items, page
from tests.conformance.test_categories import VECTORS as CATEGORIES
from tests.conformance.test_flows import VECTORS as FLOWS

ROOT = HERE.parent.parent


def test_every_item_is_there_once() -> None:
    ids = [item["id"] for item in items()]
    assert ids[:207] == [f"C-{number:03}" for number in range(1, 208)]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"P-\d+", name) for name in ids[207:])


def test_what_passes_has_a_test_and_what_does_not_a_reason() -> None:
    for item in items():
        assert item["state"] in STATES, item
        if item["state"] != "pass":
            assert item["why"], item
            continue
        path, _, function = item["by"].partition("::")
        assert f"def {function}(" in (ROOT / path).read_text(), item


def test_what_has_vectors_passes_by_them() -> None:
    by = {item["id"]: item.get("by", "") for item in items()}
    for vectors, module in ((FLOWS, "test_flows"), (CATEGORIES, "test_categories")):
        for vector in vectors:
            assert module in by[str(vector["id"])], vector["id"]


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "python -m tests.conformance.document"
