"""Where resources live in URLs: the one rule that the server's routes and the client share."""

from __future__ import annotations

from urllib.parse import quote

from netsim.api.meta import Kind

# subresources that each kind has beside itself; "status" means that the main resource keeps status
SUBRESOURCES: dict[str, tuple[str, ...]] = {
    "Lab": ("status",),
    "Node": ("status",),
    "Namespace": ("status",),
    "ServiceCIDR": ("status",),
    "Pod": ("status", "log", "binding", "eviction", "proxy"),
    "Service": ("status", "proxy"),
    "Deployment": ("status", "scale"),
    "ReplicaSet": ("status", "scale"),
}


def has_status(kind: Kind) -> bool:
    """Whether status is written through its own subresource."""
    return "status" in SUBRESOURCES.get(kind.name, ())


def prefix(kind: Kind) -> str:
    """`/api/v1` or `/apis/GROUP/VERSION`."""
    return f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"


def collection_path(kind: Kind, namespace: str | None = None) -> str:
    """All objects of a kind; of one namespace, unless None or the kind has no namespaces."""
    if namespace is None or not kind.namespaced:
        return f"{prefix(kind)}/{kind.plural}"
    return f"{prefix(kind)}/namespaces/{quote(namespace, safe='')}/{kind.plural}"


def object_path(kind: Kind, namespace: str, name: str, subresource: str = "") -> str:
    """One object, or a part of it."""
    path = f"{collection_path(kind, namespace)}/{quote(name, safe='')}"
    return f"{path}/{subresource}" if subresource else path
