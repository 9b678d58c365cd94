from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import example, given, settings
from hypothesis import strategies as st

from netsim.api.fields import text
from netsim.controllers.objects import deleting, is_true, status, uid_of
from netsim.lab.containers import parse_process_key
from tests.controllers.world import container, lab, pod
from tests.workloads.fakes import Machine, idle

NUMBERS = st.integers(0, 2)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["add", "delete", "force", "crash"]), NUMBERS),
        st.tuples(st.sampled_from(["control dies", "run", "pass"]), st.just(0)),
        st.tuples(st.just("data plane"), st.integers(0, 1)),
        st.tuples(st.just("no space"), st.integers(0, 1)),
        st.tuples(st.just("wait"), st.sampled_from([1, 20, 700])),
    ),
    max_size=25,
)


async def step(m: Machine, what: str, number: int) -> None:
    name = f"p{number}"
    match what:
        case "add" if not m.has_pod(name):
            policy = ("Always", "OnFailure", "Never")[number]
            m.add(pod(name, containers=[container(command=["server"])], restartPolicy=policy))
        case "delete" if m.has_pod(name):
            m.delete(name)
        case "force" if m.has_pod(name):
            m.delete(name, grace_s=0)
        case "crash":
            for key, process in list(m.processes.table.items()):
                if process.running and f"/{name}/" in key:
                    m.processes.exit(key, number)
        case "control dies":
            await m.die()
        case "data plane":
            m.data_plane = bool(number)
        case "no space":
            m.sandboxes.fail = "no space" if number else ""
        case "run":
            await m.run()
        case "pass":
            await m.one_pass()
        case "wait":
            await m.clock.advance(number)
            await idle()


def check_always(m: Machine) -> None:
    for key, process in m.processes.table.items():
        if process.running and key.startswith("container/"):
            assert process.sandbox in m.sandboxes.there, "a program without its sandbox"


def check_at_rest(m: Machine) -> None:
    pods = {uid_of(p): p for p in m.store.view().list("Pod")}
    assert not any(deleting(p) for p in pods.values())
    alive = {uid for uid, p in pods.items() if text(status(p), "phase") == "Running"}
    running = {
        found.uid
        for key, process in m.processes.table.items()
        if process.running and (found := parse_process_key(key)) is not None
    }
    assert running == alive
    assert len(m.sandboxes.there) == len(alive)
    assert all(is_true(pods[uid], "Ready") for uid in alive)
    assert all(is_true(p, "PodReadyToStartContainers") == (u in alive) for u, p in pods.items())


@settings(max_examples=150)
@given(STEPS)
@example([("add", 0), ("no space", 1), ("run", 0), ("delete", 0), ("control dies", 0)])
def test_whatever_happens_what_runs_becomes_what_is_asked_for(steps: list[tuple[str, int]]) -> None:
    async def whole(directory: str) -> None:
        m = Machine(Path(directory), lab())
        try:
            for each in steps:
                await step(m, *each)
                check_always(m)
            m.data_plane, m.sandboxes.fail = True, ""
            await m.run()
            await m.advance(1000)
            check_always(m)
            check_at_rest(m)
        finally:
            await m.close()

    with TemporaryDirectory() as directory:
        asyncio.run(whole(directory))
