"""What a flow, an idle pod, a service and an endpoint cost in memory, beyond the kernel's own.

And what a lab in which nothing happens costs in processor time.
"""

from __future__ import annotations

from netsim.api.fields import items, mapping, number
from netsim.bench import load, startup
from netsim.bench.control_side import ControlSide
from netsim.bench.load import Figures
from netsim.bench.options import Options, Report
from netsim.bench.ours import NetsimSide, Spec
from netsim.bench.rounds import Figure, Row, alone
from netsim.bench.side import CLIENT

FLOWS, PODS, SERVICES, ENDPOINTS = 50_000, 500, 2000, 10
WATCHED_S = 20.0

FIGURES = (
    Figure("flow_bytes", "memory of a flow, both directions", "B", False),
    Figure("pod_kib", "memory of an idle pod", "KiB", False),
    Figure("idle_percent", "an idle lab", "% of a core", False),
    Figure("service_bytes", "memory of a service, data plane", "B", False),
    Figure("endpoint_bytes", "memory of an endpoint, data plane", "B", False),
    Figure("service_control_bytes", "memory of a service, control", "B", False),
    Figure("endpoint_control_bytes", "memory of an endpoint, control", "B", False),
)


def measure(options: Options, report: Report) -> list[Row]:
    """All rows, once: memory does not vary."""
    scale = options.sizes[0] if options.sizes else 0

    report("memory: flows")
    found: Figures = {"flow_bytes": per_flow(scale or FLOWS, options.spec)}
    report("memory: pods")
    found |= of_pods(scale or PODS)
    report("memory: services")
    found |= per_service(scale or SERVICES)
    return [alone("memory", figure, found[figure.key]) for figure in FIGURES]


def per_flow(count: int, spec: Spec = ()) -> float:
    """What the data plane holds for each flow that so many datagrams leave behind on two nodes."""
    side = NetsimSide("fabric", spec=spec)
    try:
        with load.serving([side.space(pod) for pod in side.servers()]):
            side.space(CLIENT).run(*load.argv("flows", side.service, count))
            status = side.lab.status()
            nodes = [mapping(node, "counters") for node in items(status, "nodes")]
            flows = sum(number(counters, "flows") for counters in nodes)
            return number(mapping(status, "dataPlane"), "flowsBytes") / max(1, flows)
    finally:
        side.close()


def of_pods(count: int) -> Figures:
    """Growth of the lab's own processes by so many idle pods, and their processor time then."""
    few = count // 10
    many = startup.idle_with(count, WATCHED_S)
    grown = many.bytes - startup.idle_with(few).bytes
    return {"pod_kib": grown / (count - few) / 1024, "idle_percent": many.core_share * 100}


def per_service(count: int) -> Figures:
    """By differences: none, with one endpoint each, with ENDPOINTS each."""
    none, one, many = (
        _control_side(services, endpoints)
        for services, endpoints in ((1, 1), (count, 1), (count, ENDPOINTS))
    )
    found: Figures = {}
    for part, word in (("tables", ""), ("control", "_control")):
        endpoint = (many[part] - one[part]) / (count * (ENDPOINTS - 1))
        found[f"endpoint{word}_bytes"] = endpoint
        found[f"service{word}_bytes"] = (one[part] - none[part]) / (count - 1) - endpoint
    return found


def _control_side(services: int, endpoints: int) -> Figures:
    side = ControlSide(services, endpoints, 1)
    try:
        return side.ask("memory")
    finally:
        side.close()
