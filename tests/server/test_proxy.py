"""HTTP through the API into pods and Services: what goes on, what comes back, what is refused."""

from __future__ import annotations

import http.client
import http.server
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from netsim.api.fields import Json
from netsim.errors import NotFoundError
from netsim.server.api import Api, Hooks
from netsim.server.proxy import is_proxied_to
from netsim.store.memory import ObjectStore
from tests.controllers.world import (
    Object,
    container,
    endpoint,
    endpoint_slice,
    pod,
    port,
    service,
    slice_port,
)
from tests.server.running import Answer, Server
from tests.server.test_kubectl import KUBECTL, Kubectl

POD, SERVICE = "/api/v1/namespaces/default/pods", "/api/v1/namespaces/default/services"
FIRST = b"first "


class Answerer(http.server.BaseHTTPRequestHandler):
    """Says what it was asked."""

    protocol_version = "HTTP/1.1"
    go_on = threading.Event()

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", self.path.partition("?")[2])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if self.path in ("/slow", "/short"):
            self.slow()
            return
        said = f"{self.command} {self.path}\n{self.headers}\n".encode() + body
        self.send_response(418 if self.path == "/teapot" else 200)
        self.send_header("Content-Length", str(len(said)))
        self.send_header("X-Mine", "one")
        self.send_header("Set-Cookie", "a=1")
        self.send_header("Set-Cookie", "b=2")
        self.send_header("Connection", "keep-alive, X-Private")
        self.send_header("X-Private", "secret")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(said)

    def slow(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "10")
        self.end_headers()
        self.wfile.write(FIRST)
        self.wfile.flush()
        self.go_on.wait(20)
        if self.path == "/slow":
            self.wfile.write(b"last")
        self.close_connection = True

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def log_message(self, format: str, *args: object) -> None:
        del format, args


class Redirected(socket.socket):
    """Connects to what stands for every pod, and notes where it was to go."""

    def __init__(self, there: int, asked: list[object]) -> None:
        super().__init__(socket.AF_INET, socket.SOCK_STREAM)
        self.setblocking(False)
        self.there, self.asked = there, asked

    def connect(self, address: object) -> None:
        self.asked.append(address)
        super().connect(("127.0.0.1", self.there))


class World(Server):
    """A server whose nodes' sockets all lead to one answerer."""

    def __init__(self) -> None:
        self.asked: list[object] = []
        self.pods = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answerer)
        self.pods.daemon_threads = True
        threading.Thread(target=self.pods.serve_forever, daemon=True).start()

        async def dial(node: str) -> socket.socket:
            self.asked.append(node)
            if node == "gone":
                raise NotFoundError("no node gone")
            return Redirected(self.pods.server_port, self.asked)

        store = ObjectStore()
        for obj in OBJECTS:
            store.create(obj)
        super().__init__(Api(store, lambda view, op, new, old: new, Hooks(dial=dial)), tcp_port=0)

    def close(self) -> None:
        super().close()
        self.pods.shutdown()
        self.pods.server_close()

    def get(self, url: str) -> Answer:
        self.asked.clear()
        return self.request("GET", url)


def placed(ip: str, node: str, **conditions: bool) -> Object:
    return {**endpoint(ip, **conditions), "nodeName": node}


SERVED = container("main", {"containerPort": 8080}, {"containerPort": 9090})
OBJECTS: list[Json] = [
    pod("web", on="n1", ip="10.0.0.2", containers=[SERVED]),
    pod("bare", on="n2", ip="10.0.0.3"),
    pod("lost", on="gone", ip="10.0.0.4"),
    pod("young", on="n1"),
    pod("self", on="n1", ip="127.0.0.1"),
    service("web", None, port(80, "http"), port(443, "tls")),
    service("plain", None, port(80)),
    service("empty", None, port(80)),
    service("unready", None, port(80)),
    service("sly", None, port(80)),
    endpoint_slice(
        "web-1",
        "web",
        [slice_port(8080, "http"), slice_port(8443, "tls")],
        [placed("10.0.0.2", "n1"), placed("10.0.0.9", "n1", ready=False)],
    ),
    endpoint_slice("plain-1", "plain", [slice_port(8080)], [endpoint("10.0.0.5")]),
    endpoint_slice("unready-1", "unready", [slice_port(80)], [endpoint("10.0.0.6", ready=False)]),
    endpoint_slice("sly-1", "sly", [slice_port(80)], [endpoint("169.254.169.254")]),
]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


