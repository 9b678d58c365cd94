"""What the API refuses about ReplicaSets, Deployments, Nodes and metadata."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from netsim.api import rules
from netsim.api.fields import EMPTY, Json, items, mapping, strings, text, texts
from netsim.api.meta import Kind, suggest
from netsim.api.names import dns_1035_errors, dns_label_errors, dns_subdomain_errors
from netsim.api.pods import POD_IP_ANNOTATION
from netsim.api.problems import (
    Path,
    Problem,
    forbidden,
    invalid,
    required,
    warning,
)
from netsim.api.quantities import PATTERN as QUANTITY_PATTERN
from netsim.api.quantities import is_quantity
from netsim.api.rules_pod import check_template
from netsim.api.selectors import LabelSelector
from netsim.api.workloads import (
    BACKEND_DATA_ANNOTATION,
    EXTERNAL_ANNOTATION,
    GENERATED_ANNOTATION,
    NODE_IP_ANNOTATION,
    PROXY_MODE_ANNOTATION,
    Node,
)

NODE_RANGE_LONGEST = 30
OUR_PREFIX = "netsim.dev/"
OUR_ANNOTATIONS = (
    POD_IP_ANNOTATION,
    NODE_IP_ANNOTATION,
    EXTERNAL_ANNOTATION,
    PROXY_MODE_ANNOTATION,
)
WRITTEN_ANNOTATIONS = (
    GENERATED_ANNOTATION,
    "netsim.dev/last-applied",
    "netsim.dev/last-pod-cidr",
    "netsim.dev/last-reserved-ip",
)
SPEC: Path = ("spec",)

_NAME_RULES = {
    "Service": dns_1035_errors,
    "Namespace": dns_label_errors,
    "Lab": dns_label_errors,
}
_PERCENT = re.compile(r"[0-9]+%")
_MAC = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}")


def check_metadata(obj: Json, kind: Kind) -> Iterator[Problem]:
    """The metadata of any kind."""
    meta, where = mapping(obj, "metadata"), ("metadata",)
    rule = _NAME_RULES.get(kind.name, dns_subdomain_errors)
    name, prefix = text(meta, "name"), text(meta, "generateName")
    if name:
        yield from rules.syntax((*where, "name"), name, rule)
    elif not prefix:
        if kind.name != "Lab":
            yield required((*where, "name"), "name or generateName is required")
    else:
        yield from rules.syntax((*where, "generateName"), f"{prefix}x", rule)
    namespace = text(meta, "namespace")
    if namespace and kind.namespaced:
        yield from rules.syntax((*where, "namespace"), namespace, dns_label_errors)
    elif namespace:
        hint = f"a {kind.name} is in no namespace"
        yield forbidden((*where, "namespace"), "not allowed on this type", hint)
    yield from rules.check_labels((*where, "labels"), strings(meta, "labels"))
    annotations = strings(meta, "annotations")
    yield from rules.check_annotations((*where, "annotations"), annotations)
    for key in annotations:
        if key.startswith(OUR_PREFIX) and key not in (*OUR_ANNOTATIONS, *WRITTEN_ANNOTATIONS):
            near = suggest(key, list(OUR_ANNOTATIONS))
            hint = f"did you mean {near}?" if near else f"known: {', '.join(OUR_ANNOTATIONS)}"
            at = (*where, "annotations", key)
            yield warning(at, "no such annotation", hint).placed_at(at, key=True)


def check_replica_set(obj: Json) -> Iterator[Problem]:
    """A ReplicaSet, and what a Deployment has in common with it."""
    spec = mapping(obj, "spec")
    yield from rules.at_least(SPEC, spec, "replicas minReadySeconds")
    selector, where = mapping(spec, "selector"), (*SPEC, "selector")
    labels = strings(mapping(mapping(spec, "template"), "metadata"), "labels")
    at = (*SPEC, "template", "metadata", "labels")
    wrong = list(rules.label_selector(where, selector))
    yield from wrong
    if "selector" not in spec:
        yield required(where, hint="selector: {matchLabels: ...} with the template's labels")
    elif not mapping(selector, "matchLabels") and not items(selector, "matchExpressions"):
        yield invalid(where, dict(selector), "empty selector is invalid")
    elif not wrong and not LabelSelector.of(selector).matches(labels):
        hint = f"the selector wants {LabelSelector.of(selector)}"
        detail = "`selector` does not match template `labels`"
        yield invalid(at, dict(labels), detail, hint)
    if "template" not in spec:
        yield required((*SPEC, "template"))
    else:
        yield from check_template(mapping(spec, "template"), (*SPEC, "template"))


def check_selector_update(new: Json, old: Json) -> Iterator[Problem]:
    """A changed selector of a ReplicaSet or Deployment."""
    before, after = (mapping(mapping(obj, "spec"), "selector") for obj in (old, new))
    if LabelSelector.of(before) != LabelSelector.of(after):
        hint = "delete the object and create it again"
        yield invalid((*SPEC, "selector"), dict(after), rules.IMMUTABLE, hint)


def check_deployment(obj: Json) -> Iterator[Problem]:
    """A Deployment."""
    yield from check_replica_set(obj)
    spec = mapping(obj, "spec")
    yield from rules.at_least(SPEC, spec, "revisionHistoryLimit progressDeadlineSeconds")
    strategy, where = mapping(spec, "strategy"), (*SPEC, "strategy")
    kind = text(strategy, "type", "RollingUpdate")
    yield from rules.one_of((*where, "type"), kind, ("Recreate", "RollingUpdate"))
    rolling = mapping(strategy, "rollingUpdate")
    if kind == "Recreate" and rolling:
        detail = "may not be specified when strategy `type` is 'Recreate'"
        yield forbidden((*where, "rollingUpdate"), detail)
    for name in ("maxSurge", "maxUnavailable"):
        yield from _check_share((*where, "rollingUpdate", name), rolling.get(name))
    if all(rolling.get(name) in (0, "0%") for name in ("maxSurge", "maxUnavailable")):
        detail = "may not be 0 when `maxSurge` is 0"
        yield invalid((*where, "rollingUpdate", "maxUnavailable"), 0, detail)


def _check_share(where: Path, value: object) -> Iterator[Problem]:
    """A count of pods or a percentage of them."""
    if isinstance(value, int) and value < 0:
        yield invalid(where, value, rules.NOT_NEGATIVE)
    elif isinstance(value, str) and not _PERCENT.fullmatch(value):
        detail = "must be an integer or percentage (e.g '5%')"
        yield invalid(where, value, detail)
    elif isinstance(value, str) and where[-1] == "maxUnavailable" and int(value[:-1]) > 100:
        yield invalid(where, value, "must not be greater than 100%")


def check_node(obj: Json) -> Iterator[Problem]:
    """A Node."""
    spec, where = mapping(obj, "spec"), (*SPEC, "podCIDR")
    pod_cidr, listed = text(spec, "podCIDR"), texts(spec, "podCIDRs")
    if pod_cidr:
        yield from rules.cidr(where, pod_cidr, NODE_RANGE_LONGEST)
    if listed and pod_cidr and listed[0] != pod_cidr:
        detail = "first value must match `podCIDR`"
        yield invalid((*SPEC, "podCIDRs"), list(listed), detail)
    addresses = items(mapping(obj, "status"), "addresses")
    for index, entry in enumerate(addresses):
        at = ("status", "addresses", index, "address")
        address = text(entry, "address")
        if text(entry, "type") == "InternalIP" and ":" not in address:
            yield from rules.endpoint_address(at, address)
    for name, value in mapping(mapping(obj, "status"), "allocatable").items():
        if not is_quantity(value):
            yield invalid(("status", "allocatable", name), value, QUANTITY_PATTERN)
    yield from _check_annotations(obj)


def _check_annotations(obj: Json) -> Iterator[Problem]:
    notes = _annotations(obj)
    where = ("metadata", "annotations")
    mode, at = notes.get(PROXY_MODE_ANNOTATION, ""), (*where, PROXY_MODE_ANNOTATION)
    yield from rules.proxy_mode(at, mode)
    external = notes.get(EXTERNAL_ANNOTATION, "")
    yield from rules.one_of((*where, EXTERNAL_ANNOTATION), external, ("true", "false"))
    if mode and external == "true":
        yield forbidden(at, "an external node's proxy is not the lab's")
    data = notes.get(BACKEND_DATA_ANNOTATION, "")
    if data and not _MAC.fullmatch(text(_parsed(data), "VtepMAC")):
        wanted = 'must be JSON such as {"VNI":1,"VtepMAC":"4e:38:ae:b0:85:95"}'
        yield invalid((*where, BACKEND_DATA_ANNOTATION), data, wanted)
    asked = notes.get(NODE_IP_ANNOTATION, "")
    if asked:
        yield from rules.endpoint_address((*where, NODE_IP_ANNOTATION), asked)
    elif external == "true" and not Node.parse(obj).ip:
        hint = "status: {addresses: [{type: InternalIP, address: ...}]}"
        yield required(("status", "addresses"), "an external node brings its InternalIP", hint)


def _annotations(obj: Json) -> Mapping[str, str]:
    return strings(mapping(obj, "metadata"), "annotations")


def _parsed(data: str) -> Json:
    try:
        value: object = json.loads(data)
    except (ValueError, RecursionError):
        return EMPTY
    return value if isinstance(value, dict) else EMPTY


def check_node_update(new: Json, old: Json) -> Iterator[Problem]:
    """A changed podCIDR: it may be given once; a changed mode of the proxy: it may not."""
    was, wanted = (text(mapping(obj, "spec"), "podCIDR") for obj in (old, new))
    if was and wanted and was != wanted:
        detail = 'node updates may not change podCIDR except from "" to valid'
        yield forbidden((*SPEC, "podCIDRs"), detail).placed_at((*SPEC, "podCIDR"))
    before, after = (_annotations(obj).get(PROXY_MODE_ANNOTATION, "") for obj in (old, new))
    if before != after:
        hint = "delete the node and create it again"
        at = ("metadata", "annotations", PROXY_MODE_ANNOTATION)
        yield invalid(at, after, rules.IMMUTABLE, hint)
