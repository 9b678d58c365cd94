"""Services made by hypothesis, in the words of flows.yaml: all types, policies and endpoints."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from netsim.api.fields import Json
from netsim.dataplane.rows import ProxyRow
from tests.conformance.emulated import FAR_NODE, NODE, number

HERE = ("10.200.0.2", "10.200.0.3", "10.200.0.4")
THERE = ("10.201.0.2", "10.201.0.3")
# ready, serving, terminating
STATES = {
    "ready": (True, True, False),
    "not ready": (False, False, False),
    "serving, not ready": (False, True, False),
    "terminating": (False, True, True),
    "gone": (False, False, True),
}
RANGES: tuple[list[str], ...] = (
    [],
    ["203.0.113.0/25"],
    ["203.0.113.0/25", "192.168.0.0/24"],
    ["203.0.113.0/24"],
)
POLICIES = st.sampled_from(["Cluster", "Cluster", "Local"])


@st.composite
def endpoints(draw: st.DrawFn) -> list[Json]:
    """Up to four addresses, here and there, mostly ready."""
    chosen = draw(st.lists(st.sampled_from(HERE + THERE), unique=True, max_size=4))
    made: list[Json] = []
    for address in chosen:
        state = draw(st.sampled_from(["ready", "ready", *STATES]))
        conditions = dict(zip(("ready", "serving", "terminating"), STATES[state], strict=True))
        place = NODE if address in HERE else FAR_NODE
        made.append({"addresses": [address], "nodeName": place, "conditions": conditions})
    return made


def ports(number: int, kinds: Sequence[str], node_ports: bool) -> list[dict[str, object]]:
    return [
        {
            "name": kind.lower(),
            "port": 80,
            "protocol": kind,
            **({"nodePort": 30000 + number} if node_ports else {}),
        }
        for kind in kinds
    ]


@st.composite
def service(draw: st.DrawFn, number: int) -> Json:
    """The Service with a number of its own, which its addresses and ports come from."""
    kind = draw(st.sampled_from(["ClusterIP", "NodePort", "LoadBalancer"]))
    kinds = draw(st.sampled_from([["TCP"], ["UDP"], ["TCP", "UDP"], ["SCTP", "TCP"]]))
    spec: dict[str, object] = {
        "type": kind,
        "clusterIP": f"172.30.0.{number}",
        "ports": ports(number, kinds, kind != "ClusterIP"),
        "internalTrafficPolicy": draw(POLICIES),
        "externalTrafficPolicy": draw(POLICIES),
        "sessionAffinity": draw(st.sampled_from(["None", "None", "ClientIP"])),
    }
    if draw(st.booleans()):
        spec["externalIPs"] = [f"198.51.100.{number}"]
    status: dict[str, object] = {}
    if kind == "LoadBalancer":
        spec["loadBalancerSourceRanges"] = draw(st.sampled_from(RANGES))
        given = {"ip": f"198.51.100.{100 + number}"}
        found = draw(st.sampled_from([[given], [{**given, "ipMode": "Proxy"}], []]))
        status = {"loadBalancer": {"ingress": found}}
    found_ports = [{"name": k.lower(), "port": 8080, "protocol": k} for k in kinds]
    slices = [{"ports": found_ports, "endpoints": draw(endpoints())}]
    return {"name": f"s{number}", "spec": spec, "status": status, "slices": slices}


@st.composite
def services(draw: st.DrawFn) -> list[Json]:
    """One to three of them."""
    return [draw(service(index)) for index in range(1, draw(st.integers(1, 3)) + 1)]


DETECTORS = ("ClusterCIDR", "ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix")
NODE_PORT_RANGES = ((), (), ((number("192.168.0.0"), 16),), ((number("10.200.0.0"), 24),))


def proxies() -> st.SearchStrategy[ProxyRow]:
    return st.builds(
        ProxyRow,
        detector=st.sampled_from([*DETECTORS, "None"]),
        masquerade_all=st.sampled_from([False, False, True]),
        localhost_node_ports=st.sampled_from([True, True, False]),
        node_port_ranges=st.sampled_from(NODE_PORT_RANGES),
    )
