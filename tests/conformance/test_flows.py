"""Upstream's packet flows (spec 4.1), through the compiler and the C path."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
import yaml

from netsim.controllers.frontends import tolerant_range
from netsim.dataplane.rows import ProxyRow
from tests.conformance.emulated import ADDRESSES, Emulated, Outcome, objects_of

Object = dict[str, object]
DATA = yaml.safe_load(Path(__file__).with_name("flows.yaml").read_text())
WORLDS = cast("dict[str, list[Object]]", DATA["worlds"])
VECTORS = cast("list[Object]", DATA["vectors"])


def proxy_row(given: Object) -> ProxyRow:
    """Ranges are written as people write them."""
    ranges = cast("list[str]", given.get("node_port_ranges", []))
    return ProxyRow(
        str(given.get("detector", "ClusterCIDR")),
        bool(given.get("masquerade_all")),
        bool(given.get("localhost_node_ports", True)),
        tuple([known for each in ranges if (known := tolerant_range(each)) is not None]),
    )


def expected(flow: Object) -> Outcome:
    if "verdict" in flow:
        return Outcome(str(flow["verdict"]))
    goes = cast("list[str]", flow["goes"])
    return Outcome("", frozenset(goes), frozenset([bool(flow["masquerade"])]))


@pytest.mark.parametrize("vector", VECTORS, ids=[str(v["id"]) for v in VECTORS])
def test_flows(vector: Object) -> None:
    proxy = proxy_row(cast("Object", vector.get("proxy", {})))
    with Emulated(objects_of(WORLDS[str(vector["world"])]), proxy) as node:
        for flow in cast("list[Object]", vector["flows"]):
            src = ADDRESSES.get(str(flow["from"]), str(flow["from"]))
            target, _, protocol = str(flow["to"]).partition("/")
            dst, _, port = target.partition(":")
            found = node.outcome(src, dst, int(port), protocol or "TCP")
            assert found == expected(flow), flow
