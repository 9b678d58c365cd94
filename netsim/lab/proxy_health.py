"""Whether a node's service proxy keeps up: kube-proxy's /healthz and /livez. P-75, KEP-3836.

It does not when a change has waited for longer than twice the sync period. /healthz is also about
the node: a balancer must send nothing to one that goes.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

from netsim.api.fields import Json, items, mapping, text
from netsim.lab.node_servers import http

SYNC_PERIOD_S = 30.0
TIMEOUT_S = 2 * SYNC_PERIOD_S
TO_BE_DELETED = "ToBeDeletedByClusterAutoscaler"


def is_eligible(node: Json | None) -> bool:
    """Whether traffic may come to a node: it is not being deleted, nor meant to be."""
    if node is None or "deletionTimestamp" in mapping(node, "metadata"):
        return False
    taints = items(mapping(node, "spec"), "taints")
    return all(text(taint, "key") != TO_BE_DELETED for taint in taints)


class ProxyHealth:
    """Times of changes and of syncs, in seconds since 1970; `answered` counts by path and code."""

    def __init__(self) -> None:
        self._waiting_since: float | None = None
        self._updated: float | None = None
        self.answered: Counter[tuple[str, int]] = Counter()

    @property
    def waiting(self) -> bool:
        """Whether a change waits."""
        return self._waiting_since is not None

    def queued(self, now: float) -> None:
        """A change waits to be put in place."""
        if self._waiting_since is None:
            self._waiting_since = now

    def updated(self, now: float) -> None:
        """Everything is in place."""
        self._waiting_since, self._updated = None, now

    def healthy(self, now: float) -> bool:
        """Whether no change has waited for too long."""
        return self._waiting_since is None or now - self._waiting_since < TIMEOUT_S

    def healthz(self, node: Json | None, now: float) -> bytes:
        """The answer to /healthz at a node."""
        return self._answer("healthz", now, is_eligible(node), ', "nodeEligible": {}')

    def livez(self, now: float) -> bytes:
        """The answer to /livez."""
        return self._answer("livez", now, True, "")

    def _answer(self, path: str, now: float, eligible: bool, more: str) -> bytes:
        healthy = self.healthy(now) and eligible
        last = _shown(now if healthy else self._updated)
        shown = more.format(str(eligible).lower())
        body = f'{{"lastUpdated": "{last}","currentTime": "{_shown(now)}"{shown}}}'
        code = 200 if healthy else 503
        self.answered[path, code] += 1
        return http(code, body.encode())


def _shown(at: float | None) -> str:
    """A time as Go prints it."""
    if at is None:
        return "0001-01-01 00:00:00 +0000 UTC"
    when = datetime.fromtimestamp(at, UTC)
    return f"{when:%Y-%m-%d %H:%M:%S.%f}000 +0000 UTC"
