from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.api.addresses import parse_address
from netsim.api.fields import Json, items, mapping, text
from netsim.api.meta import ObjectKey, labels_of, name_of, namespace_of
from netsim.controllers.objects import spec
from netsim.controllers.proxy import Compiler
from netsim.dataplane.rows import PROTOCOLS, EndpointRow, ServiceKey, ServiceRow
from netsim.store.memory import ObjectStore
from tests.controllers.world import (
    Object,
    endpoint,
    endpoint_slice,
    port,
    service,
    slice_port,
    view,
)

IP = parse_address("10.96.0.10")
GOES = {"ready": False, "serving": True, "terminating": True}
GONE = {"ready": False, "serving": False, "terminating": True}
UNREADY = {"ready": False, "serving": False, "terminating": False}


def web(*ports: Json, **fields: object) -> Object:
    given: Object = {"clusterIP": "10.96.0.10", **fields}
    return service("web", None, *ports, **given)  # type: ignore[arg-type]


def members(*endpoints: Json, name: str = "web-1", number: int = 8080) -> Object:
    return endpoint_slice(name, "web", [slice_port(number)], endpoints)


def rows(*objects: Json) -> list[ServiceRow]:
    return list(Compiler().compile(view(*objects)).values())


def targets(*objects: Json) -> list[str]:
    (row,) = rows(*objects)
    return [f"{e.addr & 0xFF}:{e.port}" for e in row.usable()]


def test_a_service_is_a_row() -> None:
    (row,) = rows(web(port(80)), members(endpoint("10.0.0.3"), endpoint("10.0.0.2")))
    assert row[:3] == (IP, 80, 6)
    assert (row.name, row.affinity_s) == ("default/web", 0)
    assert row.endpoints == (EndpointRow(0x0A000002, 8080), EndpointRow(0x0A000003, 8080))


# P-50 to P-52, P-62, P-24: (endpoints, whom the service sends to)
CATEGORIES = [
    ("nothing said is ready", [endpoint("10.0.0.2")], ["2:8080"]),
    (
        "only ready ones",
        [endpoint("10.0.0.2", ready=True), endpoint("10.0.0.3", **UNREADY)],
        ["2:8080"],
    ),
    ("not the ones that go", [endpoint("10.0.0.2"), endpoint("10.0.0.3", **GOES)], ["2:8080"]),
    ("those that go, failing others", [endpoint("10.0.0.2", **GOES)], ["2:8080"]),
    ("but not when they do not serve", [endpoint("10.0.0.2", **GONE)], []),
    ("unready ones never", [endpoint("10.0.0.2", **UNREADY)], []),
    ("serving but staying is not enough", [endpoint("10.0.0.2", ready=False, serving=True)], []),
    ("none", [], []),
    ("an address twice", [endpoint("10.0.0.2"), endpoint("10.0.0.2")], ["2:8080"]),
    ("the one that stays counts", [endpoint("10.0.0.2", **GOES), endpoint("10.0.0.2")], ["2:8080"]),
    (
        "of two that stay the ready one",
        [endpoint("10.0.0.2", **UNREADY), endpoint("10.0.0.2", ready=True)],
        ["2:8080"],
    ),
    (
        "only the first address",
        [{"addresses": ["10.0.0.2", "10.0.0.9"], "conditions": {}}],
        ["2:8080"],
    ),
    ("no address", [{"addresses": [], "conditions": {}}], []),
]


@pytest.mark.parametrize(
    ("given", "wanted"), [c[1:] for c in CATEGORIES], ids=[c[0] for c in CATEGORIES]
)
def test_usable_endpoints(given: Sequence[Json], wanted: list[str]) -> None:
    assert targets(web(), members(*given)) == wanted
    apart = [members(e, name=f"web-{i}") for i, e in enumerate(given)]
    assert targets(web(), *apart) == wanted, "and so over several slices"


def test_one_pod_may_serve_two_ports_of_one_name() -> None:
    first = members(endpoint("10.0.0.2"))
    second = members(endpoint("10.0.0.2"), name="web-2", number=9090)
    assert targets(web(), first, second) == ["2:8080", "2:9090"]


