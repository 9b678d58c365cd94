"""Health checks of Services: what every node answers at their ports. P-74.

Any request gets 200 if the node has a ready endpoint, 503 if not, and the number of them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from netsim.controllers.health import HealthCheck
from netsim.lab.node_servers import Answer, http


def service_answers(checks: Sequence[HealthCheck]) -> dict[int, Answer]:
    """The answers to health checks, by port."""
    return {check.port: _answer(check) for check in checks}


def _answer(check: HealthCheck) -> Answer:
    async def answer(node: str, _: str) -> bytes:
        count = check.endpoints.get(node, 0)
        body = {
            "service": {"namespace": check.service.namespace, "name": check.service.name},
            "localEndpoints": count,
            "serviceProxyHealthy": True,
        }
        weight = f"X-Load-Balancing-Endpoint-Weight: {count}"
        return http(200 if count else 503, json.dumps(body).encode(), "application/json", weight)

    return answer
