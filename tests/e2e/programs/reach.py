"""Asks many answerers, each once, for their names; run in a pod.

reach.py PORT < a line of JSON, a list of addresses. Prints a JSON object: name (or error) by
address.
"""

from __future__ import annotations

import asyncio
import json
import sys

AT_ONCE = 32
TIMEOUT_S = 10.0


async def ask(address: str, port: int, turn: asyncio.Semaphore) -> str:
    """The name, or what went wrong."""
    async with turn:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                reader, writer = await asyncio.open_connection(address, port)
                writer.write(b"GET /hostname HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                answer = await reader.read()
                writer.close()
        except (OSError, TimeoutError) as error:
            return repr(error)
    return answer.partition(b"\r\n\r\n")[2].decode()


async def main(port: int) -> None:
    """Ask them all."""
    addresses = json.loads(sys.stdin.readline())
    turn = asyncio.Semaphore(AT_ONCE)
    names = await asyncio.gather(*(ask(address, port, turn) for address in addresses))
    print(json.dumps(dict(zip(addresses, names, strict=True))))


asyncio.run(main(int(sys.argv[1])))
