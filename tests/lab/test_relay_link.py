"""What control tells the relay: everything at first, then what differs, and what is gone last."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from netsim.dataplane.rows import (
    EndpointRow,
    FrontendRow,
    NodeRow,
    ProxyRow,
    RelayRow,
    ServiceKey,
    ServiceRow,
    Tables,
)
from netsim.lab import relay_messages as m
from netsim.lab.relay_link import RelayLink
from netsim.maps import SharedMap

NAMES = {kind: name for name, kind in vars(m).items() if name.isupper() and kind in m.KINDS}


class FakeRelay:
    """Notes commands in words; END is answered with `problems`, COUNTS with sevens."""

    def __init__(self, path: Path) -> None:
        self.heard: list[str] = []
        self.problems: list[m.Problem] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(path))
        self._listener.listen()
        self._connection: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def take(self, count: int = 0) -> list[str]:
        """What it heard, once it is `count` commands: who drops something awaits no answer."""
        deadline = time.monotonic() + 5
        while len(self.heard) < count and time.monotonic() < deadline:
            time.sleep(0.001)
        found, self.heard = self.heard, []
        return found

    def hang_up(self) -> None:
        assert self._connection
        self._connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _run(self) -> None:
        while True:
            try:
                self._connection, _ = self._listener.accept()
            except OSError:
                return
            with self._connection as connection:
                while said := self._hear(connection):
                    kind, number, *_ = m.HEAD.unpack_from(said)
                    self._answer(connection, kind, number)

    def _hear(self, connection: socket.socket) -> bytes:
        data, fds, _, _ = socket.recv_fds(connection, 1 << 20, 1)
        for fd in fds:
            os.close(fd)
        return data

    def _answer(self, connection: socket.socket, kind: int, number: int) -> None:
        self.heard.append(NAMES[kind] + (f" {number}" if number else ""))
        if kind == m.END:
            entries = b"".join([m.PROBLEM.pack(*problem) for problem in self.problems])
            connection.send(m.COUNT.pack(len(self.problems)) + entries)
        if kind == m.COUNTS:
            connection.send(m.COUNT.pack(1) + m.COUNTED.pack(1, 7, 7, 7, 7, 7))


def node(name: str, *, relays: bool = True) -> NodeRow:
    fields = (name, 1, 2, 3, 24, 4, 5, 6, 16, "vxlan", bytes(6), 1, 8472, 1450, 1000)
    return NodeRow(*fields, proxy=ProxyRow(relays=relays))


def service(number: int, port: int = 12000, addr: int = 1) -> ServiceRow:
    row = ServiceRow(addr, 80, 6, number, f"ns/s{number}", 0, b"", relay=RelayRow(port, ()))
    return row._replace(frontends=(FrontendRow(0, 30080, "node-port"),))


def tables(*rows: ServiceRow, nodes: tuple[NodeRow, ...] = (node("a"),)) -> Tables:
    services: SharedMap[ServiceKey, ServiceRow] = SharedMap.of({row.key: row for row in rows})
    return Tables(nodes={row.name: row for row in nodes}, services=services)


def descriptors(_: str) -> dict[str, int]:
    return {"net": os.open("/dev/null", os.O_RDONLY)}


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[FakeRelay]:
    made = FakeRelay(tmp_path / "relay.sock")
    yield made
    made.close()


class Told:
    """A link, driven as control drives it."""

    def __init__(self, folder: Path) -> None:
        self.woken = asyncio.Event()
        self.link = RelayLink(folder / "relay.sock", descriptors, self.woken.set)

    async def tell(self, desired: Tables, made: str = "once") -> bool:
        names = dict.fromkeys(desired.nodes, made)
        return await self.link.prepare(desired, names) and await self.link.finish()


def test_it_is_told_everything_then_what_differs(relay: FakeRelay, tmp_path: Path) -> None:
    async def run() -> None:
        told = Told(tmp_path)
        assert await told.tell(tables(service(7)))
        assert relay.take() == ["BEGIN", "NODE 1", "SERVICE 7", "END", "END"]
        assert await told.tell(first := tables(service(7), service(8, addr=2)))
        assert relay.take() == ["SERVICE 8", "END"]
        assert await told.tell(first)
        assert relay.take() == []
        moved = service(8, addr=3)  # to another address: nothing is gone
        assert await told.tell(tables(moved))
        assert relay.take(3) == ["SERVICE 8", "END", "DROP_SERVICE 7"]
        assert await told.tell(tables(moved, nodes=(node("a"), node("b"))))
        assert relay.take() == ["NODE 2", "END"]
        assert await told.tell(tables(moved, nodes=(node("a"), node("b"))), "anew")
        assert relay.take() == ["DROP_NODE 1", "NODE 1", "DROP_NODE 2", "NODE 2", "END"]
        assert await told.tell(tables(moved, nodes=(node("a", relays=False),)))
        assert sorted(relay.take(4)) == ["DROP_NODE 1", "DROP_NODE 2", "DROP_SERVICE 8", "END"]
        assert await told.tell(tables(moved, nodes=()))
        assert relay.take() == []
        told.link.close()

    asyncio.run(run())


def test_who_has_no_nodes_sweeps_once_what_an_earlier_control_left(
    relay: FakeRelay, tmp_path: Path
) -> None:
    async def run() -> None:
        told = Told(tmp_path)
        for _ in range(2):
            assert await told.tell(tables(nodes=(node("a", relays=False),)))
        assert relay.take() == ["BEGIN", "END", "END"]
        assert await told.link.counts() == {}
        assert relay.take() == []
        told.link.close()

    asyncio.run(run())


def test_a_relay_that_comes_again_is_told_everything(relay: FakeRelay, tmp_path: Path) -> None:
    async def run() -> None:
        told = Told(tmp_path)
        assert await told.tell(wanted := tables(service(7)))
        relay.take()
        assert await told.link.counts() == {"a": m.Counts(7, 7, 7, 7, 7)}
        relay.hang_up()
        async with asyncio.timeout(5):
            await told.woken.wait()
        assert await told.tell(wanted)
        assert relay.take() == ["COUNTS", "BEGIN", "NODE 1", "SERVICE 7", "END", "END"]
        told.link.close()

    asyncio.run(run())


def test_without_a_relay_it_says_so(tmp_path: Path) -> None:
    async def run() -> None:
        told = Told(tmp_path)
        assert not await told.tell(tables(service(7)))
        assert told.link.errors == ("relay: [Errno 2] No such file or directory",)
        relay = FakeRelay(tmp_path / "relay.sock")
        assert await told.tell(tables(service(7)))
        assert not told.link.errors
        told.link.close()
        relay.close()

    asyncio.run(run())


def test_ports_that_somebody_has_are_named_and_tried_again(
    relay: FakeRelay, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        told = Told(tmp_path)
        relay.problems = [m.Problem(1, 7, errno.EADDRINUSE, claim) for claim in (False, True)]
        for _ in range(2):
            assert await told.tell(tables(service(7)))
        taken = "node a: relay: ns/s7: port 12000: Address already in use"
        assert told.link.errors == (taken,)
        node_port = "node a: relay: ns/s7: node port 30080: Address already in use"
        assert sorted(record.message for record in caplog.records) == [node_port, taken]
        relay.problems = []
        relay.take()
        assert await told.tell(tables(service(7)))
        assert "END" in relay.take()
        assert not told.link.errors
        told.link.close()

    asyncio.run(run())


def test_ports_that_somebody_has_cause_one_pass_however_often_they_are_seen(
    relay: FakeRelay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or else each pass, which sees them twice, would cause two more."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        timers = list[asyncio.TimerHandle]()
        later = loop.call_later
        told = Told(tmp_path)

        def noted(delay: float, what: Callable[[], object]) -> asyncio.TimerHandle:
            timer = later(delay, what)
            timers.extend([timer] * (what == told.woken.set))
            return timer

        monkeypatch.setattr(loop, "call_later", noted)
        relay.problems = [m.Problem(1, 7, errno.EADDRINUSE, claim=True)]
        for _ in range(2):
            assert await told.tell(tables(service(7)))
        await told.link.counts()
        assert [timer.cancelled() for timer in timers].count(False) == 1
        relay.problems = []
        assert await told.tell(tables(service(7)))
        assert all(timer.cancelled() for timer in timers)
        told.link.close()

    asyncio.run(run())


def test_what_is_new_while_a_relay_is_told_everything_is_told_too(
    relay: FakeRelay, tmp_path: Path
) -> None:
    """Who asks for counts connects again, and meanwhile a pass begins."""

    async def run() -> None:
        halfway, go_on = threading.Event(), threading.Event()

        def slowly(name: str) -> dict[str, int]:
            halfway.set()
            go_on.wait(5)
            return descriptors(name)

        told = Told(tmp_path)
        assert await told.tell(tables(service(7)))
        told.link.close()
        relay.take()
        told.link = RelayLink(tmp_path / "relay.sock", slowly, told.woken.set)
        asked = asyncio.create_task(told.tell(tables(service(7))))
        await asyncio.to_thread(halfway.wait, 5)
        more = tables(service(7), nodes=(node("a"), node("b")))
        pass_ = asyncio.create_task(told.tell(more))
        await asyncio.sleep(0)
        go_on.set()
        assert await asked
        assert await pass_
        assert "NODE 2" in relay.take()
        told.link.close()

    asyncio.run(run())


def test_a_command_is_what_the_relay_reads() -> None:
    """struct command in csrc/relay/control.c."""
    relay = RelayRow(12000, (EndpointRow(0x0A000001, 80), EndpointRow(0x0A000002, 81)))
    said = m.service(service(7)._replace(affinity_s=60, proto=17, relay=relay))
    assert m.HEAD.unpack_from(said) == (m.SERVICE, 7, 0, 60, 12000, 30080, 17)
    assert list(m.TARGET.iter_unpack(said[24:])) == [(0x0A000001, 80, 0), (0x0A000002, 81, 0)]
