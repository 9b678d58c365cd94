"""The HTTP server: routes, errors as Status objects, and where it listens.

`create_app` makes an aiohttp application whose handlers are the functions of this package;
`serve` listens on a Unix socket that only root can use and, on request, on loopback TCP.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from netsim.api.fields import Json
from netsim.api.meta import KINDS, Kind
from netsim.server import discovery, proxy, read, remove, subresources, write
from netsim.server.api import Admit, Api, Handler, Hooks, Operation, Target
from netsim.server.codec import to_json
from netsim.server.paths import SUBRESOURCES, prefix
from netsim.server.status import failure, plain_error
from netsim.store.base import Store, View
from netsim.store.errors import ApiError

log = logging.getLogger(__name__)

API: web.AppKey[Api] = web.AppKey("api", Api)
LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
SHUTDOWN_S = 2.0

Methods = Mapping[str, Handler]
WebHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]

COLLECTION: Methods = {
    "GET": read.list_objects,
    "POST": write.create_object,
    "DELETE": remove.delete_collection,
}
EVERYWHERE: Methods = {"GET": read.list_objects}
OBJECT: Methods = {
    "GET": read.get_object,
    "PUT": write.replace_object,
    "PATCH": write.patch_object,
    "DELETE": remove.delete_object,
}
PARTS: Mapping[str, Methods] = {
    "status": {
        "GET": read.get_object,
        "PUT": write.replace_status,
        "PATCH": write.patch_status,
    },
    "scale": {
        "GET": subresources.get_scale,
        "PUT": subresources.replace_scale,
        "PATCH": subresources.patch_scale,
    },
    "log": {"GET": subresources.pod_log},
    "binding": {"POST": subresources.bind_pod},
    "eviction": {"POST": subresources.evict_pod},
    "proxy": dict.fromkeys(proxy.METHODS, proxy.forward),
}
BEHIND = {"proxy": "{path:(?:/.*)?}"}  # of a part's path


def accept_all(view: View, operation: Operation, new: Json, old: Json | None) -> Json:
    """An `Admit` that takes everything as it is."""
    return new


def create_app(
    store: Store, admit: Admit = accept_all, hooks: Hooks | None = None, *, api: Api | None = None
) -> web.Application:
    """The API over a store. Add further routes to `app.router` before serving.

    `api` replaces the parts for tests: its clock, limits and intervals.
    """
    state = api or Api(store, admit, hooks or Hooks())
    app = web.Application(middlewares=[errors_as_status], client_max_size=state.max_body_bytes)
    app[API] = state
    app.on_shutdown.append(_end_watches)
    discovery.add_routes(app)
    for kind in KINDS:
        _add_kind(app, kind)
    return app


async def serve(app: web.Application, path: str, *, tcp_port: int | None = None) -> web.AppRunner:
    """Listen on the Unix socket `path` (mode 0600, replaced when stale), and on loopback TCP.

    Returns at once; end it with `await runner.cleanup()`, which also ends all watches. `tcp_port` 0
    picks a free port; `runner.addresses` says which. OSError when an address is in use.
    """
    runner = web.AppRunner(
        app, access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN_S
    )
    await runner.setup()
    try:
        await web.SockSite(runner, _unix_socket(path)).start()
        if tcp_port is not None:
            await web.TCPSite(runner, "127.0.0.1", tcp_port).start()
    except BaseException:
        await runner.cleanup()
        raise
    return runner


@web.middleware
async def errors_as_status(request: web.Request, handler: WebHandler) -> web.StreamResponse:
    """Answer every failure with a Status object; what is not foreseen is logged, not shown."""
    try:
        _check_loopback(request)
        return await handler(request)
    except ApiError as error:
        return _failed(error)
    except web.HTTPException as error:
        return _failed(plain_error(error.status))
    except ConnectionError:
        raise
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        return _failed(plain_error(500))


def _failed(error: ApiError) -> web.Response:
    return web.Response(
        body=to_json(failure(error)), status=error.code, content_type="application/json"
    )


def _check_loopback(request: web.Request) -> None:
    """Refuse names that a web page could have given to the loopback address (DNS rebinding)."""
    transport = request.transport
    family = transport.get_extra_info("socket").family if transport else socket.AF_UNIX
    if family == socket.AF_UNIX:
        return
    host = request.headers.get("Host", "localhost")
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    if name.lower() not in LOOPBACK:
        raise plain_error(403)


def _add_kind(app: web.Application, kind: Kind) -> None:
    base = prefix(kind)
    if kind.namespaced:
        _add(app, f"{base}/{kind.plural}", kind, EVERYWHERE)
        base = f"{base}/namespaces/{{namespace}}"
    _add(app, f"{base}/{kind.plural}", kind, COLLECTION)
    _add(app, f"{base}/{kind.plural}/{{name}}", kind, OBJECT)
    for part in SUBRESOURCES.get(kind.name, ()):
        path = f"{base}/{kind.plural}/{{name}}/{part}{BEHIND.get(part, '')}"
        _add(app, path, kind, PARTS[part])


def _add(app: web.Application, path: str, kind: Kind, methods: Methods) -> None:
    anywhere = None if kind.namespaced else ""

    def bound(handler: Handler) -> WebHandler:
        async def handle(request: web.Request) -> web.StreamResponse:
            found = request.match_info
            target = Target(kind, found.get("namespace", anywhere), found.get("name", ""))
            return await handler(request.app[API], request, target)

        return handle

    resource = app.router.add_resource(path)
    for method, handler in methods.items():
        resource.add_route(method, bound(handler))


def _unix_socket(path: str) -> socket.socket:
    """A listening socket that only its owner can connect to, from the first moment."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        mask = os.umask(0o177)
        try:
            sock.bind(path)
        finally:
            os.umask(mask)
    except BaseException:
        sock.close()
        raise
    return sock


async def _end_watches(app: web.Application) -> None:
    for watch in list(app[API].watches):
        watch.close()
