"""A pod's status from what runs: phase, conditions, containers, as kubelet writes them. Pure."""

from __future__ import annotations

from netsim.api.fields import Json, items, mapping, number, text
from netsim.api.meta import metadata
from netsim.api.pods import Container, Pod
from netsim.controllers.clock import rfc3339, seconds
from netsim.controllers.objects import status, with_condition, with_status
from netsim.controllers.routes import SANDBOX_READY
from netsim.lab.pod_machine import (
    BACKOFF_FIRST_S,
    BACKOFF_MAX_S,
    ContainerRun,
    Exit,
    PodRun,
    Sandbox,
    restarts,
)

CREATING = "ContainerCreating"
BACKING_OFF = "CrashLoopBackOff"
NEVER_RAN = ContainerRun()


def phase(pod: Pod, run: PodRun) -> str:
    """The pod's phase, as kubelet's getPhase decides it."""
    states = [run.containers.get(c.name, NEVER_RAN) for c in pod.spec.containers]
    if any(not s.pid and s.ended is None for s in states):
        return "Pending"
    if any(s.pid or restarts(pod.spec.restart_policy, s.ended) for s in states):
        return "Running"
    failed = any(s.ended is not None and s.ended.code for s in states)
    return "Failed" if failed else "Succeeded"


def with_run(stored: Json, pod: Pod, run: PodRun, now_s: float) -> Json:
    """The stored pod with the status that `run` gives it; the same object if nothing differs."""
    now = rfc3339(now_s)
    if pod.phase in ("Succeeded", "Failed"):
        kept = items(status(stored), "conditions")
        made = with_status(stored, conditions=with_condition(kept, SANDBOX_READY, _there(run), now))
        return stored if made == stored else made
    made = with_status(
        stored,
        phase=phase(pod, run),
        conditions=_conditions(stored, pod, run, now),
        containerStatuses=[_container(c, pod, run, now_s) for c in pod.spec.containers],
        **({} if "startTime" in status(stored) else {"startTime": now}),
    )
    if run.problem:
        made = with_status(made, reason="FailedCreatePodSandBox", message=run.problem)
    elif status(stored).get("reason") == "FailedCreatePodSandBox":
        made = with_status(made, reason=None, message=None)
    return stored if made == stored else made


def _conditions(stored: Json, pod: Pod, run: PodRun, now: str) -> list[Json]:
    """The five conditions; PodScheduled is the scheduler's."""
    unready = [
        c.name for c in pod.spec.containers if not run.containers.get(c.name, NEVER_RAN).ready
    ]
    words: dict[str, str] = {}
    if unready:
        words = {
            "reason": "ContainersNotReady",
            "message": f"containers with unready status: [{' '.join(unready)}]",
        }
    if phase(pod, run) == "Succeeded":
        words = {"reason": "PodCompleted"}
    contained = "False" if unready else "True"
    made = with_condition(items(status(stored), "conditions"), SANDBOX_READY, _there(run), now)
    made = with_condition(made, "Initialized", "True", now)
    made = with_condition(made, "ContainersReady", contained, now, **words)
    shut = "" if unready else _shut_gates(stored, pod)
    if shut:
        words = {"reason": "ReadinessGatesNotReady", "message": shut}
    return with_condition(made, "Ready", "False" if shut else contained, now, **words)


def _shut_gates(stored: Json, pod: Pod) -> str:
    """Which readiness gates keep the pod from being ready, in kubelet's words; empty for none."""
    said = {text(c, "type"): text(c, "status") for c in items(status(stored), "conditions")}
    return ", ".join(
        f'corresponding condition of pod readiness gate "{gate}" does not exist.'
        if gate not in said
        else f'the status of pod readiness gate "{gate}" is not "True", but {said[gate]}'
        for gate in pod.spec.readiness_gates
        if said.get(gate) != "True"
    )


def _there(run: PodRun) -> str:
    return str(run.sandbox is Sandbox.PRESENT and not run.detached)


def _container(container: Container, pod: Pod, run: PodRun, now_s: float) -> dict[str, object]:
    state = run.containers.get(container.name, NEVER_RAN)
    made: dict[str, object] = {
        "name": container.name,
        "image": container.image,
        "imageID": "",
        "restartCount": state.restarts,
        "ready": state.ready,
        "started": state.pid > 0,
        "state": _state(pod, state, now_s),
        "lastState": {},
    }
    if state.pid:
        made["containerID"] = f"netsim://{pod.meta.uid}/{container.name}/{state.pid}"
    if state.ended is not None and "terminated" not in mapping(made, "state"):
        made["lastState"] = {"terminated": _terminated(state.ended)}
    return made


def _state(pod: Pod, state: ContainerRun, now_s: float) -> dict[str, object]:
    if state.pid:
        return {"running": {"startedAt": rfc3339(state.started_s)}}
    if state.ended is None:
        return {"waiting": {"reason": CREATING}}
    going = not pod.meta.terminating and restarts(pod.spec.restart_policy, state.ended)
    if going and now_s < state.next_start_s:
        why = f"back-off {state.backoff_s:.0f}s restarting failed container"
        detail = f": {state.ended.message}" if state.ended.message else ""
        return {"waiting": {"reason": BACKING_OFF, "message": why + detail}}
    return {"terminated": _terminated(state.ended)}


def _terminated(ended: Exit) -> dict[str, object]:
    made: dict[str, object] = {
        "exitCode": ended.code,
        "reason": ended.reason,
        "startedAt": rfc3339(ended.started_s),
        "finishedAt": rfc3339(ended.finished_s),
    }
    if ended.signum:
        made["signal"] = ended.signum
    if ended.message:
        made["message"] = ended.message
    return made


def recalled(stored: Json, name: str) -> ContainerRun:
    """What a pod's status tells of a container that an earlier control process started.

    `pid` is set if the container ran then; whether it still does, init knows.
    """
    entries = [e for e in items(status(stored), "containerStatuses") if e.get("name") == name]
    if not entries:
        return ContainerRun()
    entry = entries[0]
    state = ContainerRun(restarts=number(entry, "restartCount"), ready=entry.get("ready") is True)
    running = mapping(mapping(entry, "state"), "running")
    if running:
        state.started_s = seconds(text(running, "startedAt"))
        state.pid = int(text(entry, "containerID").rpartition("/")[2] or 0)
    ended = mapping(mapping(entry, "state"), "terminated") or mapping(
        mapping(entry, "lastState"), "terminated"
    )
    if ended:
        state.ended = Exit(
            number(ended, "exitCode"),
            number(ended, "signal"),
            seconds(text(ended, "startedAt")),
            seconds(text(ended, "finishedAt")),
            text(ended, "reason"),
            text(ended, "message"),
        )
    if state.restarts:
        state.backoff_s = min(BACKOFF_FIRST_S * 2 ** (state.restarts - 1), BACKOFF_MAX_S)
    return state


def deletion_grace_s(stored: Json) -> int:
    """Seconds that the deletion gives the pod."""
    value = metadata(stored).get("deletionGracePeriodSeconds")
    return value if isinstance(value, int) else 0
