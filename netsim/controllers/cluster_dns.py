"""The cluster's DNS as objects, where the Lab asks for it: a Service of every node's own answerer.

What answers is `netsim/lab/dns_server.py`, on each node at its InternalIP; traffic stays on the
node. A Service of this name that the user has brought is left alone, and so is its DNS.
"""

from __future__ import annotations

from netsim.api.addresses import format_address
from netsim.api.defaults import with_defaults
from netsim.api.fields import Json, flag
from netsim.api.lab_spec import DNS_NAME, DNS_NAMESPACE, Lab
from netsim.api.meta import ObjectKey, labels_of, name_of
from netsim.controllers.base import Create, Delete, Pass, Update, Write, lab_of
from netsim.controllers.nodes import internal_ip, is_external
from netsim.controllers.objects import spec
from netsim.controllers.slices import MANAGED_BY, SERVICE_NAME
from netsim.store.base import View

PORT = 10053  # on nodes
MANAGER = "cluster-dns.netsim.dev"
PER_SLICE = 1000
PORTS = (("dns", "UDP"), ("dns-tcp", "TCP"))


def cluster_dns(p: Pass) -> list[Write]:
    """The Service if there is none, and slices with the nodes that are up."""
    if not any(flag(spec(lab), "clusterDNS") for lab in p.view.list("Lab")):
        return []  # before the whole Lab is read: each change of endpoints comes by here
    lab = lab_of(p.view)
    if lab is None:
        return []
    stored = p.view.get(ObjectKey("Service", DNS_NAMESPACE, DNS_NAME))
    if stored is None:
        return [Create(_service(lab))]
    wanted = _slices(p) if labels_of(stored).get(MANAGED_BY) == MANAGER else {}
    return [*_written(p.view, wanted), *_removed(p.view, wanted)]


def _service(lab: Lab) -> dict[str, object]:
    address = format_address(lab.dns_address)
    return with_defaults(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": DNS_NAME,
                "namespace": DNS_NAMESPACE,
                "labels": {"k8s-app": DNS_NAME, MANAGED_BY: MANAGER},
            },
            "spec": {
                "clusterIP": address,
                "clusterIPs": [address],
                "internalTrafficPolicy": "Local",
                "ports": [
                    {"name": name, "port": 53, "protocol": protocol, "targetPort": PORT}
                    for name, protocol in PORTS
                ],
            },
        }
    )


def _slices(p: Pass) -> dict[str, Json]:
    nodes = [n for n in p.view.list("Node") if name_of(n) in p.nodes_up and not is_external(n)]
    endpoints = [
        {"addresses": [internal_ip(n)], "nodeName": name_of(n), "conditions": {"ready": True}}
        for n in nodes
        if internal_ip(n)
    ]
    return {
        f"{DNS_NAME}-{number}": {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": f"{DNS_NAME}-{number}",
                "namespace": DNS_NAMESPACE,
                "labels": {SERVICE_NAME: DNS_NAME, MANAGED_BY: MANAGER},
            },
            "addressType": "IPv4",
            "ports": [{"name": n, "port": PORT, "protocol": proto} for n, proto in PORTS],
            "endpoints": endpoints[first : first + PER_SLICE],
        }
        for number, first in enumerate(range(0, len(endpoints), PER_SLICE))
    }


def _written(view: View, wanted: dict[str, Json]) -> list[Write]:
    writes: list[Write] = []
    for name, obj in wanted.items():
        stored = view.get(ObjectKey("EndpointSlice", DNS_NAMESPACE, name))
        if stored is None:
            writes.append(Create(obj))
        elif stored.get("endpoints") != obj["endpoints"]:
            writes.append(Update({**stored, "endpoints": obj["endpoints"]}))
    return writes


def _removed(view: View, wanted: dict[str, Json]) -> list[Write]:
    return [
        Delete(ObjectKey("EndpointSlice", DNS_NAMESPACE, name_of(slice_)))
        for slice_ in view.list("EndpointSlice", DNS_NAMESPACE)
        if labels_of(slice_).get(MANAGED_BY) == MANAGER and name_of(slice_) not in wanted
    ]
