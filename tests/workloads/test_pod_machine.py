from __future__ import annotations

from signal import SIGKILL, SIGTERM

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.api.fields import Json
from netsim.api.pods import Pod
from netsim.lab.pod_machine import (
    PUBLISH_WAIT_S,
    Action,
    ContainerRun,
    Decision,
    Do,
    Exit,
    PodRun,
    Sandbox,
    decide,
    exited,
    restarts,
    started,
)
from netsim.lab.pod_status import phase
from tests.controllers.world import container, pod

NOW = 1000.0
START = Action(Do.START, "main")
TERMINATE = Action(Do.TERMINATE, "main")
KILL = Action(Do.KILL, "main")


def parsed(**fields: object) -> Pod:
    given_ = {"on": "n", "ip": "10.0.0.2", **fields}
    return Pod.parse(pod("p", **given_))  # type: ignore[arg-type]


def run(sandbox: Sandbox = Sandbox.PRESENT, **fields: object) -> PodRun:
    made = PodRun("uid", "pod/default/p", sandbox, "10.0.0.2")
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def busy(**fields: object) -> dict[str, ContainerRun]:
    state = ContainerRun(pid=7, started_s=NOW)
    for name, value in fields.items():
        setattr(state, name, value)
    return {"main": state}


def over(code: int = 0) -> dict[str, ContainerRun]:
    return {"main": ContainerRun(ended=Exit(code, 0, NOW - 1, NOW, "Error"))}


LIVE = parsed()
GOING = parsed(deleting=True)
DONE = parsed(phase="Succeeded")
UNWRITTEN = 1 << 62

# (what, pod, run, published revision, decision)
CASES: list[tuple[str, Pod | None, PodRun, int, Decision]] = [
    ("an unbound pod waits", parsed(on=""), run(Sandbox.ABSENT), 9, Decision([])),
    ("a pod without address waits", parsed(ip=""), run(Sandbox.ABSENT), 9, Decision([])),
    (
        "a bound pod gets a sandbox",
        LIVE,
        run(Sandbox.ABSENT),
        0,
        Decision([Action(Do.MAKE_SANDBOX)]),
    ),
    ("once", LIVE, run(Sandbox.CHANGING), 0, Decision([])),
    (
        "a sandbox that failed is tried again later",
        LIVE,
        run(Sandbox.ABSENT, retry_s=NOW + 2),
        0,
        Decision([], NOW + 2),
    ),
    ("programs wait for the row", LIVE, run(attached=5), 4, Decision([])),
    ("programs start with the row", LIVE, run(attached=5), 5, Decision([START])),
    (
        "with another address it gets another sandbox",
        parsed(ip="10.0.0.3"),
        run(containers=over()),
        5,
        Decision([Action(Do.DETACH)]),
    ),
    (
        "when nothing runs in the one",
        parsed(ip="10.0.0.3"),
        run(containers=busy()),
        5,
        Decision([KILL]),
    ),
    ("what runs is left alone", LIVE, run(containers=busy()), 5, Decision([])),
    (
        "what is being started too",
        LIVE,
        run(containers={"main": ContainerRun(starting=True)}),
        5,
        Decision([]),
    ),
    ("what ended is started again", LIVE, run(containers=over()), 5, Decision([START])),
    (
        "a deletion waits for the endpoints",
        GOING,
        run(stopping=5, stopping_s=NOW, containers=busy(), grace_s=30),
        4,
        Decision([], NOW + PUBLISH_WAIT_S),
    ),
    (
        "but not for ever",
        GOING,
        run(stopping=5, stopping_s=NOW - PUBLISH_WAIT_S, containers=busy(), grace_s=30),
        4,
        Decision([TERMINATE], NOW + 30),
    ),
    (
        "then the programs are asked to end",
        GOING,
        run(stopping=5, stopping_s=NOW, containers=busy(), grace_s=30),
        5,
        Decision([TERMINATE], NOW + 30),
    ),
    (
        "once, while there is grace",
        GOING,
        run(stopping=5, containers=busy(signalled=SIGTERM), kill_s=NOW + 9),
        5,
        Decision([], NOW + 9),
    ),
    (
        "then they are killed",
        GOING,
        run(stopping=5, containers=busy(signalled=SIGTERM), kill_s=NOW),
        5,
        Decision([KILL]),
    ),
    (
        "once",
        GOING,
        run(stopping=5, containers=busy(signalled=SIGKILL), kill_s=NOW),
        5,
        Decision([]),
    ),
    (
        "one that starts meanwhile is waited for",
        GOING,
        run(stopping=5, containers={"main": ContainerRun(starting=True)}),
        5,
        Decision([], NOW),
    ),
    ("then the row goes", GOING, run(containers=over()), 5, Decision([Action(Do.DETACH)])),
    (
        "which the data plane must know",
        GOING,
        run(containers=over(), detached=UNWRITTEN, detached_s=NOW),
        5,
        Decision([], NOW + PUBLISH_WAIT_S),
    ),
    (
        "then the sandbox",
        GOING,
        run(containers=over(), detached=5, detached_s=NOW),
        5,
        Decision([Action(Do.DROP_SANDBOX)]),
    ),
    (
        "then the object",
        GOING,
        run(Sandbox.ABSENT, containers=over(), detached=5),
        5,
        Decision([Action(Do.REMOVE)]),
    ),
    ("an object that is gone kills", None, run(containers=busy()), 5, Decision([KILL])),
    ("and leaves no sandbox", None, run(), 5, Decision([Action(Do.DETACH)])),
    ("nor anything", None, run(Sandbox.ABSENT), 5, Decision([Action(Do.REMOVE)])),
    ("an ended pod gives its sandbox up", DONE, run(), 5, Decision([Action(Do.DETACH)])),
    ("and then rests", DONE, run(Sandbox.ABSENT), 5, Decision([])),
]


