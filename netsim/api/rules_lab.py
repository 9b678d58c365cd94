"""What a Lab object may say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from netsim.api import rules
from netsim.api.addresses import Cidr
from netsim.api.fields import Json, mapping, text, texts
from netsim.api.lab_spec import (
    BACKENDS,
    DEFAULT_LOAD_BALANCER_CIDR,
    DEFAULT_NODE_CIDR,
    DEFAULT_POD_CIDR,
    DEFAULT_SERVICE_CIDR,
    DNS_OFFSET,
    FLOWS_MAX,
    IO_METHODS,
    LOCAL_DETECTORS,
    POLLING,
    WIRES,
    Lab,
    duration_s,
)
from netsim.api.names import dns_label_errors
from netsim.api.problems import (
    Path,
    Problem,
    duplicate,
    forbidden,
    invalid,
    not_supported,
    required,
)
from netsim.api.proxy_modes import IPVS_SCHEDULERS, PRIMARY

VNI_MAX = 2**24 - 1
MTU_MIN = 576
MTU_MAX = 65_535
WORKERS_MAX = 64
FLOWS_MIN = 1024
NODES_MAX = 4096
OUTSIDE_MAX = 64
SYNC_PERIOD_MAX_S = 30  # kube-proxy's syncPeriod
NODE_PORT_RANGES_MAX = 16  # csrc/node.h
SPEC: Path = ("spec",)

_RANGES = {
    "podCIDR": (DEFAULT_POD_CIDR, 28),
    "serviceCIDR": (DEFAULT_SERVICE_CIDR, 30),
    "nodeCIDR": (DEFAULT_NODE_CIDR, 29),
    "loadBalancerCIDR": (DEFAULT_LOAD_BALANCER_CIDR, 32),
}


def check_lab(obj: Json) -> Iterator[Problem]:
    """A Lab."""
    spec = mapping(obj, "spec")
    for name, (_, longest) in _RANGES.items():
        if spec.get(name) is not None:
            yield from rules.cidr((*SPEC, name), text(spec, name), longest)
    yield from _check_overlaps(spec)
    yield from _check_dns(obj)
    yield from rules.at_least(SPEC, spec, "seed")
    yield from rules.in_range(SPEC, spec, "mtu", MTU_MIN, MTU_MAX)
    yield from rules.in_range(SPEC, spec, "workers", 0, WORKERS_MAX)
    yield from rules.in_range(SPEC, spec, "flowsMax", FLOWS_MIN, FLOWS_MAX)
    generate = mapping(spec, "generate")
    yield from rules.in_range((*SPEC, "generate"), generate, "nodes", 0, NODES_MAX)
    for name, choices in (("wire", WIRES), ("io", IO_METHODS), ("polling", POLLING)):
        yield from rules.one_of((*SPEC, name), text(spec, name), choices)
    yield from rules.proxy_mode((*SPEC, "proxyMode"), text(spec, "proxyMode"))
    yield from _check_proxy(mapping(spec, "proxy"), (*SPEC, "proxy"))
    yield from _check_outside(texts(spec, "outside"), (*SPEC, "outside"))
    yield from _check_backend(spec)


def _check_dns(obj: Json) -> Iterator[Problem]:
    lab = Lab.parse(obj)
    if lab.cluster_dns and lab.dns_address >= lab.service_cidr.last:
        detail = f"has no room for clusterDNS, whose address is its number {DNS_OFFSET}"
        yield invalid((*SPEC, "serviceCIDR"), str(lab.service_cidr), detail, "at least a /28")


def _check_outside(names: Sequence[str], where: Path) -> Iterator[Problem]:
    if len(names) > OUTSIDE_MAX:
        yield invalid(where, len(names), f"must have at most {OUTSIDE_MAX} items")
    for index, name in enumerate(names):
        yield from rules.needed((*where, index), name, dns_label_errors)
        if name in names[:index]:
            yield duplicate((*where, index), name)


def _check_proxy(options: Json, where: Path) -> Iterator[Problem]:
    detector = text(options, "detectLocalMode")
    yield from rules.one_of((*where, "detectLocalMode"), detector, LOCAL_DETECTORS)
    scheduler = text(options, "ipvsScheduler")
    yield from rules.one_of((*where, "ipvsScheduler"), scheduler, IPVS_SCHEDULERS)
    period = text(options, "minSyncPeriod")
    wait_s = duration_s(period) if period else 0.0
    if wait_s is None or wait_s > SYNC_PERIOD_MAX_S:
        detail = f"must be a time of at most {SYNC_PERIOD_MAX_S} s, such as 1s or 500ms"
        yield invalid((*where, "minSyncPeriod"), period, detail)
    at = (*where, "nodePortAddresses")
    ranges = texts(options, "nodePortAddresses")
    if len(ranges) > NODE_PORT_RANGES_MAX:
        yield invalid(at, len(ranges), f"must have at most {NODE_PORT_RANGES_MAX} items")
    for index, value in enumerate(ranges):
        if value != PRIMARY:
            yield from rules.any_cidr((*at, index), value)


def _check_overlaps(spec: Json) -> Iterator[Problem]:
    """Ranges of one lab must not share addresses; the one that was written is at fault."""
    ranges: dict[str, Cidr] = {}
    for name, (default, _) in _RANGES.items():
        try:
            ranges[name] = Cidr.parse(text(spec, name) or default)
        except ValueError:
            continue
    for first, second in combinations(ranges, 2):
        if ranges[first].overlaps(ranges[second]):
            wrong, other = (second, first) if second in spec else (first, second)
            note = "" if other in spec else " (the default)"
            detail = f"overlaps {other} {ranges[other]}{note}"
            hint = "pod, service and node addresses need ranges of their own"
            yield invalid((*SPEC, wrong), str(ranges[wrong]), detail, hint)


def _check_backend(spec: Json) -> Iterator[Problem]:
    value, where = spec.get("backend"), (*SPEC, "backend")
    if isinstance(value, str):
        yield from rules.one_of(where, value, BACKENDS)
        if not value:
            yield not_supported(where, value, BACKENDS)
        return
    options = mapping(spec, "backend")
    chosen = [name for name in BACKENDS if name in options]
    if isinstance(value, dict) and not chosen:
        yield required(where, f"one of {', '.join(BACKENDS)}")
    for name in chosen[1:]:
        yield forbidden((*where, name), "only one backend joins the nodes")
    for name in chosen:
        settings = mapping(options, name)
        yield from rules.in_range((*where, name), settings, "vni", 1, VNI_MAX)
        yield from rules.in_range((*where, name), settings, "port", 1, 65535)
