"""Topology hints by annotation: endpoints shared out over zones by their nodes' CPU. K-0C.

The heuristic of KEP-2433 (topologycache of Kubernetes' endpointslice controller): a zone is to have
its share of the ready endpoints; none may be overloaded by more than a fifth. Where that can not
be, or is not known, there are no hints at all. Worked out anew for each state of a Service.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from netsim.api.fields import Json, flag, mapping, text
from netsim.api.meta import annotations_of, labels_of
from netsim.api.quantities import millis
from netsim.controllers.members import ZONE_LABEL
from netsim.controllers.objects import is_true, status
from netsim.controllers.slices import Family
from netsim.store.base import View

# The deprecated one counts where both are there.
ANNOTATIONS = ("service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode")
CONDITION = "netsim.dev/TopologyAwareHints"
EXCLUDED = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")
OVERLOAD = 0.2
NODE_CPU_MILLIS = 1000  # of a node that does not say
ENABLED = "Topology Aware Hints has been enabled"
UNKNOWN = (
    "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes"
)
TOO_FEW = "Insufficient number of endpoints"
TOO_MUCH = (
    "Unable to allocate minimum required endpoints to each zone"
    " without exceeding overload threshold"
)
NO_ZONE = "One or more endpoints do not have a zone specified"


def wants_hints(service: Json) -> bool:
    """Whether a Service asks for hints by annotation."""
    notes = annotations_of(service)
    asked = next((notes[name] for name in ANNOTATIONS if name in notes), "")
    return asked in ("Auto", "auto")


class Verdict(NamedTuple):
    """Whether a Service's endpoints have hints, and why not; as Kubernetes' event words it."""

    enabled: bool
    message: str

    @property
    def reason(self) -> str:
        """The event's reason."""
        return f"TopologyAwareHints{'Enabled' if self.enabled else 'Disabled'}"


class Zones:
    """Shares of the zones, kept up to date; empty while they are not known."""

    def __init__(self) -> None:
        self._revision = -1
        self.shares: Mapping[str, float] = {}

    def advance(self, view: View) -> bool:
        """Whether shares have changed since the last call."""
        if view.kind_revision("Node") == self._revision:
            return False
        self._revision = view.kind_revision("Node")
        before, self.shares = self.shares, shares(view.list("Node"))
        return self.shares != before


def shares(nodes: Iterable[Json]) -> dict[str, float]:
    """Each zone's part of the ready nodes' CPU; empty for one zone, or where a node is unknown."""
    cpu: Counter[str] = Counter()
    for node in nodes:
        if not is_true(node, "Ready") or any(name in labels_of(node) for name in EXCLUDED):
            continue
        zone = labels_of(node).get(ZONE_LABEL, "")
        given = mapping(status(node), "allocatable").get("cpu")
        own = NODE_CPU_MILLIS if given is None else millis(given)
        if not zone or not own:
            return {}
        cpu[zone] += own
    total = cpu.total()
    return {zone: own / total for zone, own in sorted(cpu.items())} if len(cpu) > 1 else {}


def balanced(
    families: Iterable[Family], zones: Mapping[str, float]
) -> tuple[list[Family], Verdict]:
    """The families with hints for all ready endpoints, or with none; `zones` are shares."""
    bare = [Family(f.ports, [without_hints(e) for e in f.endpoints]) for f in families]
    ready = sorted((e for f in bare for e in f.endpoints if is_ready(e)), key=_address)
    said, meant = allocate([text(e, "zone") for e in ready], zones)
    zone_of = {id(e): zone for e, zone in zip(ready, meant, strict=False)}
    made = [
        Family(
            f.ports,
            [
                {**e, "hints": {"forZones": [{"name": zone_of[id(e)]}]}} if id(e) in zone_of else e
                for e in f.endpoints
            ],
        )
        for f in bare
    ]
    return made, said


def is_ready(endpoint: Json) -> bool:
    """Whether an endpoint counts."""
    return flag(mapping(endpoint, "conditions"), "ready", default=True)


def without_hints(endpoint: Json) -> Json:
    """The endpoint for everybody."""
    return {k: v for k, v in endpoint.items() if k != "hints"}


def _address(endpoint: Json) -> str:
    return str(endpoint["addresses"])


def allocate(places: Sequence[str], zones: Mapping[str, float]) -> tuple[Verdict, list[str]]:
    """For each endpoint, by the zone that it is in, the zone that it is meant for."""
    count = len(places)
    counted = f"({count} endpoints, {len(zones)} zones)"
    if not zones:
        return Verdict(False, UNKNOWN), []
    if len(zones) > count:
        return Verdict(False, f"{TOO_FEW} {counted}"), []
    desired = {zone: share * count for zone, share in zones.items()}
    least = {zone: math.ceil(n / (1 + OVERLOAD)) for zone, n in desired.items()}
    if sum(least.values()) > count:
        return Verdict(False, f"{TOO_MUCH} {counted}"), []
    if not all(places):
        return Verdict(False, NO_ZONE), []
    own = Counter(places)
    moves = _moves({zone: own[zone] - max(desired[zone], least[zone]) for zone in zones})
    meant = [takers.pop(0) if (takers := moves.get(zone)) else zone for zone in places]
    return Verdict(True, ENABLED), meant


def _moves(surplus: Mapping[str, float]) -> dict[str, list[str]]:
    """Zones that get endpoints of each zone that has too many.

    One by one from who has most to who lacks most, while that brings one of them nearer by a whole
    endpoint and neither away from its share.
    """
    giving = {zone: n for zone, n in surplus.items() if n > 0}
    lacking = {zone: -n for zone, n in surplus.items() if n < 0}
    moves: dict[str, list[str]] = {}
    while giving and lacking:
        giver = max(giving, key=lambda zone: giving[zone])
        taker = max(lacking, key=lambda zone: lacking[zone])
        most, least = giving[giver], lacking[taker]
        if max(most, least) < 1 or min(most, least) < 0.5:
            break
        giving[giver] -= 1
        lacking[taker] -= 1
        moves.setdefault(giver, []).append(taker)
    return moves
