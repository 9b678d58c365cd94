"""DELETE of one object and of collections, with what goes with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from netsim.api.fields import Json, flag, mapping, text
from netsim.api.meta import key_of, metadata
from netsim.server.api import Api, Target
from netsim.server.codec import decode_object
from netsim.server.query import dry_run, list_options, number, one_of
from netsim.server.read import answer
from netsim.server.status import deleted
from netsim.store.base import Delete, Write
from netsim.store.errors import ApiError, bad_request
from netsim.store.garbage import Propagation, cascade, once

# kinds whose deletion is answered with the object, the others with a Status
ANSWERED_WITH_OBJECT = frozenset({"Pod", "Service"})
# namespaces that a cluster cannot be without
PERMANENT = frozenset({"default"})
POLICIES = ("", "Background", "Foreground", "Orphan")


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """How to delete. `grace_s` None is the object's own; `revision` 0 and `uid` "" are any."""

    grace_s: int | None
    propagation: Propagation
    uid: str
    revision: int
    tried: bool


async def delete_options(request: web.Request) -> DeleteOptions:
    """Options from the body and the query, the query first. ApiError 400, 415, 422."""
    body = await request.read()
    # clients send DeleteOptions as whatever type they use for objects
    given = decode_object(body, request.headers.get("Content-Type", "")) if body else {}
    return read_options(given, request.query, request.query.getall("dryRun", []))


def read_options(
    body: Mapping[str, object], query: Mapping[str, str], dry_runs: list[str]
) -> DeleteOptions:
    """Typed DeleteOptions. ApiError 400, 422."""
    if text(body, "kind", "DeleteOptions") != "DeleteOptions":
        raise bad_request("the body of a deletion is a DeleteOptions object")
    grace = _count(body, "gracePeriodSeconds")
    queried = number(query, "gracePeriodSeconds")
    preconditions = mapping(body, "preconditions")
    revision = text(preconditions, "resourceVersion")
    listed = body.get("dryRun")
    return DeleteOptions(
        grace_s=grace if queried is None else queried,
        propagation=_propagation(body, query),
        uid=text(preconditions, "uid"),
        revision=number({"resourceVersion": revision}, "resourceVersion") or 0,
        tried=dry_run([*dry_runs, *(map(str, listed) if isinstance(listed, list) else ())]),
    )


async def delete_object(api: Api, request: web.Request, target: Target) -> web.StreamResponse:
    """DELETE of one object. ApiError 400, 403, 404, 409."""
    options = await delete_options(request)
    return answer(delete(api, target, options))


def delete(api: Api, target: Target, options: DeleteOptions) -> Json:
    """Delete an object with its dependents; what to answer."""
    before = api.existing(target)
    _check_allowed(before)
    first = Delete(target.key, options.grace_s, options.uid, options.revision)
    after = _write(api, cascade(api.store.view(), first, options.propagation), options.tried)
    left = after.get(target.key, before)
    gone = api.store.view().get(target.key) is None or options.tried
    if target.kind.name in ANSWERED_WITH_OBJECT or not gone:
        return left
    return deleted(target.kind, left)


async def delete_collection(api: Api, request: web.Request, target: Target) -> web.StreamResponse:
    """DELETE of all objects that selectors mean; answered with the list of them."""
    options = await delete_options(request)
    wanted = list_options(request.query, target.kind)
    view = api.store.view()
    kind = target.kind
    found = [o for o in view.list(kind.name, target.namespace) if wanted.selection.matches(o)]
    writes: list[Write] = []
    for obj in found:
        _check_allowed(obj)
        writes += cascade(view, Delete(key_of(obj), options.grace_s), options.propagation)
    left = _write(api, once(writes), options.tried)
    return answer(
        {
            "kind": kind.list_name,
            "apiVersion": kind.api_version,
            "metadata": {"resourceVersion": str(api.store.revision)},
            "items": [left.get(key_of(obj), obj) for obj in found],
        }
    )


def _write(api: Api, writes: list[Write], tried: bool) -> dict[object, Json]:
    """Do the writes; the objects they leave by key."""
    left = api.store.rehearse(writes) if tried else api.store.transaction(writes)
    return {key_of(obj): obj for obj in left}


def _check_allowed(obj: Json) -> None:
    if obj.get("kind") != "Namespace" or text(metadata(obj), "name") not in PERMANENT:
        return
    name = text(metadata(obj), "name")
    message = f'namespaces "{name}" is forbidden: this namespace may not be deleted'
    raise ApiError(403, "Forbidden", message, kind="namespaces", name=name)


def _propagation(body: Json, query: Mapping[str, str]) -> Propagation:
    word = one_of(query, "propagationPolicy", POLICIES) or one_of(
        {"propagationPolicy": text(body, "propagationPolicy")}, "propagationPolicy", POLICIES
    )
    if word == "Orphan" or (not word and flag(body, "orphanDependents")):
        return "Orphan"
    return "Foreground" if word == "Foreground" else "Background"


def _count(body: Json, field: str) -> int | None:
    value = body.get(field)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
        raise bad_request(f"{field}: {value!r} is not a number of seconds")
    return value
