"""The relay with real sockets: what it does with connections, datagrams, commands, and no room."""

from __future__ import annotations

import contextlib
import errno
import resource
import select
import socket
import time

import pytest

from netsim.lab import relay_messages as m
from tests.relay.conftest import NODE, NOWHERE, PODS, PORT, World

pytestmark = pytest.mark.linux
UDP = 17
REFUSES = (PODS[5], 9)


def read_all(sock: socket.socket) -> bytes:
    """Until the other side ends, one way or the other."""
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while data := sock.recv(65536):
            found += data
    return found


def lasts(sock: socket.socket) -> bool:
    """Whether somebody still takes what is sent."""
    try:
        for _ in range(100):
            sock.sendall(b"too late")
            time.sleep(0.01)
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True


def test_bytes_go_both_ways_and_endpoints_see_the_node(world: World) -> None:
    listener, endpoint = world.listener()
    assert world.service(endpoint) == []
    near, far = world.pair(listener)
    assert far.getpeername()[0] == NODE
    near.sendall(b"question")
    assert far.recv(100) == b"question"
    far.sendall(b"answer")
    assert near.recv(100) == b"answer"
    assert world.counts() == m.Counts(1, 0, 0, 0, 0)


def test_what_does_not_fit_waits_and_nothing_is_lost(world: World) -> None:
    listener, endpoint = world.listener()
    world.service(endpoint)
    near, far = world.pair(listener)
    sent = bytes(range(256)) * 4096
    near.setblocking(False)
    left, got = memoryview(sent), b""
    with contextlib.suppress(BlockingIOError):  # until pipe and buffers are full
        while left:
            left = left[near.send(left) :]
    near.settimeout(5)
    while len(got) < len(sent):
        got += far.recv(30000)
        if left:
            left = left[near.send(left[:20000]) :]
    assert got == sent
    far.sendall(sent[:100000])
    far.close()  # all of it comes before the end
    assert read_all(near) == sent[:100000]


@pytest.mark.parametrize("first", ["client", "endpoint"])
def test_the_first_end_of_file_closes_both_ways(world: World, first: str) -> None:
    """3.11: who asks, half-closes and waits for the answer gets none."""
    listener, endpoint = world.listener()
    world.service(endpoint)
    near, far = world.pair(listener)
    one, other = (near, far) if first == "client" else (far, near)
    one.sendall(b"all that I have")
    one.shutdown(socket.SHUT_WR)
    assert read_all(other) == b"all that I have"
    assert read_all(one) == b""
    assert not lasts(other)


def test_endpoints_are_taken_in_turn(world: World) -> None:
    found = [world.listener(address) for address in PODS[:3]]
    world.service(*[endpoint for _, endpoint in found])
    firsts = list[int]()
    listeners = [listener for listener, _ in found]
    for _ in range(6):
        world.client()
        [asked], _, _ = select.select(listeners, [], [], 5)
        asked.accept()[0].close()
        firsts.append(listeners.index(asked))
    assert sorted(firsts[:3]) == [0, 1, 2]
    assert firsts[3:] == firsts[:3]


def test_another_endpoint_is_tried_when_one_refuses_or_does_not_answer(world: World) -> None:
    """P-102. Two of three are dead: whoever comes gets the third."""
    listener, endpoint = world.listener()
    world.service(endpoint, REFUSES, (NOWHERE, 80))
    for _ in range(3):
        near, far = world.pair(listener)
        far.sendall(b"here")
        assert near.recv(10) == b"here"
    assert world.counts().connections == 3
    assert world.counts().dials_failed >= 2


def test_affinity_goes_with_the_endpoint_that_failed(world: World) -> None:
    """P-42: the retry looks elsewhere, and there the client stays."""
    listener, endpoint = world.listener()
    world.service(endpoint, REFUSES, affinity_s=60)
    for source in (PODS[1], PODS[2]) * 2:  # in turn: one of them meets the dead one first
        world.client(source)
        listener.accept()[0].close()
    assert world.counts().dials_failed in (1, 2)  # as the list is shuffled


