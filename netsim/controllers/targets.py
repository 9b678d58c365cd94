"""What a service port sends to: slices, read once each, to packed endpoints and sets of them.

Pure. Most slices have only endpoints that are ready and meant for anybody: those are *sound*, and
nothing is asked of each of their endpoints. Spec 3.5.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from netsim.api.addresses import pack_address, pack_addresses
from netsim.api.fields import Json, items, number, text
from netsim.controllers.categories import (
    ALL_BITS,
    READY,
    SOUND,
    Known,
    Place,
    Sets,
    condition_bits,
    is_fallback,
    is_served,
    place_of,
)
from netsim.controllers.frontends import Terms
from netsim.dataplane.rows import (
    EVERYWHERE,
    FIRST_SET,
    NOBODY,
    Choice,
    pack_endpoint,
    pack_port,
)


class PortName(NamedTuple):
    """What joins a service's port and a slice's (P-25)."""

    name: str
    protocol: str


Members = Mapping[bytes, int]
"""Endpoints of a slice: conditions by address, which is packed."""


class Slice(NamedTuple):
    """What the proxy needs of a slice: its target ports, and its endpoints, all of them on each.

    `sound`: all endpoints are ready and meant for anybody; `hinted`: some endpoint is meant for
    somebody. `source` is asked for places when they matter.
    """

    ports: Mapping[PortName, int]
    members: Members
    source: Json
    sound: bool = False
    hinted: bool = False

    def places(self) -> Mapping[bytes, Place]:
        """Where the endpoints are; of two with one address where the one is that counts."""
        found: dict[bytes, Place] = {}
        for endpoint in items(self.source, "endpoints"):
            addresses = endpoint.get("addresses")
            if isinstance(addresses, list) and addresses:
                addr = pack_address(addresses[0])
                if self.members[addr] == condition_bits(endpoint):
                    found.setdefault(addr, place_of(endpoint))
        return found


def sound_members(slice_: Json) -> Members | None:
    """Endpoints of a slice that are all ready and meant for anybody; None of others."""
    try:
        endpoints: list[Json] = slice_["endpoints"]  # type: ignore[assignment]
        conditions = endpoints[0]["conditions"]
        first: list[str] = [
            e["addresses"][0]  # type: ignore[index]
            for e in endpoints
            if e["conditions"] == conditions and "hints" not in e
        ]
    except (KeyError, IndexError, TypeError):
        return None
    if conditions not in SOUND or len(first) < len(endpoints):
        return None
    return dict.fromkeys(pack_addresses(first), ALL_BITS)


def read_slice(slice_: Json) -> Slice:
    """A slice's ports and endpoints: the first address of each (P-50)."""
    if text(slice_, "addressType") != "IPv4":
        return Slice({}, {}, slice_)
    ports = {
        PortName(text(port, "name"), text(port, "protocol", "TCP")): at
        for port in items(slice_, "ports")
        if (at := number(port, "port"))
    }
    if (sound := sound_members(slice_)) is not None:
        return Slice(ports, sound, slice_, sound=True)
    members: dict[bytes, int] = {}
    hinted = False
    for endpoint in items(slice_, "endpoints"):
        addresses = endpoint.get("addresses")
        if isinstance(addresses, list) and addresses:
            bits = condition_bits(endpoint)
            addr = pack_address(addresses[0])
            members[addr] = bits if addr not in members else max(bits, members[addr])
            hinted = hinted or "hints" in endpoint
    return Slice(ports, members, slice_, hinted=hinted)


class Targets(NamedTuple):
    """The fields of a row that say where it sends."""

    packed_endpoints: bytes = b""
    sets: tuple[tuple[int, ...], ...] = ()
    cluster: Choice = EVERYWHERE
    local: Choice = EVERYWHERE


def plain_targets(members: Iterable[tuple[bytes, int]]) -> Targets:
    """Where nobody has endpoints of its own. `members` are (packed endpoint, conditions)."""
    known = sorted([m for m in members if is_served(m[1])])
    packed = b"".join([endpoint for endpoint, _ in known])
    usable = [i for i, (_, bits) in enumerate(known) if bits & READY]
    usable = usable or [i for i, (_, bits) in enumerate(known) if is_fallback(bits)]
    if len(usable) == len(known):
        return Targets(packed)
    if not usable:
        return Targets(packed, (), NOBODY, NOBODY)
    return Targets(packed, (tuple(usable),), Choice(FIRST_SET))


def placed_targets(
    slices: Iterable[Slice], port: PortName, terms: Terms, zones: Mapping[str, str]
) -> Targets:
    """Where some nodes have endpoints of their own: by a policy, or by hints and `zones`."""
    merged: dict[bytes, Known] = {}
    for slice_ in slices:
        places, target = slice_.places(), slice_.ports[port]
        for addr, bits in slice_.members.items():
            packed = pack_endpoint(addr, target)
            if packed not in merged or merged[packed].bits < bits:
                merged[packed] = Known(packed, bits, places[addr])
    sets = Sets([merged[each] for each in sorted(merged) if is_served(merged[each].bits)])
    cluster = sets.cluster(zones)
    if terms.internal_local or terms.external_local:
        local = sets.local()
    else:
        local = NOBODY if cluster == NOBODY else EVERYWHERE
    packed = b"".join([e.packed for e in sets.known])
    return Targets(packed, tuple(sets.sets), cluster, local)


def targets(
    slices: Collection[Slice], port: PortName, terms: Terms, zones: Mapping[str, str]
) -> Targets:
    """What a service port sends to: endpoints of all slices, each once, sorted."""
    found = [s for s in slices if port in s.ports]
    local = terms.internal_local or terms.external_local
    if len(found) == 1 and found[0].sound and not local:  # what most have
        return Targets(pack_port(sorted(found[0].members), found[0].ports[port]))
    if local or any(s.hinted for s in found):
        return placed_targets(found, port, terms, zones)
    merged: dict[bytes, int] = {}
    for slice_ in found:
        for addr, bits in slice_.members.items():
            packed = pack_endpoint(addr, slice_.ports[port])
            merged[packed] = max(bits, merged.get(packed, 0))
    return plain_targets(merged.items())
