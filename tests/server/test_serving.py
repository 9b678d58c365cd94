"""The server as such: sockets, discovery, logs, admission, and errors that nobody foresaw."""

from __future__ import annotations

import http.client
import logging
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from netsim.api.fields import Json, items, mapping, text
from netsim.api.meta import KINDS
from netsim.server.api import Api, Hooks, LogOptions, Operation
from netsim.server.app import create_app, serve
from netsim.server.paths import prefix
from netsim.store.base import View
from netsim.store.errors import Cause, bad_request, invalid
from netsim.store.memory import ObjectStore
from tests.server.running import Server, new_api
from tests.server.test_requests import DEPLOYMENTS, MERGE, PODS, deployment, pod


def test_the_socket_is_private_and_replaces_a_stale_one(tmp_path: Path) -> None:
    server = Server(new_api())
    path = Path(server.path)
    assert path.stat().st_mode & 0o777 == 0o600
    server.close()
    stale = tmp_path / "api.sock"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(stale))
    server = Server(new_api())
    runner = server.run(serve(create_app(server.api.store), str(stale)))
    assert runner.addresses == [str(stale)]
    server.run(runner.cleanup())
    server.close()


def test_a_path_that_cannot_be_bound_is_an_error(tmp_path: Path) -> None:
    server = Server(new_api())
    with pytest.raises(OSError, match="No such file"):
        server.run(serve(create_app(server.api.store), str(tmp_path / "no" / "api.sock")))
    server.close()


