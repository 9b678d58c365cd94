"""Scale, log, binding and eviction: the parts of an object with a shape of their own."""

from __future__ import annotations

from aiohttp import web

from netsim.api.fields import Json, items, mapping, number, text
from netsim.api.meta import metadata, name_of
from netsim.server import query
from netsim.server.api import Api, LogOptions, Target
from netsim.server.cells import NONE, selector, spec, status
from netsim.server.codec import decode_object
from netsim.server.read import answer
from netsim.server.remove import delete, read_options
from netsim.server.write import patch_of, patched, trying, update, write
from netsim.store.base import Update
from netsim.store.errors import ApiError, Cause, StaleError, bad_request, invalid

SCALE_VERSION = "autoscaling/v1"
MAX_REPLICAS = 2**31 - 1
IN_SCALE = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def scale_of(obj: Json) -> dict[str, object]:
    """The `autoscaling/v1` Scale of a Deployment or ReplicaSet."""
    shown = selector(obj)
    return {
        "kind": "Scale",
        "apiVersion": SCALE_VERSION,
        "metadata": {k: v for k, v in metadata(obj).items() if k in IN_SCALE},
        "spec": {"replicas": number(spec(obj), "replicas", 1)},
        "status": {
            "replicas": number(status(obj), "replicas"),
            "selector": "" if shown == NONE else shown,
        },
    }


async def get_scale(api: Api, request: web.Request, target: Target) -> web.StreamResponse:
    """GET of the scale."""
    return answer(scale_of(api.existing(target)))


async def replace_scale(api: Api, request: web.Request, target: Target) -> web.StreamResponse:
    """PUT of the scale."""
    body = await request.read()
    scale = decode_object(body, request.headers.get("Content-Type", ""))
    return answer(scale_to(api, target, scale, tried=trying(request)))


async def patch_scale(api: Api, request: web.Request, target: Target) -> web.StreamResponse:
    """PATCH of the scale: what `kubectl scale` sends."""
    body, kind = await patch_of(request)
    scale = patched(scale_of(api.existing(target)), body, kind, "Scale")
    return answer(scale_to(api, target, scale, tried=trying(request)))


def scale_to(api: Api, target: Target, scale: Json, *, tried: bool) -> Json:
    """Set the number of replicas. ApiError 400, 409, 422."""
    if scale.get("kind", "Scale") != "Scale":
        raise bad_request("the body must be a Scale")
    replicas = mapping(scale, "spec").get("replicas", 0)
    if not isinstance(replicas, int) or isinstance(replicas, bool):
        raise bad_request("spec.replicas must be a number")
    if not 0 <= replicas <= MAX_REPLICAS:
        message = f"Invalid value: {replicas}: must be greater than or equal to 0"
        cause = Cause("FieldValueInvalid", message, "spec.replicas")
        raise invalid("Scale", target.name, [cause], "autoscaling")
    old = api.existing(target)
    head = {k: v for k, v in metadata(old).items() if k != "resourceVersion"}
    if revision := text(mapping(scale, "metadata"), "resourceVersion"):
        head["resourceVersion"] = revision
    new = {**old, "metadata": head, "spec": {**spec(old), "replicas": replicas}}
    return scale_of(update(api, target, new, tried))


async def pod_log(api: Api, request: web.Request, target: Target) -> web.StreamResponse:
    """The output of a container, as text, followed on request. ApiError 400, 404, 501."""
    pod = api.existing(target)
    if api.hooks.pod_log is None:
        raise ApiError(501, "NotImplemented", "this lab keeps no logs")
    options = LogOptions(
        container=container_of(pod, request.query.get("container", "")),
        follow=query.flag(request.query, "follow"),
        previous=query.flag(request.query, "previous"),
        tail_lines=query.number(request.query, "tailLines"),
        since_s=query.number(request.query, "sinceSeconds"),
        limit_bytes=query.number(request.query, "limitBytes"),
        timestamps=query.flag(request.query, "timestamps"),
    )
    chunks = api.hooks.pod_log(pod, options)
    # the first chunk is asked for before the answer starts, so that a refusal can still be one
    first = await anext(chunks, None)
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    try:
        if first is not None:
            await response.write(first)
            async for chunk in chunks:
                await response.write(chunk)
    except ConnectionError:
        pass
    return response


def container_of(pod: Json, wanted: str) -> str:
    """The container that is meant: the only one, unless named. ApiError 400."""
    found = [
        text(c, "name") for key in ("initContainers", "containers") for c in items(spec(pod), key)
    ]
    name = name_of(pod)
    if wanted and wanted not in found:
        raise bad_request(f"container {wanted} is not valid for pod {name}")
    if wanted:
        return wanted
    if len(found) == 1:
        return found[0]
    raise bad_request(
        f"a container name must be specified for pod {name}, choose one of: [{' '.join(found)}]"
    )


async def bind_pod(api: Api, request: web.Request, target: Target) -> web.StreamResponse:
    """POST of a Binding: puts a pod on a node. ApiError 400, 404, 409."""
    body = decode_object(await request.read(), request.headers.get("Content-Type", ""))
    node = text(mapping(body, "target"), "name")
    if not node:
        raise bad_request("target.name must name a node")
    pod = api.existing(target)
    if bound := text(spec(pod), "nodeName"):
        why = f"pod {target.name} is already assigned to node {bound!r}"
        raise StaleError(target.kind.plural, target.name, why)
    assigned = {**pod, "spec": {**spec(pod), "nodeName": node}}
    admitted = api.admit(api.store.view(), "UPDATE", assigned, pod)
    write(api, [Update(admitted)], trying(request))
    return answer({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}, 201)


async def evict_pod(api: Api, request: web.Request, target: Target) -> web.StreamResponse:
    """POST of an Eviction: a deletion, as `kubectl drain` asks for it."""
    body = decode_object(await request.read(), request.headers.get("Content-Type", ""))
    dry_runs = request.query.getall("dryRun", [])
    delete(api, target, read_options(mapping(body, "deleteOptions"), request.query, dry_runs))
    return answer({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}, 201)
