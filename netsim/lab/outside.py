"""Clients from beyond the cluster: namespaces on the underlay that are no nodes.

They have an address of the node range, counted down from its end, and reach Services' external and
load balancers' addresses by way of the first node, as if somebody had configured a router so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from netsim.api.addresses import Cidr
from netsim.api.lab_spec import Lab
from netsim.backends.base import NodeNet
from netsim.lab.entrances import Entrances, foreign
from netsim.linux import net
from netsim.linux.net import Route
from netsim.linux.netlink import Request
from netsim.linux.syscalls import interface_index


class OutsideNet(NamedTuple):
    """A client's sandbox: its address on the underlay, with `link_mtu`."""

    name: str
    address: int
    length: int
    link_mtu: int


def outside_key(name: str) -> str:
    """Init's key for a client's sandbox."""
    return f"outside/{name}"


def clients(lab: Lab) -> list[OutsideNet]:
    """The clients that a lab should have."""
    last = lab.node_cidr.last - 1
    return [
        OutsideNet(name, last - number, lab.node_cidr.length, lab.mtu)
        for number, name in enumerate(lab.outside)
    ]


def routes(lab: Lab, nets: Sequence[NodeNet], entrances: Entrances) -> list[Route]:
    """A client's routes: none while there is no node."""
    first = min((n for n in nets if n.local), key=lambda n: n.address, default=None)
    if first is None:
        return []
    pool = lab.load_balancer_cidr
    more = [Cidr(address, 32) for address in foreign(lab, entrances)]
    return [Route(base, n, "eth0", via=first.address) for base, n in (pool, *more)]


def links(client: OutsideNet, wanted: Sequence[Route]) -> list[Request]:
    """What is asked of rtnetlink in a client's namespace."""
    what, eth0 = f"outside {client.name}", interface_index("eth0")
    return [
        net.link_up(f"{what} lo", interface_index("lo")),
        net.address(f"{what} eth0", eth0, client.address, client.length),
        net.link_up(f"{what} eth0", eth0),
        *[net.route_add(what, route, eth0) for route in wanted],
    ]
