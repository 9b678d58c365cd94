"""Which endpoints of a service port a node may send to. Spec 3.5 (P-50 to P-58).

Pure, and without a service: policies choose between the two functions here. `sets` gives what they
say of all nodes at once, as rows have it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from netsim.api.fields import Json, items, mapping, text
from netsim.dataplane.rows import EVERY, FIRST_SET, NONE, Choice

# An endpoint's conditions as bits (P-50), so that of two for one address the greater number counts:
# one that stays before one that terminates (P-24), then a ready one.
STAYING, READY, SERVING = 4, 2, 1
ALL_BITS = STAYING + READY + SERVING
SOUND = ({"ready": True, "serving": True, "terminating": False}, {"ready": True})


class Place(NamedTuple):
    """Where an endpoint is, and for whom it is meant: names of a node, of zones, of nodes."""

    node: str = ""
    zones: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()


NOWHERE = Place()


class Known(NamedTuple):
    """An endpoint as the proxy knows it, packed."""

    packed: bytes
    bits: int
    place: Place = NOWHERE


def condition_bits(endpoint: Json) -> int:
    """Unknown conditions count as ready, serving and not terminating."""
    conditions = endpoint.get("conditions")
    if conditions in SOUND:
        return ALL_BITS
    get = mapping(endpoint, "conditions").get
    return (
        (get("terminating") is not True) * STAYING
        + (get("ready") is not False) * READY
        + (get("serving") is not False) * SERVING
    )


def place_of(endpoint: Json) -> Place:
    """The place of an endpoint of a slice."""
    hints = mapping(endpoint, "hints")
    return Place(
        text(endpoint, "nodeName"),
        tuple([text(zone, "name") for zone in items(hints, "forZones")]),
        tuple([text(node, "name") for node in items(hints, "forNodes")]),
    )


def is_fallback(bits: int) -> bool:
    """Whether it is sent to only where nothing is ready: it serves while it terminates."""
    return bits & (STAYING | READY | SERVING) == SERVING


def is_served(bits: int) -> bool:
    """Whether connections to it go on (P-80)."""
    return bits & (READY | SERVING) != 0


def cluster_endpoints(known: Iterable[Known], node: str, zone: str) -> list[Known]:
    """Those that policy Cluster gives a node: ready ones as the hints have it (P-51, P-53)."""
    every = list(known)
    ready = [e for e in every if e.bits & READY]
    if not ready:
        return [e for e in every if is_fallback(e.bits)]
    if all(e.place.nodes for e in ready):
        near = [e for e in ready if node in e.place.nodes]
        if near:
            return near
    if zone and all(e.place.zones for e in ready):
        near = [e for e in ready if zone in e.place.zones]
        if near:
            return near
    return ready


def local_endpoints(known: Iterable[Known], node: str) -> list[Known]:
    """Those that policy Local gives a node; hints say nothing about it (P-52, P-54, P-57)."""
    here = [e for e in known if e.place.node == node and node]
    return [e for e in here if e.bits & READY] or [e for e in here if is_fallback(e.bits)]


class Sets:
    """Sets of endpoints, each once, by positions among those that a row has."""

    def __init__(self, known: Sequence[Known]) -> None:
        """`known` in the row's order."""
        self.known = known
        self._at = {e.packed: position for position, e in enumerate(known)}
        self._numbers: dict[tuple[int, ...], int] = {
            tuple(range(len(known))): EVERY,
            (): NONE if known else EVERY,
        }
        self.sets: list[tuple[int, ...]] = []

    def number(self, members: Iterable[Known]) -> int:
        """The number of a set."""
        positions = tuple([self._at[e.packed] for e in members])
        if positions not in self._numbers:
            self._numbers[positions] = FIRST_SET + len(self.sets)
            self.sets.append(positions)
        return self._numbers[positions]

    def cluster(self, zones: Mapping[str, str]) -> Choice:
        """Sets under policy Cluster; `zones` of all nodes by name, empty where there is none."""
        usual = self.number(cluster_endpoints(self.known, "", ""))
        if not any(e.place.zones or e.place.nodes for e in self.known):
            return Choice(usual)
        by_node = {n: self.number(cluster_endpoints(self.known, n, z)) for n, z in zones.items()}
        return Choice(usual, tuple(sorted((n, s) for n, s in by_node.items() if s != usual)))

    def local(self) -> Choice:
        """Sets under policy Local."""
        here: dict[str, list[Known]] = {}
        for endpoint in self.known:
            if endpoint.place.node:
                here.setdefault(endpoint.place.node, []).append(endpoint)
        none = self.number(())
        by_node = {n: self.number(local_endpoints(found, n)) for n, found in here.items()}
        return Choice(none, tuple(sorted((n, s) for n, s in by_node.items() if s != none)))
