"""What the answerer says over HTTP and UDP, in the manner of the Kubernetes e2e test image."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.answerer.conftest import HOSTNAME, Answerer, Reply, StartAnswerer, running

QUICK = settings(max_examples=60, deadline=None)


@pytest.fixture(scope="module")
def answerer(program: Path) -> Iterator[Answerer]:
    """One that all tests ask: to end takes it longer than to answer them."""
    with running(program) as one:
        yield one


def get(path: str, *fields: str, version: str = "1.1") -> bytes:
    lines = [f"GET {path} HTTP/{version}", *fields, "", ""]
    return "\r\n".join(lines).encode()


PATHS = [
    ("/hostname", 200, HOSTNAME),
    ("/hostName", 200, HOSTNAME),
    ("/healthz", 200, "ok"),
    ("/echo?msg=hello", 200, "hello"),
    ("/echo?x=1&msg=a+b%20c%21&y", 200, "a b c!"),
    ("/echo", 200, ""),
    ("/echo?msg=100%", 200, "100%"),
    ("/echo?msg=%zz", 200, "%zz"),
    ("/hostname?why", 200, HOSTNAME),
    ("http://some.host/hostname", 200, HOSTNAME),
    ("/nope", 404, "404 page not found\n"),
    ("/hostnames", 404, "404 page not found\n"),
]


@pytest.mark.parametrize(("path", "status", "body"), PATHS)
def test_a_path_has_its_answer(answerer: Answerer, path: str, status: int, body: str) -> None:
    with answerer.connect() as connection:
        assert connection.ask(get(path)) == Reply(status, body, True)


def test_the_root_tells_the_time_and_clientip_who_asks(answerer: Answerer) -> None:
    with answerer.connect() as connection:
        now = connection.ask(get("/")).body
        assert re.fullmatch(r"NOW: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{9} \+0000 UTC", now)
        address, port = connection.socket.getsockname()
        assert connection.ask(get("/clientip")).body == f"{address}:{port}"


KEEPING = [
    ("1.1", [], True),
    ("1.1", ["Connection: close"], False),
    ("1.1", ["connection: Foo , CLOSE"], False),
    ("1.0", [], False),
    ("1.0", ["Connection: keep-alive"], True),
]


@pytest.mark.parametrize(("version", "fields", "keeps"), KEEPING)
def test_a_connection_is_kept_as_its_client_asks(
    answerer: Answerer, version: str, fields: list[str], keeps: bool
) -> None:
    with answerer.connect() as connection:
        reply = connection.ask(get("/hostname", *fields, version=version))
        assert reply == Reply(200, HOSTNAME, keeps)
        if keeps:
            assert connection.ask(get("/healthz")).body == "ok"
        else:
            assert connection.read_rest() == b""


REFUSED = [
    (b"GET /\r\n\r\n", 400),
    (b"/ HTTP/1.1\r\n\r\n", 400),
    (b"GET / / HTTP/1.1\r\n\r\n", 400),
    (b"GET / HTTP/2.0\r\n\r\n", 505),
    (b"BREW /pot HTTP/1.1\r\n\r\n", 405),
    (b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413),
    (b"POST / HTTP/1.1\r\nContent-Length: 999999999999999999999\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
    (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", 431),
    (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 2000, 431),
]


@pytest.mark.parametrize(("request_", "status"), REFUSED, ids=lambda v: str(v)[:40])
def test_what_is_no_request_is_refused_and_the_connection_ends(
    answerer: Answerer, request_: bytes, status: int
) -> None:
    with answerer.connect() as connection:
        reply = connection.ask(request_)
    assert (reply.status, reply.keeps) == (status, False)


def test_a_body_is_read_and_ignored(answerer: Answerer) -> None:
    body = b"GET /healthz HTTP/1.1\r\n\r\n" * 1000
    head = f"POST /hostname HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with answerer.connect() as connection:
        assert connection.ask(head + body) == Reply(200, HOSTNAME, True)
        assert connection.ask(get("/echo?msg=next")).body == "next"


def test_a_head_request_has_the_length_and_no_body(answerer: Answerer) -> None:
    with answerer.connect() as connection:
        connection.send(b"HEAD /hostname HTTP/1.1\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n")
        assert connection.read(has_body=False) == Reply(200, "", True)
        assert connection.read().body == "ok"


@QUICK
@given(data=st.data())
def test_requests_cut_anywhere_are_answered_in_order(
    answerer: Answerer, data: st.DataObject
) -> None:
    words = data.draw(st.lists(st.text(max_size=30), min_size=1, max_size=6))
    stream = b"".join(get(f"/echo?msg={quote_plus(word, errors='replace')}") for word in words)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(stream) - 1), max_size=5)))
    with answerer.connect() as connection:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
            connection.send(stream[start:end])
        wanted = [word.encode(errors="replace").decode() for word in words]
        assert [connection.read().body for _ in words] == wanted


PIECES = [b"GET ", b"POST ", b"/echo?msg=%", b"HTTP/1.1", b"\r\n", b"\n", b":", b"1", b"?", b"&"]
PIECES += [b"Content-Length: 9", b"Connection: close", b" ", b"\0", b"%41", b"\xff", b"http://"]
HTTPISH = st.lists(
    st.sampled_from(PIECES),
    max_size=30,
).map(b"".join)


@QUICK
@given(data=st.one_of(st.binary(max_size=500), HTTPISH))
def test_any_bytes_leave_it_alive(answerer: Answerer, data: bytes) -> None:
    with answerer.connect() as connection:
        connection.send(data)
        connection.socket.shutdown(socket.SHUT_WR)
        connection.read_rest()
    with answerer.connect() as connection:
        assert connection.ask(get("/healthz")).body == "ok"


def test_a_client_that_does_not_read_is_waited_for(answerer: Answerer) -> None:
    request = get("/echo?msg=" + "x" * 4000)
    with answerer.connect() as connection:
        connection.socket.settimeout(0.2)
        sent = 0
        try:
            while sent < 5000:
                connection.send(request)
                sent += 1
        except TimeoutError:
            pass
        assert sent < 5000, "it reads no further while its replies are not read"
        with answerer.connect() as other:
            assert other.ask(get("/healthz")).body == "ok"
        connection.socket.settimeout(10)
        for _ in range(sent):
            assert len(connection.read().body) == 4000


DATAGRAMS = [
    (b"hostname", HOSTNAME.encode()),
    (b"hostname\n", HOSTNAME.encode()),
    (b"echo hello world\r\n", b"hello world"),
    (b"echo " + b"x" * 60000, b"x" * 60000),
    (b"echo ", b""),
]


@pytest.mark.parametrize(("question", "answer"), DATAGRAMS, ids=lambda v: str(v)[:30])
def test_a_datagram_has_its_answer(answerer: Answerer, question: bytes, answer: bytes) -> None:
    assert answerer.ask_udp(question) == answer


def test_a_datagram_learns_its_source_and_unknown_words_get_silence(answerer: Answerer) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(10)
        asker.bind(("127.0.0.3", 0))
        for question in (b"", b"host", b"ECHO x", b"\0" * 100, b"clientip"):
            asker.sendto(question, ("127.0.0.2", answerer.udp))
        answer, source = asker.recvfrom(1000)
        assert answer == "{}:{}".format(*asker.getsockname()).encode()
        assert source == ("127.0.0.2", answerer.udp), "from the address that was asked"


def test_without_hostname_it_is_called_as_the_machine(start: StartAnswerer) -> None:
    assert start(HOSTNAME="").ask_udp(b"hostname") == socket.gethostname().encode()


BAD_ARGUMENTS = ["80", "tcp:", "tcp:0", "tcp:65536", "tcp:8x", "icmp:1", "tcp:-1"]


@pytest.mark.parametrize("argument", BAD_ARGUMENTS)
def test_a_bad_port_is_a_usage_error(program: Path, argument: str) -> None:
    done = subprocess.run([str(program), argument], capture_output=True, check=False, timeout=10)
    assert done.returncode == 2
    assert argument.encode() in done.stderr


def test_a_taken_port_is_an_error_that_names_it(program: Path, answerer: Answerer) -> None:
    command = [str(program), f"tcp:{answerer.tcp}"]
    done = subprocess.run(command, capture_output=True, check=False, timeout=10)
    assert done.returncode == 1
    assert done.stderr == f"answerer: tcp:{answerer.tcp}: Address already in use\n".encode()