# (path, the node to speak from, where it goes)
PLACES = [
    (f"{POD}/web/proxy/", "n1", ("10.0.0.2", 8080)),
    (f"{POD}/web:9090/proxy/", "n1", ("10.0.0.2", 9090)),
    (f"{POD}/http:web:9090/proxy/", "n1", ("10.0.0.2", 9090)),
    (f"{POD}/bare/proxy/", "n2", ("10.0.0.3", 80)),
    (f"{SERVICE}/web:http/proxy/", "n1", ("10.0.0.2", 8080)),
    (f"{SERVICE}/web:80/proxy/", "n1", ("10.0.0.2", 8080)),
    (f"{SERVICE}/http:web:tls/proxy/", "n1", ("10.0.0.2", 8443)),
    (f"{SERVICE}/plain/proxy/", "", ("10.0.0.5", 8080)),
    (f"{SERVICE}/http:plain:/proxy/", "", ("10.0.0.5", 8080)),
    (f"{SERVICE}/web%3A80/proxy/", "n1", ("10.0.0.2", 8080)),
]


@pytest.mark.parametrize(("url", "node", "address"), PLACES)
def test_where_requests_go(world: World, url: str, node: str, address: tuple[str, int]) -> None:
    answer = world.get(f"{url}a/b%2Fc?x=1&y=%20")
    assert (answer.code, world.asked) == (200, [node, address])
    assert answer.raw.startswith(b"GET /a/b%2Fc?x=1&y=%20\n")
    assert f"Host: {address[0]}:{address[1]}\r\n".encode() in answer.raw.replace(b"\n", b"\r\n")


NO_ENDPOINTS = 'no endpoints available for service "{}"'
# (path, code, reason, message)
REFUSED = [
    (f"{POD}/none/proxy/", 404, "NotFound", 'pods "none" not found'),
    (f"{SERVICE}/none:80/proxy/", 404, "NotFound", 'services "none" not found'),
    (f"{POD}/:80/proxy/", 400, "BadRequest", 'invalid pod request ":80"'),
    (f"{POD}/ftp:web:80/proxy/", 400, "BadRequest", 'invalid pod request "ftp:web:80"'),
    (f"{POD}/a:b:c:d/proxy/", 400, "BadRequest", 'invalid pod request "a:b:c:d"'),
    (f"{POD}/web:http/proxy/", 400, "BadRequest", 'invalid pod request "web:http"'),
    (f"{POD}/web:0/proxy/", 400, "BadRequest", 'invalid pod request "web:0"'),
    (f"{POD}/web:65536/proxy/", 400, "BadRequest", 'invalid pod request "web:65536"'),
    (f"{POD}/young/proxy/", 400, "BadRequest", "address not allowed"),
    (f"{POD}/self/proxy/", 400, "BadRequest", "address not allowed"),
    (f"{SERVICE}/sly/proxy/", 400, "BadRequest", "address not allowed"),
    (f"{SERVICE}/https::80/proxy/", 400, "BadRequest", 'invalid service request "https::80"'),
    (f"{SERVICE}/web:81/proxy/", 503, "ServiceUnavailable",
     'no service port 81 found for service "web"'),
    (f"{SERVICE}/empty/proxy/", 503, "ServiceUnavailable", NO_ENDPOINTS.format("empty")),
    (f"{SERVICE}/unready/proxy/", 503, "ServiceUnavailable", NO_ENDPOINTS.format("unready")),
    (f"{SERVICE}/web/proxy/", 503, "ServiceUnavailable", NO_ENDPOINTS.format("web")),
    (f"{SERVICE}/web:no/proxy/", 503, "ServiceUnavailable", NO_ENDPOINTS.format("web")),
    (f"{POD}/lost/proxy/", 503, "ServiceUnavailable",
     "error trying to reach service: no node gone"),
    (f"{POD}/web/proxyx", 404, "NotFound", "the server could not find the requested resource"),
    (f"{POD}/https:web:8080/proxy/", 503, "ServiceUnavailable", "error trying to reach service: "),
]  # fmt: skip