def ask_tcp(port: int, host: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", "/healthz", headers={"Host": host})
    code = connection.getresponse().status
    connection.close()
    return code


def test_loopback_tcp_answers_loopback_names_only() -> None:
    server = Server(new_api(), tcp_port=0)
    port = server.runner.addresses[1][1]
    for host in ("localhost", f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}", "[::1]"):
        assert ask_tcp(port, host) == 200, host
    for host in ("example.com", f"example.com:{port}", "localhost.example.com"):
        assert ask_tcp(port, host) == 403, host
    server.close()


def test_every_kind_is_discovered(server: Server) -> None:
    assert server.request("GET", "/api").body["versions"] == ["v1"]
    groups = {g["name"] for g in items(server.request("GET", "/apis").body, "groups")}
    assert groups == {kind.group for kind in KINDS if kind.group}
    for kind in KINDS:
        listed = server.request("GET", prefix(kind)).body
        assert listed["groupVersion"] == kind.api_version
        found = {text(r, "name"): r for r in items(listed, "resources")}
        assert found[kind.plural]["kind"] == kind.name
        assert found[kind.plural]["namespaced"] is kind.namespaced
        assert found[kind.plural].get("shortNames", []) == list(kind.short_names)
    scale = found_part(server.request("GET", "/apis/apps/v1").body, "deployments/scale")
    assert (scale["group"], scale["version"], scale["kind"]) == ("autoscaling", "v1", "Scale")
    group = server.request("GET", "/apis/apps").body
    assert mapping(group, "preferredVersion")["groupVersion"] == "apps/v1"


def found_part(listed: Json, name: str) -> Json:
    return next(r for r in items(listed, "resources") if r["name"] == name)


def test_version_health_and_openapi(server: Server) -> None:
    for path in ("/version", "/version/", "/version?timeout=5s"):
        assert text(server.request("GET", path).body, "gitVersion").startswith("v1.")
    for path in ("/healthz", "/livez", "/readyz"):
        assert server.request("GET", path).raw == b"ok"
    index = server.request("GET", "/openapi/v3").body
    for entry in mapping(index, "paths").values():
        assert isinstance(entry, dict)
        document = server.request("GET", str(entry["serverRelativeURL"])).body
        for operations in mapping(document, "paths").values():
            assert isinstance(operations, dict)
            names = {text(p, "name") for p in items(mapping(operations, "patch"), "parameters")}
            assert names >= {"fieldValidation", "dryRun"}
    accept = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
    second = server.request("GET", "/openapi/v2", accept=accept)
    assert (second.code, second.raw) == (200, b"")
    assert "spec.v2.v1.0+protobuf" in second.headers["Content-Type"]
    assert server.request("GET", "/openapi/v2").body["swagger"] == "2.0"


class Logs:
    """A log hook that remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[LogOptions] = []

    async def __call__(self, obj: Json, options: LogOptions) -> AsyncIterator[bytes]:
        self.asked.append(options)
        if options.previous:
            raise bad_request("nothing ran before")
        if options.container != "silent":
            yield b"one\n"
            yield b"two\n"


def test_logs_are_text() -> None:
    api, logs = new_api(), Logs()
    api.hooks = Hooks(pod_log=logs)
    server = Server(api)
    server.request("POST", PODS, pod("p"))
    answer = server.request("GET", f"{PODS}/p/log?tailLines=5&follow=true&limitBytes=9")
    assert (answer.code, answer.raw) == (200, b"one\ntwo\n")
    assert answer.headers["Content-Type"] == "text/plain"
    assert logs.asked == [LogOptions("c", follow=True, tail_lines=5, limit_bytes=9)]
    several = {**pod("q"), "spec": {"containers": [{"name": "a"}, {"name": "silent"}]}}
    server.request("POST", PODS, several)
    assert server.request("GET", f"{PODS}/q/log?container=silent").raw == b""
    for query, message in (
        ("", "a container name must be specified for pod q, choose one of: [a silent]"),
        ("?container=x", "container x is not valid for pod q"),
        ("?container=a&previous=true", "nothing ran before"),
        ("?container=a&tailLines=-1", "tailLines"),
    ):
        refused = server.request("GET", f"{PODS}/q/log{query}")
        assert refused.code == 400
        assert message in text(refused.body, "message")
    server.close()


def admit(view: View, operation: Operation, new: Json, old: Json | None) -> Json:
    """Labels what it sees, refuses the label `bad`."""
    labels = mapping(mapping(new, "metadata"), "labels")
    if "bad" in labels:
        raise invalid("Pod", "p", [Cause("FieldValueInvalid", "no", "metadata.labels.bad")])
    seen = {**labels, "seen": operation, "had": str(old is not None)}
    return {**new, "metadata": {**mapping(new, "metadata"), "labels": seen}}


def labels_of(body: Json) -> Json:
    return mapping(mapping(body, "metadata"), "labels")


def test_admission_sees_and_changes_every_write() -> None:
    server = Server(Api(ObjectStore(), admit))
    made = server.request("POST", DEPLOYMENTS, deployment("d"))
    assert labels_of(made.body) == {"seen": "CREATE", "had": "False"}
    for method, part, body in (
        ("PUT", "", deployment("d")),
        ("PATCH", "", {"spec": {"replicas": 2}}),
        ("PATCH", "/status", {"status": {"replicas": 2}}),
        ("PATCH", "/scale", {"spec": {"replicas": 3}}),
    ):
        kind = MERGE if method == "PATCH" else "application/json"
        url = f"{DEPLOYMENTS}/d{part}"
        assert server.request(method, url, body, content_type=kind).code == 200
        stored = server.request("GET", f"{DEPLOYMENTS}/d").body
        assert labels_of(stored) == {"seen": "UPDATE", "had": "True"}
    refused = server.request("POST", PODS, pod("p", labels={"bad": "x"}))
    assert (refused.code, refused.body["message"]) == (
        422,
        'Pod "p" is invalid: metadata.labels.bad: no',
    )
    server.close()


def test_admission_sees_generated_names() -> None:
    server = Server(Api(ObjectStore(), admit_named))
    assert server.request("POST", PODS, {"metadata": {"generateName": "x-"}}).code == 201
    server.close()


def admit_named(view: View, operation: Operation, new: Json, old: Json | None) -> Json:
    assert text(mapping(new, "metadata"), "name").startswith("x-")
    return new


def test_what_was_not_foreseen_is_logged_and_not_shown(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(view: View, operation: Operation, new: Json, old: Json | None) -> Json:
        raise KeyError("secret detail")

    server = Server(Api(ObjectStore(), broken))
    with caplog.at_level(logging.ERROR):
        answer = server.request("POST", PODS, pod("p"))
    assert (answer.code, answer.body["reason"]) == (500, "InternalError")
    assert b"secret" not in answer.raw
    assert "secret detail" in caplog.text
    server.close()


def test_a_patched_object_may_not_outgrow_the_limit() -> None:
    api = new_api()
    api.max_body_bytes = 2000
    server = Server(api)
    server.request("POST", PODS, pod("p"))
    for _ in range(3):
        patch = {"spec": {"x": "x" * 1500}}
        assert server.request("PATCH", f"{PODS}/p", patch, content_type=MERGE).code == 200
    patch = {"spec": {"y": "x" * 1500}}
    answer = server.request("PATCH", f"{PODS}/p", patch, content_type=MERGE)
    assert (answer.code, answer.body["reason"]) == (413, "RequestEntityTooLarge")
    server.close()


def test_only_so_many_pages_are_kept(server: Server) -> None:
    for name in ("a", "b"):
        server.request("POST", PODS, pod(name))
    tokens = []
    for number in range(40):
        page = server.request("GET", f"{PODS}?limit=1")
        tokens.append(text(mapping(page.body, "metadata"), "continue"))
        server.request("POST", PODS, pod(f"c{number}"))
    assert server.request("GET", f"{PODS}?limit=1&continue={tokens[-1]}").code == 200
    expired = server.request("GET", f"{PODS}?limit=1&continue={tokens[0]}")
    assert (expired.code, expired.body["reason"]) == (410, "Expired")
