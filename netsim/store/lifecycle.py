"""What a write makes of an object's metadata: pure functions from (stored, asked, now).

The rules are Kubernetes' (apimachinery `registry/rest` create, update and delete strategies), as
far as a lab's objects show them.
"""

from __future__ import annotations

import secrets
import uuid
from datetime import datetime, timedelta

from netsim.api import meta
from netsim.api.fields import Json, mapping

# apimachinery `util/rand`: no vowels, nothing that reads as another character
NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
NAME_SUFFIX_LENGTH = 5
NAME_BASE_MAX = 63 - NAME_SUFFIX_LENGTH
DEFAULT_GRACE_S = 30
# what the store says about an object; a writer's own values do not count
OWNED = (
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
)


def timestamp(now: datetime) -> str:
    """RFC 3339 in UTC with whole seconds, as Kubernetes writes times."""
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def generated_name(prefix: str) -> str:
    """`prefix` with five random characters, at most 63 together."""
    suffix = "".join(secrets.choice(NAME_ALPHABET) for _ in range(NAME_SUFFIX_LENGTH))
    return prefix[:NAME_BASE_MAX] + suffix


def created(obj: Json, name: str, namespace: str, now: datetime) -> dict[str, object]:
    """`obj` as a new object: identity and times are the store's."""
    given = {k: v for k, v in meta.metadata(obj).items() if k not in OWNED}
    metadata: dict[str, object] = {**given, "name": name}
    if namespace:
        metadata["namespace"] = namespace
    metadata["uid"] = str(uuid.uuid4())
    metadata["generation"] = 1
    metadata["creationTimestamp"] = timestamp(now)
    return {**obj, "metadata": metadata}


def updated(old: Json, new: Json, namespace: str) -> dict[str, object]:
    """`new` in the place of `old`: what the store owns is kept, generation counts spec changes."""
    before = meta.metadata(old)
    given = {k: v for k, v in meta.metadata(new).items() if k not in OWNED}
    metadata: dict[str, object] = {**given, **{k: before[k] for k in OWNED if k in before}}
    if namespace:
        metadata["namespace"] = namespace
    generation = before.get("generation")
    if isinstance(generation, int) and _desired(old) != _desired(new):
        metadata["generation"] = generation + 1
    return {**new, "metadata": metadata}


def stamped(obj: Json, revision: int) -> dict[str, object]:
    """`obj` with the revision that made it."""
    return {**obj, "metadata": {**meta.metadata(obj), "resourceVersion": str(revision)}}


def gone_after_update(obj: Json) -> bool:
    """Whether an object that was marked for deletion has nothing left to wait for."""
    metadata = meta.metadata(obj)
    waits = metadata.get("finalizers") or metadata.get("deletionGracePeriodSeconds")
    return "deletionTimestamp" in metadata and not waits


def mark_deleted(obj: Json, grace_s: int | None, now: datetime) -> dict[str, object] | None:
    """`obj` as a deletion leaves it: None when it goes now, else marked with deletionTimestamp.

    Asking again can only shorten the grace; an object that does not change is returned as it is.
    """
    metadata = meta.metadata(obj)
    marked = "deletionTimestamp" in metadata
    current = metadata.get("deletionGracePeriodSeconds")
    left = current if marked and isinstance(current, int) else None
    wanted = _grace_s(obj, grace_s)
    if left is not None and (grace_s is None or wanted > left):
        wanted = left
    if not wanted and not metadata.get("finalizers"):
        return None
    if marked and wanted == left:
        return dict(obj)
    when = timestamp(now + timedelta(seconds=wanted))
    times = {"deletionTimestamp": when, "deletionGracePeriodSeconds": wanted}
    return {**obj, "metadata": {**metadata, **times}}


def goes_gracefully(obj: Json) -> bool:
    """Whether a deletion takes time: pods that were started have to be stopped."""
    if obj.get("kind") != "Pod" or not mapping(obj, "spec").get("nodeName"):
        return False
    return mapping(obj, "status").get("phase") not in ("Succeeded", "Failed")


def _grace_s(obj: Json, asked_s: int | None) -> int:
    if not goes_gracefully(obj):
        return 0
    own = mapping(obj, "spec").get("terminationGracePeriodSeconds", DEFAULT_GRACE_S)
    grace = own if asked_s is None else asked_s
    return grace if isinstance(grace, int) and grace >= 0 else DEFAULT_GRACE_S


def same(a: object, b: object) -> bool:
    """Equality of JSON values: 1 and true differ, 1 and 1.0 do not."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(value, b[key]) for key, value in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def _desired(obj: Json) -> dict[str, object]:
    return {k: v for k, v in obj.items() if k not in {"metadata", "status"}}