@pytest.mark.parametrize(("url", "code", "reason", "message"), REFUSED)
def test_what_is_refused(world: World, url: str, code: int, reason: str, message: str) -> None:
    answer = world.get(url)
    assert (answer.code, answer.body["reason"]) == (code, reason)
    assert str(answer.body["message"]).startswith(message)
    assert all(not isinstance(asked, tuple) for asked in world.asked) or "https" in url


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_methods_bodies_and_answers_are_the_pods(world: World, method: str) -> None:
    answer = world.request(method, f"{POD}/web/proxy/teapot", b"question", content_type="text/x")
    assert answer.code == 418
    assert answer.raw.startswith(f"{method} /teapot\n".encode())
    assert answer.raw.endswith(b"\n\nquestion")
    assert (answer.headers["X-Mine"], answer.headers.get("X-Private")) == ("one", None)
    assert b"Content-Type: text/x" in answer.raw
    assert f"X-Forwarded-Uri: {POD}/web/proxy/teapot".encode() in answer.raw


@contextmanager
def raw(world: World, head: str) -> Iterator[http.client.HTTPResponse]:
    with closing(world.connect()) as connection:
        connection.connect()
        connection.sock.sendall(head.replace("\n", "\r\n").encode("latin-1"))
        with closing(http.client.HTTPResponse(connection.sock)) as response:
            response.begin()
            yield response


def test_headers_of_one_connection_and_ours_stay_here(world: World) -> None:
    head = (
        f"GET {POD}/web/proxy/x HTTP/1.1\nHost: lab\nAuthorization: Bearer mine\nTE: trailers\n"
        "Connection: close, X-Hop\nX-Hop: 1\nX-Kept: 2\n"
        "Expect: 100-continue\nAccept-Encoding: br\n\n"
    )
    with raw(world, head) as response:
        said = response.read()
        assert response.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
    assert b"X-Kept: 2" in said
    assert b"Accept-Encoding: br" in said
    assert b"X-Forwarded-Host: lab" in said
    for word in (b"Authorization", b"X-Hop", b"TE:", b"Expect"):
        assert word not in said


def test_a_head_request_has_no_body(world: World) -> None:
    head = f"HEAD {POD}/web/proxy/x HTTP/1.1\nHost: lab\nConnection: close\n\n"
    with raw(world, head) as response:
        assert (response.status, int(response.headers["Content-Length"]) > 0) == (200, True)


def test_a_path_that_ends_at_proxy_goes_on_with_a_slash(world: World) -> None:
    answer = world.get(f"{POD}/web:8080/proxy?a=1")
    assert answer.code == 301
    assert answer.headers["Location"] == f"{POD}/web:8080/proxy/?a=1"
    assert world.request("POST", f"{POD}/web:8080/proxy", b"x").raw.startswith(b"POST /\n")


# (what the pod says, what the client is told)
MOVED = [
    ("/there", f"{POD}/web/proxy/there"),
    ("http://10.0.0.2:8080/there", f"{POD}/web/proxy/there"),
    ("http://example.com/there", "http://example.com/there"),
    ("//example.com/there", "//example.com/there"),
    ("there", "there"),
]


