"""Host ports: which nodes serve them, at which addresses, and the rows that say so.

As the CNI plugin portmap does: what comes to a node's address and such a port goes to the pod, in
its sender's own name but where a pod reaches itself. A port of any address (`hostIP` is empty) is
at all that the node has, 127.0.0.1 too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from netsim.api.addresses import Cidr, address_or_none, format_address
from netsim.api.fields import Json, text
from netsim.controllers.changes import Tracker
from netsim.controllers.host_ports import HostPort, host_ports
from netsim.controllers.ipam import host_network
from netsim.controllers.objects import is_true, spec, status
from netsim.controllers.routes import SANDBOX_READY, row_name
from netsim.dataplane.rows import (
    FIRST_SET,
    NONE,
    PROTOCOLS,
    Choice,
    EndpointRow,
    NodeRow,
    ServiceKey,
    ServiceRow,
    pack_endpoints,
)
from netsim.store.base import View

LOOPBACK = Cidr.parse("127.0.0.0/8")
LOCALHOST = LOOPBACK.base + 1


class Holder(NamedTuple):
    """A pod of `node` that has host ports, and its own address."""

    node: str
    address: int
    ports: tuple[HostPort, ...]


class Watcher:
    """The pods with host ports and a sandbox of their own, at the price of what changed."""

    def __init__(self) -> None:
        self._tracker = Tracker("Pod")
        self._holders: Mapping[str, Holder] = {}

    def advance(self, view: View) -> Mapping[str, Holder]:
        """By "namespace/name"; the same object while nothing has changed."""
        gone, new = self._tracker.advance(view)
        found = {row_name(pod): None for pod in gone} | {row_name(pod): holder(pod) for pod in new}
        changes = {name: made for name, made in found.items() if made != self._holders.get(name)}
        if changes:
            kept = sorted(({**self._holders, **changes}).items())
            self._holders = {name: made for name, made in kept if made is not None}
        return self._holders


def holder(pod: Json) -> Holder | None:
    """What a pod holds; on its node's network it listens there itself."""
    ports, address = host_ports(pod), address_or_none(text(status(pod), "podIP"))
    if not ports or address is None or host_network(pod):
        return None
    if not is_true(pod, SANDBOX_READY):
        return None
    return Holder(text(spec(pod), "nodeName"), address, tuple(ports))


def ports_of_nodes(holders: Iterable[Holder]) -> dict[str, list[HostPort]]:
    """The host ports of each node that has some."""
    found: dict[str, list[HostPort]] = {}
    for each in holders:
        found.setdefault(each.node, []).extend(each.ports)
    return found


def reached_at(port: HostPort, own: Collection[int]) -> list[int]:
    """The addresses at which a node that has `own` ones serves the port, as portmap does."""
    if not port.addr:
        return [*own, LOCALHOST]
    return [port.addr] if port.addr in own or LOOPBACK.contains(port.addr) else []


class Compiler:
    """The rows of host ports, which have no id yet."""

    def __init__(self) -> None:
        self._watcher = Watcher()
        self._from: tuple[object, object] | None = None
        self._rows: Mapping[ServiceKey, ServiceRow] = {}

    def compile(self, view: View, nodes: Mapping[str, NodeRow]) -> Mapping[ServiceKey, ServiceRow]:
        """Rows by key; the same object while they have not changed."""
        holders = self._watcher.advance(view)
        if self._from is None or self._from[0] is not holders or self._from[1] is not nodes:
            self._from = holders, nodes
            made = compile_rows(holders.values(), nodes)
            self._rows = self._rows if made == self._rows else made
        return self._rows


def compile_rows(
    holders: Iterable[Holder], nodes: Mapping[str, NodeRow]
) -> dict[ServiceKey, ServiceRow]:
    """One row for each address and port; that of a loopback address is shared by all nodes."""
    found: dict[ServiceKey, dict[str, EndpointRow]] = {}
    for each in holders:
        if (node := nodes.get(each.node)) is None:
            continue
        own = dict.fromkeys(a for a in (node.address, node.cni_addr, node.tunnel_addr) if a)
        for port in each.ports:
            for address in reached_at(port, own):
                key = ServiceKey(address, port.port, PROTOCOLS[port.protocol])
                endpoint = EndpointRow(each.address, port.target)
                found.setdefault(key, {}).setdefault(each.node, endpoint)
    return {key: _row(key, endpoints) for key, endpoints in found.items()}


def _row(key: ServiceKey, of_nodes: Mapping[str, EndpointRow]) -> ServiceRow:
    (protocol,) = (name for name, number in PROTOCOLS.items() if number == key.proto)
    name = f"hostPort {format_address(key.addr)}:{key.port} {protocol}"
    if not LOOPBACK.contains(key.addr):
        return ServiceRow(*key, 0, name, 0, pack_endpoints(of_nodes.values()), is_host_port=True)
    endpoints = sorted(of_nodes.values())
    own = Choice(NONE, tuple((n, FIRST_SET + endpoints.index(e)) for n, e in of_nodes.items()))
    sets = tuple((at,) for at in range(len(endpoints)))
    packed = pack_endpoints(endpoints)
    return ServiceRow(*key, 0, name, 0, packed, sets, own, own, is_host_port=True)
