"""What a Service keeps, and what it loses, when it is replaced by a next state. K-64, K-68.

As Kubernetes' registry does before it validates: what was allocated and is not mentioned stays;
what the new type has no use for goes, unless the user has just changed it (which is then an error).
"""

from __future__ import annotations

from netsim.api.fields import Json, items, number, text
from netsim.api.services import (
    externally_accessible,
    needs_health_check,
    needs_node_ports,
)
from netsim.controllers.objects import spec

Fields = dict[str, object]


def carried_over(new: Json, old: Json) -> Json:
    """`new` with what it has from `old`."""
    before, after = spec(old), dict(spec(new))
    made = {**new, "spec": after}
    _cluster_ip(before, after)
    _node_ports(old, made, before, after)
    _health_check(old, made, before, after)
    balanced = [text(s, "type") == "LoadBalancer" for s in (before, after)]
    if balanced == [True, False]:
        for name in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
            _drop_unchanged(name, before, after)
    if externally_accessible(old) and not externally_accessible(made):
        _drop_unchanged("externalTrafficPolicy", before, after)
    return made


def _drop_unchanged(name: str, before: Json, after: Fields) -> None:
    if name in after and after[name] == before.get(name):
        del after[name]


def _cluster_ip(before: Json, after: Fields) -> None:
    if text(after, "type") == "ExternalName":
        for name in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            _drop_unchanged(name, before, after)


def _node_ports(old: Json, new: Json, before: Json, after: Fields) -> None:
    """By protocol and port: kept where there are node ports, dropped where there are none."""
    had = {_port_key(p): number(p, "nodePort") for p in items(before, "ports")}
    ports = items(after, "ports")
    if not needs_node_ports(old):
        return
    if needs_node_ports(new):
        given = {number(p, "nodePort") for p in ports}
        kept = {key: n for key, n in had.items() if n not in given}
        after["ports"] = [
            {**p, "nodePort": kept[_port_key(p)]}
            if not number(p, "nodePort") and kept.get(_port_key(p))
            else p
            for p in ports
        ]
    elif all(number(p, "nodePort") in (0, had.get(_port_key(p))) for p in ports):
        after["ports"] = [{k: v for k, v in p.items() if k != "nodePort"} for p in ports]


def _port_key(port: Json) -> tuple[str, int]:
    return text(port, "protocol", "TCP"), number(port, "port")


def _health_check(old: Json, new: Json, before: Json, after: Fields) -> None:
    if not needs_health_check(old):
        return
    if not needs_health_check(new):
        _drop_unchanged("healthCheckNodePort", before, after)
    elif not after.get("healthCheckNodePort"):
        after["healthCheckNodePort"] = before.get("healthCheckNodePort")
