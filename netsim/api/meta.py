"""Kinds, their names and keys: what every object has in common, whatever it holds."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from netsim.api.fields import Json as Json
from netsim.api.fields import mapping, strings, text
from netsim.errors import UsageError

LAB_API_VERSION = "netsim.dev/v1alpha1"
DEFAULT_NAMESPACE = "default"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object that a lab stores, with kubectl's names for it."""

    name: str
    group: str
    version: str
    plural: str
    singular: str
    short_names: tuple[str, ...] = ()
    namespaced: bool = True
    categories: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        """As in a manifest: `v1`, `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def list_name(self) -> str:
        """The kind of a list of these: `PodList`."""
        return f"{self.name}List"

    @property
    def resource(self) -> str:
        """Plural with group, as kubectl prints it: `deployments.apps`, `pods`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


LAB = Kind("Lab", "netsim.dev", "v1alpha1", "labs", "lab", namespaced=False)
NODE = Kind("Node", "", "v1", "nodes", "node", ("no",), namespaced=False)
NAMESPACE = Kind("Namespace", "", "v1", "namespaces", "namespace", ("ns",), namespaced=False)
SERVICE_CIDR = Kind(
    "ServiceCIDR",
    "networking.k8s.io",
    "v1",
    "servicecidrs",
    "servicecidr",
    namespaced=False,
)
POD = Kind("Pod", "", "v1", "pods", "pod", ("po",), categories=("all",))
SERVICE = Kind("Service", "", "v1", "services", "service", ("svc",), categories=("all",))
ENDPOINTS = Kind("Endpoints", "", "v1", "endpoints", "endpoints", ("ep",))
ENDPOINT_SLICE = Kind("EndpointSlice", "discovery.k8s.io", "v1", "endpointslices", "endpointslice")
DEPLOYMENT = Kind(
    "Deployment", "apps", "v1", "deployments", "deployment", ("deploy",), categories=("all",)
)
REPLICA_SET = Kind(
    "ReplicaSet", "apps", "v1", "replicasets", "replicaset", ("rs",), categories=("all",)
)

KINDS: tuple[Kind, ...] = (
    LAB,
    NODE,
    NAMESPACE,
    SERVICE_CIDR,
    POD,
    SERVICE,
    DEPLOYMENT,
    REPLICA_SET,
    ENDPOINTS,
    ENDPOINT_SLICE,
)
"""Every kind there is, in the order in which objects are created and listed."""

KIND_BY_NAME: Mapping[str, Kind] = {kind.name: kind for kind in KINDS}
_BY_TYPE: Mapping[tuple[str, str], Kind] = {(k.api_version, k.name): k for k in KINDS}


class ObjectKey(NamedTuple):
    """Names an object in a store. `namespace` is empty for kinds without one."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        """For messages: `Pod default/web-1`, `Node node1`."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else self.short

    @property
    def short(self) -> str:
        """Without the namespace: `Pod web-1`."""
        return f"{self.kind} {self.name}"


def kind_for(api_version: str, name: str) -> Kind | None:
    """The kind with exactly this apiVersion and kind, None when a lab has none such."""
    return _BY_TYPE.get((api_version, name))


def kind_of(obj: Json) -> Kind:
    """The kind of an object that has passed validation; KeyError when it is not one of ours."""
    return KIND_BY_NAME[text(obj, "kind")]


def find_kind(word: str) -> Kind | None:
    """The kind that kubectl's `TYPE` means, None when it means none.

    Accepts plural, singular and short names and the kind itself in any case, also with group or
    with version and group: `deploy`, `Deployment`, `deployments.apps`, `deployments.v1.apps`.
    """
    name, _, rest = word.lower().partition(".")
    for kind in KINDS:
        if name in (kind.plural, kind.singular, kind.name.lower(), *kind.short_names):
            versioned = ".".join(part for part in (kind.version, kind.group) if part)
            return kind if rest in ("", kind.group, versioned) else None
    return None


def resolve_kind(word: str) -> Kind:
    """`find_kind`, or UsageError with a suggestion."""
    kind = find_kind(word)
    if kind is None:
        near = suggest(
            word.lower().partition(".")[0], [n for k in KINDS for n in (k.plural, k.singular)]
        )
        hint = f"did you mean {near}?" if near else f"one of: {', '.join(k.plural for k in KINDS)}"
        raise UsageError(f'the lab has no resource type "{word}"', hint=hint)
    return kind


def resolve_kinds(words: str) -> tuple[Kind, ...]:
    """Every kind of `pods,svc` or of a category such as `all`, in order, each once."""
    found: dict[str, Kind] = {}
    for word in words.split(","):
        members = [kind for kind in KINDS if word in kind.categories]
        found.update((kind.name, kind) for kind in members or [resolve_kind(word)])
    return tuple(found.values())


def suggest(word: str, known: list[str]) -> str:
    """The known word that `word` was probably meant to be, empty when none is near."""
    lowered = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), list(lowered), n=1, cutoff=0.6)
    return lowered[near[0]] if near else ""


def metadata(obj: Json) -> Json:
    """The object's metadata, empty when it has none."""
    return mapping(obj, "metadata")


def name_of(obj: Json) -> str:
    """metadata.name."""
    return text(metadata(obj), "name")


def namespace_of(obj: Json) -> str:
    """metadata.namespace, empty for objects of cluster-wide kinds."""
    return text(metadata(obj), "namespace")


def labels_of(obj: Json) -> Mapping[str, str]:
    """metadata.labels."""
    return strings(metadata(obj), "labels")


def annotations_of(obj: Json) -> Mapping[str, str]:
    """metadata.annotations."""
    return strings(metadata(obj), "annotations")


def key_of(obj: Json) -> ObjectKey:
    """The object's key; a namespaced kind without a namespace is in `default`."""
    name = text(obj, "kind")
    kind = KIND_BY_NAME.get(name)
    if kind is not None and not kind.namespaced:
        return ObjectKey(name, "", name_of(obj))
    return ObjectKey(name, namespace_of(obj) or DEFAULT_NAMESPACE, name_of(obj))
