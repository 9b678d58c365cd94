"""Small adapters between pipes and asyncio, and between records and JSON."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

from netsim.api.addresses import format_address
from netsim.api.fields import Json
from netsim.dataplane.messages import Flows
from netsim.dataplane.records import FlowKey
from netsim.dataplane.rows import PROTOCOLS

CHUNK_BYTES = 1 << 16
PROTOCOL_NAMES = {number: name for name, number in PROTOCOLS.items()}


async def pipe_chunks(reading: int) -> AsyncIterator[bytes]:
    """Bytes of a pipe until its last writer goes; closes `reading`."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    pipe = os.fdopen(reading, "rb", buffering=0)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    try:
        while chunk := await reader.read(CHUNK_BYTES):
            yield chunk
    finally:
        transport.close()


def _key_json(key: FlowKey) -> Json:
    return {
        "source": format_address(key.src),
        "destination": format_address(key.dst),
        "sourcePort": key.sport,
        "destinationPort": key.dport,
    }


def flows_json(found: Flows) -> Json:
    """The answer of `GET /netsim/flows`."""
    return {
        "flows": [
            {
                "protocol": PROTOCOL_NAMES.get(flow.original.proto, str(flow.original.proto)),
                "state": flow.state,
                "original": _key_json(flow.original),
                "reply": _key_json(flow.reply),
                "translated": flow.translated,
                "masqueraded": flow.masqueraded,
                "assured": flow.assured,
                "service": found.services.get(flow.service, ""),
                "expiresSeconds": max(0, (flow.expires_ns - found.now_ns) // 1_000_000_000),
            }
            for flow in found.flows
        ]
    }
