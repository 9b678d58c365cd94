"""Node ports: given to services when they are admitted. K-62 to K-64."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random

from netsim.api.fields import Json, items, number, text
from netsim.api.meta import ObjectKey, key_of
from netsim.api.services import NODE_PORT_MAX, NODE_PORT_MIN, needs_health_check, needs_node_ports
from netsim.controllers.objects import spec, with_spec
from netsim.controllers.ranges import Band, pick
from netsim.store.base import View
from netsim.store.errors import ApiError, Cause, invalid

STATIC_PORTS = 86  # min(max(16, 2768 / 32), 128): left to services that ask for a port
BAND = Band(NODE_PORT_MIN, NODE_PORT_MIN + STATIC_PORTS, NODE_PORT_MAX)
TAKEN = "provided port is already allocated"


def node_ports_of(service: Json) -> Iterator[int]:
    """The node ports that a service has, its health check's among them."""
    if needs_node_ports(service):
        for port in items(spec(service), "ports"):
            if number(port, "nodePort"):
                yield number(port, "nodePort")
    if needs_health_check(service) and number(spec(service), "healthCheckNodePort"):
        yield number(spec(service), "healthCheckNodePort")


class NodePorts:
    """The ports of 30000 to 32767 and who has them; see ClusterIPs for how it is known."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._holders: dict[int, tuple[ObjectKey, int]] = {}
        self._loaded = False

    def admit(self, view: View, service: Json) -> Json:
        """`service` with a node port for each port that needs one.

        One number may serve several protocols of one service. ApiError 422 when a port asked for is
        another service's; 500 when all are taken.
        """
        self._load(view)
        key, errors = key_of(service), list(self._refusals(view, service))
        if errors:
            raise invalid("Service", key.name, errors)
        if needs_health_check(service):
            self._check_health_check(view, service)
        self._hold(view, key, node_ports_of(service))
        if needs_node_ports(service) and _wants_ports(service):
            service = with_spec(service, ports=self._with_ports(view, service))
        if needs_health_check(service) and not number(spec(service), "healthCheckNodePort"):
            service = with_spec(service, healthCheckNodePort=self._free(view, key))
        return service

    def _load(self, view: View) -> None:
        if self._loaded:
            return
        self._loaded = True
        for service in view.list("Service"):
            self._hold(view, key_of(service), node_ports_of(service))

    def _hold(self, view: View, key: ObjectKey, ports: Iterable[int]) -> None:
        for port in ports:
            self._holders[port] = (key, view.revision)

    def _refusals(self, view: View, service: Json) -> Iterator[Cause]:
        if not needs_node_ports(service):
            return
        for index, port in enumerate(items(spec(service), "ports")):
            asked = number(port, "nodePort")
            if asked and self._taken(view, key_of(service), asked):
                message = f"Invalid value: {asked}: {TAKEN}"
                yield Cause("FieldValueInvalid", message, f"spec.ports[{index}].nodePort")

    def _with_ports(self, view: View, service: Json) -> list[Json]:
        """The service's ports, each with a node port: the one that its number has already."""
        ports = items(spec(service), "ports")
        chosen = {number(p, "port"): n for p in ports if (n := number(p, "nodePort"))}
        pairs = {(text(p, "protocol", "TCP"), n) for p in ports if (n := number(p, "nodePort"))}
        made: list[Json] = []
        for port in ports:
            node_port = number(port, "nodePort")
            if not node_port:
                protocol, wanted = text(port, "protocol", "TCP"), chosen.get(number(port, "port"))
                shared = wanted and (protocol, wanted) not in pairs
                node_port = wanted if wanted and shared else self._free(view, key_of(service))
                chosen[number(port, "port")] = node_port
                pairs.add((protocol, node_port))
            made.append({**port, "nodePort": node_port})
        return made

    def _check_health_check(self, view: View, service: Json) -> None:
        key, asked = key_of(service), number(spec(service), "healthCheckNodePort")
        ports = [number(port, "nodePort") for port in items(spec(service), "ports")]
        if asked and (asked in ports or self._taken(view, key, asked)):
            message = (
                "Internal error occurred: failed to allocate requested HealthCheck NodePort"
                f" {asked}: {TAKEN}"
            )
            raise ApiError(500, "InternalError", message, kind="services", name=key.name)

    def _free(self, view: View, key: ObjectKey) -> int:
        own = {port for port, (holder, _) in self._holders.items() if holder == key}
        port = pick(BAND, lambda p: p in own or self._taken(view, key, p), self._random)
        if port is None:
            message = "Internal error occurred: failed to allocate a nodePort: range is full"
            raise ApiError(500, "InternalError", message, kind="services", name=key.name)
        self._hold(view, key, [port])
        return port

    def _taken(self, view: View, key: ObjectKey, port: int) -> bool:
        """Whether another service has the port."""
        holder, revision = self._holders.get(port, (None, 0))
        if holder is None or holder == key:
            return False
        stored = view.get(holder)
        if stored is not None and port in node_ports_of(stored):
            return True
        return revision == view.revision


def _wants_ports(service: Json) -> bool:
    """Whether ports without a node port are to have one (P-76)."""
    fields = spec(service)
    balanced = text(fields, "type") == "LoadBalancer"
    return not balanced or fields.get("allocateLoadBalancerNodePorts") is not False
