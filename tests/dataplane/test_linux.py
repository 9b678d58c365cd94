"""With real TUN devices and tunnel sockets: programs in pods talk, over a restart too."""

from __future__ import annotations

import dataclasses
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.vxlan import VXLAN
from scapy.utils import PcapNgReader

from netsim.dataplane import messages as m
from netsim.dataplane.answers import DataPlane, Session
from netsim.dataplane.plan import plan
from netsim.dataplane.rows import LabRow, NodeRow, PodRow, Tables
from netsim.lab.sandbox import Maker, NodeNet, PodNet, node_routes
from netsim.linux.ns import in_namespace
from tests.dataplane.lab import MTU, PODS, pod, whole
from tests.dataplane.sandboxes import Sandboxes

pytestmark = pytest.mark.linux

OVER_UDP = dataclasses.replace(whole(pods=1), lab=LabRow(((0x0A600000, 12),), "udp"))
CLIENT, SERVER = pod(1, 1), pod(2, 1)
SERVER_AT = ("10.244.2.2", 8080)
SERVICE_AT = ("10.96.0.1", 80)


def node_net(row: NodeRow) -> NodeNet:
    return NodeNet(
        row.name, row.address, 24, 1500, MTU, row.cni_addr, 24, "flannel.1", row.tunnel_addr,
        row.port, 16,
    )  # fmt: skip


@pytest.fixture(scope="module")
def boxes() -> Iterator[Sandboxes]:
    boxes = Sandboxes()
    with closing(Maker()) as maker:
        fabric = maker.create_fabric(1500)
        boxes.put("fabric", fabric)
        for row in OVER_UDP.nodes.values():
            net = node_net(row)
            routes = node_routes(net, (PODS, 16), [])
            boxes.put(f"node/{row.name}", maker.create_node(net, routes, fabric))
        for p in OVER_UDP.pods.values():
            name = p.name.removeprefix("default/")
            boxes.put(p.sandbox, maker.create_pod(PodNet(name, "default", p.addr, MTU, 0)))
        yield boxes
    boxes.close()


def ask(dataplane: DataPlane, request: m.Request, session: Session) -> m.Reply:
    reply = dataplane.answer(request, session)
    assert not isinstance(reply, m.Failed), reply
    return reply


@contextmanager
def running(boxes: Sandboxes) -> Iterator[tuple[DataPlane, Session]]:
    dataplane, session = DataPlane(boxes.fetch), Session()
    try:
        ask(dataplane, m.Hello(2, 1, "udp"), session)
        applied = ask(dataplane, m.Apply(plan(Tables(), OVER_UDP), 1), session)
        assert applied == m.Applied({"n1": 1, "n2": 1}, [])
        yield dataplane, session
        dataplane.leave(session)
    finally:
        dataplane.close()


def sock_in(boxes: Sandboxes, row: PodRow, kind: socket.SocketKind) -> socket.socket:
    with in_namespace({"net": boxes.kept[row.sandbox]["net"]}):
        sock = socket.socket(socket.AF_INET, kind)
    sock.settimeout(10)
    return sock


def echo(listener: socket.socket) -> None:
    client, _ = listener.accept()
    with client:
        while data := client.recv(1 << 16):
            client.sendall(data)


@contextmanager
def tcp_through_service(boxes: Sandboxes) -> Iterator[socket.socket]:
    """A connection of the client pod to the service, whose endpoint echoes."""
    with (
        sock_in(boxes, SERVER, socket.SOCK_STREAM) as listener,
        sock_in(boxes, CLIENT, socket.SOCK_STREAM) as client,
    ):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(SERVER_AT)
        listener.listen()
        thread = threading.Thread(target=echo, args=(listener,))
        thread.start()
        try:
            client.connect(SERVICE_AT)
            yield client
        finally:
            client.close()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def bounce(client: socket.socket, size: int) -> None:
    """Send `size` bytes and get them back."""
    data = os.urandom(size)
    sender = threading.Thread(target=client.sendall, args=(data,))
    sender.start()
    back = bytearray()
    while len(back) < size:
        back += client.recv(1 << 16)
    sender.join()
    assert back == data


def test_bulk_tcp_crosses_the_tunnel_through_a_service(boxes: Sandboxes) -> None:
    with running(boxes) as (dataplane, session), tcp_through_service(boxes) as client:
        bounce(client, 4 << 20)
        flows = ask(dataplane, m.GetFlows("n1"), session)
        assert isinstance(flows, m.Flows)
        assert [f.state for f in flows.flows if f.original.dport == 80] == ["ESTABLISHED"]


def test_a_connection_survives_the_data_plane(boxes: Sandboxes) -> None:
    with running(boxes):
        connection = tcp_through_service(boxes)
        client = connection.__enter__()
        bounce(client, 100_000)
    with running(boxes):
        bounce(client, 100_000)
        connection.__exit__(None, None, None)


def test_a_capture_of_a_node_shows_the_tunnel(boxes: Sandboxes, tmp_path: Path) -> None:
    file = tmp_path / "n1.pcapng"
    with running(boxes) as (dataplane, session):
        session.fds.append(os.open(file, os.O_WRONLY | os.O_CREAT))
        started = ask(dataplane, m.CaptureStart("node/n1"), session)
        assert isinstance(started, m.CaptureStarted)
        with (
            sock_in(boxes, CLIENT, socket.SOCK_DGRAM) as client,
            sock_in(boxes, SERVER, socket.SOCK_DGRAM) as server,
        ):
            server.bind(("10.244.2.2", 53))
            client.sendto(b"hello", ("10.244.2.2", 53))
            assert server.recv(100) == b"hello"
        ask(dataplane, m.CaptureStop(started.id), session)
    with PcapNgReader(str(file)) as reader:
        outer = [p for p in reader if VXLAN in p]
    assert [(p[IP].src, p[IP].dst, p[UDP].dport) for p in outer] == [
        ("192.168.8.1", "192.168.8.2", 8472)
    ]
    assert bytes(outer[0]).endswith(b"hello")