def test_four_tries_are_made_at_most(world: World) -> None:
    world.service(REFUSES, (PODS[5], 10))
    assert read_all(world.client()) == b""
    assert world.counts() == m.Counts(0, 0, 4, 1, 0)


def test_without_endpoints_who_is_accepted_is_closed(world: World) -> None:
    world.service()
    assert read_all(world.client()) == b""
    assert world.counts() == m.Counts(0, 0, 0, 1, 0)


def test_a_client_of_udp_keeps_its_endpoint_until_it_is_idle(world: World) -> None:
    """P-103, C-117."""
    found = [world.datagrams(address) for address in PODS[:2]]
    world.service(*[endpoint for _, endpoint in found], proto=UDP)
    client, _ = world.datagrams(PODS[2])

    def asked() -> int:
        """Which endpoint got it; its answer comes from the service's address."""
        client.sendto(b"question", (NODE, PORT))
        while True:
            for at, (endpoint, _) in enumerate(found):
                endpoint.settimeout(0.05)
                with contextlib.suppress(TimeoutError):
                    data, whom = endpoint.recvfrom(9000)
                    assert (data, whom[0]) == (b"question", NODE)
                    endpoint.sendto(b"answer", whom)
                    assert client.recvfrom(100) == (b"answer", (NODE, PORT))
                    return at

    first = asked()
    assert [asked() for _ in range(3)] == [first] * 3
    time.sleep(0.5)
    assert asked() != first
    assert world.counts().clients == 2


def test_a_client_that_goes_on_is_not_idle(world: World) -> None:
    found = [world.datagrams(address) for address in PODS[:2]]
    world.service(*[endpoint for _, endpoint in found], proto=UDP)
    client, _ = world.datagrams(PODS[2])
    for _ in range(5):  # nobody answers
        client.sendto(b"question", (NODE, PORT))
        time.sleep(0.1)
    assert world.counts().clients == 1


def test_datagrams_are_cut_at_4096_bytes_and_empty_ones_pass(world: World) -> None:
    endpoint, at = world.datagrams()
    world.service(at, proto=UDP)
    client, _ = world.datagrams(PODS[2])
    client.sendto(b"x" * 5000, (NODE, PORT))
    data, whom = endpoint.recvfrom(9000)
    assert len(data) == 4096
    endpoint.sendto(b"y" * 5000, whom)
    assert len(client.recv(9000)) == 4096
    client.sendto(b"", (NODE, PORT))
    assert endpoint.recv(100) == b""


def test_who_refuses_datagrams_loses_its_client(world: World) -> None:
    endpoint, at = world.datagrams()
    world.service(at, (PODS[5], 9), proto=UDP)
    client, _ = world.datagrams(PODS[2])
    endpoint.settimeout(0.02)
    for _ in range(100):
        client.sendto(b"question", (NODE, PORT))
        with contextlib.suppress(TimeoutError):
            assert endpoint.recv(100) == b"question"
            return
    pytest.fail("the client stayed with an endpoint that is not there")


def test_datagrams_that_nobody_takes_are_counted(world: World) -> None:
    endpoint, at = world.datagrams()
    world.service(at, proto=UDP)
    client, _ = world.datagrams(PODS[2])
    client.sendto(b"question", (NODE, PORT))
    endpoint.recv(100)
    endpoint.close()
    for _ in range(100):
        client.sendto(b"question", (NODE, PORT))
        if world.counts().unserved:
            return
        time.sleep(0.01)
    pytest.fail("lost without a trace")


