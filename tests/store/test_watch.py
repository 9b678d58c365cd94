"""Watches: a list and the events after it are the state; nothing is lost, nothing comes twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.api.fields import Json
from netsim.api.meta import ObjectKey, key_of
from netsim.store.base import Create, Delete, Event, Update, Write
from netsim.store.errors import ExpiredError
from netsim.store.memory import ObjectStore
from netsim.store.watch import StoreClosedError
from tests.store.objects import key, metadata, namespace, pod

NAMES = ("a", "b", "c")
steps = st.lists(
    st.tuples(st.sampled_from(("Pod", "Namespace")), st.sampled_from(NAMES), st.integers(0, 3)),
    max_size=40,
)


def step_to_write(store: ObjectStore, kind: str, name: str, number: int) -> Write:
    """Whatever is possible with the object now: number 0 deletes, others create or change."""
    where = key(kind, name, "default" if kind == "Pod" else "")
    obj = pod(name) if kind == "Pod" else namespace(name)
    if store.view().get(where) is None:
        return Create(obj)
    return Delete(where) if number == 0 else Update({**obj, "status": {"n": number}})


def applied(state: dict[ObjectKey, Json], event: Event) -> None:
    """The event onto a state, checking that it fits."""
    assert event.old == state.get(event.key)
    assert (event.old is None) == (event.type == "ADDED")
    assert metadata(event.obj)["resourceVersion"] == str(event.revision)
    if event.type == "DELETED":
        del state[event.key]
    else:
        state[event.key] = event.obj


def listed(store: ObjectStore, *kinds: str) -> dict[ObjectKey, Json]:
    return {key_of(obj): obj for kind in kinds for obj in store.view().list(kind)}


@given(before=steps, after=steps, reads=st.lists(st.booleans()))
def test_list_and_watch_make_the_state(
    before: list[tuple[str, str, int]], after: list[tuple[str, str, int]], reads: list[bool]
) -> None:
    store = ObjectStore()
    for step in before:
        store.transaction([step_to_write(store, *step)])
    everything, pods = listed(store, "Pod", "Namespace"), listed(store, "Pod")
    all_events = store.watch(None, store.revision)
    pod_events = store.watch("Pod", store.revision)
    seen: list[int] = []
    for number, step in enumerate(after):
        store.transaction([step_to_write(store, *step)])
        if number < len(reads) and reads[number]:
            for event in all_events.pending():
                seen.append(event.revision)
                applied(everything, event)
    for event in all_events.pending():
        seen.append(event.revision)
        applied(everything, event)
    for event in pod_events.pending():
        assert event.key.kind == "Pod"
        applied(pods, event)
    assert seen == sorted(set(seen))
    assert everything == listed(store, "Pod", "Namespace")
    assert pods == listed(store, "Pod")


def change(store: ObjectStore, times: int) -> None:
    for _ in range(times):
        store.transaction([Update({**namespace("n"), "status": {"n": store.revision}})])


def test_a_watch_from_before_the_history_is_expired() -> None:
    store = ObjectStore(history=10)
    store.create(namespace("n"))
    change(store, 30)
    assert store.oldest > 0
    with pytest.raises(ExpiredError) as raised:
        store.watch(None, store.oldest - 1)
    assert (raised.value.code, raised.value.reason) == (410, "Expired")
    assert len(store.watch(None, store.oldest).pending()) == store.revision - store.oldest >= 10


def test_a_watch_from_the_future_is_expired() -> None:
    store = ObjectStore()
    with pytest.raises(ExpiredError):
        store.watch(None, 1)


def test_a_reader_that_falls_behind_is_told_and_holds_no_memory() -> None:
    store = ObjectStore(history=10)
    store.create(namespace("n"))
    slow, quick = store.watch(None, 0), store.watch(None, 0)
    for _ in range(100):
        change(store, 1)
        quick.pending()
    with pytest.raises(ExpiredError):
        slow.pending()


def test_a_reader_of_a_quiet_kind_does_not_fall_behind_while_it_reads() -> None:
    store = ObjectStore(history=10)
    store.create(namespace("n"))
    quiet = store.watch("Pod", 0)
    for _ in range(100):
        change(store, 1)
        assert quiet.pending() == []
    store.create(pod("p"))
    assert [event.key.name for event in quiet.pending()] == ["p"]


def test_after_a_restart_the_history_is_empty() -> None:
    store = ObjectStore(history=10)
    assert (store.oldest, store.revision) == (0, 0)


async def wakes_a_waiting_reader() -> None:
    store = ObjectStore()
    watch = store.watch("Namespace", 0)
    waiting = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)
    store.create(pod("p"))
    await asyncio.sleep(0)
    assert not waiting.done()
    store.create(namespace("n"))
    event = await waiting
    assert (event.type, event.key.name, event.revision) == ("ADDED", "n", 2)


async def close_ends_waiting_readers() -> None:
    store = ObjectStore()
    first, second = store.watch(None, 0), store.watch(None, 0)
    waiting = asyncio.ensure_future(anext(first, None))
    other = asyncio.ensure_future(anext(second, None))
    await asyncio.sleep(0)
    first.close()
    assert await waiting is None
    assert not other.done()
    store.close()
    assert await other is None


async def cancelled_reader_loses_nothing() -> None:
    store = ObjectStore()
    watch = store.watch(None, 0)
    waiting = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)
    store.create(namespace("n"))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert [event.key.name for event in watch.pending()] == ["n"]


async def changed_waits_for_the_next_revision() -> None:
    store = ObjectStore()
    waiting = asyncio.ensure_future(store.changed(0))
    await asyncio.sleep(0)
    assert not waiting.done()
    store.create(namespace("n"))
    assert await waiting == 1
    assert await store.changed(0) == 1
    closing = asyncio.ensure_future(store.changed(1))
    await asyncio.sleep(0)
    store.close()
    with pytest.raises(StoreClosedError):
        await closing


@pytest.mark.parametrize(
    "scenario",
    [
        wakes_a_waiting_reader,
        close_ends_waiting_readers,
        cancelled_reader_loses_nothing,
        changed_waits_for_the_next_revision,
    ],
)
def test_waiting(scenario: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(scenario())
