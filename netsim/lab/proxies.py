"""What a kube-proxy on each node says of itself: health at port 10256, metrics at 10249."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from netsim.api.fields import mapping, number
from netsim.api.lab_spec import Lab
from netsim.api.meta import ObjectKey
from netsim.controllers.base import lab_of
from netsim.controllers.changes import Changes
from netsim.controllers.nodes import proxy_mode
from netsim.lab.exposition import CONTENT_TYPE, labelled, single
from netsim.lab.node_servers import Answer, http
from netsim.lab.proxy_health import ProxyHealth
from netsim.lab.proxy_metrics import ProxyMetrics, relay_lines, without_local_endpoints
from netsim.lab.relay_messages import Counts
from netsim.store.base import View

if TYPE_CHECKING:
    from netsim.lab.dataplane_link import DataplaneLink

HEALTH_PORT, METRICS_PORT = 10256, 10249
PLAIN = "text/plain; charset=utf-8"
NOT_FOUND = http(404, b"404 page not found\n", PLAIN)


class Proxies:
    """The service proxies of all nodes; `view` gives what is stored now.

    `relayed` gives what the relay counts, by node.
    """

    def __init__(
        self,
        link: DataplaneLink,
        view: Callable[[], View],
        relayed: Callable[[], Awaitable[Mapping[str, Counts]]],
    ) -> None:
        self._link, self._view, self._relayed = link, view, relayed
        self._health, self._metrics = ProxyHealth(), ProxyMetrics(time.time())
        self._began_s: float | None = None

    @property
    def answers(self) -> dict[int, Answer]:
        """By port."""
        return {HEALTH_PORT: self._answer_health, METRICS_PORT: self._answer_metrics}

    def noticed(self, services: Changes, slices: Changes) -> None:
        """These changes are about to be put in place."""
        self._began_s = time.monotonic()
        if self._metrics.noticed(services, slices, time.time()):
            self._health.queued(time.time())

    def synced(self) -> None:
        """All that was noticed is in place, if there was anything."""
        now_s = time.time()
        if self._began_s is not None and self._health.waiting:
            self._metrics.synced(time.monotonic() - self._began_s, now_s)
        self._health.updated(now_s)

    async def metrics(self, node: str) -> str:
        """The metrics of a node. LookupError: there is no such node."""
        if node not in self._link.applied.nodes:
            raise LookupError(f"node {node} is not here")
        lines = [
            *self._metrics.lines(
                without_local_endpoints(self._link.applied.services.values(), node)
            ),
            *self._answered(),
            *await self._counted(node),
            *relay_lines((await self._relayed()).get(node)),
        ]
        return "\n".join(lines) + "\n"

    def _answered(self) -> Iterator[str]:
        for path in ("healthz", "livez"):
            counts = {str(code): self._health.answered[path, code] for code in (200, 503)}
            text = f"Answers to /{path}"
            yield from labelled(f"proxy_{path}_total", text, "counter", "code", counts)

    async def _counted(self, node: str) -> list[str]:
        """What the data plane counts; nothing while it can not be asked."""
        _, stats = await self._link.facts()
        counters = stats.get(node)
        if counters is None:
            return []
        found = {
            ("ct_state_invalid_dropped", "Packets dropped because they fit no connection"): number(
                mapping(counters, "drops"), "flow-invalid"
            ),
            ("localhost_nodeports_accepted", "Connections to node ports at 127.0.0.1"): number(
                counters, "localhost_node_ports"
            ),
        }
        return [
            line
            for (name, text), count in found.items()
            for line in single(f"iptables_{name}_packets_total", text, "counter", count)
        ]

    async def _answer_health(self, node: str, path: str) -> bytes:
        if path == "/livez":
            return self._health.livez(time.time())
        if path == "/healthz":
            return self._health.healthz(self._view().get(ObjectKey("Node", "", node)), time.time())
        return NOT_FOUND

    async def _answer_metrics(self, node: str, path: str) -> bytes:
        if path == "/metrics":
            try:
                return http(200, (await self.metrics(node)).encode(), CONTENT_TYPE)
            except LookupError:  # it has no rows yet
                return http(503, b"not yet\n", PLAIN)
        if path == "/proxyMode":
            view = self._view()
            lab, found = lab_of(view) or Lab.parse({}), view.get(ObjectKey("Node", "", node))
            return http(200, proxy_mode(lab, found or {}).encode(), PLAIN)
        return http(200, b"ok", PLAIN) if path == "/healthz" else NOT_FOUND
