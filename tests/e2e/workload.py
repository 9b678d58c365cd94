"""Deployments of answerers, and what runs of them."""

from __future__ import annotations

from netsim import Lab
from netsim.api.fields import Json, items, mapping, number, text, texts
from netsim.api.meta import name_of
from tests.e2e.world import eventually

WEB_IP = "10.96.0.80"
HTTP, WORDS = 80, 53  # the web Service's ports


def deployment(name: str, replicas: int, **container: object) -> Json:
    """Pods of one container that answers HTTP on 8080 and datagrams on 8081, on any node."""
    ports = [{"containerPort": 8080}, {"containerPort": 8081, "protocol": "UDP"}]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "main", "ports": ports, **container}]},
            },
        },
    }


def pods(lab: Lab, app: str) -> list[Json]:
    """The pods of a deployment, those that are ending too."""
    return lab.objects("pod", "default", f"app={app}")


def uids(lab: Lab) -> dict[str, str]:
    """The uid of each pod, by name."""
    return {name_of(p): text(mapping(p, "metadata"), "uid") for p in lab.objects("pod")}


def is_ready(pod: Json) -> bool:
    """Whether a pod's containers are ready."""
    statuses = items(mapping(pod, "status"), "containerStatuses")
    return bool(statuses) and all(s.get("ready") is True for s in statuses)


def restarts(pod: Json) -> int:
    """How often the pod's container was started again."""
    (status,) = items(mapping(pod, "status"), "containerStatuses")
    return number(status, "restartCount")


def addresses(lab: Lab, service: str) -> set[str]:
    """The ready endpoints of a service."""
    slices = lab.objects("endpointslice", "default", f"kubernetes.io/service-name={service}")
    return {
        address
        for found in slices
        for endpoint in items(found, "endpoints")
        if mapping(endpoint, "conditions").get("ready") is True
        for address in texts(endpoint, "addresses")
    }


def settled(lab: Lab, app: str, replicas: int) -> set[str]:
    """Wait until exactly that many pods are there and all are ready; their names."""

    def check() -> tuple[set[str]] | None:
        found = pods(lab, app)
        good = len(found) == replicas and all(map(is_ready, found))
        return ({name_of(p) for p in found},) if good else None

    return eventually(check, f"{replicas} pods of {app}")[0]
