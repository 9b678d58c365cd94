"""From slices to where service ports send, and whose UDP clients a change moves (C-054)."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
import yaml

from netsim.api.addresses import format_address
from netsim.api.fields import Json
from netsim.controllers.proxy import Compiler
from netsim.dataplane.plan import plan
from netsim.dataplane.rows import EndpointRow, ServiceKey, ServiceRow, Tables
from netsim.maps import SharedMap
from tests.conformance.emulated import FAR_NODE, NODE, Emulated, objects_of
from tests.controllers.world import node, view

Slices = dict[str, list[dict[str, object]]]
Case = dict[str, object]
CASES = cast(
    "list[Case]", yaml.safe_load(Path(__file__).with_name("endpoint_maps.yaml").read_text())
)
CLIENT, FLOWS = "10.0.0.2", range(30000, 30010)


def port_names(case: Case) -> dict[str, list[str]]:
    """Ports of each service, before and after: a service without any has the one without a name."""
    found: dict[str, list[str]] = {}
    for slices in (cast("Slices", case["before"]), cast("Slices", case["after"])):
        for service, listed in slices.items():
            names = [name for each in listed for name in cast("dict[str, int]", each["ports"])]
            found.setdefault(service, []).extend(names)
    return {service: sorted(set(names)) or [""] for service, names in found.items()}


def objects(case: Case, when: str) -> list[Json]:
    """All services of a case, with the slices that there are at one time."""
    slices = cast("Slices", case[when])
    given: list[Json] = []
    for number, (service, names) in enumerate(port_names(case).items(), 1):
        ports = [
            {"name": name, "port": 80 + i, "protocol": "UDP", "nodePort": 30000 + 10 * number + i}
            for i, name in enumerate(names)
        ]
        spec = {
            "type": "NodePort",
            "clusterIP": f"172.30.0.{number}",
            "externalTrafficPolicy": "Local",
            "ports": ports,
        }
        made = [slice_of(each) for each in slices.get(service, [])]
        given.append({"name": service, "spec": spec, "slices": made})
    return [node(NODE), node(FAR_NODE), *objects_of(given)]


def slice_of(each: dict[str, object]) -> Json:
    ports = cast("dict[str, int]", each["ports"]).items()
    places = (("at", FAR_NODE), ("here", NODE))
    return {
        "ports": [{"name": name, "port": number, "protocol": "UDP"} for name, number in ports],
        "endpoints": [
            {"addresses": [address], "nodeName": where}
            for key, where in places
            for address in cast("list[str]", each.get(key, []))
        ],
    }


def said(rows: tuple[EndpointRow, ...]) -> list[str]:
    return [f"{format_address(row.addr)}:{row.port}" for row in rows]


def by_name(rows: SharedMap[ServiceKey, ServiceRow]) -> dict[str, ServiceRow]:
    return {row.name.removeprefix("ns/"): row for row in rows.values()}


def of(case: Case, what: str) -> dict[str, list[str]]:
    return cast("dict[str, list[str]]", case.get(what, {}))


@pytest.fixture(params=CASES, ids=[str(case["case"]) for case in CASES])
def case(request: pytest.FixtureRequest) -> Case:
    return cast("Case", request.param)


def test_slices_become_what_service_ports_send_to(case: Case) -> None:
    compiler = Compiler()
    old = compiler.compile(view(*objects(case, "before"), revision=1))
    new = compiler.compile(view(*objects(case, "after"), revision=2))
    found = by_name(new)
    goes, here = of(case, "goes"), of(case, "here")
    assert {name: said(row.usable(NODE)) for name, row in found.items()} == goes
    local = {name: said(row.usable(NODE, local=True)) for name, row in found.items()}
    assert local == {name: here.get(name, []) for name in goes}
    assert new == Compiler().compile(view(*objects(case, "after"))), "what came before is forgotten"
    sent = {row.name for row in plan(Tables(services=old), Tables(services=new)).services}
    before = by_name(old)
    assert sent == {row.name for name, row in found.items() if row != before[name]}
    assert bool(sent) == (case["before"] != case["after"])


def test_udp_clients_of_endpoints_that_left_are_sent_elsewhere_and_no_others(case: Case) -> None:
    left, woken = of(case, "left"), cast("list[str]", case.get("woken", []))
    with Emulated(objects(case, "before")) as emulated:
        rows = by_name(Compiler().compile(view(*objects(case, "before"))))
        before = ask(emulated, rows)
        emulated.apply(objects(case, "after"))
        after = ask(emulated, rows)
    refused = [name for name in rows if before[name] == ["reject"] * len(FLOWS)]
    assert [name for name in refused if "reject" not in after[name]] == sorted(
        woken, key=refused.index
    )
    for name, asked in before.items():
        assert set(left.get(name, [])) <= set(asked), "clients had been there"
        for old, new in zip(asked, after[name], strict=True):
            if name not in woken:
                assert (new != old) == (old in left.get(name, [])), name
            assert new in (of(case, "goes")[name] or ["reject"])


def ask(emulated: Emulated, rows: dict[str, ServiceRow]) -> dict[str, list[str]]:
    """Where the datagrams of clients that keep their ports go, by service port."""
    return {
        name: [
            emulated.connect(CLIENT, format_address(row.addr), row.port, "UDP", sport)[0]
            for sport in FLOWS
        ]
        for name, row in rows.items()
    }
