"""Which endpoints a node may use (spec 4.2), from objects to rows."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
import yaml

from netsim.api.addresses import parse_address
from netsim.controllers.proxy import Compiler
from netsim.dataplane.rows import EndpointRow
from tests.conformance.emulated import objects_of
from tests.controllers.world import node, view

Object = dict[str, object]
VECTORS = cast(
    "list[Object]", yaml.safe_load(Path(__file__).with_name("categories.yaml").read_text())
)
CASES = [(str(v["id"]), case) for v in VECTORS for case in cast("list[Object]", v["cases"])]
BASE = parse_address("10.1.2.0")


def last_octets(rows: tuple[EndpointRow, ...]) -> list[int]:
    return [row.addr - BASE for row in rows]


@pytest.mark.parametrize(("id_", "case"), CASES, ids=[f"{i} {c['case']}" for i, c in CASES])
def test_categories(id_: str, case: Object) -> None:
    zone = case["zone"]
    labels = {} if zone is None else {"topology.kubernetes.io/zone": str(zone)}
    slices = [{"ports": [{"name": "", "port": 80}], "endpoints": case["endpoints"]}]
    spec = {"clusterIP": "172.30.0.1", "ports": [{"name": "", "port": 80, "nodePort": 30080}]}
    given = {"name": "svc", "spec": {**spec, **cast("Object", case["spec"])}, "slices": slices}
    nodes = [node("node1", labels=labels), node("node2", labels=labels)]
    [row] = Compiler().compile(view(*nodes, *objects_of([given]))).values()
    assert (row.internal_local or row.external_local) == ("local" in case)
    outside = bool(row.frontends)
    assert ("cluster" in case) == (outside or not row.internal_local)
    if "cluster" in case:
        assert last_octets(row.usable("node1")) == case["cluster"], id_
    if "local" in case:
        assert last_octets(row.usable("node1", local=True)) == case["local"], id_
    everybody = [row.usable(n, local=p) for n in ("", "node1", "node2") for p in (False, True)]
    assert any(everybody) == case["served"]
