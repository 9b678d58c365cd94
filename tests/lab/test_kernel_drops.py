"""What the kernel lost in a node: read off its own counters, and told by status."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

import netsim
from netsim.api.fields import Json, items, mapping
from netsim.lab import kernel_drops

DEV = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo
    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0
  cni0: 1234567    4096    0    2    0     0          0         0  7654321    8192    0   40    0
flannel.1:      84       1    0    0    0     0          0         0       84       1    0    7    0
"""
UDP = """\
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode re
  105: 02AC12AC:2118 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0 5
  222: 02AC12AC:9D3F 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0 11
"""


def test_devices_that_dropped_are_counted_both_ways() -> None:
    assert kernel_drops.parse_devices(DEV) == {"cni0": 42, "flannel.1": 7}


def test_sockets_are_counted_together() -> None:
    assert kernel_drops.parse_udp(UDP) == 16
    assert kernel_drops.parse_udp(UDP.splitlines()[0]) == 0


def test_a_node_that_is_gone_lost_nothing() -> None:
    def gone(node: str) -> dict[str, int]:
        raise FileNotFoundError(node)

    assert kernel_drops.of_nodes(["node1"], gone) == {"node1": {}}


POD: Json = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p"},
    "spec": {"containers": [{"name": "c", "command": ["sleep", "infinity"]}]},
}
# Binds a port with next to no room, and reads nothing.
DEAF = """\
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
s.bind(("127.0.0.1", 5000))
for _ in range(1000):
    s.sendto(b"x" * 1000, ("127.0.0.1", 5000))
print("full", flush=True)
time.sleep(1000)
"""


@pytest.mark.linux
def test_status_tells_what_a_nodes_sockets_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETSIM_RUN", str(tmp_path))
    with netsim.Lab([POD], name=f"drops{os.getpid()}") as lab:
        assert lost(lab, "node1") == {}
        deaf = lab.popen("node/node1", ["python3", "-c", DEAF], stdout=-1)
        assert deaf.stdout is not None
        assert deaf.stdout.readline() == "full\n"
        end = time.monotonic() + 5
        while not (found := lost(lab, "node1")):
            assert time.monotonic() < end
        deaf.kill()
        deaf.communicate()
    assert list(found) == ["udp sockets"]
    assert 900 < int(str(found["udp sockets"])) < 1000


def lost(lab: netsim.Lab, name: str) -> Json:
    (node,) = [n for n in items(lab.status(), "nodes") if n["name"] == name]
    return mapping(node, "kernelDrops")
