"""Rules as text for objects in few words.

`python -m tests.conformance.rule_text` writes the golden texts; what stands in rules/six.* was
compared with the rules that upstream's tests expect.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import yaml

from netsim.api.fields import Json
from netsim.controllers.health import HealthChecks
from netsim.dataplane.rows import LabRow, ProxyRow
from netsim.rules import RENDERERS
from netsim.rules.proxied import Proxied, proxied
from tests.conformance.emulated import PROXY, node_row, number, objects_of, rows_of
from tests.controllers.world import view

FOLDER = Path(__file__).with_name("rules")
LAB = LabRow(((number("172.30.0.0"), 16),), "udp")
SIX = objects_of(cast("list[Json]", yaml.safe_load((FOLDER / "six.yaml").read_text())))
GOLDEN = {FOLDER / f"six.{how}": how for how in RENDERERS}


def known(objects: Sequence[Json], proxy: ProxyRow = PROXY) -> Proxied:
    """What the proxy of node1 knows of the objects."""
    checks = HealthChecks().advance(view(*objects))
    health = {"/".join(check.service): check.port for check in checks}
    return proxied(node_row(proxy), LAB, rows_of(objects), health)


def rules(objects: Sequence[Json], how: str, proxy: ProxyRow = PROXY) -> list[str]:
    """The text, line by line."""
    return RENDERERS[how](known(objects, proxy)).splitlines()


if __name__ == "__main__":
    for path, how in GOLDEN.items():
        path.write_text("\n".join(rules(SIX, how)) + "\n")
