"""The examples load without a word, but for what they are there to show."""

from __future__ import annotations

from pathlib import Path

import pytest

from netsim.api.manifests import load
from netsim.api.resources import Lab, Node, Pod
from netsim.api.validation import validate_all

FOLDER = Path(__file__).parents[2] / "examples"
EXPECTED = {
    "exported.yaml": [
        "read off the objects: podCIDR 10.42.0.0/16, serviceCIDR 10.43.0.0/16,"
        " nodeCIDR 192.168.56.0/24",
        "ignored: programs come from this machine;"
        " without a command the built-in answerer serves the ports",
    ]
}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.name)
def test_an_example_is_clean(path: Path) -> None:
    loaded = load([str(path)])
    problems = [*loaded.problems, *validate_all(loaded.objects)]
    assert [p.message for p in problems] == EXPECTED.get(path.name, [])
    assert loaded.ok


def test_the_cheat_sheet_has_the_documents_addresses() -> None:
    found = {item.key.short: item.obj for item in load([str(FOLDER / "cheatsheet.yaml")]).objects}
    lab = Lab.parse(found["Lab cheatsheet"])
    assert (lab.backend.name, lab.backend.port) == ("udp", 8285)
    assert [str(Node.parse(found[f"Node node{n}"]).pod_cidr) for n in (1, 2)] == [
        "10.0.46.0/24",
        "10.0.90.0/24",
    ]
    assert [Pod.parse(found[f"Pod {name}"]).wanted_ip for name in ("client", "server")] == [
        "10.0.46.2",
        "10.0.90.2",
    ]
