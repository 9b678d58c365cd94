"""The sandboxes of nodes and the fabric: made when a Node object wants one, dropped with it.

init holds every descriptor, so a control process that has just started finds what is there. A node
whose address, range or device changed is made anew.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial

from netsim.api.lab_spec import Lab
from netsim.api.service_cidrs import service_ranges
from netsim.backends.base import Backend, NodeNet
from netsim.controllers import host_port_rows
from netsim.controllers.base import lab_of
from netsim.controllers.host_port_rows import Holder, ports_of_nodes
from netsim.controllers.host_ports import HostPort
from netsim.controllers.nodes import proxy_mode
from netsim.controllers.routes import node_net, overlay_mtu, proxy_row
from netsim.dataplane.rows import ProxyRow
from netsim.lab import names, outside, sandbox
from netsim.lab.entrances import (
    Entrances,
    Watcher,
    divert,
    divert_host_ports,
    host_port_routes,
    host_port_rules,
    node_routes,
)
from netsim.lab.init_client import InitClient
from netsim.linux import ns
from netsim.linux.net import Route, Rule
from netsim.store.base import View

FABRIC = "fabric"
FLOWS = "flows"
SHAPE = "shape"  # name of a descriptor whose memfd tells what a node's sandbox was made from


def node_key(name: str) -> str:
    """Init's key for a node's sandbox."""
    return f"node/{name}"


def wanted_node(lab: Lab, backend: Backend, net: NodeNet) -> sandbox.NodeNet:
    """The sandbox that a node should have."""
    device = backend.device(lab.backend.vni)
    sockets = lab.wire == "udp" and backend.default_port > 0
    return sandbox.NodeNet(
        name=net.name,
        address=net.address,
        length=lab.node_cidr.length,
        link_mtu=lab.mtu,
        mtu=overlay_mtu(lab, backend),
        cni_addr=net.pod_cidr + 1,
        pod_len=net.pod_len,
        overlay=device or ("eth0" if lab.wire == "udp" else "cni0"),
        tunnel_addr=backend.tunnel_addr(net) if device else 0,
        port=net.port if sockets else 0,
        senders=sandbox.VXLAN_SENDERS if sockets and backend.name == "vxlan" else 0,
    )


class Infrastructure:
    """Keeps the nodes' sandboxes equal to the Node objects."""

    def __init__(
        self, lab: str, init_pid: int, init: InitClient, backends: Mapping[str, Backend]
    ) -> None:
        self._lab = lab
        self._init_pid = init_pid
        self._init = init
        self._backends = backends
        self._maker = sandbox.Maker()
        self._made: dict[str, sandbox.NodeNet] = {}
        self._routes: dict[str, object] = {}
        self._fabric: dict[str, int] | None = None
        self._revisions: tuple[int, ...] = ()
        self._ensured: object = None
        self._services, self._host_ports = Watcher(), host_port_rows.Watcher()
        self._diverted: set[str] = set()
        self._holders: Mapping[str, Holder] = {}
        self._rules: dict[str, frozenset[Rule]] = {}  # for host ports, by node

    @property
    def maker(self) -> sandbox.Maker:
        """The thread that makes sandboxes; pods are made by it too."""
        return self._maker

    @property
    def sandboxes(self) -> Mapping[str, sandbox.NodeNet]:
        """What the nodes' sandboxes were made from."""
        return dict(self._made)

    @property
    def nodes_up(self) -> frozenset[str]:
        """Names of nodes whose sandbox exists."""
        return frozenset(self._made)

    async def ensure(self, view: View) -> bool:
        """Make what is missing, drop what is not wanted; whether the set of nodes changed.

        OSError names the object and the operation that failed.
        """
        revisions = tuple(
            view.kind_revision(kind) for kind in ("Lab", "Node", "Service", "ServiceCIDR")
        )
        holders = self._host_ports.advance(view)
        if revisions == self._revisions and holders is self._holders:
            return False
        before, lab = self.nodes_up, lab_of(view)
        entrances = self._services.advance(view)
        if lab is not None:
            nodes = view.list("Node")
            ranges = service_ranges(lab, view.list("ServiceCIDR"))
            found = [(n, o) for o in nodes if (n := node_net(lab, o)) is not None]
            proxies = [proxy_row(lab, net, proxy_mode(lab, node)) for net, node in found]
            entrances = entrances._replace(ranges=ranges)
            ports = ports_of_nodes(holders.values())
            wanted = (lab, [net for net, _ in found], proxies, entrances, frozenset(ports))
            changed = self._ensured != wanted
            if changed:
                await asyncio.to_thread(self._ensure, *wanted)
            if changed or holders is not self._holders:
                await asyncio.to_thread(self._ensure_host_ports, ports)
            self._ensured = wanted
        self._revisions, self._holders = revisions, holders
        return self.nodes_up != before

    def _ensure(
        self,
        lab: Lab,
        nets: list[NodeNet],
        proxies: list[ProxyRow],
        entrances: Entrances,
        with_host_ports: Collection[str],
    ) -> None:
        backend = self._backends[lab.backend.name]
        wanted = {n.name: wanted_node(lab, backend, n) for n in nets if n.local}
        if self._fabric is None:
            self._fabric = self._open_shared(lab)
            self._adopt(wanted)
        for name in [n for n, made in self._made.items() if wanted.get(n) != made]:
            self._drop(name)
        for net, proxy in zip(nets, proxies, strict=True):
            if net.local:
                node = wanted[net.name]
                routes = self._node_routes(lab, node, nets)
                own = set(node.addresses)
                routes += node_routes(lab, net, proxy, entrances, own)
                routes += host_port_routes(own) if net.name in with_host_ports else []
                self._ensure_node(node, routes, net.name)
        if entrances.node_ports:
            self._divert(wanted.keys() - self._diverted)
        for client in outside.clients(lab):
            self._ensure_client(client, outside.routes(lab, nets, entrances))

    def _ensure_client(self, client: outside.OutsideNet, routes: list[Route]) -> None:
        """Make a client or change its routes. They stay as long as the lab."""
        assert self._fabric is not None
        key = outside.outside_key(client.name)
        if key not in self._init.keys():  # noqa: SIM118
            self._hand_over(key, self._maker.create_outside(client, routes, self._fabric))
        elif self._routes.get(key) != routes:
            self._update_routes(key, routes)
        self._routes[key] = routes

    def _ensure_host_ports(self, ports: Mapping[str, Sequence[HostPort]]) -> None:
        """Have what is for the nodes' host ports come to the data plane."""
        for name, node in self._made.items():
            rules = host_port_rules(ports.get(name, ()), node.addresses)
            if rules != self._rules.get(name):
                self._within(name, partial(divert_host_ports, f"node {name}", rules))
                self._rules[name] = rules

    def _divert(self, names: Iterable[str]) -> None:
        for name in sorted(names):
            self._within(name, partial(divert, f"node {name}"))
            self._diverted.add(name)

    def _within(self, node: str, function: Callable[[], None]) -> None:
        fds = self._init.get(node_key(node))
        try:
            self._maker.within(fds["net"], function)
        finally:
            ns.close_all(fds)

    def _open_shared(self, lab: Lab) -> dict[str, int]:
        """The fabric and the flows' memory, made once in the life of a lab."""
        keys = self._init.keys()
        if FLOWS not in keys:
            memory = os.memfd_create("netsim-flows", os.MFD_CLOEXEC)
            self._hand_over(FLOWS, {"mem": memory})
        if FABRIC not in keys:
            self._hand_over(FABRIC, self._maker.create_fabric(lab.mtu))
        fabric = self._init.get(FABRIC)
        return dict(fabric)

    def _hand_over(self, key: str, fds: Mapping[str, int]) -> None:
        try:
            numbers = self._init.put(key, fds)
        finally:
            ns.close_all(fds)
        if "net" in numbers:
            names.create(self._lab, self._init_pid, key, numbers["net"])

    def _adopt(self, wanted: Mapping[str, sandbox.NodeNet]) -> None:
        """Take over nodes that an earlier control process made, if they are what is wanted."""
        for key in [k for k in self._init.keys() if k.startswith("node/")]:  # noqa: SIM118
            name = key.partition("/")[2]
            fds = self._init.get(key)
            try:
                shape = os.pread(fds[SHAPE], 65536, 0) if SHAPE in fds else b""
            finally:
                ns.close_all(fds)
            if name in wanted and shape == _shape(wanted[name]):
                self._made[name] = wanted[name]
            else:
                self._drop(name)

    def _drop(self, name: str) -> None:
        key = node_key(name)
        numbers = self._init.keys().get(key, {})
        if "net" in numbers:
            names.remove(self._init_pid, numbers["net"], self._lab, key)
        self._init.drop(key)
        self._made.pop(name, None)
        self._routes.pop(key, None)
        self._diverted.discard(name)
        self._rules.pop(name, None)

    def _node_routes(self, lab: Lab, node: sandbox.NodeNet, nets: list[NodeNet]) -> list[Route]:
        peers = [
            sandbox.PeerNet(n.address, n.pod_cidr, n.pod_len) for n in nets if n.name != node.name
        ]
        return sandbox.node_routes(node, (lab.pod_cidr.base, lab.pod_cidr.length), peers)

    def _ensure_node(self, node: sandbox.NodeNet, routes: list[Route], name: str) -> None:
        if name not in self._made:
            assert self._fabric is not None
            fds = dict(self._maker.create_node(node, routes, self._fabric))
            fds[SHAPE] = os.memfd_create(f"netsim-{name}", os.MFD_CLOEXEC)
            os.write(fds[SHAPE], _shape(node))
            self._hand_over(node_key(name), fds)
            self._made[name], self._rules[name] = node, frozenset()
        elif self._routes.get(node_key(name)) != routes:
            self._update_routes(node_key(name), routes)
        self._routes[node_key(name)] = routes

    def _update_routes(self, key: str, routes: list[Route]) -> None:
        fds = dict(self._init.get(key))
        try:
            self._maker.update_routes(key.replace("/", " "), fds, routes)
        finally:
            ns.close_all(fds)


def _shape(node: sandbox.NodeNet) -> bytes:
    """What a sandbox was made from, to be compared after a restart."""
    return json.dumps(asdict(node), sort_keys=True).encode()