@pytest.mark.parametrize(("said", "told"), MOVED)
def test_redirections_within_the_pod_stay_within_it(world: World, said: str, told: str) -> None:
    answer = world.get(f"{POD}/web/proxy/moved?{said}")
    assert (answer.code, answer.headers["Location"]) == (302, told)


@pytest.mark.parametrize("path", ["slow", "short"])
def test_answers_are_streamed_and_what_is_cut_off_shows(world: World, path: str) -> None:
    Answerer.go_on.clear()
    with raw(world, f"GET {POD}/web/proxy/{path} HTTP/1.1\nHost: lab\n\n") as response:
        assert response.read(len(FIRST)) == FIRST, "before the rest is there"
        Answerer.go_on.set()
        if path == "slow":
            assert response.read() == b"last"
        else:
            with pytest.raises((http.client.IncompleteRead, ConnectionError)):
                response.read()


HOSTILE = [
    "GET http://example.com{POD}/web/proxy/x HTTP/1.1\nHost: lab\nConnection: close\n\n",
    "GET {POD}/web/proxy/../../../../secret HTTP/1.1\nHost: lab\nConnection: close\n\n",
    "GET {POD}/web/proxy/%0d%0aX-Evil:%201 HTTP/1.1\nHost: lab\nConnection: close\n\n",
    "GET {POD}/web/proxy/\xff HTTP/1.1\nHost: lab\nConnection: close\n\n",
    "GET {POD}/web/proxy/ws HTTP/1.1\nHost: lab\nConnection: Upgrade\nUpgrade: websocket\n\n",
    "GET {POD}/web%2F..%2Fbare/proxy/ HTTP/1.1\nHost: lab\nConnection: close\n\n",
    "GET {POD}/web:%31%30%0a/proxy/ HTTP/1.1\nHost: lab\nConnection: close\n\n",
    "GET {POD}/web:²/proxy/ HTTP/1.1\nHost: lab\nConnection: close\n\n",
    "POST {POD}/web/proxy/x HTTP/1.1\nHost: lab\nContent-Length: 3\n"
    "Transfer-Encoding: chunked\nConnection: close\n\n0\n\n",
]


@pytest.mark.parametrize("head", HOSTILE)
def test_hostile_requests_reach_the_pod_as_one_request_or_not_at_all(
    world: World, head: str
) -> None:
    world.asked.clear()
    with raw(world, head.replace("{POD}", POD)) as response:
        said = response.read()
    places = [asked for asked in world.asked if isinstance(asked, tuple)]
    assert response.status in (200, 400, 404)
    assert places == ([("10.0.0.2", 8080)] if response.status == 200 else [])
    assert not any(line.startswith(b"X-Evil") for line in said.splitlines())


@pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")
def test_kubectl_asks_pods_and_services(world: World, tmp_path: Path) -> None:
    kubectl = Kubectl(tmp_path, world.runner.addresses[1][1])
    for url in (f"{POD}/web:8080/proxy/a?b=c", f"{SERVICE}/web:http/proxy/a?b=c"):
        done = kubectl("get", "--raw", url)
        assert (done.code, done.out.splitlines()[0]) == (0, "GET /a?b=c"), done.err
    refused = kubectl("get", "--raw", f"{SERVICE}/empty:80/proxy/")
    assert (refused.code, NO_ENDPOINTS.format("empty") in refused.err) == (1, True)


def test_a_server_without_a_network_says_so(server: Server) -> None:
    assert server.request("GET", f"{POD}/web/proxy/").code == 501


ADDRESSES = [("10.0.0.1", True), ("127.0.0.2", False), ("0.0.0.0", False), ("224.0.0.1", False),
             ("169.254.1.1", False), ("255.255.255.255", False), ("", False),
             ("fd00::1", False), ("a.b", False)]  # fmt: skip


@pytest.mark.parametrize(("address", "wanted"), ADDRESSES)
def test_addresses_that_may_be_asked(address: str, wanted: bool) -> None:
    assert is_proxied_to(address) == wanted
