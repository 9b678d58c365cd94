"""Services and what is behind them: selectors that match nothing, target ports that no pod has.

All are warnings: Kubernetes accepts these objects, and pods may come later.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping

from netsim.api.fields import Json
from netsim.api.lab_spec import Lab
from netsim.api.located import Findings, Located
from netsim.api.meta import ObjectKey
from netsim.api.pods import Pod, PodSpec
from netsim.api.problems import warning
from netsim.api.services import Endpoints, EndpointSlice, Service, ServicePort
from netsim.api.workloads import Deployment, ReplicaSet


class PodIndex:
    """Pods and pod templates by namespace and label, to find a selector's matches quickly."""

    def __init__(self, objects: Mapping[ObjectKey, Located]) -> None:
        self.specs: list[PodSpec] = []
        self._by_label: dict[tuple[str, str, str], set[int]] = defaultdict(set)
        for key, item in objects.items():
            if key.kind == "Pod":
                pod = Pod.parse(item.obj)
                self._add(key.namespace, pod.labels, pod.spec)
            elif key.kind in _PARSERS:
                template = _PARSERS[key.kind](item.obj).template
                self._add(key.namespace, template.labels, template.spec)

    def _add(self, namespace: str, labels: Mapping[str, str], spec: PodSpec) -> None:
        for name, value in labels.items():
            self._by_label[namespace, name, value].add(len(self.specs))
        self.specs.append(spec)

    def matching(self, namespace: str, selector: Mapping[str, str]) -> list[PodSpec]:
        """What pods of the namespace have all these labels."""
        sets = [self._by_label.get((namespace, k, v), set()) for k, v in selector.items()]
        sets.sort(key=len)
        return [self.specs[index] for index in sorted(sets[0].intersection(*sets[1:]))]


_PARSERS: Mapping[str, Callable[[Json], Deployment | ReplicaSet]] = {
    "Deployment": Deployment.parse,
    "ReplicaSet": ReplicaSet.parse,
}


def check_services(objects: Mapping[ObjectKey, Located], lab: Lab) -> Findings:
    """Selectors, target ports, names without a DNS, slices and Endpoints of Services not there."""
    index = PodIndex(objects)
    for key, item in objects.items():
        if key.kind == "Service":
            service = Service.parse(item.obj)
            if service.type == "ExternalName" and not lab.cluster_dns:
                hint = "the Lab's spec.clusterDNS: true starts one"
                message = "ExternalName has no effect: this lab has no DNS server"
                yield item, warning(("spec", "type"), message, hint)
            yield from _check_service(item, service, index)
        elif key.kind == "EndpointSlice":
            name = EndpointSlice.parse(item.obj).service
            label = ("metadata", "labels", "kubernetes.io/service-name")
            if not name:
                hint = "the label kubernetes.io/service-name says which"
                yield item, warning(("metadata", "labels"), "the slice belongs to no Service", hint)
            elif ObjectKey("Service", key.namespace, name) not in objects:
                yield item, warning(label, f'there is no Service "{name}" in this namespace')
        elif key.kind == "Endpoints":
            yield from _check_endpoints(item, objects)


def _check_endpoints(item: Located, objects: Mapping[ObjectKey, Located]) -> Findings:
    """An Endpoints object serves the Service of its name, if that has no selector."""
    endpoints = Endpoints.parse(item.obj)
    service = objects.get(ObjectKey("Service", endpoints.namespace, endpoints.name))
    if service is None:
        message = f'there is no Service "{endpoints.name}" in this namespace'
        yield item, warning(("metadata", "name"), message)
    elif Service.parse(service.obj).selector and endpoints.subsets:
        message = f'replaced: the selector of Service "{endpoints.name}" decides'
        yield item, warning(("subsets",), message, "remove the selector to set endpoints by hand")


def _check_service(item: Located, service: Service, index: PodIndex) -> Findings:
    if service.type == "ExternalName" or not service.selector:
        return
    found = index.matching(service.namespace, service.selector)
    if not found:
        yield item, warning(("spec", "selector"), *_nothing(service, index))
        return
    for number, port in enumerate(service.ports):
        where = ("spec", "ports", number, "targetPort" if port.target != port.port else "port")
        if isinstance(port.target, str):
            if all(spec.resolve_port(port.target, port.protocol) is None for spec in found):
                message = f'no pod it selects has a {port.protocol} port named "{port.target}"'
                yield item, warning(where, message, _declared(found, port))
        elif not any(_answers(spec, port.target, port.protocol) for spec in found):
            message = (
                f"nothing listens on {port.protocol} port {port.target} in the pods it selects"
            )
            hint = _declared(found, port)
            yield item, warning(where, message, hint or "the built-in answerer needs containerPort")


def _nothing(service: Service, index: PodIndex) -> tuple[str, str]:
    """Message and hint about a selector that matches no pod."""
    assert service.selector is not None
    for name, value in service.selector.items():
        if not index.matching(service.namespace, {name: value}):
            wrong = f"{name}={value}"
            break
    else:
        return "matches no pod", "no pod has all of its labels together"
    return "matches no pod", f"no pod in namespace {service.namespace} is labelled {wrong}"


def _answers(spec: PodSpec, port: int, protocol: str) -> bool:
    """Whether a pod may listen on the port: who runs a program of its own may always."""
    return any(
        container.command or any(p.port == port and p.protocol == protocol for p in container.ports)
        for container in spec.containers
    )


def _declared(found: list[PodSpec], port: ServicePort) -> str:
    """The container ports that could have been meant."""
    ports = {
        f"{p.name} ({p.port})" if p.name else str(p.port)
        for spec in found[:8]
        for container in spec.containers
        for p in container.ports
        if p.protocol == port.protocol
    }
    return f"they have {', '.join(sorted(ports))}" if ports else ""
