"""Starts: many programs asked for at once, failures to whom they belong, init that goes."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from pathlib import Path

import pytest

from netsim.errors import ConflictError, NotFoundError
from netsim.lab import init_messages as m
from netsim.lab.init_starts import Starts
from tests.linux.conftest import InitLab

pytestmark = pytest.mark.linux

ENV = {"PATH": os.environ["PATH"]}


def request(key: str, *argv: str, cwd: str = "/") -> m.Spawn:
    return m.Spawn(key, argv, ENV, cwd, None)


async def start_all(starts: Starts, *requests: m.Spawn) -> Sequence[int | BaseException]:
    made = [starts.start(each, ()) for each in requests]
    return await asyncio.gather(*made, return_exceptions=True)


def run(path: Path, *requests: m.Spawn) -> Sequence[int | BaseException]:
    async def main() -> Sequence[int | BaseException]:
        starts = Starts(path)
        try:
            return await start_all(starts, *requests)
        finally:
            starts.close()

    return asyncio.run(main())


def test_many_programs_start_at_once(lab: InitLab) -> None:
    wanted = [request(f"p{number}", "sleep", "100") for number in range(100)]
    pids = run(lab.state / "init.sock", *wanted)
    records = {record.key: record.pid for record in lab.client.processes()}
    assert [records[each.key] for each in wanted] == list(pids)


def test_failures_are_told_to_whom_they_belong(lab: InitLab) -> None:
    found = run(
        lab.state / "init.sock",
        request("a", "sleep", "100"),
        request("b", "no-such-program"),
        request("c", "sleep", "100", cwd="/none"),
        m.Spawn("d", ["true"], ENV, "/", "pod/default/nope"),
        request("e"),
        request("a", "true"),
        request("f", "sleep", "100"),
    )
    assert [type(each) for each in found] == [
        int,
        FileNotFoundError,
        FileNotFoundError,
        NotFoundError,
        ValueError,
        ConflictError,
        int,
    ]
    assert "no-such-program" in str(found[1])


def test_a_request_that_is_too_long_harms_no_other(lab: InitLab) -> None:
    long = request("long", "echo", "x" * m.MESSAGE_BYTES_MAX)
    found = run(lab.state / "init.sock", long, request("a", "true"))
    assert [type(each) for each in found] == [ValueError, int]


def test_without_init_nobody_waits(tmp_path: Path) -> None:
    (found,) = run(tmp_path / "init.sock", request("a", "true"))
    assert isinstance(found, NotFoundError)


def test_when_init_hangs_up_all_are_told_and_the_next_start_connects_anew(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "init.sock"
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(str(path))
            listener.listen()
            starts = Starts(path)
            waiting = asyncio.ensure_future(
                start_all(starts, *(request(f"p{n}", "true") for n in range(3)))
            )
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            listener.accept()[0].close()
            assert [type(each) for each in await waiting] == [NotFoundError] * 3
            again = asyncio.ensure_future(starts.start(request("q", "true"), ()))
            await asyncio.sleep(0)
            connection, _ = listener.accept()
            with connection:
                asked = m.decode_request(connection.recv(m.MESSAGE_BYTES_MAX))
                assert isinstance(asked, m.Spawn)
                connection.send(m.encode(m.Spawned("somebody else", 1)))
                connection.send(m.encode(m.Spawned(asked.key, 7)))
                assert await again == 7
            starts.close()

    asyncio.run(main())


def test_requests_that_do_not_fit_wait_until_they_do(tmp_path: Path) -> None:
    count, big = 40, "x" * (m.MESSAGE_BYTES_MAX // 2)

    async def serve(listener: socket.socket) -> None:
        connection, _ = await asyncio.to_thread(listener.accept)
        with connection:
            for _ in range(count):
                data = await asyncio.to_thread(connection.recv, m.MESSAGE_BYTES_MAX)
                asked = m.decode_request(data)
                assert isinstance(asked, m.Spawn)
                connection.send(m.encode(m.Spawned(asked.key, int(asked.key))))

    async def main() -> None:
        path = tmp_path / "init.sock"
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(str(path))
            listener.listen()
            starts = Starts(path)
            serving = asyncio.ensure_future(serve(listener))
            pids = await start_all(starts, *(request(str(n), big) for n in range(count)))
            assert pids == list(range(count))
            await serving
            starts.close()

    asyncio.run(main())
