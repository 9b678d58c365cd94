"""What the cells of kubectl's tables say about an object; the columns themselves are in `tables`.

Cells never fail: a field of an unexpected shape counts as absent. The rules are those of the real
API server's printers, so that both clients and eyes find what they know.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from netsim.api.fields import Json, items, mapping, number, strings, text, texts
from netsim.api.meta import labels_of, metadata, name_of

Cell = str | int
NONE = "<none>"
UNKNOWN = "<unknown>"
ROLE_PREFIX = "node-role.kubernetes.io/"
MAX_SHOWN = 3


def spec(obj: Json) -> Json:
    """`spec`."""
    return mapping(obj, "spec")


def status(obj: Json) -> Json:
    """`status`."""
    return mapping(obj, "status")


def joined(values: Iterable[str], empty: str = NONE) -> str:
    """Values with commas, or the word for nothing."""
    return ",".join(values) or empty


def shortened(values: list[str]) -> str:
    """The first three values and how many more there are."""
    shown = ",".join(values[:MAX_SHOWN])
    more = len(values) - MAX_SHOWN
    return f"{shown} + {more} more..." if more > 0 else shown or NONE


def pairs(values: Mapping[str, str]) -> str:
    """Labels as a selector."""
    return joined(f"{k}={v}" for k, v in sorted(values.items()))


def selector(obj: Json) -> str:
    """`spec.selector` of a Deployment or ReplicaSet as text."""
    wanted = mapping(spec(obj), "selector")
    terms = [f"{k}={v}" for k, v in sorted(strings(wanted, "matchLabels").items())]
    for term in items(wanted, "matchExpressions"):
        key, operator = text(term, "key"), text(term, "operator")
        values = joined(sorted(texts(term, "values")), "")
        forms = {"Exists": key, "DoesNotExist": f"!{key}"}
        terms.append(forms.get(operator, f"{key} {operator.lower()} ({values})"))
    return joined(terms)


def condition(obj: Json, kind: str) -> str:
    """The status of a condition, empty when there is none."""
    for entry in items(status(obj), "conditions"):
        if entry.get("type") == kind:
            return text(entry, "status")
    return ""


def address(obj: Json, kind: str) -> str:
    """A node's first address of a kind."""
    found = (a for a in items(status(obj), "addresses") if a.get("type") == kind)
    return next((text(a, "address") for a in found), NONE)


def node_status(obj: Json) -> str:
    """Ready, NotReady or Unknown; with SchedulingDisabled when cordoned."""
    words = {"True": "Ready", "False": "NotReady"}
    ready = words.get(condition(obj, "Ready"), "Unknown")
    return f"{ready},SchedulingDisabled" if spec(obj).get("unschedulable") is True else ready


def node_roles(obj: Json) -> str:
    """The roles that labels give a node."""
    labels = labels_of(obj)
    roles = {k.removeprefix(ROLE_PREFIX) for k in labels if k.startswith(ROLE_PREFIX)}
    if legacy := labels.get("kubernetes.io/role"):
        roles.add(legacy)
    return joined(sorted(filter(None, roles)))


def node_info(obj: Json, field: str) -> str:
    """A field of `status.nodeInfo`."""
    return text(mapping(status(obj), "nodeInfo"), field) or UNKNOWN


def pod_ready(obj: Json) -> str:
    """Ready containers of all: `1/2`."""
    ready = sum(c.get("ready") is True for c in items(status(obj), "containerStatuses"))
    return f"{ready}/{len(items(spec(obj), 'containers'))}"


def pod_restarts(obj: Json) -> int:
    """Restarts of all containers."""
    return sum(number(c, "restartCount") for c in items(status(obj), "containerStatuses"))


def last_restart(obj: Json) -> str:
    """When a container ended last, empty if none did."""
    ends = (
        text(mapping(mapping(c, "lastState"), "terminated"), "finishedAt")
        for c in items(status(obj), "containerStatuses")
    )
    return max(ends, default="")


