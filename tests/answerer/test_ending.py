"""How the answerer starts and ends: nothing that was accepted is lost, nothing lasts over 2 s."""

from __future__ import annotations

import resource
import signal
import time
from pathlib import Path

from tests.answerer.conftest import ACCEPT_MORE_S, Answerer, Reply, StartAnswerer
from tests.answerer.test_answers import get

ACCEPTS_TURN = 64  # of answerer.c


def test_it_says_once_what_it_serves(answerer: Answerer) -> None:
    answerer.process.terminate()
    out, errors = answerer.process.communicate(timeout=10)
    line = f"answerer web-0: tcp:{answerer.tcp} udp:{answerer.udp}\n"
    assert (out.decode(), errors) == (line, b"")
    assert answerer.process.returncode == 0


def ask_anew(answerer: Answerer) -> Reply:
    with answerer.connect() as connection:
        return connection.ask(get("/hostname"))


def until_closed(answerer: Answerer) -> list[Reply]:
    """Replies up to one that ends its connection: a turn of accepting comes before a signal."""
    replies = [ask_anew(answerer)]
    while replies[-1].keeps and len(replies) <= ACCEPTS_TURN:
        replies.append(ask_anew(answerer))
    return replies


def test_after_sigterm_it_accepts_for_a_while_and_keeps_no_connection(answerer: Answerer) -> None:
    with answerer.connect() as kept, answerer.connect() as idle:
        assert kept.ask(get("/hostname")).keeps
        answerer.process.send_signal(signal.SIGTERM)
        replies = until_closed(answerer)
        assert {reply.status for reply in replies} == {200}
        assert not replies[-1].keeps
        assert not kept.ask(get("/hostname")).keeps
        assert answerer.ask_udp(b"hostname") == b"web-0"
        assert idle.read_rest() == b"", "closed, as nothing was under way"
    assert answerer.process.wait(2) == 0


def test_a_request_under_way_is_finished(answerer: Answerer) -> None:
    request = get("/hostname")
    with answerer.connect() as connection:
        connection.send(request[:10])
        answerer.process.send_signal(signal.SIGTERM)
        time.sleep(ACCEPT_MORE_S + 0.2)
        connection.send(request[10:])
        reply = connection.read()
    assert (reply.body, reply.keeps) == ("web-0", False)
    assert answerer.process.wait(1) == 0, "as soon as that is done"


def test_a_request_that_never_ends_does_not_hold_it(answerer: Answerer) -> None:
    with answerer.connect() as connection:
        connection.send(b"GET /")
        began = time.monotonic()
        answerer.process.send_signal(signal.SIGTERM)
        assert answerer.process.wait(5) == 0
        assert time.monotonic() - began < 2.5


def test_without_free_descriptors_the_oldest_connection_gives_way(start: StartAnswerer) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, before[1]))
    answerer = start()
    resource.setrlimit(resource.RLIMIT_NOFILE, before)
    resource.prlimit(answerer.process.pid, resource.RLIMIT_NOFILE, (64, 64))
    clients = [answerer.connect() for _ in range(100)]
    assert clients[0].read_rest() == b""
    assert clients[-1].ask(get("/hostname")).body == "web-0"
    for client in clients:
        client.close()
    assert len(list(Path(f"/proc/{answerer.process.pid}/fd").iterdir())) <= 64


def test_a_thousand_connections_are_served_at_once(answerer: Answerer) -> None:
    clients = [answerer.connect() for _ in range(1000)]
    for client in clients:
        client.send(get("/hostname"))
    assert {client.read().body for client in clients} == {"web-0"}
    for client in clients:
        client.close()
