"""Ports of nodes that pods ask for (`hostPort`), and who has them: the first that is bound.

Two ports clash where protocol and number are one, and the addresses too, or one of them is any.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from netsim.api.addresses import address_or_none
from netsim.api.fields import Json, items, number, text
from netsim.controllers.objects import spec

NO_FREE_PORTS = "node(s) didn't have free ports for the requested pod ports"


class HostPort(NamedTuple):
    """A port of a node; `addr` 0: at any of its addresses. `target` is the container's."""

    addr: int
    protocol: str
    port: int
    target: int


def host_ports(pod: Json) -> list[HostPort]:
    """The ports of its node that a pod asks for."""
    return [
        HostPort(
            address_or_none(text(declared, "hostIP")) or 0,
            text(declared, "protocol", "TCP"),
            number(declared, "hostPort"),
            number(declared, "containerPort"),
        )
        for container in items(spec(pod), "containers")
        for declared in items(container, "ports")
        if number(declared, "hostPort")
    ]


class HeldPorts:
    """The ports of one node that are held."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, int], set[int]] = {}

    def free(self, wanted: Iterable[HostPort]) -> bool:
        """Whether nobody holds any of these."""
        return not any(
            held and (not each.addr or 0 in held or each.addr in held)
            for each in wanted
            for held in [self._held.get((each.protocol, each.port))]
        )

    def hold(self, ports: Iterable[HostPort]) -> None:
        """Note that somebody holds these."""
        for each in ports:
            self._held.setdefault((each.protocol, each.port), set()).add(each.addr)
