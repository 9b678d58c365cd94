"""What the nodes' service proxies count, under kube-proxy's names (pkg/proxy/metrics). P-95.

All nodes get changes at one time, so times are those until the last one ran them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from netsim.api.fields import Json, mapping, text
from netsim.controllers.changes import Changes
from netsim.controllers.clock import seconds
from netsim.controllers.slices import TRIGGER_TIME
from netsim.dataplane.rows import ServiceRow
from netsim.lab.exposition import Histogram, labelled, single
from netsim.lab.relay_messages import Counts

SYNC_BOUNDS = [0.001 * 2**n for n in range(15)]
PROGRAMMING_BOUNDS = [0.25, 0.5, *range(1, 60), *range(60, 120, 5), *range(120, 301, 30)]


def trigger_s(slice_: Json) -> float:
    """When what a slice shows last happened; 0 if it does not say, or nonsense."""
    try:
        annotations = mapping(mapping(slice_, "metadata"), "annotations")
        return seconds(text(annotations, TRIGGER_TIME))
    except ValueError:
        return 0.0


def relay_lines(counts: Counts | None) -> Iterator[str]:
    """What a node that relays counts: names of our own."""
    if counts is None:
        return
    texts = {
        "connections": "TCP connections that an endpoint took",
        "clients": "UDP clients that got an endpoint",
        "dials_failed": "Endpoints that refused, or did not answer in time",
        "unserved": "Connections closed and datagrams lost: nobody took them",
        "exhausted": "The same, for want of descriptors or memory",
    }
    for (name, shown), value in zip(texts.items(), counts, strict=True):
        yield from single(f"userspace_{name}_total", shown, "counter", value)


def without_local_endpoints(rows: Iterable[ServiceRow], node: str) -> dict[str, int]:
    """Service ports of policy Local with endpoints, but none on the node."""
    counts = {"internal": 0, "external": 0}
    for row in rows:
        if (row.internal_local or row.external_local) and row.usable():
            alone = not row.usable(node, local=True)
            counts["internal"] += alone and row.internal_local
            counts["external"] += alone and row.external_local
    return counts


class ProxyMetrics:
    """Changes that come in, and when they are in place; none from before `began_s` is timed."""

    def __init__(self, began_s: float) -> None:
        self._began_s = int(began_s)  # objects carry whole seconds
        self._total = {"service": 0, "endpoint": 0}
        self._waiting = {"service": 0, "endpoint": 0}
        self._slices: list[Json] = []  # that wait
        self._sync = Histogram(SYNC_BOUNDS)
        self._programming = Histogram(PROGRAMMING_BOUNDS)
        self._queued_s = self._synced_s = 0.0

    def noticed(self, services: Changes, slices: Changes, now_s: float) -> bool:
        """Take in what changed; whether something waits to be put in place."""
        for kind, (gone, new) in (("service", services), ("endpoint", slices)):
            count = max(len(gone), len(new))  # replaced ones are in both
            self._total[kind] += count
            self._waiting[kind] += count
            if count:
                self._queued_s = now_s
        self._slices += slices.new
        return any(self._waiting.values())

    def synced(self, took_s: float, now_s: float) -> None:
        """All that was noticed is in place."""
        self._waiting = {"service": 0, "endpoint": 0}
        self._sync.observe(took_s)
        self._synced_s = now_s
        for at in map(trigger_s, self._slices):
            if at >= self._began_s:
                self._programming.observe(max(0.0, now_s - at))
        self._slices = []

    def lines(self, alone: Mapping[str, int]) -> Iterator[str]:
        """Everything but what the data plane counts; `alone`: without_local_endpoints()."""
        yield from self._programming.lines(
            "network_programming_duration_seconds",
            "Time from a change of endpoints until the proxy has put it in place",
        )
        yield from self._sync.lines("sync_proxy_rules_duration_seconds", "Time of one sync")
        stamps = {"": self._synced_s, "queued_": self._queued_s}
        for word, at in stamps.items():
            name = f"sync_proxy_rules_last_{word}timestamp_seconds"
            yield from single(name, f"Time of the last {word or 'sync'}".strip("_"), "gauge", at)
        for kind in self._total:
            name = f"sync_proxy_rules_{kind}_changes"
            waiting, total = self._waiting[kind], self._total[kind]
            yield from single(f"{name}_pending", f"{kind} changes that wait", "gauge", waiting)
            yield from single(f"{name}_total", f"{kind} changes so far", "counter", total)
        yield from labelled(
            "sync_proxy_rules_no_local_endpoints_total",
            "Service ports of policy Local with endpoints, but none on this node",
            "gauge",
            "traffic_policy",
            alone,
        )
