"""Kinds that Kubernetes has and a lab has not, and kinds that nobody has: what to say of them."""

from __future__ import annotations

from collections.abc import Mapping

from netsim.api.meta import KIND_BY_NAME, KINDS, suggest

_NO_PODS = "is not supported yet: its pods are not made"
_REASONS: Mapping[str, str] = {
    "NetworkPolicy": "is not enforced yet: everything is allowed",
    "ConfigMap": "has no effect here: there are no volumes, and no variables from it",
    "Secret": "has no effect here: there are no volumes, and no variables from it",
    **dict.fromkeys(
        ("CronJob", "DaemonSet", "Job", "ReplicationController", "StatefulSet"), _NO_PODS
    ),
}
_LISTED = """
APIService Binding CSIDriver CSINode CSIStorageCapacity CertificateSigningRequest ClusterRole
ClusterRoleBinding ClusterTrustBundle ComponentStatus ConfigMap ControllerRevision CronJob
CustomResourceDefinition DaemonSet DeviceClass Event FlowSchema HorizontalPodAutoscaler
IPAddress Ingress IngressClass Job Lease LeaseCandidate LimitRange MutatingAdmissionPolicy
MutatingAdmissionPolicyBinding MutatingWebhookConfiguration NetworkPolicy PersistentVolume
PersistentVolumeClaim PodDisruptionBudget PodTemplate PriorityClass PriorityLevelConfiguration
ReplicationController ResourceClaim ResourceClaimTemplate ResourceQuota ResourceSlice Role
RoleBinding RuntimeClass Secret ServiceAccount StatefulSet StorageClass
StorageVersion StorageVersionMigration ValidatingAdmissionPolicy
ValidatingAdmissionPolicyBinding ValidatingWebhookConfiguration VolumeAttachment
VolumeAttributesClass
"""
_NAMES = frozenset(_LISTED.split())


def why_ignored(api_version: str, kind: str) -> str:
    """Why an object of this kind is left out; empty when the kind is a mistake instead."""
    if kind in _NAMES:
        return f"{kind} {_REASONS.get(kind, 'has no effect here')}"
    group = api_version.rpartition("/")[0]
    custom = "." in group and not group.endswith(("k8s.io", "netsim.dev"))
    if custom and kind and kind not in KIND_BY_NAME:
        return f"{kind} of {group} has no effect here"
    return ""


def meant(kind: str) -> str:
    """What to write instead of an apiVersion and kind that a lab does not have."""
    known = KIND_BY_NAME.get(kind)
    if known is not None:
        return f"apiVersion: {known.api_version}"
    near = suggest(kind, [k.name for k in KINDS])
    return f"did you mean {near}?" if near else f"kinds: {', '.join(k.name for k in KINDS)}"
