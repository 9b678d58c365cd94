"""The relay and control: who takes over, bad commands, answers that nobody reads, no room."""

from __future__ import annotations

import contextlib
import resource
import struct

import pytest

from netsim.lab import relay_messages as m
from tests.relay.balancer import number
from tests.relay.conftest import NODE, PODS, PORT, World

pytestmark = pytest.mark.linux
UDP = 17


def test_a_control_that_begins_again_changes_nothing_that_is_the_same(world: World) -> None:
    listener, endpoint = world.listener()
    world.service(endpoint, id_=1)
    world.service(endpoint, id_=2, port=PORT + 1)
    near, far = world.pair(listener)
    world.control = world.connect()
    world.say(m.command(m.BEGIN))
    world.say(m.command(m.NODE, 9, number(NODE)), world.node.fd)
    world.service(endpoint, id_=1)
    near.sendall(b"still")
    assert far.recv(10) == b"still"
    world.pair(listener)
    with pytest.raises(ConnectionRefusedError):  # what was not said again has gone
        world.client(port=PORT + 1)


BAD = [b"x", b"x" * 23, struct.pack("=6I", 99, 0, 0, 0, 0, 0), m.command(m.NODE, 2, 1), b"y" * 4000]
BAD += [m.HEAD.pack(m.SERVICE, 1, 0, 0, 0, 0, 6), m.HEAD.pack(m.SERVICE, 1, 0, 0, 5, 0, 132)]
BAD += [m.HEAD.pack(m.SERVICE, 1, 0, 0, 5, 0, 6) + b"odd"]


@pytest.mark.parametrize("message", BAD)
def test_a_bad_command_ends_the_connection_to_control_and_nothing_else(
    world: World, message: bytes
) -> None:
    listener, endpoint = world.listener()
    world.service(endpoint)
    world.say(message)
    assert world.control.recv(100) == b""
    world.control = world.connect()
    world.pair(listener)


def test_descriptors_that_come_with_a_bad_command_are_closed(world: World) -> None:
    before = world.descriptors()
    fd = world.node.fd
    for message, fds in ((b"x", [fd]), (m.command(m.NODE, 2, 1), [fd, fd]), (BAD[2], [fd, fd, fd])):
        world.say(message, *fds)
        assert world.control.recv(100) == b""
        world.control = world.connect()
        assert world.problems() == []
        assert world.descriptors() == before


def test_who_does_not_read_answers_holds_nobody_up(world: World) -> None:
    listener, endpoint = world.listener()
    world.service(endpoint)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for _ in range(2000):
            world.say(m.command(m.COUNTS))
    world.control = world.connect()
    assert world.problems() == []
    world.pair(listener)


def test_control_comes_in_without_descriptors(world: World) -> None:
    _, at = world.datagrams()
    world.service(at, proto=UDP)
    clients = [world.datagrams(PODS[2])[0] for _ in range(30)]

    def ask_all() -> None:
        for client in clients:
            client.sendto(b"question", (NODE, PORT))

    pid = world.process.pid
    usual = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (world.descriptors(), usual[1]))
    try:
        ask_all()
        for _ in range(50):  # control is heard before datagrams that came at the same time
            if world.counts().exhausted:
                break
        else:
            pytest.fail("no datagram found the relay without descriptors")
        world.control.close()
        ask_all()
        world.control = world.connect()
        world.say(m.command(m.COUNTS))
        world.control.settimeout(0.05)
        for _ in range(10):
            ask_all()  # so that nobody gives way
            with contextlib.suppress(TimeoutError):
                assert world.control.recv(m.ANSWER_BYTES_MAX)
                return
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, usual)
    pytest.fail("control is kept out")