NOT_PROXIED = [
    ("headless", web(clusterIP="None")),
    ("external", web(type="ExternalName")),
    ("no address yet", web(clusterIP="")),
    (
        "another proxy's",
        {
            **web(),
            "metadata": {
                "name": "web",
                "namespace": "default",
                "labels": {"service.kubernetes.io/service-proxy-name": "other"},
            },
        },
    ),
    (
        "headless by label",
        {
            **web(),
            "metadata": {
                "name": "web",
                "namespace": "default",
                "labels": {"service.kubernetes.io/headless": ""},
            },
        },
    ),
]


@pytest.mark.parametrize("given", [n[1] for n in NOT_PROXIED], ids=[n[0] for n in NOT_PROXIED])
def test_services_without_rows(given: Json) -> None:
    assert rows(given, members(endpoint("10.0.0.2"))) == []


AFFINITY = [
    ({}, 0),
    ({"sessionAffinity": "None"}, 0),
    ({"sessionAffinity": "ClientIP"}, 10800),
    (
        {
            "sessionAffinity": "ClientIP",
            "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 7}},
        },
        7,
    ),
]


@pytest.mark.parametrize(("fields", "wanted"), AFFINITY)
def test_affinity(fields: Object, wanted: int) -> None:
    assert rows(web(**fields))[0].affinity_s == wanted


def test_ports_are_matched_by_name_and_protocol() -> None:
    ports = [port(80, "a"), port(80, "b", "UDP"), port(81, "c", "SCTP"), port(82, "gone")]
    theirs = [
        slice_port(1, "b", "UDP"),
        slice_port(2, "a"),
        slice_port(3, "c"),
        slice_port(0, "gone"),
    ]
    found = rows(web(*ports), endpoint_slice("s", "web", theirs, [endpoint("10.0.0.2")]))
    assert {r.name: [e.port for e in r.endpoints] for r in found} == {
        "default/web:a": [2],
        "default/web:b": [1],
        "default/web:c": [],
        "default/web:gone": [],
    }
    assert {(r.port, r.proto) for r in found} == {(80, 6), (80, 17), (81, 132), (82, 6)}


def test_slices_of_the_other_family_do_not_count() -> None:
    six = endpoint_slice("six", "web", [slice_port(80)], [endpoint("fd00::1")], addressType="IPv6")
    assert targets(web(), six, members(endpoint("10.0.0.2"))) == ["2:8080"]


def test_ids_come_from_names_and_survive_a_restart() -> None:
    services = [service(f"s{i}", None, clusterIP=f"10.96.1.{i}") for i in range(100)]
    ids = {row.name: row.id for row in rows(*services)}
    assert ids == {row.name: row.id for row in rows(*reversed(services))}
    assert len(set(ids.values())) == 100
    assert all(0 < i < 1 << 32 for i in ids.values())


def test_of_two_services_with_one_address_the_first_has_it_until_it_goes() -> None:
    store, compiler = ObjectStore(), Compiler()
    store.create(service("b", None, clusterIP="10.96.0.10"))
    store.create(service("a", None, clusterIP="10.96.0.10"))

    def holders() -> list[str]:
        return [row.name for row in compiler.compile(store.view()).values()]

    assert holders() == ["default/a"]
    store.delete(ObjectKey("Service", "default", "a"))
    assert holders() == ["default/b"]
    store.create(service("a", None, clusterIP="10.96.0.10"))
    assert holders() == ["default/a"]
    store.delete(ObjectKey("Service", "default", "b"))
    assert holders() == ["default/a"]


def test_unchanged_rows_and_tables_are_the_same_objects() -> None:
    store, compiler = ObjectStore(), Compiler()
    for name in ("a", "b"):
        store.create(service(name, None, clusterIP=f"10.96.0.{ord(name)}"))
    first = compiler.compile(store.view())
    assert compiler.compile(store.view()) is first
    store.create(endpoint_slice("s", "a", [slice_port(80)], [endpoint("10.0.0.2")]))
    second = compiler.compile(store.view())
    b = ServiceKey(parse_address(f"10.96.0.{ord('b')}"), 80, 6)
    assert second[b] is first[b]
    assert second != first
    store.create(endpoint_slice("t", "none", [slice_port(80)], [endpoint("10.0.0.2")]))
    assert compiler.compile(store.view()) is second


