"""What is answered to health checks, on sockets of this machine."""

from __future__ import annotations

import asyncio
import json
import socket

from netsim.controllers.health import HealthCheck
from netsim.controllers.membership import Name
from netsim.lab.health import service_answers
from netsim.lab.node_servers import NodeServers

HERE = Name("shop", "web")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port


async def make(node: str) -> socket.socket:
    made = socket.socket()
    made.setblocking(False)
    return made


async def asked(port: int, request: bytes = b"GET /any HTTP/1.0\r\n\r\n") -> tuple[str, str, str]:
    """Status line, weight and body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    got = (await reader.read()).decode()
    writer.close()
    head, _, body = got.partition("\r\n\r\n")
    status, *lines = head.split("\r\n")
    headers = dict(line.split(": ") for line in lines)
    return status, headers["X-Load-Balancing-Endpoint-Weight"], body


async def refused(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


def test_a_node_says_how_many_endpoints_it_has() -> None:
    async def run() -> None:
        servers, port = NodeServers(make), free_port()
        try:
            await servers.reconcile(
                service_answers([HealthCheck(HERE, port, {"n1": 2})]), {"n1": 1}
            )
            status, weight, body = await asked(port)
            assert (status, weight) == ("HTTP/1.1 200 OK", "2")
            assert json.loads(body) == {
                "service": {"namespace": "shop", "name": "web"},
                "localEndpoints": 2,
                "serviceProxyHealthy": True,
            }
            await servers.reconcile(
                service_answers([HealthCheck(HERE, port, {"n2": 2})]), {"n1": 1}
            )
            status, weight, body = await asked(port, b"POST / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (status, weight) == ("HTTP/1.1 503 Service Unavailable", "0")
            assert json.loads(body)["localEndpoints"] == 0
            await servers.reconcile({}, {"n1": 1})
            assert await refused(port)
        finally:
            servers.close()

    asyncio.run(run())


def test_a_port_that_is_taken_is_tried_again() -> None:
    async def run() -> None:
        servers, port = NodeServers(make), free_port()
        check = HealthCheck(HERE, port, {"n1": 1})
        with socket.socket() as other:
            other.bind(("127.0.0.1", port))
            other.listen()
            await servers.reconcile(service_answers([check]), {"n1": 1})
        try:
            await servers.reconcile(service_answers([check]), {"n1": 1})
            assert (await asked(port))[1] == "1"
        finally:
            servers.close()

    asyncio.run(run())


def test_a_node_that_is_made_anew_gets_a_socket_of_its_own() -> None:
    async def run() -> None:
        made: list[str] = []

        async def noted(node: str) -> socket.socket:
            made.append(node)
            return await make(node)

        servers, check = NodeServers(noted), HealthCheck(HERE, free_port(), {"n1": 1})
        try:
            for shape in (1, 1, 2):
                await servers.reconcile(service_answers([check]), {"n1": shape})
                assert (await asked(check.port))[1] == "1"
            assert made == ["n1", "n1"]
        finally:
            servers.close()

    asyncio.run(run())
