"""A load of requests, run in a pod: counts what was answered, records each failure.

load.py KIND ADDRESS PORT CONNECTIONS

KIND: `tcp`, a connection per request; `held`, connections that stay, a request after another;
`udp`, sockets that stay, one datagram at a time, each of which must be answered. Every line on
standard input is answered by a line of JSON with what is known so far; the end of input ends the
load, when what is under way has ended, with a last line. Times are CLOCK_MONOTONIC, in seconds.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from collections import Counter

PAUSE_S = 0.01  # between two requests of a connection
TIMEOUT_S = 8.0
ASK = b"GET /hostname HTTP/1.1\r\nHost: load\r\nConnection: %s\r\n\r\n"


class Load:
    """What all connections have seen."""

    def __init__(self, kind: str, address: tuple[str, int]) -> None:
        self.kind = kind
        self.address = address
        self.ending = False
        self.hosts: Counter[str] = Counter()
        self.failures: list[dict[str, object]] = []
        self.slowest_s = 0.0

    def report(self) -> str:
        """A line of JSON."""
        what = {
            "answered": sum(self.hosts.values()),
            "hosts": self.hosts,
            "failures": self.failures,
            "slowest_s": self.slowest_s,
        }
        return json.dumps(what)

    async def connect(self) -> socket.socket:
        """A socket to the address."""
        kind = socket.SOCK_DGRAM if self.kind == "udp" else socket.SOCK_STREAM
        sock = socket.socket(socket.AF_INET, kind)
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, self.address)
        except BaseException:
            sock.close()
            raise
        return sock

    async def ask(self, sock: socket.socket) -> tuple[str, bool]:
        """Who answers, and whether the connection stays."""
        loop = asyncio.get_running_loop()
        if self.kind == "udp":
            await loop.sock_sendall(sock, b"hostname")
            return (await loop.sock_recv(sock, 4096)).decode(), True
        await loop.sock_sendall(sock, ASK % (b"keep-alive" if self.kind == "held" else b"close"))
        data = b""
        while not whole(data):
            more = await loop.sock_recv(sock, 4096)
            if not more:
                raise ConnectionError(f"ended after {len(data)} bytes")
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        return body.decode(), b"connection: close" not in head.lower()

    async def connection(self) -> None:
        """Ask again and again."""
        sock: socket.socket | None = None
        host, stays = "", True
        while not self.ending:
            began, step = time.monotonic(), "connect"
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    sock = sock or await self.connect()
                    step = "ask"
                    host, stays = await self.ask(sock)
            except (OSError, TimeoutError) as error:
                failure = {"began": began, "ended": time.monotonic(), "step": step, "host": host}
                self.failures.append({**failure, "error": repr(error)})
                stays = False
            else:
                self.hosts[host] += 1
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            if not stays:
                close(sock)
                sock, host = None, ""
            await asyncio.sleep(PAUSE_S)
        close(sock)


def whole(data: bytes) -> bool:
    """Whether an HTTP answer is complete."""
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        return False
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    return len(body) >= int(fields[b"content-length"])


def close(sock: socket.socket | None) -> None:
    """Close a socket, if there is one."""
    if sock is not None:
        sock.close()


async def main(kind: str, address: str, port: str, connections: str) -> None:
    """Load until standard input ends."""
    load = Load(kind, (address, int(port)))
    async with asyncio.TaskGroup() as group:
        for _ in range(int(connections)):
            group.create_task(load.connection())
        while await asyncio.to_thread(sys.stdin.readline):
            print(load.report(), flush=True)
        load.ending = True
    print(load.report(), flush=True)


asyncio.run(main(*sys.argv[1:]))
