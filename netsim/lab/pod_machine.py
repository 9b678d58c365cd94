"""The life of one pod, decided: what is known, and what to do about it now. Pure.

    sandbox made ─▶ its row published ─▶ containers started, and again when they end
    deletion: endpoints published as terminating ─▶ SIGTERM ─▶ SIGKILL after the grace period
              ─▶ row withdrawn ─▶ sandbox dropped ─▶ object removed

`decide` compares the pod's object with what runs, as a controller does: it may be asked at any
time, any number of times. Time is an argument, in seconds since 1970; revisions are the store's,
`published` is the highest one that every node's data plane runs.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from signal import SIGKILL, SIGTERM
from typing import NamedTuple

from netsim.api.pods import Container, Pod

# kubelet's: the first restart is at once, the next ones wait 10 s, 20 s, ... 5 min; a program that
# ran for 10 min begins anew.
BACKOFF_FIRST_S = 10.0
BACKOFF_MAX_S = 300.0
BACKOFF_RESET_S = 2 * BACKOFF_MAX_S
# How long the end of a pod waits for a data plane that does not answer.
PUBLISH_WAIT_S = 5.0
SANDBOX_RETRY_S = 2.0


class Exit(NamedTuple):
    """How a container's last process ended. `reason` as kubelet's: Completed, Error, StartError."""

    code: int
    signum: int
    started_s: float
    finished_s: float
    reason: str
    message: str = ""


@dataclass(slots=True)
class ContainerRun:
    """One container: `pid` 0 without a process, `starting` while one is being made.

    `ended` is how the last process ended, `restarts` counts starts after the first. `signalled` is
    the last signal that was sent to end it.
    """

    pid: int = 0
    starting: bool = False
    ready: bool = False
    started_s: float = 0.0
    restarts: int = 0
    backoff_s: float = 0.0
    ended: Exit | None = None
    signalled: int = 0

    @property
    def busy(self) -> bool:
        """Whether there is, or is about to be, a process."""
        return self.pid > 0 or self.starting

    @property
    def next_start_s(self) -> float:
        """When the next process may be started."""
        return self.ended.finished_s + self.backoff_s if self.ended is not None else 0.0


class Sandbox(enum.Enum):
    """Whether a pod's namespaces exist."""

    ABSENT = 0
    CHANGING = 1
    PRESENT = 2


@dataclass(slots=True)
class PodRun:
    """What is known of one pod.

    `attached`: the revision from which on the sandbox has a row; `detached`: from which on it has
    none, 0 while it has. `stopping`: the revision at which the deletion was seen, and when.
    `place` is init's key of the sandbox, `ip` the pod's address when it was made.
    """

    uid: str
    place: str = ""
    sandbox: Sandbox = Sandbox.ABSENT
    ip: str = ""
    attached: int = 0
    detached: int = 0
    detached_s: float = 0.0
    retry_s: float = 0.0
    problem: str = ""
    stopping: int = 0
    stopping_s: float = 0.0
    grace_s: int = 0
    kill_s: float = 0.0
    containers: dict[str, ContainerRun] = field(default_factory=dict)


class Do(enum.Enum):
    """What can be done for a pod; START, TERMINATE and KILL are for one container."""

    MAKE_SANDBOX = "make sandbox"
    START = "start"
    TERMINATE = "terminate"
    KILL = "kill"
    DETACH = "detach"
    DROP_SANDBOX = "drop sandbox"
    REMOVE = "remove"


class Action(NamedTuple):
    """One thing to do now."""

    do: Do
    container: str = ""


class Decision(NamedTuple):
    """What to do now, and when to ask again at the latest (None: when something happens)."""

    actions: list[Action]
    due_s: float | None = None


NOTHING = Decision([])


def decide(pod: Pod | None, run: PodRun, now_s: float, published: int) -> Decision:
    """The next step for a pod; `pod` is None once its object is gone."""
    if pod is None:
        return _end(run, now_s, published, [Action(Do.REMOVE)])
    if pod.meta.terminating:
        return _stop(run, now_s, published)
    if not pod.spec.node or not pod.ip:
        return NOTHING
    if pod.phase in ("Succeeded", "Failed"):
        return _release(run, now_s, published, [])
    if run.sandbox is not Sandbox.PRESENT:
        if run.sandbox is Sandbox.CHANGING:
            return NOTHING
        if now_s < run.retry_s:
            return Decision([], run.retry_s)
        return Decision([Action(Do.MAKE_SANDBOX)])
    if run.ip != pod.ip:  # its node has another address, say
        return _end(run, now_s, published, [])
    if published < run.attached:
        return NOTHING
    return _keep_running(pod, run, now_s)


