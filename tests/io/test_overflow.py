"""What the kernel drops before the data plane sees it is counted all the same."""

from __future__ import annotations

import socket

from netsim.dataplane._core import Engine
from tests.io.cluster import node_row

DATAGRAMS = 12_000  # at 2 KiB or more each: beyond twice the 8 MiB that the socket asks for


def test_an_overflowing_tunnel_socket() -> None:
    wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    wire.bind(("127.0.0.1", 0))
    to = wire.getsockname()
    engine = Engine()
    try:
        node = engine.node_add(node_row(0, "udp"))
        engine.iface_udp(node, "eth0", [wire.detach()], mtu=1500)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for _ in range(DATAGRAMS):
                stranger.sendto(bytes(1400), to)
        lost = engine.node_stats(node).drops["wire-overflow"]
        assert lost > 0
        engine.step(1)
        drops = engine.node_stats(node).drops
        assert drops["wire-overflow"] == lost  # once, and told without waiting for a packet
        assert lost + drops["tunnel-stranger"] == DATAGRAMS
    finally:
        engine.close()
