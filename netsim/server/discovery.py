"""What the server says about itself: version, health, resources, OpenAPI as far as clients ask.

kubectl asks for aggregated discovery first; a plain answer makes it fall back to these documents.
It reads OpenAPI only to learn that the server validates fields: version 3 lists the PATCH
operations with that parameter, and for clients before 1.29 version 2 is an empty document of the
right type.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from aiohttp import web

from netsim import __version__
from netsim.api.meta import KINDS, Kind
from netsim.server.paths import SUBRESOURCES, prefix
from netsim.server.read import answer

KUBERNETES = "1.32"  # the release whose API this one follows
OPENAPI_V2 = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
SUBRESOURCE_VERBS = {
    "status": ("get", "patch", "update"),
    "scale": ("get", "patch", "update"),
    "log": ("get",),
    "binding": ("create",),
    "eviction": ("create",),
    "proxy": ("create", "delete", "get", "patch", "update"),
}
# subresources whose body is an object of another kind
FOREIGN = {
    "scale": ("autoscaling", "v1", "Scale"),
    "binding": ("", "v1", "Binding"),
    "eviction": ("policy", "v1", "Eviction"),
}


def add_routes(app: web.Application) -> None:
    """Serve everything here."""
    documents = {"/api": _versions(), "/apis": _groups(), "/openapi/v3": _openapi_index()}
    for kind in KINDS:
        documents[prefix(kind)] = _resources(kind.group, kind.version)
        documents[f"/openapi/v3{prefix(kind)}"] = _openapi(kind.group, kind.version)
        if kind.group:
            documents[f"/apis/{kind.group}"] = {"apiVersion": "v1", **_group(kind)}
    documents["/version"] = version()
    for path, document in documents.items():
        for spelled in (path, f"{path}/"):
            app.router.add_get(spelled, _document(document), allow_head=False)
    for path in ("/healthz", "/livez", "/readyz"):
        app.router.add_get(path, _healthy, allow_head=False)
    app.router.add_get("/openapi/v2", _openapi_v2, allow_head=False)


def version() -> dict[str, object]:
    """`kubectl version`'s server part."""
    major, minor = KUBERNETES.split(".")
    return {
        "major": major,
        "minor": minor,
        "gitVersion": f"v{KUBERNETES}.0+netsim-{__version__}",
        "gitCommit": "",
        "gitTreeState": "clean",
        "platform": "linux",
    }


def _document(document: object) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(_: web.Request) -> web.Response:
        return answer(document)

    return handler


async def _healthy(_: web.Request) -> web.Response:
    return web.Response(text="ok")


async def _openapi_v2(request: web.Request) -> web.Response:
    if "protobuf" in request.headers.get("Accept", ""):
        return web.Response(body=b"", content_type=OPENAPI_V2)
    info = {"title": "netsim", "version": __version__}
    return answer({"swagger": "2.0", "info": info, "paths": {}, "definitions": {}})


def _versions() -> dict[str, object]:
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def _groups() -> dict[str, object]:
    found = {kind.group: _group(kind) for kind in KINDS if kind.group}
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": list(found.values())}


def _group(kind: Kind) -> dict[str, object]:
    one = {"groupVersion": f"{kind.group}/{kind.version}", "version": kind.version}
    return {"kind": "APIGroup", "name": kind.group, "versions": [one], "preferredVersion": one}


def _resources(group: str, version: str) -> dict[str, object]:
    members = [kind for kind in KINDS if (kind.group, kind.version) == (group, version)]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": members[0].api_version,
        "resources": [entry for kind in members for entry in _entries(kind)],
    }


def _entries(kind: Kind) -> Iterator[dict[str, object]]:
    names = {"name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced}
    entry: dict[str, object] = {**names, "kind": kind.name, "verbs": list(VERBS)}
    if kind.short_names:
        entry["shortNames"] = list(kind.short_names)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    yield entry
    for part in SUBRESOURCES.get(kind.name, ()):
        group, version, name = FOREIGN.get(part, ("", "", kind.name))
        sub: dict[str, object] = {
            "name": f"{kind.plural}/{part}",
            "singularName": "",
            "namespaced": kind.namespaced,
            "kind": f"{name}ProxyOptions" if part == "proxy" else name,
            "verbs": list(SUBRESOURCE_VERBS[part]),
        }
        if version:
            sub |= {"group": group, "version": version}
        yield sub


def _openapi_index() -> dict[str, object]:
    paths = {prefix(kind).removeprefix("/") for kind in KINDS}
    return {"paths": {p: {"serverRelativeURL": f"/openapi/v3/{p}"} for p in sorted(paths)}}


def _openapi(group: str, version: str) -> dict[str, object]:
    members = [kind for kind in KINDS if (kind.group, kind.version) == (group, version)]
    return {
        "openapi": "3.0.0",
        "info": {"title": "netsim", "version": __version__},
        "paths": {_item_path(kind): {"patch": _patch_operation(kind)} for kind in members},
        "components": {"schemas": {}},
    }


def _item_path(kind: Kind) -> str:
    inside = "/namespaces/{namespace}" if kind.namespaced else ""
    return f"{prefix(kind)}{inside}/{kind.plural}/{{name}}"


def _patch_operation(kind: Kind) -> dict[str, object]:
    parameters = [
        {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
        for name in ("dryRun", "fieldManager", "fieldValidation")
    ]
    return {
        "operationId": f"patch{kind.name}",
        "parameters": parameters,
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": "patch",
        "x-kubernetes-group-version-kind": {
            "group": kind.group,
            "version": kind.version,
            "kind": kind.name,
        },
    }
