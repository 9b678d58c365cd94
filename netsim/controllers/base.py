"""What a controller is: a function from a pass to writes; and how passes follow one another.

A controller reads the view and says what to write; it does no I/O, has no clock and remembers
nothing that it could not find again in the view (what it keeps between passes are caches, keyed by
the identity of stored objects, which never change). Writes come from comparing what is with what
should be, so whatever was missed, refused or interrupted is found again by the next pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from netsim.api.fields import Json
from netsim.api.lab_spec import Lab
from netsim.controllers.clock import seconds
from netsim.store.base import Create, Delete, Update, View, Write

__all__ = [
    "Controller",
    "Create",
    "Delete",
    "Pass",
    "PodPart",
    "Quiet",
    "Update",
    "Write",
    "lab_of",
    "settle",
]


@dataclass(frozen=True, slots=True)
class Pass:
    """What controllers see: the stored objects, the time, and what runs.

    `now` is RFC 3339 (`2026-01-02T03:04:05Z`). `nodes_up` names the nodes whose sandbox exists.
    """

    view: View
    now: str
    nodes_up: frozenset[str] = field(default=frozenset())


def lab_of(view: View) -> Lab | None:
    """The lab's settings; None before its Lab object is stored, when there is nothing to do."""
    labs = view.list("Lab")
    return Lab.parse(labs[0]) if labs else None


Controller = Callable[[Pass], list[Write]]


class PodPart:
    """What several controllers read of pods. Whether it differs is found out once for them all."""

    def __init__(self, read: Callable[[Json], object]) -> None:
        self._read = read
        self._asked: tuple[int, int] | None = None
        self._differs = True

    def differs(self, before: View | None, view: View) -> bool:
        """Whether any pod is new, gone or differs in this part since an earlier view."""
        if before is None:
            return True
        asked = before.kind_revision("Pod"), view.kind_revision("Pod")
        if asked != self._asked:
            self._asked = asked
            self._differs = any(
                old is None or new is None or self._read(old) != self._read(new)
                for old, new in view.changes("Pod", before)
            )
        return self._differs


class Quiet:
    """A controller that is asked again only when what it reads has changed.

    `kinds` are all that `controller` reads. It rests after it had nothing to write, until one of
    them changes or the set of running nodes does. Of pods, `of_pods` is what it reads. `due` says
    when time alone gives it something to do, in seconds since 1970.
    """

    def __init__(
        self,
        controller: Controller,
        *kinds: str,
        of_pods: PodPart | None = None,
        due: Callable[[View, float], float | None] | None = None,
    ) -> None:
        self._controller = controller
        self._kinds = kinds
        self._of_pods = of_pods
        self._due = due
        self._due_s: float | None = None
        self._view: View | None = None
        self._settled: tuple[object, ...] | None = None

    def __call__(self, p: Pass) -> list[Write]:
        """The controller's writes."""
        state = (p.nodes_up, *(p.view.kind_revision(kind) for kind in self._kinds))
        before, self._view = self._view, p.view
        late = self._due_s is not None and seconds(p.now) >= self._due_s
        if state == self._settled and not late and not self._pods_differ(before, p.view):
            return []
        writes = self._controller(p)
        self._due_s = self._due(p.view, seconds(p.now)) if self._due is not None else None
        self._settled = None if writes else state
        return writes

    def _pods_differ(self, before: View | None, view: View) -> bool:
        return self._of_pods is not None and self._of_pods.differs(before, view)


def settle(
    take: Callable[[], Pass],
    write: Callable[[Sequence[Write]], object],
    controllers: Sequence[Controller],
    rounds: int = 32,
) -> int:
    """Run all controllers until none has anything to write; returns the rounds that wrote.

    Each controller gets a new view (`take`) and its writes are stored (`write`, one transaction)
    before the next one runs: what one makes the next one sees in the same round. RuntimeError after
    `rounds`: two controllers undo each other's work.
    """
    for done in range(rounds):
        wrote = False
        for controller in controllers:
            writes = controller(take())
            if writes:
                write(writes)
                wrote = True
        if not wrote:
            return done
    raise RuntimeError(f"controllers still write after {rounds} rounds")