def test_a_service_that_goes_leaves_connections_and_takes_datagrams(world: World) -> None:
    """C-119: nobody gets in any more; TCP that is there goes on, UDP does not."""
    listener, endpoint = world.listener()
    world.service(endpoint, id_=1)
    near, far = world.pair(listener)
    answers, at = world.datagrams()
    world.service(at, id_=2, proto=UDP)
    client, _ = world.datagrams(PODS[2])
    client.sendto(b"question", (NODE, PORT))
    _, whom = answers.recvfrom(100)
    world.say(m.command(m.DROP_SERVICE, 1))
    world.say(m.command(m.DROP_SERVICE, 2))
    assert world.problems() == []
    with pytest.raises(ConnectionRefusedError):
        world.client()
    near.sendall(b"still")
    assert far.recv(10) == b"still"
    answers.sendto(b"answer", whom)
    client.settimeout(0.2)
    with pytest.raises((TimeoutError, ConnectionRefusedError)):
        client.recv(100)
    world.service(endpoint, id_=1)  # C-120: and it comes again
    world.pair(listener)


def test_a_service_moves_to_another_port(world: World) -> None:
    """C-121."""
    listener, endpoint = world.listener()
    world.service(endpoint)
    world.service(endpoint, port=PORT + 1)
    with pytest.raises(ConnectionRefusedError):
        world.client()
    world.client(port=PORT + 1)
    listener.accept()[0].close()


def test_two_ports_two_sockets(world: World) -> None:
    """C-118."""
    listeners = [world.listener(address) for address in PODS[:2]]
    for n, (_, endpoint) in enumerate(listeners):
        world.service(endpoint, id_=n + 1, port=PORT + n)
    for n, (listener, _) in enumerate(listeners):
        world.client(port=PORT + n)
        listener.accept()[0].close()


def test_the_node_port_is_taken_and_who_has_it_is_named(world: World) -> None:
    """P-100."""
    assert world.service(node_port=30080) == []
    with world.node.socket(socket.SOCK_STREAM) as other:
        with pytest.raises(OSError, match="in use"):
            other.bind(("0.0.0.0", 30080))
        other.bind(("0.0.0.0", 30081))
        other.listen()
        assert world.service(node_port=30081) == [m.Problem(1, 7, errno.EADDRINUSE, claim=True)]
    assert world.problems() == []  # tried again


def test_a_port_that_somebody_has_is_opened_once_it_is_free(world: World) -> None:
    with world.node.socket(socket.SOCK_STREAM) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("0.0.0.0", PORT))
        other.listen()
        assert world.service() == [m.Problem(1, 7, errno.EADDRINUSE, claim=False)]
    assert world.problems() == []


def test_a_node_that_goes_takes_its_connections_with_it(world: World) -> None:
    listener, endpoint = world.listener()
    world.service(endpoint)
    near, far = world.pair(listener)
    world.say(m.command(m.DROP_NODE, 1))
    assert read_all(near) == read_all(far) == b""
    with pytest.raises(ConnectionRefusedError):
        world.client()


def test_without_descriptors_only_who_comes_is_lost(world: World) -> None:
    listener, endpoint = world.listener()
    answers, at = world.datagrams()
    world.service(endpoint, id_=1)
    world.service(at, id_=2, proto=UDP)
    near, far = world.pair(listener)
    pid = world.process.pid
    usual = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (world.descriptors(), usual[1]))
    lost = [world.client() for _ in range(3)]
    assert [read_all(one) for one in lost] == [b""] * 3
    client, _ = world.datagrams(PODS[2])
    client.sendto(b"question", (NODE, PORT))
    answers.settimeout(0.2)
    with pytest.raises(TimeoutError):
        answers.recv(100)
    assert world.counts().exhausted >= 4
    resource.prlimit(pid, resource.RLIMIT_NOFILE, usual)
    near.sendall(b"still")
    assert far.recv(10) == b"still"
    world.pair(listener)


def test_a_thousand_connections_leave_nothing(world: World) -> None:
    listener, endpoint = world.listener()
    world.service(endpoint)
    near, far = world.pair(listener)

    near.sendall(b"x")
    far.recv(1)
    before = world.descriptors()
    for n in range(1000):
        one, other = world.pair(listener)
        one.sendall(b"some")
        if n % 2:
            one.close()
            read_all(other)
        else:
            other.close()
            read_all(one)
        one.close()
        other.close()
    deadline = time.monotonic() + 5
    while world.descriptors() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert world.descriptors() == before
