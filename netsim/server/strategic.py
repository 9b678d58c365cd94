"""Strategic merge patch: Kubernetes' merge of objects whose lists have keys.

The rules are those of apimachinery `pkg/util/strategicpatch`: objects merge, null removes, lists of
MERGE_KEYS merge by key, other lists are replaced. Directives: `$patch: delete | replace | merge`,
`$retainKeys`, `$setElementOrder/LIST`, `$deleteFromPrimitiveList/LIST`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from netsim.store.errors import bad_request
from netsim.store.lifecycle import same

Path = tuple[str, ...]

PATCH, RETAIN = "$patch", "$retainKeys"
ORDER, REMOVE = "$setElementOrder/", "$deleteFromPrimitiveList/"

# lists of objects that merge, with the field that tells their elements apart
EVERY_KIND: Mapping[Path, str] = {
    ("metadata", "ownerReferences"): "uid",
    ("status", "conditions"): "type",
}
_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
_IN_CONTAINER = (
    ("ports", "containerPort"),
    ("env", "name"),
    ("volumeMounts", "mountPath"),
    ("volumeDevices", "devicePath"),
)
MERGE_KEYS: Mapping[str, Mapping[Path, str]] = {
    "Pod": {
        **{("spec", c): "name" for c in _CONTAINERS},
        **{("spec", c, field): key for c in _CONTAINERS for field, key in _IN_CONTAINER},
        ("spec", "volumes"): "name",
        ("spec", "imagePullSecrets"): "name",
        ("spec", "hostAliases"): "ip",
        ("spec", "topologySpreadConstraints"): "topologyKey",
        ("status", "podIPs"): "ip",
    },
    "Service": {("spec", "ports"): "port"},
    "Node": {("status", "addresses"): "type"},
}
# lists of plain values that merge as sets
MERGED_VALUES = frozenset({("metadata", "finalizers"), ("spec", "podCIDRs")})
TEMPLATE: Path = ("spec", "template")


def strategic_merge(target: object, patch: object, kind: str) -> object:
    """`target` with the patch applied. ApiError 400 for a patch that makes no sense."""
    if not isinstance(patch, dict) or not isinstance(target, dict):
        raise bad_request("a strategic merge patch is an object")
    merged = _object(target, patch, (), kind)
    if merged is None:
        raise bad_request("a patch cannot delete the whole object")
    return merged


def merge_key(path: Path, kind: str) -> str | None:
    """The field that tells the elements of the list at `path` apart, None if it does not merge."""
    if path[:2] == TEMPLATE:
        return merge_key(path[2:], "Pod")
    return EVERY_KIND.get(path) or MERGE_KEYS.get(kind, {}).get(path)


def _object(
    target: Mapping[str, object], patch: Mapping[str, object], path: Path, kind: str
) -> dict[str, object] | None:
    directive = patch.get(PATCH, "merge")
    if directive == "delete":
        return None
    if directive == "replace":
        return {k: v for k, v in patch.items() if k != PATCH}
    if directive != "merge":
        raise bad_request(f"unknown value of $patch: {directive!r}")
    merged = dict(target)
    for key, value in patch.items():
        if not key.startswith("$"):
            _member(merged, key, value, patch, (*path, key), kind)
    for key in patch:
        _list_directive(merged, key, patch, (*path, key.rpartition("/")[2]), kind)
    if RETAIN in patch:
        kept = _list_of(patch, RETAIN)
        return {k: v for k, v in merged.items() if k in kept}
    return merged


def _member(
    merged: dict[str, object],
    key: str,
    value: object,
    patch: Mapping[str, object],
    path: Path,
    kind: str,
) -> None:
    """Merge one member of a patch into an object."""
    old = merged.get(key)
    if value is None:
        merged.pop(key, None)
    elif isinstance(value, dict):
        new = _object(old if isinstance(old, dict) else {}, value, path, kind)
        if new is None:
            merged.pop(key, None)
        else:
            merged[key] = new
    elif isinstance(value, list):
        merged[key] = _list(old if isinstance(old, list) else [], value, path, kind)
    else:
        merged[key] = value


def _list(target: Sequence[object], patch: Sequence[object], path: Path, kind: str) -> list[object]:
    key = merge_key(path, kind)
    if key is not None:
        return _keyed(target, patch, key, path, kind)
    if path in MERGED_VALUES:
        return [*target, *(v for v in patch if v not in target)]
    stripped = [_stripped(v, path, kind) for v in patch]
    return [v for v in stripped if v is not None]


def _keyed(
    target: Sequence[object], patch: Sequence[object], key: str, path: Path, kind: str
) -> list[object]:
    elements = [_element(e, key, path) for e in patch]
    if any(e.get(PATCH) == "replace" for e in elements):
        target = []
        elements = [e for e in elements if e.get(PATCH) != "replace"]
    merged = list(target)
    for element in elements:
        at = _index(merged, key, element[key])
        old = merged[at] if at is not None else {}
        new = _object(old if isinstance(old, dict) else {}, element, path, kind)
        if new is None:
            merged = [e for e in merged if not _has(e, key, element[key])]
        elif at is None:
            merged.append(new)
        else:
            merged[at] = new
    return merged


def _element(value: object, key: str, path: Path) -> dict[str, object]:
    if isinstance(value, dict) and (key in value or value.get(PATCH) == "replace"):
        return value
    raise bad_request(f"{'.'.join(path)}: each element of the patch must be an object with {key!r}")


def _has(element: object, key: str, value: object) -> bool:
    return isinstance(element, dict) and same(element.get(key), value)


def _index(elements: Sequence[object], key: str, value: object) -> int | None:
    return next((i for i, e in enumerate(elements) if _has(e, key, value)), None)


def _stripped(value: object, path: Path, kind: str) -> object:
    """An element of a list that does not merge, without nulls and directives; None: no element."""
    if not isinstance(value, dict):
        return value
    return None if value.keys() == {PATCH} else _object({}, value, path, kind)


def _list_of(patch: Mapping[str, object], directive: str) -> list[object]:
    value = patch[directive]
    if not isinstance(value, list):
        raise bad_request(f"{directive} must be a list")
    return value


def _list_directive(
    merged: dict[str, object], key: str, patch: Mapping[str, object], path: Path, kind: str
) -> None:
    """`$deleteFromPrimitiveList/X` and `$setElementOrder/X`, after the members were merged."""
    current = merged.get(path[-1])
    if not isinstance(current, list):
        return
    if key.startswith(REMOVE):
        going = _list_of(patch, key)
        merged[path[-1]] = [v for v in current if v not in going]
    elif key.startswith(ORDER):
        merged[path[-1]] = _ordered(current, _list_of(patch, key), merge_key(path, kind))


def _ordered(current: list[object], order: list[object], key: str | None) -> list[object]:
    """The elements that `order` names in its order, the others where they were between them."""

    def identity(value: object) -> object:
        return value.get(key) if key is not None and isinstance(value, dict) else value

    wanted = [identity(v) for v in order]
    identities = [identity(v) for v in current]
    named = [identities.index(w) for w in wanted if w in identities]
    others = [i for i, v in enumerate(identities) if v not in wanted]
    merged: list[object] = []
    for index in named:
        while others and others[0] < index:
            merged.append(current[others.pop(0)])
        merged.append(current[index])
    return [*merged, *(current[i] for i in others)]
