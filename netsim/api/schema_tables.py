"""The fields of every kind: those of Kubernetes 1.33's API at the levels that a lab reads.

Below an ignored field anything goes. A table lists what is used first, then what is accepted
without effect (with the reason, when it is not obvious), then what API servers fill in.
"""

from __future__ import annotations

from collections.abc import Mapping

from netsim.api.schema import (
    BOOLEAN,
    INT_OR_STRING,
    INTEGER,
    INTEGER64,
    STRING,
    ListOf,
    MapOf,
    Record,
    Type,
    ignored,
    record,
    silent,
    word,
)
from netsim.api.schema_lab import LAB_SPEC

STRINGS = ListOf(STRING)
STRING_MAP = MapOf(STRING)
TYPE_META: Mapping[str, Type] = {"apiVersion": STRING, "kind": STRING}

OWNER_REFERENCE = record(
    "OwnerReference",
    {
        "apiVersion": STRING,
        "kind": STRING,
        "name": STRING,
        "uid": STRING,
        "controller": BOOLEAN,
        "blockOwnerDeletion": BOOLEAN,
    },
)
OBJECT_META = record(
    "ObjectMeta",
    {
        "name": STRING,
        "generateName": STRING,
        "namespace": STRING,
        "labels": STRING_MAP,
        "annotations": STRING_MAP,
        "ownerReferences": ListOf(OWNER_REFERENCE),
        "finalizers": STRINGS,
    },
    silent(
        "creationTimestamp deletionGracePeriodSeconds deletionTimestamp generation managedFields"
        " resourceVersion selfLink uid clusterName"
    ),
)
LABEL_SELECTOR = record(
    "LabelSelector",
    {
        "matchLabels": STRING_MAP,
        "matchExpressions": ListOf(
            record(
                "LabelSelectorRequirement", {"key": STRING, "operator": STRING, "values": STRINGS}
            )
        ),
    },
)
OBJECT_REFERENCE = record(
    "ObjectReference",
    {
        "apiVersion": STRING,
        "kind": STRING,
        "name": STRING,
        "namespace": STRING,
        "fieldPath": STRING,
        "resourceVersion": STRING,
        "uid": STRING,
    },
)

