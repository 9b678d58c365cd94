"""A server on a Unix socket in a thread of its own, and plain HTTP requests to it."""

from __future__ import annotations

import asyncio
import http.client
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
from aiohttp import web

from netsim.api.fields import Json
from netsim.server.api import Api
from netsim.server.app import create_app, serve
from netsim.store.memory import ObjectStore

T = TypeVar("T")


class Answer(NamedTuple):
    """What came back; `body` is the JSON object, empty when the body is none."""

    code: int
    body: Json
    raw: bytes
    headers: Mapping[str, str]


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=20)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Server:
    """Serves `api` until closed."""

    def __init__(self, api: Api, tcp_port: int | None = None) -> None:
        # short: a Unix socket's path has 108 bytes
        self.directory = tempfile.mkdtemp(prefix="netsim-")
        self.path = str(Path(self.directory) / "api.sock")
        self.api = api
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.runner = self.run(self._start(tcp_port))
        self.connection: UnixConnection | None = None

    async def _start(self, tcp_port: int | None) -> web.AppRunner:
        app = create_app(self.api.store, api=self.api)
        return await serve(app, self.path, tcp_port=tcp_port)

    def run(self, coroutine: Coroutine[None, None, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def call(self, function: Callable[[], T]) -> T:
        """Run a function in the server's thread, which owns the store."""

        async def body() -> T:
            return function()

        return self.run(body())

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
        self.run(self.runner.cleanup())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()
        shutil.rmtree(self.directory)

    def connect(self) -> UnixConnection:
        return UnixConnection(self.path)

    def request(
        self,
        method: str,
        url: str,
        body: object = None,
        *,
        content_type: str | None = "application/json",
        accept: str = "application/json",
    ) -> Answer:
        """One request; a body that is not bytes is sent as JSON."""
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        headers = {"Accept": accept}
        if body is not None and content_type is not None:
            headers["Content-Type"] = content_type
        if self.connection is None:
            self.connection = self.connect()
        try:
            self.connection.request(method, url, None if body is None else content, headers)
            response = self.connection.getresponse()
            raw = response.read()
        except (http.client.HTTPException, OSError):
            self.connection.close()
            raise
        try:
            value = msgspec.json.decode(raw, type=dict[str, object])
        except msgspec.MsgspecError:
            value = {}
        return Answer(response.status, value, raw, dict(response.headers))


def new_api() -> Api:
    store = ObjectStore()
    store.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}})
    return Api(store, lambda view, operation, new, old: new)
