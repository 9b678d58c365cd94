"""Plan: what turns the tables that run into the tables that should.

Pure. Controllers hand over the same row object for what has not changed, and maps that share what
is the same (netsim/maps.py), so that a plan costs what changed. State is compared, not replayed:
whoever has lost track of what is applied asks the data plane for it and plans again.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Generic, NamedTuple, TypeVar

from netsim.dataplane.rows import Changes, Tables
from netsim.maps import different

K = TypeVar("K", bound=Hashable)
R = TypeVar("R", bound=tuple[object, ...])


class Differing(NamedTuple, Generic[K, R]):
    """What to do to one map: keys to remove, rows to set."""

    removed: tuple[K, ...]
    changed: tuple[R, ...]


def plan(applied: Tables, desired: Tables) -> Changes:
    """Changes to make to `applied` so that it equals `desired`; falsy if it does already.

    A row that differs in any field is in the changes whole. Order follows `desired`.
    """
    nodes = differing(applied.nodes, desired.nodes)
    pods = differing(applied.pods, desired.pods)
    services = differing(applied.services, desired.services)
    return Changes(
        lab=desired.lab if desired.lab != applied.lab else None,
        remove_services=services.removed,
        remove_pods=pods.removed,
        remove_nodes=nodes.removed,
        nodes=nodes.changed,
        peers=None if same(applied.peers, desired.peers) else desired.peers,
        paths=None if same(applied.paths, desired.paths) else desired.paths,
        pods=pods.changed,
        services=services.changed,
    )


def same(old: tuple[R, ...], new: tuple[R, ...]) -> bool:
    """Whether two row tuples are equal; rows that are one object are not looked into."""
    return old is new or old == new


def differing(old: Mapping[K, R], new: Mapping[K, R]) -> Differing[K, R]:
    """Keys that `new` lacks; rows that `old` lacks or has otherwise."""
    removed: list[K] = []
    changed: list[R] = []
    for key in different(old, new):
        row = new.get(key)
        if row is None:
            removed.append(key)
        elif row != old.get(key):
            changed.append(row)
    return Differing(tuple(removed), tuple(changed))