# The twin: no caches, no shortcuts.


def naive(services: Sequence[Json], slices: Sequence[Json]) -> dict[ServiceKey, tuple[object, ...]]:
    found: dict[ServiceKey, tuple[object, ...]] = {}
    for svc in services:
        ip = text(spec(svc), "clusterIP")
        if ip in ("", "None"):
            continue
        for each in items(spec(svc), "ports"):
            states: dict[EndpointRow, list[tuple[bool, bool, bool]]] = {}
            for s in slices:
                if labels_of(s)["kubernetes.io/service-name"] != name_of(svc):
                    continue
                for p in items(s, "ports"):
                    if (p["name"], p["protocol"]) != (each.get("name", ""), each["protocol"]):
                        continue
                    for e in items(s, "endpoints"):
                        c = mapping(e, "conditions")
                        row = EndpointRow(
                            parse_address(cast("list[str]", e["addresses"])[0]),
                            cast("int", p["port"]),
                        )
                        states.setdefault(row, []).append(
                            (
                                not c.get("terminating", False),
                                cast("bool", c.get("ready", True)),
                                cast("bool", c.get("serving", True)),
                            )
                        )
            best = {row: max(found_) for row, found_ in states.items()}
            ready = sorted(r for r, (_, is_ready, _) in best.items() if is_ready)
            going = sorted(r for r, (stays, _, serving) in best.items() if serving and not stays)
            key = ServiceKey(
                parse_address(ip),
                cast("int", each["port"]),
                PROTOCOLS[cast("str", each["protocol"])],
            )
            name = f"{namespace_of(svc)}/{name_of(svc)}"
            found.setdefault(key, (name, tuple(ready or going)))
    return found


NAMES = st.sampled_from(["a", "b", "c"])
CONDITIONS = st.fixed_dictionaries(
    {}, optional={k: st.booleans() for k in ("ready", "serving", "terminating")}
)
ENDPOINTS = st.lists(st.tuples(st.integers(1, 4), CONDITIONS), max_size=4)
PROTOCOL = st.sampled_from(["TCP", "UDP"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("service"), NAMES, st.tuples(st.integers(1, 3), PROTOCOL)),
        st.tuples(st.just("slice"), NAMES, st.tuples(NAMES, PROTOCOL, ENDPOINTS)),
        st.tuples(st.just("delete"), NAMES, st.sampled_from(["Service", "EndpointSlice"])),
    ),
    max_size=30,
)


def apply(store: ObjectStore, what: str, name: str, detail: object) -> None:
    if what == "delete":
        key = ObjectKey(cast("str", detail), "default", name)
        if store.view().get(key) is not None:
            store.delete(key)
        return
    if what == "service":
        number, protocol = cast("tuple[int, str]", detail)
        ip = f"10.96.0.{number}" if number < 3 else "None"
        made = service(name, None, port(80, "", protocol), clusterIP=ip)
    else:
        of, protocol, listed = cast("tuple[str, str, list[tuple[int, dict[str, bool]]]]", detail)
        shown = [endpoint(f"10.0.0.{n}", **conditions) for n, conditions in listed]
        made = endpoint_slice(name, of, [slice_port(8080, "", protocol)], shown)
    key = ObjectKey(cast("str", made["kind"]), "default", name)
    if store.view().get(key) is None:
        store.create(made)
    else:
        metadata = {k: v for k, v in cast("Object", made["metadata"]).items() if k != "uid"}
        store.update({**made, "metadata": metadata})


@given(STEPS)
def test_rows_equal_the_naive_ones_after_every_step(steps: list[tuple[str, str, object]]) -> None:
    store, compiler = ObjectStore(), Compiler()
    for step in steps:
        apply(store, *step)
        found = compiler.compile(store.view())
        simple = {key: (row.name, row.usable()) for key, row in found.items()}
        v = store.view()
        assert simple == naive(v.list("Service"), v.list("EndpointSlice"))
        assert found == Compiler().compile(v)
