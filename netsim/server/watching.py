"""Watches over HTTP: one JSON line per change, bookmarks, an ERROR line when the history ends."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web

from netsim.api.fields import Json
from netsim.api.meta import metadata
from netsim.server.accept import wants_table
from netsim.server.api import Api, Target
from netsim.server.codec import to_json
from netsim.server.query import Include, ListOptions, include_object
from netsim.server.status import failure
from netsim.server.tables import table
from netsim.store.base import Event, Watch
from netsim.store.errors import ExpiredError, bad_request

# a watch without timeoutSeconds ends after a time in this range, as the real server's do
LIFETIME_S = (1800.0, 3600.0)
INITIAL_END = "k8s.io/initial-events-end"


@dataclass(slots=True)
class Stream:
    """One client's watch: how lines are written for it."""

    api: Api
    target: Target
    options: ListOptions
    response: web.StreamResponse
    as_table: bool
    include: Include
    header: bool = True

    async def send(self, kind: str, objects: Sequence[Json]) -> None:
        """Write one line per object."""
        lines = [to_json({"type": kind, "object": self._shown(obj)}) for obj in objects]
        if lines:
            await self.response.write(b"".join(lines))

    async def bookmark(self, revision: int, *, initial_end: bool = False) -> None:
        """Write how far the client has seen everything."""
        head: dict[str, object] = {"resourceVersion": str(revision), "creationTimestamp": None}
        if initial_end:
            head["annotations"] = {INITIAL_END: "true"}
        kind = self.target.kind
        obj: Json = {"kind": kind.name, "apiVersion": kind.api_version, "metadata": head}
        if self.as_table:
            obj = table(kind.name, [], self.api.now(), list_metadata=head, header=False)
        await self.response.write(to_json({"type": "BOOKMARK", "object": obj}))

    async def error(self, error: ExpiredError) -> None:
        """Write that the watch cannot go on."""
        await self.response.write(to_json({"type": "ERROR", "object": failure(error)}))

    def _shown(self, obj: Json) -> Json:
        if not self.as_table:
            return obj
        head, self.header = self.header, False
        return table(
            self.target.kind.name,
            [obj],
            self.api.now(),
            include=self.include,
            header=head,
            list_metadata={"resourceVersion": metadata(obj).get("resourceVersion", "")},
        )


async def watch_objects(
    api: Api, request: web.Request, target: Target, options: ListOptions
) -> web.StreamResponse:
    """Stream the changes of a collection until the client goes, the time is over, or 410.

    Without a resourceVersion (or with 0) the stream starts with everything there is.
    """
    if options.initial_events and options.match != "NotOlderThan":
        raise bad_request("sendInitialEvents requires resourceVersionMatch=NotOlderThan")
    from_start = options.initial_events or not options.revision
    view = api.store.view()
    start = view.revision if from_start else options.revision or 0
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    table_wanted = wants_table(request.headers.get("Accept", ""))
    include = include_object(request.query)
    stream = Stream(api, target, options, response, table_wanted, include)
    try:
        watch = api.store.watch(target.kind.name, start)
    except ExpiredError as error:
        await response.prepare(request)
        await stream.error(error)
        return response
    api.watches.add(watch)
    try:
        await response.prepare(request)
        if from_start:
            found = view.list(target.kind.name, target.namespace)
            await stream.send("ADDED", [o for o in found if options.selection.matches(o)])
        if options.initial_events and options.bookmarks:
            await stream.bookmark(view.revision, initial_end=True)
        await _follow(stream, watch)
    except ConnectionError:
        pass
    finally:
        watch.close()
        api.watches.discard(watch)
    return response


async def _follow(stream: Stream, watch: Watch) -> None:
    loop = asyncio.get_running_loop()
    lifetime, bookmarks = stream.options.timeout_s, stream.options.bookmarks
    end = loop.time() + (random.uniform(*LIFETIME_S) if lifetime is None else lifetime)
    told = watch.revision
    while (left := end - loop.time()) > 0:
        try:
            async with asyncio.timeout(min(left, stream.api.bookmark_s) if bookmarks else left):
                event = await anext(watch, None)
        except TimeoutError:
            # the watch has looked at everything up to its revision, whatever happens meanwhile
            if bookmarks and watch.revision > told:
                told = watch.revision
                await stream.bookmark(told)
            continue
        except ExpiredError as error:
            await stream.error(error)
            return
        if event is None:
            return
        await _send_changes(stream, [event, *watch.pending()])


async def _send_changes(stream: Stream, events: Sequence[Event]) -> None:
    for event in events:
        change = selected(event, stream.target, stream.options)
        if change is not None:
            await stream.send(change[0], [change[1]])


def selected(event: Event, target: Target, options: ListOptions) -> tuple[str, Json] | None:
    """What an event is to a client that sees a selection: entering it is ADDED, leaving DELETED.

    None: nothing that the client would see.
    """
    if target.namespace is not None and event.key.namespace != target.namespace:
        return None
    if target.name and event.key.name != target.name:
        return None
    before = event.old is not None and options.selection.matches(event.old)
    if event.type == "DELETED":
        return ("DELETED", event.obj) if before else None
    after = options.selection.matches(event.obj)
    if after:
        return ("MODIFIED" if before else "ADDED"), event.obj
    return ("DELETED", event.obj) if before else None
