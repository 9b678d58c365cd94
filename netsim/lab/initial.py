"""From a list of objects to transactions: what a lab begins with, and what `apply` writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from netsim.api.fields import Json, items, mapping, text
from netsim.api.meta import KINDS
from netsim.lab.admission import Admission
from netsim.lab.apply import Step, plan
from netsim.store.base import Create, Delete, Store, Update, Write
from netsim.store.garbage import cascade, once
from netsim.store.memory import ObjectStore

if TYPE_CHECKING:
    from netsim.server.api import Admit

ORDER = {kind.name: number for number, kind in enumerate(KINDS)}


def admitted(objects: Iterable[Json]) -> list[Json]:
    """The objects as a new lab stores them. ApiError when it would refuse one."""
    store = ObjectStore()
    write_steps(store, plan((), in_order(objects), prune=False), Admission())
    view = store.view()
    return [obj for kind in KINDS for obj in view.list(kind.name)]


def in_order(objects: Iterable[Json]) -> list[Json]:
    """Objects in the order in which they may refer to one another: the Lab first.

    Services that ask for an address or a node port come before those that are given one.
    """
    return sorted(objects, key=_rank)


def _rank(obj: Json) -> tuple[int, bool]:
    spec = mapping(obj, "spec")
    asks = text(spec, "clusterIP") or any("nodePort" in port for port in items(spec, "ports"))
    return ORDER.get(str(obj.get("kind")), len(ORDER)), not asks


def write_steps(
    store: Store, steps: Sequence[Step], admit: Admit, *, dry_run: bool = False
) -> None:
    """Do all steps in one transaction, or (`dry_run`) only find out whether it would be done.

    ApiError of the first that is refused: then nothing is changed.
    """
    # the Lab decides how the others are admitted, so it is stored first
    labs = [step for step in steps if step.key.kind == "Lab" and step.object is not None]
    if labs and not dry_run and not store.view().list("Lab"):
        store.transaction([_write(store, labs[0], admit)])
        steps = [step for step in steps if step is not labs[0]]
    writes: list[Write] = []
    view = store.view()
    for step in steps:
        if step.object is not None:
            writes.append(_write(store, step, admit))
        elif step.verb == "deleted":
            writes += cascade(view, Delete(step.key))
    if writes:
        (store.rehearse if dry_run else store.transaction)(once(writes))


def _write(store: Store, step: Step, admit: Admit) -> Write:
    assert step.object is not None
    view = store.view()
    old = view.get(step.key)
    if old is None:
        return Create(admit(view, "CREATE", step.object, None))
    return Update(admit(view, "UPDATE", step.object, old))
