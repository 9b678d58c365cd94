"""Chunks that outlive their process: two mappings of one memfd, and a process really killed."""

from __future__ import annotations

import os
import random
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator

import pytest

from netsim.dataplane._tables import Arena, FlowTable, numbered_reply

CHUNK = 104 * 1024
MIB = 1 << 20


@pytest.fixture
def fd() -> Iterator[int]:
    fd = os.memfd_create("flows")
    yield fd
    os.close(fd)


def test_memory_is_taken_chunk_by_chunk(fd: int) -> None:
    arena = Arena(fd, 1024 * MIB)
    assert os.fstat(fd).st_size == 0
    assert arena.chunk_new(7) is True  # and zeroed
    assert os.fstat(fd).st_size == CHUNK


def test_chunks_are_found_again_by_owner(fd: int) -> None:
    first = Arena(fd, MIB)
    for owner in [1, 2, 1, 3, 1]:
        assert first.chunk_new(owner)
    second = Arena(fd, MIB)
    assert [second.chunks(owner) for owner in range(1, 5)] == [3, 1, 1, 0]


@pytest.mark.parametrize("anonymous", [True, False])
def test_released_chunks_are_used_again_zeroed(fd: int, anonymous: bool) -> None:
    arena = Arena(-1 if anonymous else fd, 4 * CHUNK)
    assert [arena.chunk_new(owner) for owner in [1, 2, 1, 2, 2]] == [True] * 4 + [None]
    arena.release(1)
    assert arena.chunks(1) == 0
    assert arena.chunks(2) == 2
    assert [arena.chunk_new(3) for _ in range(3)] == [True, True, None]


def test_a_released_chunk_gives_its_memory_back(fd: int) -> None:
    arena = Arena(fd, MIB)
    for _ in range(8):
        arena.chunk_new(1)
    held = os.fstat(fd).st_blocks
    arena.release(1)
    assert os.fstat(fd).st_blocks <= held // 8


def header(magic: int, version: int, owner: int) -> bytes:
    return struct.pack("=IIQ", magic, version, owner)


MAGIC = 0x4E534C46
REFUSED = [
    ("another version", header(MAGIC, 1, 7).ljust(CHUNK, b"\0")),
    ("no arena at all", b"#!/bin/sh".ljust(CHUNK, b"\n")),
    ("a file of another length", bytes(CHUNK + 1)),
    ("a chunk without owner", header(MAGIC, 3, 0).ljust(CHUNK, b"\0")),
]


@pytest.mark.parametrize(("name", "content"), REFUSED, ids=[r[0] for r in REFUSED])
def test_refuses_a_file_that_is(name: str, content: bytes, fd: int) -> None:
    os.write(fd, content)
    with pytest.raises(OSError, match="Invalid"):
        Arena(fd, MIB)


def test_a_half_claimed_chunk_is_free_again(fd: int) -> None:
    os.write(fd, header(0, 1, 7) + b"rubbish".ljust(CHUNK - 16, b"x"))
    arena = Arena(fd, CHUNK)
    assert arena.chunks(7) == 0
    assert arena.chunk_new(8) is True


def test_refuses_less_room_than_a_chunk(fd: int) -> None:
    with pytest.raises(OSError, match="Invalid"):
        Arena(fd, CHUNK - 1)


def test_a_second_table_adopts_what_the_first_left(fd: int) -> None:
    first = FlowTable(Arena(fd, 8 * MIB), 7, 20_000, 1)
    first.insert_numbered(0, 10_000, 1)
    first.remove_numbered(0, 10_000, 4, 1)
    stranger = FlowTable(Arena(fd, 8 * MIB), 8, 20_000, 1)
    assert stranger.adopt(1) == 0
    second = FlowTable(Arena(fd, 8 * MIB), 7, 20_000, 2)
    assert second.adopt(1) == 7_500
    assert all(second.has_numbered(n, 1) == (n % 4 != 0) for n in range(10_000))
    assert second.insert_numbered(10_000, 12_000, 1) == 2_000
    assert FlowTable(Arena(fd, 8 * MIB), 7, 20_000, 3).adopt(31_000_000_000) == 0


def test_damaged_records_are_not_adopted(fd: int) -> None:
    table = FlowTable(Arena(fd, MIB), 7, 100, 1)
    table.insert_numbered(0, 3, 1)
    os.pwrite(fd, b"\x77", 104 + 37)  # first record's padding of the original key
    os.pwrite(fd, b"\xff", 104 + 104 + 62)  # second one's state
    assert FlowTable(Arena(fd, MIB), 7, 100, 2).adopt(1) == 1


CHURN = """
import sys
from netsim.dataplane._tables import Arena, FlowTable
table = FlowTable(Arena(int(sys.argv[1]), 1 << 23), 7, 60_000, 1)
for n in range(1 << 30):
    table.insert_numbered(n * 700, n * 700 + 1000, 1)
    table.remove_numbered(max(n - 9, 0) * 700, n * 700, 5, 1)
    table.expire(1, 100)
    sys.stdout.write("."); sys.stdout.flush()
"""


@pytest.mark.parametrize("seed", range(6))
def test_kill_at_any_instant_leaves_whole_flows_only(seed: int, fd: int) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHURN, str(fd)], pass_fds=[fd], stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    child.stdout.read(random.Random(seed).randrange(1, 60))
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    child.stdout.close()
    table = FlowTable(Arena(fd, 1 << 23), 7, 60_000, 2)
    adopted = table.adopt(1)
    flows = table.walk(1)
    assert adopted == len(flows) == len({f[0] for f in flows}) > 0
    for original, reply, state, *_ in flows:
        assert reply == numbered_reply(original)
        assert state == "NEW"
        found = table.find(reply, 1)
        assert found is not None
        assert (found[0][0], found[1]) == (original, True)