HTTP_GET = record(
    "HTTPGetAction",
    {
        "path": STRING,
        "port": INT_OR_STRING,
        "host": STRING,
        "scheme": word("HTTP", "HTTPS"),
        "httpHeaders": ListOf(record("HTTPHeader", {"name": STRING, "value": STRING})),
    },
)
PROBE = record(
    "Probe",
    {
        "httpGet": HTTP_GET,
        "tcpSocket": record("TCPSocketAction", {"port": INT_OR_STRING, "host": STRING}),
        "exec": record("ExecAction", {"command": STRINGS}),
        "initialDelaySeconds": INTEGER,
        "periodSeconds": INTEGER,
        "timeoutSeconds": INTEGER,
        "successThreshold": INTEGER,
        "failureThreshold": INTEGER,
    },
    ignored("grpc", "gRPC probes are not supported; the container counts as ready"),
    ignored("terminationGracePeriodSeconds"),
)
PROTOCOL = word("TCP", "UDP", "SCTP")
CONTAINER_PORT = record(
    "ContainerPort",
    {
        "name": STRING,
        "containerPort": INTEGER,
        "protocol": PROTOCOL,
        "hostPort": INTEGER,
        "hostIP": STRING,
    },
)
ENV_VAR = record(
    "EnvVar",
    {
        "name": STRING,
        "value": STRING,
        "valueFrom": record(
            "EnvVarSource",
            {
                "fieldRef": record(
                    "ObjectFieldSelector", {"apiVersion": STRING, "fieldPath": STRING}
                )
            },
            ignored(
                "configMapKeyRef resourceFieldRef secretKeyRef",
                "there are no such objects here; the variable is empty",
            ),
        ),
    },
)
CONTAINER = record(
    "Container",
    {
        "name": STRING,
        "command": STRINGS,
        "args": STRINGS,
        "workingDir": STRING,
        "ports": ListOf(CONTAINER_PORT),
        "env": ListOf(ENV_VAR),
        "readinessProbe": PROBE,
    },
    ignored(
        "image",
        "programs come from this machine; without a command the built-in answerer serves the ports",
    ),
    ignored("livenessProbe startupProbe", "only readiness probes run"),
    ignored(
        "volumeMounts volumeDevices", "there are no volumes; programs see this machine's files"
    ),
    ignored("resources", "programs run without limits"),
    ignored("envFrom", "there are no ConfigMaps or Secrets here"),
    ignored("lifecycle", "hooks do not run"),
    silent("imagePullPolicy terminationMessagePath terminationMessagePolicy"),
    ignored("resizePolicy restartPolicy securityContext stdin stdinOnce tty"),
)
DEFAULT_TOLERATIONS = [
    {
        "effect": "NoExecute",
        "key": f"node.kubernetes.io/{trouble}",
        "operator": "Exists",
        "tolerationSeconds": 300,
    }
    for trouble in ("not-ready", "unreachable")
]
POD_SPEC = record(
    "PodSpec",
    {
        "containers": ListOf(CONTAINER),
        "nodeName": STRING,
        "nodeSelector": STRING_MAP,
        "hostname": STRING,
        "subdomain": STRING,
        "hostNetwork": BOOLEAN,
        "restartPolicy": word("Always", "OnFailure", "Never"),
        "terminationGracePeriodSeconds": INTEGER64,
        "readinessGates": ListOf(record("PodReadinessGate", {"conditionType": STRING})),
    },
    ignored("initContainers", "init containers do not run"),
    ignored("ephemeralContainers", "debug containers do not run"),
    ignored("volumes", "there are no volumes; programs see this machine's files"),
    ignored("affinity topologySpreadConstraints", "pods are spread evenly over nodes"),
    ignored("tolerations", "nodes have no taints", default=DEFAULT_TOLERATIONS),
    ignored("dnsPolicy", default="ClusterFirst"),
    ignored("schedulerName", default="default-scheduler"),
    ignored("enableServiceLinks automountServiceAccountToken", default=True),
    ignored("serviceAccount serviceAccountName", default="default"),
    ignored("preemptionPolicy", default="PreemptLowerPriority"),
    ignored("priority", default=0),
    ignored("hostIPC hostPID", "pods share the lab's own process namespace"),
    ignored(
        "activeDeadlineSeconds dnsConfig hostAliases hostUsers imagePullSecrets os overhead"
        " priorityClassName resourceClaims resources runtimeClassName schedulingGates"
        " securityContext setHostnameAsFQDN shareProcessNamespace"
    ),
)
POD_TEMPLATE = record("PodTemplateSpec", {"metadata": OBJECT_META, "spec": POD_SPEC})

SERVICE_SPEC = record(
    "ServiceSpec",
    {
        "type": word("ClusterIP", "NodePort", "LoadBalancer", "ExternalName"),
        "selector": STRING_MAP,
        "clusterIP": STRING,
        "clusterIPs": STRINGS,
        "ports": ListOf(
            record(
                "ServicePort",
                {
                    "name": STRING,
                    "protocol": PROTOCOL,
                    "port": INTEGER,
                    "targetPort": INT_OR_STRING,
                    "nodePort": INTEGER,
                    "appProtocol": STRING,
                },
            )
        ),
        "sessionAffinity": word("None", "ClientIP"),
        "sessionAffinityConfig": record(
            "SessionAffinityConfig",
            {"clientIP": record("ClientIPConfig", {"timeoutSeconds": INTEGER})},
        ),
        "publishNotReadyAddresses": BOOLEAN,
        "externalName": STRING,
        "externalIPs": STRINGS,
        "externalTrafficPolicy": word("Cluster", "Local"),
        "internalTrafficPolicy": word("Cluster", "Local"),
        "ipFamilies": STRINGS,
        "ipFamilyPolicy": STRING,
        "trafficDistribution": STRING,
        "allocateLoadBalancerNodePorts": BOOLEAN,
        "healthCheckNodePort": INTEGER,
        "loadBalancerSourceRanges": STRINGS,
        "loadBalancerClass": STRING,
        "loadBalancerIP": STRING,
    },
)

