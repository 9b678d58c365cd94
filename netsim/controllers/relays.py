"""What nodes need that relay connections themselves, as kube-proxy's mode userspace does. P-100.

Each service port has a port of its own at every such node, the same at all: rows are shared. Its
endpoints are those that an Endpoints object has: ready ones, whatever policies and hints say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from netsim.api.lab_spec import Lab
from netsim.api.proxy_modes import PROXY_MODES
from netsim.controllers.base import lab_of
from netsim.controllers.categories import READY
from netsim.controllers.nodes import is_external, proxy_mode
from netsim.dataplane.rows import EndpointRow, RelayRow
from netsim.store.base import View

# Neither node ports nor the kernel's own, which programs on the node speak from.
PORT_MIN, PORT_MAX = 10000, 29999
PORTS = PORT_MAX - PORT_MIN + 1
PROTOCOLS = ("TCP", "UDP")  # others are not relayed


class Relays:
    """The rows, and the ports in them: where possible made from a service port's number."""

    def __init__(self) -> None:
        self.wanted = False  # whether any node of the lab relays
        self._of: dict[int, int] = {}
        self._taken: set[int] = set()

    def advance(self, view: View) -> bool:
        """Look at the nodes; whether `wanted` has changed."""
        before, lab = self.wanted, lab_of(view) or Lab.parse({})
        nodes = [node for node in view.list("Node") if not is_external(node)]
        self.wanted = any(PROXY_MODES[proxy_mode(lab, node)].relays for node in nodes)
        return self.wanted != before

    def row(
        self, service: int, protocol: str, slices: Iterable[tuple[int, Mapping[bytes, int]]]
    ) -> RelayRow | None:
        """How a service port is relayed; None: it is not. Slices: target port, conditions."""
        port = self.take(service) if protocol in PROTOCOLS else 0
        if not port:
            return None
        found = {
            EndpointRow(int.from_bytes(addr, "big"), target)
            for target, members in slices
            for addr, bits in members.items()
            if bits & READY
        }
        return RelayRow(port, tuple(sorted(found)))

    def take(self, service: int) -> int:
        """The port of a service port; 0 if there is none left."""
        if service not in self._of:
            if len(self._taken) == PORTS:
                return 0
            at = service % PORTS
            while PORT_MIN + at in self._taken:
                at = (at + 1) % PORTS
            self._of[service] = PORT_MIN + at
            self._taken.add(PORT_MIN + at)
        return self._of[service]

    def give(self, service: int) -> int:
        """The service port is gone; its number."""
        self._taken.discard(self._of.pop(service, 0))
        return service
