"""Row by row and all at once: whatever changes, in whatever order, the rows are the same bytes."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from netsim.api.fields import Json, items, mapping
from netsim.api.meta import ObjectKey, key_of
from netsim.backends import BACKENDS
from netsim.controllers.objects import status, with_condition, with_status
from netsim.controllers.tables import Compiler
from netsim.dataplane.plan import plan
from netsim.dataplane.rows import Tables
from netsim.store.base import Create, Delete, Update, Write
from netsim.store.memory import ObjectStore
from tests.controllers.world import (
    Object,
    container,
    endpoint,
    endpoint_slice,
    lab,
    node,
    pod,
    port,
    service,
    slice_port,
)
from tests.dataplane.test_plan import apply

NAMES = st.sampled_from("abc")
IPS = st.sampled_from(["10.96.0.1", "10.96.0.2"])  # few, so that services compete for them
NUMBERS = st.integers(0, 3)


def a_service(name: str, ip: str, number: int) -> Object:
    ports = [port(80 + n, f"p{n}") for n in range(1 + number % 2)]
    affinity = "ClientIP" if number > 1 else "None"
    return service(name, None, *ports, clusterIP=ip, sessionAffinity=affinity)


def a_slice(name: str, of: str, number: int) -> Object:
    ready = [endpoint(f"10.244.0.{n + 2}", ready=n != 1) for n in range(number)]
    return endpoint_slice(f"{name}-1", of, [slice_port(8080, "p0"), slice_port(81, "p1")], ready)


def a_pod(name: str, on: str, number: int) -> Object:
    host_port = {"containerPort": 8080, "hostPort": 80 + number % 2}
    held = [container("main", host_port)] if number > 1 else []
    made = pod(name, on=on, ip=f"10.244.{number}.7", containers=held)
    there = str(number > 1)
    made_status = with_condition(items(status(made), "conditions"), READY, there, "")
    return dict(with_status(made, conditions=made_status))


def a_node(name: str, number: int) -> Object:
    at = "abc".index(name)
    note = {"seen": str(number)}
    if number == 3:
        note["netsim.dev/proxy-mode"] = "userspace"
    return node(name, f"10.244.{at}.0/24", f"172.18.0.{at + 2}", ready=number > 1, annotations=note)


READY = "PodReadyToStartContainers"
OBJECTS: st.SearchStrategy[Object] = st.one_of(
    st.builds(a_service, NAMES, IPS, NUMBERS),
    st.builds(a_slice, NAMES, NAMES, NUMBERS),
    st.builds(a_pod, NAMES, NAMES, NUMBERS),
    st.builds(a_node, NAMES, NUMBERS),
    st.builds(lambda mtu: lab(mtu=mtu), st.sampled_from([1500, 9000])),
)
STEPS = st.lists(st.lists(st.tuples(st.booleans(), OBJECTS), max_size=4), max_size=12)


def write(store: ObjectStore, obj: Json, *, gone: bool) -> None:
    named = {k: v for k, v in mapping(obj, "metadata").items() if k != "uid"}
    obj = {**obj, "metadata": named}
    stored = store.view().get(key_of(obj))
    writes: list[Write] = [Create(obj)] if stored is None else [Update(obj)]
    if gone:
        key = key_of(obj)
        writes = [] if stored is None else [Delete(ObjectKey(*key), grace_s=0)]
    store.transaction(writes)


def ordered(tables: Tables) -> bytes:
    parts = [sorted(part.items()) for part in (tables.nodes, tables.pods, tables.services)]
    return msgspec.msgpack.encode([tables.lab, *parts, tables.peers, tables.paths])


def followed(
    steps: list[list[tuple[bool, Object]]], check: Callable[[Tables, Tables], None]
) -> None:
    store, compiler, applied = ObjectStore(), Compiler(BACKENDS), Tables()
    for step in steps:
        for gone, obj in step:
            write(store, obj, gone=gone)
        desired = compiler.compile(store.view())
        check(desired, Compiler(BACKENDS).compile(store.view()))
        applied = apply(applied, plan(applied, desired))
        assert ordered(applied) == ordered(desired) or desired.lab is None


@settings(max_examples=200)
@given(STEPS)
def test_incremental_rows_are_those_of_a_full_compile(
    steps: list[list[tuple[bool, Object]]],
) -> None:
    def check(incremental: Tables, full: Tables) -> None:
        assert ordered(incremental) == ordered(full)

    followed(steps, check)


@given(STEPS)
def test_what_did_not_change_is_the_same_object(steps: list[list[tuple[bool, Object]]]) -> None:
    before = Tables()

    def check(now: Tables, _: Tables) -> None:
        nonlocal before
        for key, row in now.services.items():
            if before.services.get(key) == row:
                assert before.services.get(key) is row
        if before.services == now.services and before.services:
            assert before.services is now.services
        before = now

    followed(steps, check)
