"""Controllers: functions from a view of the store to writes and rows. See README.md."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from netsim.backends.base import Backend
from netsim.controllers.balancers import balancers
from netsim.controllers.base import Controller, PodPart, Quiet
from netsim.controllers.cluster_dns import cluster_dns
from netsim.controllers.deployments import deployments
from netsim.controllers.endpoints import Endpoints
from netsim.controllers.ipam import ipam
from netsim.controllers.namespaces import namespaces
from netsim.controllers.nodes import lost_pods, nodes
from netsim.controllers.objects import placement
from netsim.controllers.replicasets import next_available_s, replica_sets
from netsim.controllers.scheduler import scheduler
from netsim.controllers.service_cidrs import service_cidrs


def all_controllers(backends: Mapping[str, Backend]) -> list[Controller]:
    """Every controller, in the order in which each finds most of what it needs in one round.

    They keep caches: make them once per process and pass them to `base.settle` again and again.
    """
    placed = PodPart(placement)
    return [
        namespaces,
        Quiet(service_cidrs, "Lab", "ServiceCIDR", "Service"),
        Quiet(partial(nodes, backends=backends), "Lab", "Node"),
        Quiet(cluster_dns, "Lab", "Node", "Service", "EndpointSlice"),
        Quiet(lost_pods, "Node", of_pods=placed),
        Quiet(deployments, "Deployment", "ReplicaSet", "Pod"),
        Quiet(replica_sets, "ReplicaSet", "Pod", due=next_available_s),
        Quiet(scheduler, "Node", of_pods=placed),
        Quiet(ipam, "Node", of_pods=placed),
        Quiet(balancers, "Lab", "Service"),
        Endpoints(),
    ]
