"""Captures by the real tcpdump inside a node, dissected by tshark."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from netsim import Lab
from tests.e2e.world import TIMEOUT_S

CALM_S = 0.3
GOOD = "1"  # tshark's word for a checksum that is right
CHECKS = ("ip.check_checksum", "udp.check_checksum", "tcp.check_checksum")


@contextmanager
def tcpdump(lab: Lab, node: str, what: str, file: Path) -> Iterator[None]:
    """Everything on the node's eth0 that matches, in `file` when the block has ended."""
    argv = ["tcpdump", "-ni", "eth0", "-U", "--immediate-mode", "-w", str(file), what]
    process = lab.popen(f"node/{node}", argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        assert process.stderr
        line = process.stderr.readline()
        assert "listening on eth0" in line, line
        yield
        written(file)
    finally:
        process.terminate()
        process.communicate(timeout=TIMEOUT_S)


def written(file: Path) -> None:
    """Wait until tcpdump, which does not read on when it is told to end, adds nothing more."""
    size, end = -1, time.monotonic() + TIMEOUT_S
    while size != (now := file.stat().st_size) and time.monotonic() < end:
        size = now
        time.sleep(CALM_S)


def dissected(file: Path, decode: str, fields: Sequence[str]) -> list[dict[str, list[str]]]:
    """What tshark says of each packet: the values of `fields`, outermost first.

    `decode` as `tshark -d` takes it. All checksums are verified.
    """
    argv = ["tshark", "-n", "-r", str(file), "-d", decode, "-T", "json"]
    for check in CHECKS:
        argv += ["-o", f"{check}:TRUE"]
    for field in fields:
        argv += ["-e", field]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
    packets = json.loads(done.stdout)
    return [{f: p["_source"]["layers"].get(f, []) for f in fields} for p in packets]
