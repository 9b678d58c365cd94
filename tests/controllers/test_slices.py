from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from netsim.api.addresses import format_address
from netsim.api.fields import Json, items, texts
from netsim.api.meta import annotations_of, key_of, name_of
from netsim.controllers.slices import MAX_ENDPOINTS, Family, Frame, reconcile
from netsim.store.base import Create, Delete, Update, Write
from netsim.store.memory import ObjectStore
from tests.controllers.world import Object, owned_by, slice_port

HTTP = [slice_port(80)]
ALT = [slice_port(8080)]
OWNER = owned_by("Service", "web")


def frame(draw: int = 0, trigger: str = "", **labels: str) -> Frame:
    return Frame("default", "web-", {"of": "web", **labels}, OWNER, draw, trigger)


def endpoints(*numbers: int, ready: bool = True) -> list[Json]:
    return [{"addresses": [format_address(n)], "conditions": {"ready": ready}} for n in numbers]


def existing(name: str, ports: Sequence[Json], members: Sequence[Json]) -> Object:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name,
            "namespace": "default",
            "labels": {"of": "web"},
            "ownerReferences": [OWNER],
        },
        "addressType": "IPv4",
        "ports": list(ports),
        "endpoints": list(members),
    }


def summary(writes: Sequence[Write]) -> list[tuple[str, str, int]]:
    """(verb, name of what exists, endpoints afterwards)"""
    found = []
    for write in writes:
        if isinstance(write, Delete):
            found.append(("delete", write.key.name, 0))
        elif isinstance(write, Update):
            found.append(("update", name_of(write.obj), len(items(write.obj, "endpoints"))))
        else:
            found.append(("create", "", len(items(write.obj, "endpoints"))))
    return sorted(found)


def test_new_endpoints_fill_slices_of_a_hundred() -> None:
    writes = reconcile([], [Family(HTTP, endpoints(*range(250)))], frame())
    assert summary(writes) == [("create", "", 50), ("create", "", 100), ("create", "", 100)]


def test_nothing_is_written_when_nothing_differs() -> None:
    same = [existing("a", HTTP, endpoints(1, 2))]
    assert reconcile(same, [Family(HTTP, endpoints(2, 1))], frame()) == []


def test_without_endpoints_there_is_a_placeholder() -> None:
    (write,) = reconcile([], [], frame())
    assert isinstance(write, Create)
    assert (write.obj["ports"], write.obj["endpoints"]) == ([], [])
    assert reconcile([existing("a", [], [])], [], frame()) == []


def test_the_last_endpoints_slice_becomes_the_placeholder() -> None:
    writes = reconcile([existing("a", HTTP, endpoints(1))], [], frame())
    assert summary(writes) == [("update", "a", 0)]
    writes = reconcile([existing("a", [], [])], [Family(HTTP, endpoints(1))], frame())
    assert summary(writes) == [("update", "a", 1)]


def test_slices_that_must_change_take_new_endpoints_first() -> None:
    slices = [
        existing("full", HTTP, endpoints(*range(100))),
        existing("changes", HTTP, endpoints(*range(100, 150))),
        existing("same", HTTP, endpoints(*range(200, 220))),
    ]
    left = [n for n in (*range(150), *range(200, 220)) if n != 149]
    writes = reconcile(slices, [Family(HTTP, endpoints(*left, 300, 301))], frame())
    assert summary(writes) == [("update", "changes", 51)]


def test_new_endpoints_go_to_the_fullest_slice_that_takes_them_all() -> None:
    slices = [
        existing("small", HTTP, endpoints(*range(10))),
        existing("fuller", HTTP, endpoints(*range(100, 190))),
        existing("too-full", HTTP, endpoints(*range(200, 299))),
    ]
    numbers = (*range(10), *range(100, 190), *range(200, 299), 500, 501)
    writes = reconcile(slices, [Family(HTTP, endpoints(*numbers))], frame())
    assert summary(writes) == [("update", "fuller", 92)]


def test_slices_are_never_rebalanced() -> None:
    slices = [existing(n, HTTP, endpoints(i)) for i, n in enumerate("abcdef")]
    assert reconcile(slices, [Family(HTTP, endpoints(*range(6)))], frame()) == []


def test_every_port_map_has_slices_of_its_own() -> None:
    writes = reconcile(
        [existing("a", HTTP, endpoints(1, 2))],
        [Family(HTTP, endpoints(1)), Family(ALT, endpoints(2))],
        frame(),
    )
    assert summary(writes) == [("create", "", 1), ("update", "a", 1)]


def test_a_slice_that_would_go_lends_its_name_to_a_new_one() -> None:
    writes = reconcile(
        [existing("a", HTTP, endpoints(1)), existing("b", HTTP, endpoints(2))],
        [Family(ALT, endpoints(1, 2))],
        frame(),
    )
    assert summary(writes) == [("delete", "b", 0), ("update", "a", 2)]


def test_changed_conditions_and_labels_are_written_in_place() -> None:
    before = [existing("a", HTTP, endpoints(1, 2))]
    writes = reconcile(before, [Family(HTTP, endpoints(1, 2, ready=False))], frame())
    assert summary(writes) == [("update", "a", 2)]
    writes = reconcile(before, [Family(HTTP, endpoints(1, 2))], frame(color="blue"))
    assert summary(writes) == [("update", "a", 2)]


def test_what_is_written_carries_the_trigger_time() -> None:
    (write,) = reconcile([], [Family(HTTP, endpoints(1))], frame(trigger="2026-01-01T00:00:00Z"))
    assert isinstance(write, Create)
    note = annotations_of(write.obj)["endpoints.kubernetes.io/last-change-trigger-time"]
    assert note == "2026-01-01T00:00:00Z"


Wanted = dict[int, tuple[bool, bool]]


@given(
    st.lists(
        st.dictionaries(st.integers(0, 400), st.tuples(st.booleans(), st.booleans()), max_size=300),
        max_size=6,
    )
)
def test_slices_always_show_what_is_wanted(rounds: list[Wanted]) -> None:
    store = ObjectStore()
    for wanted in rounds:
        families = [
            Family(ports, endpoints(*sorted(n for n, (alt, _) in wanted.items() if alt == is_alt)))
            for is_alt, ports in ((False, HTTP), (True, ALT))
        ]
        families = [family for family in families if family.endpoints]
        before = {name_of(s): s for s in store.view().list("EndpointSlice")}
        store.transaction(reconcile(list(before.values()), families, frame(store.revision)))
        after = store.view().list("EndpointSlice")
        shown = {
            (items(s, "ports")[0]["port"], texts(e, "addresses")[0])
            for s in after
            for e in items(s, "endpoints")
        }
        counts = [len(items(s, "endpoints")) for s in after]
        assert shown == {(8080 if alt else 80, format_address(n)) for n, (alt, _) in wanted.items()}
        assert sum(counts) == len(wanted), "each endpoint is in one slice"
        assert max(counts) <= MAX_ENDPOINTS
        assert min(counts) > 0 or len(after) == 1, "no empty slice but the placeholder"
        assert {key_of(s).namespace for s in after} == {"default"}
        assert reconcile(list(after), families, frame()) == [], "and comes to rest"
