"""POST, PUT and PATCH: bodies become objects, are admitted, and stored or only tried.

From the view to the transaction nothing is awaited, so that what was admitted is what is stored.
"""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from netsim.api.fields import Json
from netsim.api.meta import ObjectKey, metadata
from netsim.server.api import Api, Target
from netsim.server.codec import (
    MAX_DEPTH,
    as_object,
    decode_object,
    deeper_than,
    from_json,
    from_yaml,
    media_type,
    to_json,
    unsupported,
)
from netsim.server.json_patch import json_patch, merge_patch
from netsim.server.objects import named, placed, typed
from netsim.server.paths import has_status
from netsim.server.query import dry_run, one_of
from netsim.server.read import shown
from netsim.server.strategic import strategic_merge
from netsim.store.base import Create, Update, Write
from netsim.store.errors import ApiError, ObjectNotFoundError, bad_request

MERGE = "application/merge-patch+json"
JSON = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
PATCH_TYPES = (JSON, MERGE, APPLY, STRATEGIC)
# its status says what the lab cannot know by itself: the addresses of nodes outside of it
STATUS_IN_MAIN = frozenset({"Node"})


async def body_of(request: web.Request) -> bytes:
    """The request's body; web.HTTPRequestEntityTooLarge when it is longer than allowed."""
    return await request.read()


async def create_object(api: Api, request: web.Request, target: Target) -> web.StreamResponse:
    """POST to a collection. ApiError 400, 403, 409, 415, 422."""
    body = decode_object(await body_of(request), request.headers.get("Content-Type", ""))
    obj = create(api, target, named(placed(typed(body, target.kind), target)), trying(request))
    return shown(api, request, target.kind, obj, 201)


def create(api: Api, target: Target, obj: dict[str, object], tried: bool) -> Json:
    """Admit and store a new object."""
    view = api.store.view()
    if target.namespace:
        _open_namespace(api, target)
    if has_status(target.kind) and target.kind.name not in STATUS_IN_MAIN:
        obj.pop("status", None)
    return write(api, [Create(api.admit(view, "CREATE", obj, None))], tried)


async def replace_object(api: Api, request: web.Request, target: Target) -> web.StreamResponse:
    """PUT. ApiError 400, 404, 409, 415, 422."""
    body = decode_object(await body_of(request), request.headers.get("Content-Type", ""))
    new = placed(typed(body, target.kind), target)
    return shown(api, request, target.kind, update(api, target, new, trying(request)))


async def replace_status(api: Api, request: web.Request, target: Target) -> web.StreamResponse:
    """PUT of the status."""
    body = decode_object(await body_of(request), request.headers.get("Content-Type", ""))
    new = placed(typed(body, target.kind), target)
    return shown(api, request, target.kind, update_status(api, target, new, trying(request)))


async def patch_object(api: Api, request: web.Request, target: Target) -> web.StreamResponse:
    """PATCH; an apply patch creates what does not exist. ApiError 400, 404, 409, 415, 422."""
    body, kind = await patch_of(request)
    tried = trying(request)
    try:
        old = api.existing(target)
    except ObjectNotFoundError:
        if kind != APPLY:
            raise
        new = placed(typed(as_object(body), target.kind), target)
        return shown(api, request, target.kind, create(api, target, new, tried), 201)
    new = placed(typed(patched(old, body, kind, target.kind.name), target.kind), target)
    return shown(api, request, target.kind, update(api, target, new, tried))


async def patch_status(api: Api, request: web.Request, target: Target) -> web.StreamResponse:
    """PATCH of the status."""
    body, kind = await patch_of(request)
    merged = patched(api.existing(target), body, kind, target.kind.name)
    new = placed(typed(merged, target.kind), target)
    return shown(api, request, target.kind, update_status(api, target, new, trying(request)))


async def patch_of(request: web.Request) -> tuple[object, str]:
    """The patch and its type. ApiError 400, 415."""
    kind = media_type(request.headers.get("Content-Type", ""))
    if kind not in PATCH_TYPES:
        raise unsupported(kind, PATCH_TYPES)
    body = await body_of(request)
    return (from_yaml(body) if kind == APPLY else from_json(body)), kind


def patched(old: Json, patch: object, patch_type: str, kind: str) -> dict[str, object]:
    """The object that a patch makes. ApiError 400, 422."""
    if patch_type == JSON:
        new = json_patch(old, patch)
    elif patch_type == MERGE:
        new = merge_patch(old, as_object(patch))
    else:
        new = strategic_merge(old, as_object(patch), kind)
    if deeper_than(new, MAX_DEPTH):
        raise bad_request(f"the patched object nests deeper than {MAX_DEPTH} levels")
    return as_object(new)


def update(api: Api, target: Target, new: dict[str, object], tried: bool) -> Json:
    """Admit and store an object's next state; its status stays as it is."""
    old = api.existing(target)
    if has_status(target.kind) and target.kind.name not in STATUS_IN_MAIN:
        new = _with(new, "status", old)
    return write(api, [Update(api.admit(api.store.view(), "UPDATE", new, old))], tried)


def update_status(api: Api, target: Target, new: dict[str, object], tried: bool) -> Json:
    """Store an object's next status, labels and annotations; the rest stays as it is."""
    old = api.existing(target)
    kept = {k: v for k, v in old.items() if k not in ("metadata", "status")}
    next_state = _with({**kept, "metadata": new["metadata"]}, "status", new)
    return write(api, [Update(api.admit(api.store.view(), "UPDATE", next_state, old))], tried)


def write(api: Api, writes: Sequence[Write], tried: bool) -> Json:
    """Store, or only try; the object that the first write leaves. ApiError 413: too large."""
    for one in writes:
        if isinstance(one, Create | Update) and len(to_json(one.obj)) > api.max_body_bytes:
            raise ApiError(
                413, "RequestEntityTooLarge", "the object is larger than the server keeps"
            )
    return (api.store.rehearse(writes) if tried else api.store.transaction(writes))[0]


def trying(request: web.Request) -> bool:
    """Whether the request asks for a dry run; checks its other options. ApiError 422."""
    one_of(request.query, "fieldValidation", ("", "Ignore", "Warn", "Strict"))
    return dry_run(request.query.getall("dryRun", []))


def _with(obj: Json, field: str, source: Json) -> dict[str, object]:
    rest = {k: v for k, v in obj.items() if k != field}
    return {**rest, field: source[field]} if field in source else rest


def _open_namespace(api: Api, target: Target) -> None:
    namespace = api.store.view().get(ObjectKey("Namespace", "", target.namespace or ""))
    if namespace is not None and "deletionTimestamp" in metadata(namespace):
        raise ApiError(
            403,
            "Forbidden",
            f"{target.kind.resource} is forbidden: unable to create new content in namespace "
            f"{target.namespace} because it is being terminated",
            group=target.kind.group,
            kind=target.kind.plural,
        )