def pod_status(obj: Json) -> str:
    """The one word about a pod: its phase, or why it is not simply that."""
    phase = text(status(obj), "reason") or text(status(obj), "phase") or "Unknown"
    word = _init_trouble(obj) or _container_word(obj, phase)
    if "deletionTimestamp" in metadata(obj):
        return "Unknown" if text(status(obj), "reason") == "NodeLost" else "Terminating"
    return word


def _init_trouble(obj: Json) -> str:
    statuses = items(status(obj), "initContainerStatuses")
    for done, container in enumerate(statuses):
        state = mapping(container, "state")
        ended = mapping(state, "terminated")
        if ended and number(ended, "exitCode") == 0:
            continue
        if ended:
            return f"Init:{_end_word(ended)}"
        waiting = text(mapping(state, "waiting"), "reason")
        if waiting and waiting != "PodInitializing":
            return f"Init:{waiting}"
        return f"Init:{done}/{len(items(spec(obj), 'initContainers'))}"
    return ""


def _container_word(obj: Json, phase: str) -> str:
    word, running = phase, False
    for container in reversed(items(status(obj), "containerStatuses")):
        state = mapping(container, "state")
        ended = mapping(state, "terminated")
        if waiting := text(mapping(state, "waiting"), "reason"):
            word = waiting
        elif ended:
            word = _end_word(ended)
        elif container.get("ready") is True and mapping(state, "running"):
            running = True
    if word == "Completed" and running:
        return "Running" if condition(obj, "Ready") == "True" else "NotReady"
    return word


def _end_word(ended: Json) -> str:
    if reason := text(ended, "reason"):
        return reason
    signal = number(ended, "signal")
    return f"Signal:{signal}" if signal else f"ExitCode:{number(ended, 'exitCode')}"


def service_ports(obj: Json) -> str:
    """`80/TCP,443:30443/TCP`."""
    return joined(
        f"{number(p, 'port')}"
        + (f":{node_port}" if (node_port := number(p, "nodePort")) else "")
        + f"/{text(p, 'protocol') or 'TCP'}"
        for p in items(spec(obj), "ports")
    )


def external_addresses(obj: Json) -> str:
    """Where a Service is reached from outside."""
    outside = list(texts(spec(obj), "externalIPs"))
    kind = text(spec(obj), "type")
    if kind == "ExternalName":
        return text(spec(obj), "externalName") or NONE
    if kind != "LoadBalancer":
        return joined(outside)
    ingress = items(mapping(status(obj), "loadBalancer"), "ingress")
    given = [text(i, "ip") or text(i, "hostname") for i in ingress]
    return joined([*filter(None, given), *outside], "<pending>")


def slice_ports(obj: Json) -> str:
    """The port numbers of an EndpointSlice."""
    ports = [str(number(p, "port")) for p in items(obj, "ports") if p.get("port") is not None]
    return shortened(ports) if ports else "<unset>"


def slice_endpoints(obj: Json) -> str:
    """The addresses of an EndpointSlice."""
    addresses = [a for e in items(obj, "endpoints") for a in texts(e, "addresses")]
    return shortened(addresses) if addresses else "<unset>"


def endpoints_addresses(obj: Json) -> str:
    """`address:port` of every ready address of an Endpoints object."""
    found = [
        f"{text(a, 'ip')}:{number(p, 'port')}" if p else text(a, "ip")
        for subset in items(obj, "subsets")
        for p in items(subset, "ports") or ({},)
        for a in items(subset, "addresses")
    ]
    return shortened(found)


def containers(obj: Json, field: str) -> str:
    """A field of every container in a template."""
    template = mapping(mapping(spec(obj), "template"), "spec")
    return joined(text(c, field) for c in items(template, "containers"))


def name(obj: Json) -> str:
    """The object's name."""
    return name_of(obj)