@pytest.mark.parametrize(
    ("given_pod", "known", "published", "wanted"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_what_is_decided(
    given_pod: Pod | None, known: PodRun, published: int, wanted: Decision
) -> None:
    assert decide(given_pod, known, NOW, published) == wanted


RESTARTS = [
    ("Always", 0, True),
    ("Always", 1, True),
    ("OnFailure", 0, False),
    ("OnFailure", 1, True),
    ("Never", 0, False),
    ("Never", 1, False),
]


@pytest.mark.parametrize(("policy", "code", "wanted"), RESTARTS)
def test_restart_policies(policy: str, code: int, wanted: bool) -> None:
    assert restarts(policy, Exit(code, 0, 0, 0, "")) == wanted
    assert restarts(policy, None)


def waits(ran_s: list[float]) -> list[float]:
    """Seconds between each end and the next start, of a program that runs as long as told."""
    state, now_s, found = ContainerRun(), 0.0, []
    started(state, 1, now_s)
    for duration_s in ran_s:
        now_s += duration_s
        exited(state, 1, 0, now_s)
        found.append(state.next_start_s - now_s)
        now_s = state.next_start_s
        started(state, 1, now_s)
    return found


def test_back_off_doubles_up_to_five_minutes_after_an_immediate_first_restart() -> None:
    assert waits([1] * 9) == [0, 10, 20, 40, 80, 160, 300, 300, 300]


def test_back_off_begins_anew_after_ten_good_minutes() -> None:
    assert waits([1, 1, 1, 600, 1]) == [0, 10, 20, 0, 10]


def test_a_program_that_cannot_start_backs_off_too() -> None:
    state, found = ContainerRun(), []
    for _ in range(4):
        exited(state, 128, 0, NOW, "no such file")
        found.append(state.backoff_s)
    assert found == [0, 10, 20, 40]
    assert state.restarts == 3
    assert state.ended is not None
    assert state.ended.reason == "StartError"


def two() -> list[Json]:
    return [container("a"), container("b")]


RUNS, NEVER = ContainerRun(pid=3), ContainerRun()
GOOD, BAD = (ContainerRun(ended=Exit(code, 0, 0, 1, "")) for code in (0, 1))

# kubelet's getPhase: (policy, states of the two containers, phase)
PHASES = [
    ("Always", NEVER, NEVER, "Pending"),
    ("Always", RUNS, NEVER, "Pending"),
    ("Always", RUNS, RUNS, "Running"),
    ("Always", RUNS, BAD, "Running"),
    ("Always", GOOD, GOOD, "Running"),
    ("Always", BAD, BAD, "Running"),
    ("OnFailure", GOOD, GOOD, "Succeeded"),
    ("OnFailure", GOOD, BAD, "Running"),
    ("OnFailure", RUNS, GOOD, "Running"),
    ("Never", GOOD, GOOD, "Succeeded"),
    ("Never", GOOD, BAD, "Failed"),
    ("Never", RUNS, BAD, "Running"),
]


@pytest.mark.parametrize(("policy", "a", "b", "wanted"), PHASES)
def test_phase(policy: str, a: ContainerRun, b: ContainerRun, wanted: str) -> None:
    both = Pod.parse(pod("p", containers=two(), restartPolicy=policy))
    assert phase(both, run(containers={"a": a, "b": b})) == wanted


RUNNING = st.builds(
    PodRun,
    st.just("uid"),
    st.just("pod/default/p"),
    st.sampled_from(Sandbox),
    ip=st.sampled_from(["10.0.0.2", "10.0.0.3"]),
    attached=st.integers(0, 3),
    detached=st.integers(0, 3),
    stopping=st.integers(0, 3),
    kill_s=st.sampled_from([0.0, NOW - 1, NOW + 1]),
    containers=st.dictionaries(
        st.just("main"),
        st.builds(
            ContainerRun,
            pid=st.integers(0, 1),
            starting=st.booleans(),
            signalled=st.sampled_from([0, int(SIGTERM), int(SIGKILL)]),
        ),
    ),
)


@given(st.sampled_from([LIVE, GOING, DONE, None]), RUNNING, st.integers(0, 3))
def test_nothing_is_pulled_from_under_a_program(
    given_pod: Pod | None, known: PodRun, published: int
) -> None:
    decision = decide(given_pod, known, NOW, published)
    doing = {action.do for action in decision.actions}
    alive = any(state.busy for state in known.containers.values())
    if given_pod is not DONE and alive:
        assert not doing & {Do.DETACH, Do.DROP_SANDBOX, Do.REMOVE}
    if Do.REMOVE in doing:
        assert known.sandbox is Sandbox.ABSENT
    if Do.START in doing:
        assert given_pod is LIVE
        assert known.sandbox is Sandbox.PRESENT
    assert decide(given_pod, known, NOW, published) == decision
