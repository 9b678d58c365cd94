"""Writes docs/conformance.md from items.yaml: `python -m tests.conformance.document`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import cast

import yaml

HERE = Path(__file__).parent
PAGE = HERE.parent.parent / "docs" / "conformance.md"
STATES = ("pass", "not applicable", "fails")
Item = dict[str, str]

HEAD = """# Conformance with kube-proxy

What upstream's own tests ask of a Service (C-) and what is known of kube-proxy's behaviour (P-),
item by item: whether netsim does it, which test of ours says so, and if not, why. What is not built
yet fails. This page is made from `tests/conformance/items.yaml` by
`python -m tests.conformance.document`.

The flows of C-001 to C-074 and the endpoint categories of C-083 to C-097 are data in
`tests/conformance`, run through the compiler and the C packet path.
"""


def items() -> list[Item]:
    """Every item, in order."""
    return cast("list[Item]", yaml.safe_load((HERE / "items.yaml").read_text()))


def cell(text: str) -> str:
    """Text as a table's cell."""
    return text.replace("|", "\\|")


def row(item: Item) -> str:
    why = item.get("why", item.get("note", ""))
    path, _, function = item.get("by", "").partition("::")
    by = f"`{path}` {function}" if path else ""
    said = "; ".join(part for part in (why, by) if part)
    return f"| {item['id']} | {cell(item['title'])} | {item['state']} | {cell(said)} |"


def page() -> str:
    """The page's text."""
    parts = [HEAD]
    for prefix, title in (("C-", "Upstream's tests"), ("P-", "Rules of kube-proxy")):
        found = [item for item in items() if item["id"].startswith(prefix)]
        counts = Counter(item["state"] for item in found)
        summary = ", ".join(f"{counts[state]} {state}" for state in STATES)
        rows = "\n".join(row(item) for item in found)
        table = f"| item | | state | test, or why not |\n| --- | --- | --- | --- |\n{rows}"
        parts.append(f"## {title}\n\n{len(found)} items: {summary}.\n\n{table}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page())
