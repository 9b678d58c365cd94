"""The API's client: synchronous, over a lab's Unix socket, light to import.

Failures come as `netsim.errors`, with the server's message: the exit codes of the command line
follow from them.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlencode

import msgspec

from netsim.api.fields import Json, items, mapping, number, text
from netsim.api.meta import KIND_BY_NAME, Kind
from netsim.errors import ConflictError, NetsimError, NotFoundError, PreconditionError, UsageError
from netsim.server.paths import collection_path, object_path

TIMEOUT_S = 30.0
RESTART_S, RESTART_POLL_S = 10.0, 0.02
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
MERGE_PATCH = "application/merge-patch+json"

Query = Mapping[str, str | int | bool | None]


class RequestFailedError(NetsimError):
    """The server refused or failed for another reason than those of `netsim.errors`."""


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a watch: ADDED, MODIFIED, DELETED or BOOKMARK, and the object or Table."""

    type: str
    object: Json


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout: float | None) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Open the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class ApiClient:
    """Requests to one lab's API, from one thread; each watch has a connection of its own.

    `lab` is what messages call the lab. While `restarts` says so, a server that is not there is
    waited for: it has crashed, and comes back.
    """

    def __init__(
        self,
        path: str,
        lab: str = "",
        timeout_s: float = TIMEOUT_S,
        *,
        restarts: Callable[[], bool] = lambda: False,
    ) -> None:
        self._path = path
        self._lab = lab
        self._timeout_s = timeout_s
        self._restarts = restarts
        self._connection: _UnixConnection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def get(self, kind: Kind, name: str, namespace: str = "", part: str = "") -> Json:
        """One object (or its subresource `part`). NotFoundError."""
        return self._object("GET", object_path(kind, namespace, name, part))

    def find(self, kind: Kind, name: str, namespace: str = "") -> Json | None:
        """One object, None if there is none."""
        with contextlib.suppress(NotFoundError):
            return self.get(kind, name, namespace)
        return None

    def list(
        self, kind: Kind, namespace: str | None = None, *, labels: str = "", fields: str = ""
    ) -> tuple[Json, ...]:
        """Objects of a kind, of one namespace or (None) of all, that the selectors mean."""
        return items(self.listing(kind, namespace, labels=labels, fields=fields), "items")

    def listing(
        self, kind: Kind, namespace: str | None = None, *, labels: str = "", fields: str = ""
    ) -> Json:
        """As `list`, but the List object: a watch can go on from its resourceVersion."""
        query = _selectors(labels, fields)
        return self._object("GET", collection_path(kind, namespace), query)

    def table(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        name: str = "",
        labels: str = "",
        fields: str = "",
        include: str = "Metadata",
    ) -> Json:
        """A Table of objects, or of the one named; `include` None, Metadata or Object in rows."""
        path = (
            object_path(kind, namespace or "", name) if name else collection_path(kind, namespace)
        )
        query = {**_selectors(labels, fields), "includeObject": include}
        return self._object("GET", path, query, accept=TABLE)

    def create(self, kind: Kind, obj: Json, namespace: str = "", *, dry_run: bool = False) -> Json:
        """Store a new object; what was stored. ConflictError, UsageError."""
        place = namespace or text(mapping(obj, "metadata"), "namespace") or "default"
        return self._object("POST", collection_path(kind, place), _trial(dry_run), obj)

    def replace(self, kind: Kind, obj: Json, *, part: str = "", dry_run: bool = False) -> Json:
        """Replace an object (or its status). ConflictError when it has changed, NotFoundError."""
        return self._object("PUT", _path_of(kind, obj, part), _trial(dry_run), obj)

    def patch(
        self,
        kind: Kind,
        name: str,
        patch: Json | Sequence[Json],
        namespace: str = "",
        *,
        part: str = "",
        content_type: str = MERGE_PATCH,
        dry_run: bool = False,
    ) -> Json:
        """Change fields of an object. NotFoundError, ConflictError, UsageError."""
        path = object_path(kind, namespace, name, part)
        return self._object("PATCH", path, _trial(dry_run), patch, content_type=content_type)

    def scale(self, kind: Kind, name: str, namespace: str, replicas: int) -> Json:
        """Set the number of replicas; the Scale."""
        return self.patch(kind, name, {"spec": {"replicas": replicas}}, namespace, part="scale")

    def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str = "",
        *,
        grace_s: int | None = None,
        propagation: str = "Background",
        dry_run: bool = False,
    ) -> Json:
        """Delete an object with its dependents; the object or a Status. NotFoundError."""
        options: dict[str, object] = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": propagation,
        }
        if grace_s is not None:
            options["gracePeriodSeconds"] = grace_s
        return self._object("DELETE", object_path(kind, namespace, name), _trial(dry_run), options)

    def watch(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        revision: str = "",
        labels: str = "",
        fields: str = "",
        table: bool = False,
        include: str = "Metadata",
        timeout_s: int | None = None,
    ) -> Iterator[Change]:
        """Changes after `revision` (everything first, when empty), until the server ends the watch.

        Close the generator to end it from here. ConflictError (Expired): list again.
        """
        query: Query = {
            **_selectors(labels, fields),
            "watch": True,
            "resourceVersion": revision,
            "timeoutSeconds": timeout_s,
            "includeObject": include if table else None,
        }
        accept = TABLE if table else "application/json"
        path = collection_path(kind, namespace)
        for line in self.stream("GET", path, query, accept=accept):
            change: Json = msgspec.json.decode(line, type=dict[str, object])
            if text(change, "type") == "ERROR":
                raise _failure(mapping(change, "object"))
            yield Change(text(change, "type"), mapping(change, "object"))

    def logs(self, name: str, namespace: str, kind: Kind, query: Query) -> Iterator[bytes]:
        """The lines of a container's log."""
        return self.stream("GET", object_path(kind, namespace, name, "log"), query)

    def names(self, kind: str, namespace: str | None = None) -> Sequence[tuple[str, str]]:
        """(namespace, name) of every object of a kind (`Pod`); cheaper than the objects."""
        rows = items(self.table(KIND_BY_NAME[kind], namespace), "rows")
        heads = [mapping(mapping(row, "object"), "metadata") for row in rows]
        return [(text(head, "namespace"), text(head, "name")) for head in heads]

    def open(self, method: str, url: str, *, accept: str = "*/*") -> http.client.HTTPResponse:
        """An answer whose body is read as it comes; closing it closes its connection."""
        connection = self._connect(timeout_s=None)
        headers = {"Accept": accept, "Connection": "close"}
        try:
            response = _exchange(connection, method, url, b"", headers)
            if response.status >= 400:
                raise _failure(_decoded(response.read()), response.status)
        except (http.client.HTTPException, OSError) as error:
            connection.close()
            raise RequestFailedError(f"{self._what} went away", str(error)) from error
        except NetsimError:
            connection.close()
            raise
        return response

    def stream(
        self, method: str, path: str, query: Query, *, accept: str = "*/*"
    ) -> Iterator[bytes]:
        """The lines of an answer as they come, on a connection of their own."""
        with self.open(method, path + _query(query), accept=accept) as response:
            try:
                yield from response
            except (http.client.HTTPException, OSError) as error:
                raise RequestFailedError(f"{self._what} went away", str(error)) from error

    def raw(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> bytes:
        """Any request; the answer's body. Raises as the other methods do."""
        headers = {"Accept": accept, **({"Content-Type": content_type} if body else {})}
        response = self._send(method, path, body, headers)
        content = response.read()
        if response.status >= 400:
            raise _failure(_decoded(content), response.status)
        return content

    def call(self, method: str, path: str, body: object = None) -> Json:
        """A JSON request to any path, such as the lab's own; the answer, an object."""
        content = b"" if body is None else msgspec.json.encode(body)
        return _decoded(self.raw(method, path, content))

    def _object(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        body: object = None,
        *,
        accept: str = "application/json",
        content_type: str = "application/json",
    ) -> Json:
        content = b"" if body is None else msgspec.json.encode(body)
        url = path + _query(query or {})
        return _decoded(self.raw(method, url, content, content_type=content_type, accept=accept))

    def _send(
        self, method: str, url: str, body: bytes, headers: Mapping[str, str]
    ) -> http.client.HTTPResponse:
        reused = self._connection is not None
        connection = self._connection or self._connect(self._timeout_s)
        self._connection = connection
        try:
            return _exchange(connection, method, url, body, headers)
        except TimeoutError as error:
            self.close()
            why = f"no answer within {self._timeout_s:g} s"
            raise RequestFailedError(f"{self._what} does not answer", why) from error
        except (http.client.HTTPException, OSError) as error:
            self.close()
            # the server closes connections that were idle: nothing of the request was seen
            if reused and isinstance(error, http.client.RemoteDisconnected | BrokenPipeError):
                return self._send(method, url, body, headers)
            raise RequestFailedError(f"{self._what} went away", str(error)) from error

    def _connect(self, timeout_s: float | None) -> _UnixConnection:
        end = time.monotonic() + RESTART_S
        while True:
            connection = _UnixConnection(self._path, timeout_s)
            try:
                self._try(connection)
            except NotFoundError:
                if time.monotonic() > end or not self._restarts():
                    raise
                time.sleep(RESTART_POLL_S)
            else:
                return connection

    def _try(self, connection: _UnixConnection) -> None:
        try:
            connection.connect()
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
            connection.close()
            hint = "netsim ps lists the labs, netsim up starts one"
            raise NotFoundError(f"{self._what} is not running", hint=hint) from error
        except PermissionError as error:
            connection.close()
            raise PreconditionError(
                f"no access to {self._what}", "it belongs to another user", "use sudo"
            ) from error
        except OSError as error:
            connection.close()
            raise RequestFailedError(f"{self._what} does not answer", str(error)) from error

    @property
    def _what(self) -> str:
        return f'lab "{self._lab}"' if self._lab else "the lab"


def _exchange(
    connection: http.client.HTTPConnection,
    method: str,
    url: str,
    body: bytes,
    headers: Mapping[str, str],
) -> http.client.HTTPResponse:
    connection.request(method, url, body or None, dict(headers))
    return connection.getresponse()


def _path_of(kind: Kind, obj: Json, part: str) -> str:
    metadata = mapping(obj, "metadata")
    namespace = text(metadata, "namespace") or "default"
    return object_path(kind, namespace, text(metadata, "name"), part)


def _selectors(labels: str, fields: str) -> Query:
    return {"labelSelector": labels or None, "fieldSelector": fields or None}


def _trial(dry_run: bool) -> Query:
    return {"dryRun": "All" if dry_run else None}


def _query(query: Query) -> str:
    """The query as URL text: None is left out, booleans are `true`."""
    given = {
        k: str(v).lower() if isinstance(v, bool) else str(v)
        for k, v in query.items()
        if v is not None
    }
    return f"?{urlencode(given)}" if given else ""


def _decoded(content: bytes) -> Json:
    try:
        return msgspec.json.decode(content, type=dict[str, object])
    except msgspec.MsgspecError as error:
        raise RequestFailedError("the lab's API gave an answer that is not JSON") from error


ERRORS: Mapping[int, type[NetsimError]] = {
    400: UsageError,
    403: UsageError,
    404: NotFoundError,
    409: ConflictError,
    410: ConflictError,
    413: UsageError,
    415: UsageError,
    422: UsageError,
}


def _failure(status: Json, code: int = 0) -> NetsimError:
    """The exception that a Status object means."""
    kind = ERRORS.get(number(status, "code") or code, RequestFailedError)
    return kind(text(status, "message") or f"the lab's API answered {code}")
