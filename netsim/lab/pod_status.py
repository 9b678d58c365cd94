"""A pod's status from what runs: phase, conditions, containerStatuses, as kubelet writes them. Pure."""

from __future__ import annotations

from netsim.api.fields import Json, items, mapping
from netsim.api.meta import metadata
from netsim.api.pods import Container, Pod
from netsim.controllers.clock import rfc3339
from netsim.controllers.objects import status, with_condition, with_status
from netsim.controllers.routes import SANDBOX_READY
from netsim.lab.pod_machine import ContainerRun, Exit, PodRun, Sandbox, restarts

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
    over = pod.phase in ("Succeeded", "Failed")
    made = with_status(
        stored,
        phase=pod.phase if over else phase(pod, run),
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
        c.name
        for c in pod.spec.containers
        if not run.containers.get(c.name, NEVER_RAN).ready
    ]
    words: dict[str, str] = {}
    if unready:
        words = {
            "reason": "ContainersNotReady",
            "message": f"containers with unready status: [{' '.join(unready)}]",
        }
    if phase(pod, run) == "Succeeded":
        words = {"reason": "PodCompleted"}
    ready = "False" if unready else "True"
    there = run.sandbox is Sandbox.PRESENT and not run.detached
    made = with_condition(
        items(status(stored), "conditions"), SANDBOX_READY, str(there), now
    )
    made = with_condition(made, "Initialized", "True", now)
    made = with_condition(made, "Ready", ready, now, **words)
    return with_condition(made, "ContainersReady", ready, now, **words)


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
    """What a pod's status tells of a container of an earlier life of this process."""
    state = ContainerRun()
    for entry in items(status(stored), "containerStatuses"):
        if entry.get("name") == name:
            count = entry.get("restartCount")
            state.restarts = count if isinstance(count, int) else 0
            state.ready = entry.get("ready") is True
    return state


def deletion_grace_s(stored: Json) -> int:
    """Seconds that the deletion gives the pod."""
    value = metadata(stored).get("deletionGracePeriodSeconds")
    return value if isinstance(value, int) else 0
