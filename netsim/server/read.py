"""GET of one object and of collections, page by page, as JSON or as a Table."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

import msgspec
from aiohttp import web

from netsim.api.fields import Json
from netsim.api.meta import Kind
from netsim.server.accept import wants_table
from netsim.server.api import Api, Target
from netsim.server.codec import to_json
from netsim.server.query import (
    ListOptions,
    include_object,
    list_options,
    number,
    page_expired,
    too_new,
)
from netsim.server.tables import table
from netsim.server.watching import watch_objects
from netsim.store.base import View
from netsim.store.errors import bad_request


class Page(msgspec.Struct, frozen=True):
    """What a continue token holds: the revision of the view and how many objects were shown."""

    revision: int
    offset: int


def answer(value: object, code: int = 200) -> web.Response:
    """A JSON response."""
    return web.Response(body=to_json(value), status=code, content_type="application/json")


async def get_object(api: Api, request: web.Request, target: Target) -> web.StreamResponse:
    """One object. ObjectNotFoundError."""
    number(request.query, "resourceVersion")
    return shown(api, request, target.kind, api.existing(target))


def shown(
    api: Api, request: web.Request, kind: Kind, obj: Json, code: int = 200
) -> web.StreamResponse:
    """The answer that is one object, as the client wants it."""
    if not wants_table(request.headers.get("Accept", "")):
        return answer(obj, code)
    include = include_object(request.query)
    return answer(table(kind.name, [obj], api.now(), include=include), code)


async def list_objects(api: Api, request: web.Request, target: Target) -> web.StreamResponse:
    """A collection; with `watch`, its changes."""
    options = list_options(request.query, target.kind)
    if options.watch:
        return await watch_objects(api, request, target, options)
    view, offset = _view(api, options)
    everything = view.list(target.kind.name, target.namespace)
    found: Sequence[Json] = (
        everything
        if options.selection.everything
        else [obj for obj in everything if options.selection.matches(obj)]
    )
    last = min(offset + options.limit, len(found)) if options.limit else len(found)
    metadata: dict[str, object] = {"resourceVersion": str(view.revision)}
    if last < len(found):
        api.keep_page(view)
        metadata["continue"] = _token(Page(view.revision, last))
        if options.selection.everything:
            metadata["remainingItemCount"] = len(found) - last
    return _listed(api, request, target.kind, found[offset:last], metadata)


def _listed(
    api: Api, request: web.Request, kind: Kind, objects: Sequence[Json], metadata: Json
) -> web.Response:
    if wants_table(request.headers.get("Accept", "")):
        include = include_object(request.query)
        return answer(table(kind.name, objects, api.now(), include=include, list_metadata=metadata))
    return answer(
        {
            "kind": kind.list_name,
            "apiVersion": kind.api_version,
            "metadata": metadata,
            "items": objects,
        }
    )


def _view(api: Api, options: ListOptions) -> tuple[View, int]:
    """The view that a list is of, and the place in it to start from. ApiError 400, 410, 504."""
    now = api.store.view()
    if options.after:
        page = _page(options.after)
        view = now if page.revision == now.revision else api.pages.get(page.revision)
        if view is None:
            raise page_expired()
        return view, page.offset
    wanted = options.revision or 0
    if wanted > now.revision:
        raise too_new(wanted, now.revision)
    if options.match != "Exact" or wanted == now.revision:
        return now, 0
    if not wanted:
        raise bad_request("resourceVersionMatch: Exact needs a resourceVersion above 0")
    if wanted not in api.pages:
        raise page_expired()
    return api.pages[wanted], 0


def _token(page: Page) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(page)).decode()


def _page(token: str) -> Page:
    try:
        page = msgspec.json.decode(base64.urlsafe_b64decode(token.encode()), type=Page)
    except (msgspec.MsgspecError, binascii.Error, ValueError) as error:
        raise bad_request("continue key is not valid") from error
    if page.offset < 0:
        raise bad_request("continue key is not valid")
    return page
