"""The data plane over its socket: what control says is done, and what it can not do it says."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP, UDP

from netsim.dataplane import messages as m
from netsim.dataplane.client import DataplaneClient, RefusedError
from netsim.dataplane.plan import plan
from netsim.dataplane.records import TraceFilter
from netsim.dataplane.rows import Changes, PodRow, Tables
from netsim.errors import NetsimError
from tests.dataplane.lab import SERVICE, node, pod, whole
from tests.dataplane.sandboxes import Sandboxes, sandboxes
from tests.dataplane.server import connect, init_at, process, served

HELLO = m.Hello(workers=1, seed=7, wire="fabric")
EVERYTHING = plan(Tables(), whole())


@pytest.fixture
def boxes() -> Iterator[Sandboxes]:
    with sandboxes(whole()) as made:
        yield made


@pytest.fixture
def path(boxes: Sandboxes, tmp_path: Path) -> Iterator[Path]:
    with served(boxes, tmp_path / "dataplane.sock"):
        yield tmp_path / "dataplane.sock"


def talk(path: Path, say: Callable[[DataplaneClient], Awaitable[None]]) -> None:
    async def main() -> None:
        client = await connect(path)
        try:
            await say(client)
        finally:
            await client.close()

    asyncio.run(main())


def ping_across(boxes: Sandboxes, sport: int = 1000) -> None:
    packet = IP(src="10.244.1.2", dst="10.244.2.2") / UDP(sport=sport, dport=9)
    boxes.send(pod(1, 1), packet)
    assert boxes.receive(pod(2, 1))[UDP].sport == sport


def test_rows_applied_over_the_socket_carry_packets(path: Path, boxes: Sandboxes) -> None:
    async def say(client: DataplaneClient) -> None:
        welcome = await client.hello(HELLO)
        assert (welcome.pid, welcome.revision) == (os.getpid(), 0)
        assert await client.apply(EVERYTHING, 12) == {"n1": 12, "n2": 12}
        ping_across(boxes)
        assert (await client.hello(HELLO)) == m.Welcome(os.getpid(), welcome.boot_id, 12)
        assert await client.revisions() == {"n1": 12, "n2": 12}
        assert await client.tables() == whole()

    talk(path, say)


def test_changes_are_to_nothing_unless_the_tables_were_asked_for(
    path: Path, boxes: Sandboxes
) -> None:
    smaller = dataclasses.replace(whole(), services={})

    async def begin(client: DataplaneClient) -> None:
        await client.hello(HELLO)
        await client.apply(EVERYTHING, 1)

    async def a_new_control_sends_everything(client: DataplaneClient) -> None:
        await client.apply(plan(Tables(), smaller), 2)
        assert await client.tables() == smaller

    async def a_new_control_asks_first(client: DataplaneClient) -> None:
        assert plan(await client.tables(), whole()) == Changes(
            services=tuple(whole().services.values())
        )
        await client.apply(plan(smaller, whole()), 3)
        assert await client.tables() == whole()
        ping_across(boxes)

    for say in (begin, a_new_control_sends_everything, a_new_control_asks_first):
        talk(path, say)


def test_before_hello_nothing_is_possible(path: Path) -> None:
    async def say(client: DataplaneClient) -> None:
        with pytest.raises(RefusedError, match="waits for control's hello") as error:
            await client.apply(EVERYTHING, 1)
        assert isinstance(error.value, NetsimError)
        assert error.value.kind == "invalid"

    talk(path, say)


def test_another_hello_ends_the_process(path: Path) -> None:
    async def say(client: DataplaneClient) -> None:
        await client.hello(HELLO)
        with pytest.raises(RefusedError, match="runs as Hello"):
            await client.hello(m.Hello(2, 7, "fabric"))

    talk(path, say)


def test_rows_left_out_are_an_error_that_names_them(path: Path, boxes: Sandboxes) -> None:
    ghost = pod(1, 9)
    desired = dataclasses.replace(whole(), pods={**whole().pods, ghost.name: ghost})

    async def say(client: DataplaneClient) -> None:
        await client.hello(HELLO)
        with pytest.raises(RefusedError, match="pod default/p19: nothing is kept") as error:
            await client.apply(plan(Tables(), desired), 1)
        assert error.value.why.count(";") == 0
        assert await client.tables() == whole()
        ping_across(boxes)
        boxes.add_pod(ghost)
        await client.apply(plan(whole(), desired), 2)

    talk(path, say)


async def ask_the_service(client: DataplaneClient, boxes: Sandboxes) -> PodRow:
    """Trace a connection from a pod on n1 to the service; the pod on n2 that was chosen for it."""
    await client.hello(HELLO)
    await client.apply(EVERYTHING, 5)
    await client.trace(TraceFilter(dport=80), "n1")
    boxes.send(pod(1, 1), IP(src="10.244.1.2", dst="10.96.0.1") / TCP(dport=80))
    while True:
        for to in (pod(2, 1), pod(2, 2)):
            if not boxes.nothing_for(to):
                return to
        await asyncio.sleep(0.001)


def test_counters_have_names(path: Path, boxes: Sandboxes) -> None:
    async def say(client: DataplaneClient) -> None:
        arrived = await ask_the_service(client, boxes)
        counters = await client.stats()
        assert counters["n1"]["service_hits"] == 1
        stats = await client.all_stats()
        assert stats.nodes["n2"].packets == 1
        assert stats.ifaces["pod/default/p11"].rx_packets == 1
        assert stats.ifaces[f"pod/{arrived.name}"].tx_packets == 1
        assert {"node/n1/cni", "node/n1/tunnel", "node/n1/wire"} < stats.ifaces.keys()
        info = await client.info()
        assert (info["workers"], info["services"], info["pid"]) == (1, 1, os.getpid())

    talk(path, say)


def test_flows_have_names_and_can_be_forgotten(path: Path, boxes: Sandboxes) -> None:
    async def say(client: DataplaneClient) -> None:
        arrived = await ask_the_service(client, boxes)
        [flow] = (flows := await anext(client.flows("n1"))).flows
        assert (flow.original.dst, flow.reply.src) == (SERVICE, arrived.addr)
        assert flows.services == {flow.service: "default/web:http"}
        assert flow.expires_ns > flows.now_ns
        await client.clear_flows("n1")
        assert (await anext(client.flows("n1"))).flows == []
        for call in (anext(client.flows("n9")), client.clear_flows("n9")):
            with pytest.raises(RefusedError, match="node n9 is not here"):
                await call

    talk(path, say)


def test_decisions_have_names(path: Path, boxes: Sandboxes) -> None:
    async def say(client: DataplaneClient) -> None:
        await ask_the_service(client, boxes)
        decisions = (await client.trace_drain()).records
        said = {
            d.event: (d.node, d.iface, d.subject, d.revision) for d in decisions if d.node == "n1"
        }
        assert said["service-chosen"] == ("n1", "pod/default/p11", "default/web:http", 5)
        assert said["encapsulated"] == ("n1", "pod/default/p11", "n2", 5)
        assert said["routed"][2] == "peer"
        assert said["forwarded"][2] == "node/n1/wire"
        await client.trace(None)

    talk(path, say)


def test_a_capture_is_written_to_the_descriptor_sent(
    path: Path, boxes: Sandboxes, tmp_path: Path
) -> None:
    file = tmp_path / "pod.pcapng"

    async def say(client: DataplaneClient) -> None:
        await client.hello(HELLO)
        await client.apply(EVERYTHING, 1)
        with file.open("wb") as out:
            capture = await client.capture_start("pod/default/p21", out.fileno())
            ping_across(boxes)
            assert await client.capture_stop(capture) == m.CaptureStopped(1, 0)
            with pytest.raises(RefusedError, match="pod/default/no has no iface"):
                await client.capture_start("pod/default/no", out.fileno())
            with pytest.raises(RefusedError, match="not this connection's"):
                await client.capture_stop(capture)
            await client.capture_start("node/n1", out.fileno())  # ends with the connection

    async def nobody_writes_any_more(client: DataplaneClient) -> None:
        await client.revisions()  # by now the server has seen the last connection end
        fds = Path("/proc/self/fd")
        assert str(file) not in {os.readlink(fd) for fd in fds.iterdir() if fd.is_symlink()}

    talk(path, say)
    assert file.read_bytes()[:4] == b"\x0a\x0d\x0d\x0a"
    talk(path, nobody_writes_any_more)


def test_a_capture_without_a_descriptor_is_refused(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        for request in (HELLO, m.CaptureStart("node/n1")):
            sock.sendall(m.pack(request))
            reply = m.reply_decoder.decode(sock.recv(1 << 16)[m.LENGTH_BYTES :])
    assert isinstance(reply, m.Failed)
    assert "needs a descriptor" in reply.text


def test_requests_may_overlap(path: Path) -> None:
    async def say(client: DataplaneClient) -> None:
        await client.hello(HELLO)
        await client.apply(EVERYTHING, 1)
        answers = await asyncio.gather(
            client.revisions(), anext(client.flows("n9")), client.info(), return_exceptions=True
        )
        kinds = [type(answer).__name__ for answer in answers]
        assert kinds == ["dict", "RefusedError", "dict"]

    talk(path, say)


def test_an_asker_that_gives_up_does_not_shift_the_answers(path: Path) -> None:
    async def say(client: DataplaneClient) -> None:
        await client.hello(HELLO)
        impatient = asyncio.create_task(client.info())
        await asyncio.sleep(0)
        impatient.cancel()
        assert await client.revisions() == {}

    talk(path, say)


HOSTILE = [
    ("not MessagePack", b"\x00\x00\x00\x01\xc1", b"Failed"),
    ("no such message", b"\x00\x00\x00\x0c\x81\xa4type\xa5Bogus", b"Failed"),
    ("a reply", m.pack(m.Done()), b"Failed"),
    ("half a message", b"\x00\x00\x00\xff\x81", None),
    ("an impossible length", b"\xff\xff\xff\xff", None),
]


@pytest.mark.parametrize(("_", "sent", "answer"), HOSTILE, ids=[case[0] for case in HOSTILE])
def test_nonsense_is_answered_or_ends_the_connection(
    path: Path, _: str, sent: bytes, answer: bytes | None
) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        sock.sendall(sent)
        sock.shutdown(socket.SHUT_WR)
        reply = sock.recv(1 << 16)
        assert answer in reply if answer else not reply
    talk(path, lambda client: greeted(client))


async def greeted(client: DataplaneClient) -> None:
    assert (await client.hello(HELLO)).revision == 0


def test_who_waits_when_the_connection_ends_is_told(tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    listener.listen()

    async def main() -> None:
        client = await DataplaneClient.connect(tmp_path / "s")
        waiting = asyncio.create_task(client.info())
        await asyncio.sleep(0)
        listener.accept()[0].close()
        with pytest.raises(EOFError, match="closed the connection"):
            await waiting
        await client.closed.wait()
        with pytest.raises(EOFError):
            await client.info()

    asyncio.run(main())
    listener.close()
    with pytest.raises(ConnectionRefusedError):
        asyncio.run(DataplaneClient.connect(tmp_path / "s"))


def test_a_killed_process_is_followed_by_one_that_knows_the_flows(
    boxes: Sandboxes, tmp_path: Path
) -> None:
    listening = tmp_path / "dataplane.sock"

    async def first() -> None:
        client = await connect(listening)
        await client.hello(HELLO)
        await client.apply(EVERYTHING, 1)
        ping_across(boxes)
        assert len((await anext(client.flows("n1"))).flows) == 1
        child.send_signal(signal.SIGKILL)
        await client.closed.wait()

    async def second() -> None:
        client = await connect(listening)
        assert (await client.hello(HELLO)).revision == 0
        assert await client.tables() == Tables()
        await client.apply(EVERYTHING, 2)
        [flow] = (await anext(client.flows("n1"))).flows
        assert (flow.original.src, flow.original.sport) == (pod(1, 1).addr, 1000)
        ping_across(boxes, sport=1001)
        child.send_signal(signal.SIGTERM)
        await client.closed.wait()

    with init_at(tmp_path / "init.sock", boxes):
        with process(tmp_path) as child:
            asyncio.run(first())
        assert child.returncode == -signal.SIGKILL
        with process(tmp_path) as child:
            asyncio.run(second())
            assert child.wait(10) == 0


def test_a_process_with_other_settings_takes_over(boxes: Sandboxes, tmp_path: Path) -> None:
    async def main() -> None:
        client = await connect(tmp_path / "dataplane.sock")
        await client.hello(HELLO)
        changed = dataclasses.replace(whole(), nodes={"n1": node(1)}, pods={})
        await client.apply(plan(Tables(), changed), 1)
        with pytest.raises(RefusedError, match="next one"):
            await client.hello(m.Hello(2, 7, "fabric"))
        await client.closed.wait()

    with init_at(tmp_path / "init.sock", boxes), process(tmp_path) as child:
        asyncio.run(main())
        assert child.wait(10) == 0
