"""What runs already, by the pods' statuses and init's records. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from netsim.api.fields import Json
from netsim.api.meta import ObjectKey
from netsim.api.pods import Pod
from netsim.controllers.objects import is_true, status
from netsim.controllers.routes import SANDBOX_READY
from netsim.lab import pod_status
from netsim.lab.container_runner import Place, Record
from netsim.lab.containers import parse_process_key
from netsim.lab.pod_machine import ContainerRun, PodRun, Sandbox, container_of, exited

UNKNOWN_EXIT_CODE = 137  # of a process that ended while nobody looked and that init has forgotten


class Known(NamedTuple):
    """A pod's object, read once."""

    stored: Json
    pod: Pod

    @classmethod
    def read(cls, obj: Json, before: Known | None = None) -> Known:
        """An object; `before` is what was known of the same pod."""
        if before is None or before.stored.get("spec") is not obj.get("spec"):
            return cls(obj, Pod.parse(obj))
        return before if before.stored is obj else cls(obj, Pod.parse(obj, before.pod.spec))

    @property
    def place(self) -> str:
        """Init's key of the sandbox that the pod runs in."""
        return f"pod/{self.pod.namespace}/{self.pod.name}"

    def where(self, name: str) -> Place:
        """Where its container `name` runs."""
        container = container_of(self.pod, name)
        assert container is not None
        return Place(self.stored, self.pod, container, self.place)


class Running(NamedTuple):
    """A process to go on with."""

    uid: str
    container: str
    pid: int


@dataclass(slots=True)
class Adoption:
    """What was found.

    `runs` and `keys` are by the pod's uid, also of pods whose object is gone; `untouched` are pods
    that nothing was begun for, `stale` sandboxes that belong to nobody.
    """

    runs: dict[str, PodRun] = field(default_factory=dict)
    keys: dict[str, ObjectKey] = field(default_factory=dict)
    running: list[Running] = field(default_factory=list)
    untouched: set[str] = field(default_factory=set)
    stale: list[str] = field(default_factory=list)


def adopt(
    known: Mapping[str, Known],
    sandboxes: Collection[str],
    records: Iterable[Record],
    now_s: float,
) -> Adoption:
    """Match pods with sandboxes and processes.

    A sandbox counts only if the pod's status tells of it: otherwise it is a half-made one, or that
    of an earlier pod of the same name.
    """
    found = Adoption()
    for uid, each in known.items():
        run = found.runs[uid] = PodRun(uid, each.place, ip=each.pod.ip)
        if "startTime" not in status(each.stored):
            found.untouched.add(uid)
        there = is_true(each.stored, SANDBOX_READY)
        if there and each.place in sandboxes:
            run.sandbox = Sandbox.PRESENT
        for container in each.pod.spec.containers:
            run.containers[container.name] = pod_status.recalled(each.stored, container.name)
    claimed = {run.place for run in found.runs.values() if run.sandbox is Sandbox.PRESENT}
    _match_processes(found, records, now_s)
    found.stale = [k for k in sandboxes if k.startswith("pod/") and k not in claimed]
    return found


def _match_processes(found: Adoption, records: Iterable[Record], now_s: float) -> None:
    alive: set[tuple[str, str]] = set()
    for record in records:
        key = parse_process_key(record.key)
        if key is None:
            continue
        run = found.runs.get(key.uid)
        if run is None:
            run = found.runs[key.uid] = PodRun(key.uid, f"pod/{key.namespace}/{key.pod}")
            found.keys[key.uid] = ObjectKey("Pod", key.namespace, key.pod)
        state = run.containers.setdefault(key.container, ContainerRun())
        if record.running:
            state.pid = record.pid
            alive.add((key.uid, key.container))
            found.running.append(Running(key.uid, key.container, record.pid))
        elif state.pid == record.pid:
            code = record.exit_code
            signum = record.signum or 0
            exited(state, 128 + signum if code is None else code, signum, now_s)
    for uid, run in found.runs.items():
        for name, state in run.containers.items():
            if state.pid and (uid, name) not in alive:
                exited(state, UNKNOWN_EXIT_CODE, 0, now_s)