def _keep_running(pod: Pod, run: PodRun, now_s: float) -> Decision:
    """Start what is not running and should be."""
    actions: list[Action] = []
    due: list[float] = []
    for container in pod.spec.containers:
        state = run.containers.get(container.name, ContainerRun())
        if state.busy or not restarts(pod.spec.restart_policy, state.ended):
            continue
        if now_s < state.next_start_s:
            due.append(state.next_start_s)
        else:
            actions.append(Action(Do.START, container.name))
    return Decision(actions, min(due, default=None))


def restarts(policy: str, ended: Exit | None) -> bool:
    """Whether a container that ended so is started again."""
    if ended is None or policy == "Always":
        return True
    return policy == "OnFailure" and ended.code != 0


def next_backoff_s(state: ContainerRun) -> float:
    """The wait before the start after the next one."""
    return min(state.backoff_s * 2, BACKOFF_MAX_S) if state.backoff_s else BACKOFF_FIRST_S


def _stop(run: PodRun, now_s: float, published: int) -> Decision:
    """Graceful deletion: nobody is sent here any more, then the programs end, then the rest."""
    if not any(state.busy for state in run.containers.values()):
        return _release(run, now_s, published, [Action(Do.REMOVE)])
    latest = run.stopping_s + PUBLISH_WAIT_S
    if published < run.stopping and now_s < latest:
        return Decision([], latest)
    if run.kill_s and now_s >= run.kill_s:
        return Decision(_signals(Do.KILL, run, SIGKILL))
    return Decision(_signals(Do.TERMINATE, run, SIGTERM), run.kill_s or now_s + run.grace_s)


def _end(run: PodRun, now_s: float, published: int, then: list[Action]) -> Decision:
    """Nothing is owed to anybody: the object is gone, or the programs' network."""
    if any(state.busy for state in run.containers.values()):
        return Decision(_signals(Do.KILL, run, SIGKILL))
    return _release(run, now_s, published, then)


def _signals(do: Do, run: PodRun, signum: int) -> list[Action]:
    """The containers with a process that was not sent this signal, or a stronger one, yet."""
    weaker = (0,) if signum == SIGTERM else (0, SIGTERM)
    return [Action(do, n) for n, s in run.containers.items() if s.pid and s.signalled in weaker]


def _release(run: PodRun, now_s: float, published: int, then: list[Action]) -> Decision:
    """Withdraw the sandbox's row, drop the sandbox, then do the rest.

    In this order, so that no data plane holds on to a sandbox that is gone when a pod of the same
    name comes.
    """
    if run.sandbox is Sandbox.CHANGING:
        return NOTHING
    if run.sandbox is Sandbox.ABSENT:
        return Decision(then)
    if not run.detached:
        return Decision([Action(Do.DETACH)])
    latest = run.detached_s + PUBLISH_WAIT_S
    if published < run.detached and now_s < latest:
        return Decision([], latest)
    return Decision([Action(Do.DROP_SANDBOX)])


def started(state: ContainerRun, pid: int, now_s: float) -> None:
    """A process was started."""
    if state.ended is not None:
        state.restarts += 1
        state.backoff_s = next_backoff_s(state)
    state.pid, state.starting, state.ready, state.started_s = pid, False, False, now_s


def exited(state: ContainerRun, code: int, signum: int, now_s: float, message: str = "") -> None:
    """A process ended, or (with a message) could not be started."""
    if not state.pid and state.ended is not None:
        state.restarts += 1
        state.backoff_s = next_backoff_s(state)
    began = state.started_s if state.pid else now_s
    reason = "StartError" if message else "Completed" if code == 0 else "Error"
    if state.pid and now_s - began >= BACKOFF_RESET_S:
        state.backoff_s = 0.0
    state.ended = Exit(code, signum, began, now_s, reason, message)
    state.pid, state.starting, state.ready, state.signalled = 0, False, False, 0


def container_of(pod: Pod, name: str) -> Container | None:
    """The container of that name."""
    return next((c for c in pod.spec.containers if c.name == name), None)
