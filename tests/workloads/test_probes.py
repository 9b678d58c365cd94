from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable

import pytest

from netsim.api.pods import Probe
from netsim.lab.probes import NodeSockets, Readiness, ask, request, status_code
from netsim.linux import ns, syscalls

Answer = Callable[[socket.socket], None]


async def make(node: str) -> socket.socket:
    assert node == "n"
    made = socket.socket()
    made.setblocking(False)
    return made


def serve(listening: socket.socket, answer: Answer) -> None:
    """Answer one connection."""
    connection, _ = listening.accept()
    with connection, contextlib.suppress(OSError):
        answer(connection)


def asked(probe: Probe, answer: Answer | None) -> bool:
    """What a probe of a server that does `answer` (None: nobody listens) says."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        if answer is None:
            return asyncio.run(ask(probe, "127.0.0.1", port, make, "n"))
        listening.listen()
        server = threading.Thread(target=serve, args=(listening, answer))
        server.start()
        try:
            return asyncio.run(ask(probe, "127.0.0.1", port, make, "n"))
        finally:
            server.join()


def replies(text: bytes) -> Answer:
    def answer(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(text)

    return answer


def silent(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


HTTP, TCP = Probe("http"), Probe("tcp")

ANSWERS = [
    ("200", HTTP, replies(b"HTTP/1.1 200 OK\r\n\r\nfine"), True),
    ("a long body", HTTP, replies(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 300_000), True),
    ("redirects", HTTP, replies(b"HTTP/1.0 302 Found\r\n\r\n"), True),
    ("400", HTTP, replies(b"HTTP/1.1 400 Bad\r\n\r\n"), False),
    ("500", HTTP, replies(b"HTTP/1.1 500 Bad\r\n\r\n"), False),
    ("199", HTTP, replies(b"HTTP/1.1 199 Hm\r\n\r\n"), False),
    ("not HTTP", HTTP, replies(b"SSH-2.0-x\r\n"), False),
    ("no number", HTTP, replies(b"HTTP/1.1 abc\r\n"), False),
    ("hangs up", HTTP, replies(b""), False),
    ("never ends its line", HTTP, replies(b"HTTP/1.1 " + b"x" * 200_000), False),
    ("nobody", HTTP, None, False),
    ("TLS to a plain server", Probe("http", scheme="HTTPS"), replies(b"no"), False),
    ("somebody", TCP, silent, True),
    ("nobody either", TCP, None, False),
]


@pytest.mark.parametrize(
    ("probe", "answer", "wanted"), [a[1:] for a in ANSWERS], ids=[a[0] for a in ANSWERS]
)
def test_what_counts_as_success(probe: Probe, answer: Answer | None, wanted: bool) -> None:
    assert asked(probe, answer) is wanted


def test_silence_ends_with_the_timeout() -> None:
    assert asked(Probe("http", timeout_s=0), silent) is False


def test_the_request_is_kubelets() -> None:
    assert request(Probe("http", path="/ok"), "10.0.0.2:80") == (
        b"GET /ok HTTP/1.1\r\nHost: 10.0.0.2:80\r\nUser-Agent: kube-probe/netsim\r\n"
        b"Accept: */*\r\nConnection: close\r\n\r\n"
    )
    custom = request(Probe("http", path="ok", headers=(("host", "web"), ("X-A", "1"))), "h:1")
    assert b"GET /ok " in custom
    assert b"host: web\r\n" in custom
    assert b"Host: h" not in custom
    assert b"X-A: 1\r\n" in custom


def test_status_lines() -> None:
    assert status_code(b"HTTP/1.1 204 No Content\r\n") == 204
    with pytest.raises(ValueError, match="not HTTP"):
        status_code(b"hello")


# (successThreshold, failureThreshold, results, ready after each)
THRESHOLDS = [
    (1, 3, "++", "yy"),
    (1, 3, "-+--+---+", "nyyyyyyny"),
    (3, 1, "++-+++-", "nnnnnyn"),
    (2, 2, "+-+-++-+--", "nnnnnyyyyn"),
]


@pytest.mark.parametrize(("successes", "failures", "results", "wanted"), THRESHOLDS)
def test_thresholds(successes: int, failures: int, results: str, wanted: str) -> None:
    probe = Probe("tcp", success_threshold=successes, failure_threshold=failures)
    readiness = Readiness(probe)
    found = "".join("y" if readiness.record(success=r == "+") else "n" for r in results)
    assert found == wanted


@pytest.mark.linux
def test_sockets_speak_from_the_nodes_namespace() -> None:
    def new_namespace(_: str) -> dict[str, int]:
        home = ns.open_current(("net",))
        try:
            syscalls.unshare(syscalls.CLONE_NEWNET)
            return ns.open_current(("net",))
        finally:
            ns.enter(home)
            ns.close_all(home)

    sockets = NodeSockets(new_namespace)
    try:
        made = asyncio.run(sockets.make("n"))
        with made, pytest.raises(OSError, match="unreachable"):
            made.connect(("127.0.0.1", 9))  # its lo is down
    finally:
        sockets.close()
