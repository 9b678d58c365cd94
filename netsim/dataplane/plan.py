"""Plan: what turns the tables that run into the tables that should.

Pure. Controllers hand over the same row object for what has not changed, and maps that share what
is the same (netsim/maps.py), so that a plan costs what changed. State is compared, not replayed:
whoever has lost track of what is applied asks the data plane for it and plans again.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

from netsim.dataplane.rows import Changes, Tables
from netsim.maps import different

K = TypeVar("K", bound=Hashable)
R = TypeVar("R", bound=tuple[object, ...])


def plan(applied: Tables, desired: Tables) -> Changes:
    """Changes to make to `applied` so that it equals `desired`; falsy if it does already.

    A row that differs in any field is in the changes whole. Order follows `desired`.
    """
    return Changes(
        lab=desired.lab if desired.lab != applied.lab else None,
        remove_services=removed(applied.services, desired.services),
        remove_pods=removed(applied.pods, desired.pods),
        remove_nodes=removed(applied.nodes, desired.nodes),
        nodes=changed(applied.nodes, desired.nodes),
        peers=None if same(applied.peers, desired.peers) else desired.peers,
        paths=None if same(applied.paths, desired.paths) else desired.paths,
        pods=changed(applied.pods, desired.pods),
        services=changed(applied.services, desired.services),
    )


def same(old: tuple[R, ...], new: tuple[R, ...]) -> bool:
    """Whether two row tuples are equal; rows that are one object are not looked into."""
    return old is new or old == new


def removed(old: Mapping[K, R], new: Mapping[K, R]) -> tuple[K, ...]:
    """Keys that `new` lacks."""
    return tuple([key for key in different(old, new) if key not in new])


def changed(old: Mapping[K, R], new: Mapping[K, R]) -> tuple[R, ...]:
    """Rows that `old` lacks or has otherwise."""
    keys = [key for key in different(old, new) if key in new]
    return tuple([row for key in keys if (row := new[key]) != old.get(key)])
