"""The proxy subresource of pods and services: HTTP that goes on into a pod, as it comes.

    /api/v1/namespaces/NS/pods|services/[http:|https:]NAME[:PORT]/proxy[/PATH]

The connection is made in a node's network namespace (`Hooks.dial`), as a cluster's API server comes
by way of nodes. Both bodies are streamed; certificates are not checked, as in Kubernetes.
"""

from __future__ import annotations

import os
import random
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import replace
from ipaddress import IPv4Address
from typing import NamedTuple

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from netsim.api.fields import Json, flag, items, mapping, number, text, texts
from netsim.api.meta import ENDPOINT_SLICE, labels_of
from netsim.api.services import SERVICE_NAME_LABEL
from netsim.errors import NetsimError
from netsim.server.api import Api, Dial, Target
from netsim.server.cells import spec, status
from netsim.store.errors import ApiError, bad_request

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
SCHEMES = {"": "http", "http": "http", "https": "https"}
SEGMENTS = 8  # of a path up to and with `proxy`
CONNECT_S = 30.0
CHUNK_BYTES = 64 << 10
# Of one connection only (RFC 9110 7.6.1), and what is for this server.
OWN_HEADERS = frozenset(
    {
        "authorization",
        "connection",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
NOT_OURS = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


class Place(NamedTuple):
    """Where a request goes: from a node (empty: any) to an address and port."""

    node: str
    address: str
    port: int


class Request(NamedTuple):
    """What the name in a URL asks for; `port` is a number or a name, empty if it says none."""

    scheme: str
    name: str
    port: str


def unavailable(why: str) -> ApiError:
    """503."""
    return ApiError(503, "ServiceUnavailable", why)


async def forward(api: Api, request: web.Request, target: Target) -> web.StreamResponse:
    """Any method. ApiError 400, 404, 501, 503."""
    if api.hooks.dial is None:
        raise ApiError(501, "NotImplemented", "this lab has no network")
    if "upgrade" in request.headers.get("Connection", "").lower():
        raise bad_request("connections that change their protocol are not forwarded")
    kind = target.kind.singular
    asked = split_name(target.name, kind)
    named = api.existing(replace(target, name=asked.name))
    path = path_behind(request)
    if not path and request.method in ("GET", "HEAD"):
        query = f"?{request.rel_url.raw_query_string}" if request.rel_url.raw_query_string else ""
        return web.Response(status=301, headers={"Location": f"{request.rel_url.raw_path}/{query}"})
    place = pod_place(named, asked) if kind == "pod" else service_place(api, named, asked)
    if not is_proxied_to(place.address):
        raise bad_request("address not allowed")
    return await _forwarded(api.hooks.dial, request, asked.scheme, place, path or "/")


def split_name(name: str, kind: str) -> Request:
    """`[SCHEME:]NAME[:PORT]`; a scheme needs both colons. ApiError 400."""
    parts = name.split(":")
    if len(parts) == 3 and parts[0] in SCHEMES and parts[1]:
        return Request(SCHEMES[parts[0]], parts[1], parts[2])
    if len(parts) in (1, 2) and parts[0]:
        return Request("http", parts[0], "".join(parts[1:]))
    raise bad_request(f'invalid {kind} request "{name}"')


def path_behind(request: web.Request) -> str:
    """The path behind `/proxy` as it was sent; empty where it ends there."""
    raw = request.rel_url.raw_path
    if not raw.isascii():
        raise bad_request("the path is not ASCII")
    return "".join(f"/{part}" for part in raw.split("/")[SEGMENTS:])


def pod_place(pod: Json, asked: Request) -> Place:
    """A pod's address, at the port asked for or its first one. ApiError 400."""
    address, node = text(status(pod), "podIP"), text(spec(pod), "nodeName")
    ports = [
        number(port, "containerPort")
        for container in items(spec(pod), "containers")
        for port in items(container, "ports")
    ]
    if asked.port:
        port = int(asked.port) if asked.port.isascii() and asked.port.isdecimal() else 0
    else:
        port = next(iter(ports), 443 if asked.scheme == "https" else 80)
    if not 0 < port < 1 << 16:
        raise bad_request(f'invalid pod request "{asked.name}:{asked.port}"')
    return Place(node, address, port)


def service_place(api: Api, service: Json, asked: Request) -> Place:
    """Any ready endpoint of the service's port, which is named or numbered. ApiError 503."""
    name = text(mapping(service, "metadata"), "name")
    port = asked.port
    if port.isascii() and port.isdecimal():
        ports = {number(p, "port"): text(p, "name") for p in items(spec(service), "ports")}
        if int(port) not in ports:
            raise unavailable(f'no service port {int(port)} found for service "{name}"')
        port = ports[int(port)]
    namespace = text(mapping(service, "metadata"), "namespace")
    found = [
        place
        for slice_ in api.store.view().list(ENDPOINT_SLICE.name, namespace)
        if labels_of(slice_).get(SERVICE_NAME_LABEL) == name
        for place in places(slice_, port)
    ]
    if not found:
        raise unavailable(f'no endpoints available for service "{name}"')
    return random.choice(found)


def places(slice_: Json, port: str) -> Iterable[Place]:
    """The ready endpoints of a slice at a port of this name."""
    numbers = [number(p, "port") for p in items(slice_, "ports") if text(p, "name") == port]
    for endpoint in items(slice_, "endpoints"):
        if flag(mapping(endpoint, "conditions"), "ready", default=True):
            for address in texts(endpoint, "addresses")[:1]:
                for each in numbers:
                    yield Place(text(endpoint, "nodeName"), address, each)


def is_proxied_to(address: str) -> bool:
    """Whether the server may connect there: not to itself, and to one host."""
    try:
        found = IPv4Address(address)
    except ValueError:
        return False
    return not (
        found.is_loopback
        or found.is_link_local
        or found.is_multicast
        or found.is_reserved
        or found.is_unspecified
    )


async def _forwarded(
    dial: Dial, request: web.Request, scheme: str, place: Place, path: str
) -> web.StreamResponse:
    host = f"{place.address}:{place.port}"
    query = request.rel_url.raw_query_string
    url = URL(f"{scheme}://{host}{path}" + (f"?{query}" if query else ""), encoded=True)
    try:
        made = await dial(place.node)
    except (OSError, NetsimError) as error:
        raise unavailable(f"error trying to reach service: {error}") from None
    connector = aiohttp.TCPConnector(
        socket_factory=lambda _: made, ssl=_any_certificate(), force_close=True
    )
    limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S)
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=limits,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=NOT_OURS,
    ) as session:
        try:
            answer = await session.request(
                request.method,
                url,
                headers=_sent_headers(request, host),
                data=request.content if request.can_read_body else None,
                allow_redirects=False,
            )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            made.close()
            raise unavailable(f"error trying to reach service: {_why(error, host)}") from None
        async with answer:
            return await _passed_on(request, answer, url)