NODE_SPEC = record(
    "NodeSpec",
    {"podCIDR": STRING, "podCIDRs": STRINGS, "unschedulable": BOOLEAN},
    ignored("taints", "every node takes pods"),
    silent("configSource externalID providerID"),
)
CONDITIONS = ListOf(
    record(
        "Condition",
        {"type": STRING, "status": STRING, "reason": STRING, "message": STRING},
        silent("lastTransitionTime lastHeartbeatTime lastProbeTime lastUpdateTime")
        | silent("observedGeneration"),
    )
)
NODE_STATUS = record(
    "NodeStatus",
    {
        "addresses": ListOf(record("NodeAddress", {"type": STRING, "address": STRING})),
        "conditions": CONDITIONS,
        "allocatable": MapOf(INT_OR_STRING),
    },
    silent(
        "capacity config daemonEndpoints features images nodeInfo phase runtimeHandlers"
        " volumesAttached volumesInUse"
    ),
)

REPLICA_SET_SPEC = record(
    "ReplicaSetSpec",
    {
        "replicas": INTEGER,
        "minReadySeconds": INTEGER,
        "selector": LABEL_SELECTOR,
        "template": POD_TEMPLATE,
    },
)
DEPLOYMENT_SPEC = record(
    "DeploymentSpec",
    {
        **{name: field.type for name, field in REPLICA_SET_SPEC.fields.items()},
        "strategy": record(
            "DeploymentStrategy",
            {
                "type": word("RollingUpdate", "Recreate"),
                "rollingUpdate": record(
                    "RollingUpdateDeployment",
                    {"maxSurge": INT_OR_STRING, "maxUnavailable": INT_OR_STRING},
                ),
            },
        ),
        "revisionHistoryLimit": INTEGER,
        "progressDeadlineSeconds": INTEGER,
        "paused": BOOLEAN,
    },
)

ENDPOINT = record(
    "Endpoint",
    {
        "addresses": STRINGS,
        "conditions": record(
            "EndpointConditions", {"ready": BOOLEAN, "serving": BOOLEAN, "terminating": BOOLEAN}
        ),
        "hostname": STRING,
        "nodeName": STRING,
        "zone": STRING,
        "targetRef": OBJECT_REFERENCE,
        "hints": record(
            "EndpointHints",
            {
                "forZones": ListOf(record("ForZone", {"name": STRING})),
                "forNodes": ListOf(record("ForNode", {"name": STRING})),
            },
        ),
    },
    silent("deprecatedTopology"),
)
ENDPOINT_PORT = record(
    "EndpointPort", {"name": STRING, "port": INTEGER, "protocol": PROTOCOL, "appProtocol": STRING}
)
ENDPOINT_ADDRESS = record(
    "EndpointAddress",
    {"ip": STRING, "hostname": STRING, "nodeName": STRING, "targetRef": OBJECT_REFERENCE},
)
ENDPOINT_SUBSET = record(
    "EndpointSubset",
    {
        "addresses": ListOf(ENDPOINT_ADDRESS),
        "notReadyAddresses": ListOf(ENDPOINT_ADDRESS),
        "ports": ListOf(ENDPOINT_PORT),
    },
)


def _kind(name: str, **fields: Type) -> Record:
    status = silent("status") if "status" not in fields else {}
    return record(name, {**TYPE_META, "metadata": OBJECT_META, **fields}, status)


KIND_TABLES: Mapping[str, Record] = {
    "Lab": _kind("Lab", spec=LAB_SPEC),
    "Node": _kind("Node", spec=NODE_SPEC, status=NODE_STATUS),
    "Namespace": _kind("Namespace", spec=record("NamespaceSpec", {}, silent("finalizers"))),
    "ServiceCIDR": _kind(
        "ServiceCIDR",
        spec=record("ServiceCIDRSpec", {"cidrs": STRINGS}),
        status=record("ServiceCIDRStatus", {"conditions": CONDITIONS}),
    ),
    "Pod": _kind("Pod", spec=POD_SPEC),
    "Service": _kind("Service", spec=SERVICE_SPEC),
    "ReplicaSet": _kind("ReplicaSet", spec=REPLICA_SET_SPEC),
    "Deployment": _kind("Deployment", spec=DEPLOYMENT_SPEC),
    "EndpointSlice": record(
        "EndpointSlice",
        {
            **TYPE_META,
            "metadata": OBJECT_META,
            "addressType": word("IPv4", "IPv6", "FQDN"),
            "endpoints": ListOf(ENDPOINT),
            "ports": ListOf(ENDPOINT_PORT),
        },
    ),
    "Endpoints": record(
        "Endpoints", {**TYPE_META, "metadata": OBJECT_META, "subsets": ListOf(ENDPOINT_SUBSET)}
    ),
}
"""What each kind may hold."""
