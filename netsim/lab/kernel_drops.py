"""What the kernel dropped in a node's namespace before or after our data plane saw it.

Queues of the TUN devices and of the tunnel's sockets are the kernel's: when the data plane, or a
program, does not read in time, packets are lost there and no counter of ours knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from netsim.errors import NetsimError
from netsim.linux import ns

RX_DROP, TX_DROP = 3, 11  # columns of /proc/net/dev after the name
SOCKETS = "udp sockets"
Drops = Mapping[str, int]


def parse_devices(text: str) -> dict[str, int]:
    """/proc/net/dev: packets dropped in either direction, of devices that dropped any."""
    found = {}
    for line in text.splitlines()[2:]:
        name, _, numbers = line.partition(":")
        columns = numbers.split()
        if dropped := int(columns[RX_DROP]) + int(columns[TX_DROP]):
            found[name.strip()] = dropped
    return found


def parse_udp(text: str) -> int:
    """/proc/net/udp: datagrams that found no room in their socket, of sockets that are open."""
    return sum(int(line.split()[-1]) for line in text.splitlines()[1:])


def of_nodes(
    nodes: Iterable[str], open_node: Callable[[str], dict[str, int]]
) -> dict[str, dict[str, int]]:
    """Drops by device, and by `udp sockets`, of each node; {} where there are none.

    `open_node` returns the descriptors of a node's sandbox, which are closed after use.
    """
    return {node: _of_node(node, open_node) for node in nodes}


def _of_node(node: str, open_node: Callable[[str], dict[str, int]]) -> dict[str, int]:
    try:
        fds = open_node(node)
    except (OSError, NetsimError):
        return {}
    try:
        with ns.in_namespace({"net": fds["net"]}):
            devices = Path("/proc/thread-self/net/dev").read_text()
            sockets = Path("/proc/thread-self/net/udp").read_text()
    finally:
        ns.close_all(fds)
    found = parse_devices(devices)
    lost = parse_udp(sockets)
    return {**found, SOCKETS: lost} if lost else found
