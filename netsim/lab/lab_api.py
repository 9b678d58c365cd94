"""The lab's own part of the API, beside Kubernetes': `/netsim/...`.

GET  /netsim/status                       LabStatus
GET  /netsim/wait?timeoutSeconds=N        LabStatus, as soon as the lab is ready or after N s
POST /netsim/apply                        {objects, prune, dryRun} -> {steps, problems}; with an
                                          error among the problems nothing was done
GET  /netsim/published?revision=N&timeoutSeconds=S
                                          {revision, nodes, committedNs, inUseNs}, as soon as every
                                          node runs the rows of revision N, or after S seconds;
                                          times of N by CLOCK_MONOTONIC, null where not known
GET  /netsim/services                     rows that the data plane runs
GET  /netsim/flows?node=NAME[,NAME]&...   tracked connections of nodes (all, if none is named), a
                                          line of JSON each; netsim.lab.flows: how to choose
GET  /netsim/rules?node=NAME&format=iptables-save|nft
                                          text: what kube-proxy would have written there; without
                                          a format in that of the node's mode
GET  /netsim/metrics?node=NAME            what the node's service proxy says to Prometheus
GET  /netsim/captures?target=T&snaplen=N  pcapng, until the client goes or stops it
DELETE /netsim/captures/ID                ID: the Netsim-Capture header of the answer above
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from netsim.api.addresses import format_address
from netsim.api.fields import flag, items
from netsim.api.meta import KINDS, ObjectKey
from netsim.api.problems import errors
from netsim.api.proxy_modes import PROXY_MODES
from netsim.controllers.base import lab_of
from netsim.controllers.nodes import proxy_mode
from netsim.dataplane.client import DataplaneClient, RefusedError
from netsim.errors import UsageError
from netsim.lab.admission import Admission
from netsim.lab.apply import plan, step_json
from netsim.lab.apply_checks import find_problems, to_json
from netsim.lab.exposition import CONTENT_TYPE
from netsim.lab.flows import PROTOCOL_NAMES, flow_filter, flow_lines
from netsim.lab.initial import in_order, write_steps
from netsim.lab.pod_logs import PodLogs
from netsim.lab.status import is_ready, lab_status
from netsim.lab.streams import pipe_chunks
from netsim.rules import FORMAT_OF_MODE, FORMATS, RENDERERS
from netsim.rules.proxied import proxied
from netsim.server.api import Hooks
from netsim.server.app import create_app, serve
from netsim.server.codec import decode_object
from netsim.server.query import number
from netsim.store.errors import ApiError, ObjectNotFoundError, bad_request

if TYPE_CHECKING:
    from netsim.lab.control import Control

WAIT_MAX_S = 30.0
WAIT_SHARE = 9  # a wait takes a tenth of the time, whatever it costs to look at a large lab


def unavailable(why: str) -> ApiError:
    """503: the data plane can not be asked now."""
    return ApiError(503, "ServiceUnavailable", why)


class LabApi:
    """The routes over a control process."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._admission = Admission()

    def app(self) -> web.Application:
        """Kubernetes' API and ours in one application."""
        control = self._control
        logs = PodLogs(control.state / "logs" / "pods", control.exists)
        app = create_app(control.store, self._admission, Hooks(logs, control.dial))
        app.router.add_get("/netsim/status", self.status)
        app.router.add_get("/netsim/wait", self.wait)
        app.router.add_post("/netsim/apply", self.apply)
        app.router.add_get("/netsim/published", self.published)
        app.router.add_get("/netsim/services", self.services)
        app.router.add_get("/netsim/flows", self.flows)
        app.router.add_get("/netsim/rules", self.rules)
        app.router.add_get("/netsim/metrics", self.metrics)
        app.router.add_get("/netsim/captures", self.capture)
        app.router.add_delete(r"/netsim/captures/{id:\d+}", self.capture_stop)
        return app

    async def serve(self, path: Path) -> web.AppRunner:
        """Serve on a Unix socket, until the runner's `cleanup()`."""
        return await serve(self.app(), str(path))

    async def _status(self) -> dict[str, object]:
        control = self._control
        facts, stats = await control.link.facts()
        running = control.running(facts)
        kernel = await control.kernel_drops()
        return lab_status(control.name, control.store.view(), running, stats, kernel)

    async def status(self, _: web.Request) -> web.Response:
        """GET /netsim/status."""
        return web.json_response(await self._status())

    async def wait(self, request: web.Request) -> web.Response:
        """GET /netsim/wait."""
        try:
            timeout = min(float(request.query.get("timeoutSeconds", "1")), WAIT_MAX_S)
        except ValueError:
            raise bad_request("timeoutSeconds is not a number") from None
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        seen = self._control.passes
        while (began := loop.time()) < end:
            if self._ready() and (status := await self._status())["ready"] is True:
                return web.json_response(status)
            now = loop.time()
            await asyncio.sleep(min(WAIT_SHARE * (now - began), max(end - now, 0)))
            await self._control.progressed(seen, end - loop.time())
            seen = self._control.passes
        return web.json_response(await self._status())

    def _ready(self) -> bool:
        control = self._control
        running = control.running({} if control.link.client is not None else None)
        return is_ready(control.store.view(), running)

    async def published(self, request: web.Request) -> web.Response:
        """GET /netsim/published."""
        revision = number(request.query, "revision") or 0
        timeout = min(number(request.query, "timeoutSeconds") or 0, WAIT_MAX_S)
        control, loop = self._control, asyncio.get_running_loop()
        end = loop.time() + timeout
        while control.in_use(revision)[0] < revision and (left := end - loop.time()) > 0:
            await control.progressed(control.passes, left)
        reached, in_use_ns = control.in_use(revision)
        return web.json_response(
            {
                "revision": reached,
                "nodes": dict(control.link.revisions),
                "committedNs": control.store.committed_ns(revision),
                "inUseNs": in_use_ns,
            }
        )

    async def apply(self, request: web.Request) -> web.Response:
        """POST /netsim/apply."""
        body = decode_object(await request.read(), request.headers.get("Content-Type", ""))
        objects, prune = in_order(items(body, "objects")), flag(body, "prune")
        view = self._control.store.view()
        stored = [obj for kind in KINDS for obj in view.list(kind.name)]
        steps = plan(stored, objects, prune=prune)
        problems = find_problems(stored, objects, steps, prune=prune)
        if errors(problems):
            steps = []
        write_steps(self._control.store, steps, self._admission, dry_run=flag(body, "dryRun"))
        return web.json_response(
            {"steps": [step_json(s) for s in steps], "problems": [to_json(p) for p in problems]}
        )

    async def services(self, _: web.Request) -> web.Response:
        """GET /netsim/services."""
        rows = self._control.link.applied.services.values()
        return web.json_response(
            {
                "revision": self._control.link.published,
                "services": [
                    {
                        "name": row.name,
                        "address": format_address(row.addr),
                        "port": row.port,
                        "protocol": PROTOCOL_NAMES.get(row.proto, str(row.proto)),
                        "affinitySeconds": row.affinity_s,
                        "endpoints": [f"{format_address(e.addr)}:{e.port}" for e in row.endpoints],
                    }
                    for row in rows
                ],
            }
        )

    async def flows(self, request: web.Request) -> web.StreamResponse:
        """GET /netsim/flows: piece by piece, so that nobody waits for the whole."""
        client, known = self._client(), self._control.link.applied.nodes
        nodes = [node for node in request.query.get("node", "").split(",") if node] or sorted(known)
        if missing := [node for node in nodes if node not in known]:
            raise ObjectNotFoundError("nodes", missing[0])
        try:
            lines = flow_lines(client, nodes, flow_filter(request.query))
            first = await anext(lines, b"")
        except (RefusedError, UsageError) as error:
            raise bad_request(str(error)) from None
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        await response.write(first)
        async for chunk in lines:
            await response.write(chunk)
        return response

    async def rules(self, request: web.Request) -> web.Response:
        """GET /netsim/rules."""
        node = request.query.get("node", "")
        how = request.query.get("format", "") or self._usual_format(node)
        if how not in FORMATS:
            raise bad_request(f"format must be one of {', '.join(FORMATS)}")
        applied, health = self._control.link.applied, self._control.health_ports
        if applied.lab is None or node not in applied.nodes:
            raise bad_request(f"node {node} does not run")
        about = (applied.nodes[node], applied.lab, applied.services, health)
        return web.Response(text=await asyncio.to_thread(lambda: RENDERERS[how](proxied(*about))))

    def _usual_format(self, node: str) -> str:
        """The format of the rules that the node's mode has."""
        view = self._control.store.view()
        lab, stored = lab_of(view), view.get(ObjectKey("Node", "", node))
        mode = proxy_mode(lab, stored) if lab and stored else ""
        if mode in PROXY_MODES and PROXY_MODES[mode].relays:
            raise bad_request(
                f"node {node} is in mode {mode}, whose rules are not rendered;"
                " --format prints those that another mode would have"
            )
        return FORMAT_OF_MODE.get(mode, FORMATS[0])

    async def metrics(self, request: web.Request) -> web.Response:
        """GET /netsim/metrics."""
        node = request.query.get("node", "")
        try:
            text = await self._control.proxies.metrics(node)
        except LookupError:
            raise ObjectNotFoundError("nodes", node) from None
        return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE})

    async def capture(self, request: web.Request) -> web.StreamResponse:
        """GET /netsim/captures: the data plane writes into a pipe, the client reads from it."""
        client = self._client()
        response = web.StreamResponse(headers={"Content-Type": "application/x-pcapng"})
        reading, writing = os.pipe()
        try:
            snaplen = int(request.query.get("snaplen", "0"))
            number = await client.capture_start(request.query.get("target", ""), writing, snaplen)
        except (RefusedError, ValueError) as error:
            os.close(reading)
            raise bad_request(str(error)) from None
        finally:
            os.close(writing)
        response.headers["Netsim-Capture"] = str(number)
        try:
            await response.prepare(request)
            async for chunk in pipe_chunks(reading):
                await response.write(chunk)
        finally:
            with contextlib.suppress(OSError, EOFError):
                await asyncio.shield(client.capture_stop(number))
        return response

    async def capture_stop(self, request: web.Request) -> web.Response:
        """DELETE /netsim/captures/ID: what was captured so far still reaches the reader."""
        number = int(request.match_info["id"])
        try:
            stopped = await self._client().capture_stop(number)
        except RefusedError as error:
            raise bad_request(str(error)) from None
        return web.json_response({"captured": stopped.captured, "missed": stopped.missed})

    def _client(self) -> DataplaneClient:
        client = self._control.link.client
        if client is None:
            raise unavailable("the data plane is not running")
        return client
