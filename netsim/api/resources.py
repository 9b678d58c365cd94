"""Every typed resource in one place: import them from here.

Each class has `parse(obj)`, total for objects that have passed validation, and the properties of
`Resource`: `meta`, `name`, `namespace`, `labels`, `key`.
"""

from __future__ import annotations

from netsim.api.lab_spec import BackendSpec, Lab
from netsim.api.object_meta import Metadata, Owner, Resource
from netsim.api.pods import (
    POD_IP_ANNOTATION,
    Condition,
    Container,
    ContainerPort,
    EnvVar,
    Pod,
    PodSpec,
    PodTemplate,
    Probe,
)
from netsim.api.service_cidrs import ServiceCIDR
from netsim.api.services import (
    SERVICE_NAME_LABEL,
    Endpoint,
    EndpointAddress,
    EndpointPort,
    Endpoints,
    EndpointSlice,
    EndpointSubset,
    Service,
    ServicePort,
)
from netsim.api.workloads import (
    BACKEND_DATA_ANNOTATION,
    EXTERNAL_ANNOTATION,
    NODE_IP_ANNOTATION,
    Deployment,
    Namespace,
    Node,
    ReplicaSet,
)

__all__ = [
    "BACKEND_DATA_ANNOTATION",
    "EXTERNAL_ANNOTATION",
    "NODE_IP_ANNOTATION",
    "POD_IP_ANNOTATION",
    "SERVICE_NAME_LABEL",
    "BackendSpec",
    "Condition",
    "Container",
    "ContainerPort",
    "Deployment",
    "Endpoint",
    "EndpointAddress",
    "EndpointPort",
    "EndpointSlice",
    "EndpointSubset",
    "Endpoints",
    "EnvVar",
    "Lab",
    "Metadata",
    "Namespace",
    "Node",
    "Owner",
    "Pod",
    "PodSpec",
    "PodTemplate",
    "Probe",
    "ReplicaSet",
    "Resource",
    "Service",
    "ServiceCIDR",
    "ServicePort",
]