def _why(error: Exception, host: str) -> str:
    """Why nobody answers, as Go's dialer words it."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, OSError) and cause.errno:
        return f"dial tcp {host}: connect: {os.strerror(cause.errno).lower()}"
    return str(error) or type(error).__name__


async def _passed_on(
    request: web.Request, answer: aiohttp.ClientResponse, url: URL
) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, reason=answer.reason)
    response.headers.extend(_kept(answer.headers))
    location = answer.headers.get("Location", "")
    if location:
        response.headers["Location"] = _relocated(request, location, url)
    await response.prepare(request)
    try:
        async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
            await response.write(chunk)
    except (aiohttp.ClientError, OSError):
        if request.transport is not None:
            request.transport.abort()  # what is missing must show
    return response


def _sent_headers(request: web.Request, host: str) -> CIMultiDict[str]:
    headers = _kept(request.headers)
    headers["Host"] = host
    headers["X-Forwarded-Host"] = request.headers.get("Host", "")
    headers["X-Forwarded-Proto"] = "http"
    headers["X-Forwarded-Uri"] = request.rel_url.raw_path
    return headers


def _kept(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """Those that are not of one connection only."""
    named = {name.strip().lower() for name in headers.get("Connection", "").split(",")}
    return CIMultiDict([(k, v) for k, v in headers.items() if k.lower() not in OWN_HEADERS | named])


def _relocated(request: web.Request, location: str, url: URL) -> str:
    """A redirection within the same place, as a path of this server."""
    prefix = "/".join(request.rel_url.raw_path.split("/")[:SEGMENTS])
    inside = location.removeprefix(str(url.origin()))
    if inside.startswith("/") and not inside.startswith("//"):
        return prefix + inside
    return location


def _any_certificate() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
