"""The output of a container, read from its log file: whole, its end, or followed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import BinaryIO

from netsim.api.fields import Json
from netsim.api.meta import name_of, namespace_of
from netsim.lab.containers import log_path
from netsim.server.api import LogOptions
from netsim.store.errors import bad_request

CHUNK_BYTES = 1 << 16
POLL_S = 0.1


class PodLogs:
    """`server.api.PodLog` over the files below `directory`.

    `exists` says whether a pod is still there: a follower ends with it.
    """

    def __init__(self, directory: Path, exists: Callable[[Json], bool]) -> None:
        self._directory = directory
        self._exists = exists

    async def __call__(self, pod: Json, options: LogOptions) -> AsyncIterator[bytes]:
        """Chunks of the log. ApiError 400 for what a lab's logs can not tell."""
        if options.previous or options.timestamps or options.since_s is not None:
            raise bad_request("a lab's logs hold all runs of a container, without times")
        path = log_path(self._directory, namespace_of(pod), name_of(pod), options.container)
        if not path.exists():
            return
        left = options.limit_bytes
        with path.open("rb") as file:
            if options.tail_lines is not None:
                file.seek(tail_offset(file, options.tail_lines))
            while left is None or left > 0:
                chunk = file.read(CHUNK_BYTES if left is None else min(CHUNK_BYTES, left))
                if chunk:
                    left = left if left is None else left - len(chunk)
                    yield chunk
                elif options.follow and self._exists(pod):
                    if file.tell() > path.stat().st_size:
                        file.seek(0)  # it was rotated
                    await asyncio.sleep(POLL_S)
                else:
                    return


def tail_offset(file: BinaryIO, lines: int) -> int:
    """Where the last `lines` lines of a file begin, read backwards in chunks."""
    end = position = file.seek(0, os.SEEK_END)
    if lines == 0:
        return end
    wanted = lines
    while position > 0:
        start = max(0, position - CHUNK_BYTES)
        file.seek(start)
        chunk = file.read(position - start)
        if position == end and chunk.endswith(b"\n"):
            wanted += 1  # the newline that ends the last line
        count = chunk.count(b"\n")
        if count >= wanted:
            at = len(chunk)
            for _ in range(wanted):
                at = chunk.rindex(b"\n", 0, at)
            return start + at + 1
        wanted -= count
        position = start
    return 0
