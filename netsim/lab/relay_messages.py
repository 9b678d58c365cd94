"""What control says to the relay, and what it answers: csrc/relay/control.c, relay.h.

One message is one command: a head, then a service port's endpoints. END and COUNTS are answered
with a number and that many entries.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from netsim.dataplane.rows import ServiceRow

KINDS = BEGIN, NODE, DROP_NODE, SERVICE, DROP_SERVICE, END, COUNTS = range(7)
HEAD = struct.Struct("=IIIIHHI")  # kind, id, address, affinity, port, node port, protocol
TARGET = struct.Struct("=IHH")
COUNT = struct.Struct("=Q")
PROBLEM = struct.Struct("=IIiI")
COUNTED = struct.Struct("=Q5Q")
ANSWER_BYTES_MAX = 1 << 18


class Problem(NamedTuple):
    """A front that does not listen: numbers of node and service port, errno, at the node port."""

    node: int
    service: int
    errno: int
    claim: bool


class Counts(NamedTuple):
    """What happened at a node; see struct counts."""

    connections: int
    clients: int
    dials_failed: int
    unserved: int
    exhausted: int


def command(kind: int, number: int = 0, address: int = 0) -> bytes:
    """A command about a node, about nothing, or to drop."""
    return HEAD.pack(kind, number, address, 0, 0, 0, 0)


def node_port(row: ServiceRow) -> int:
    """The node port of a service port, 0 without."""
    return next((f.port for f in row.frontends if f.kind == "node-port"), 0)


def service(row: ServiceRow) -> bytes:
    """The command that sets a service port that is relayed."""
    assert row.relay is not None
    ports = (row.relay.port, node_port(row))
    head = HEAD.pack(SERVICE, row.id, 0, row.affinity_s, *ports, row.proto)
    return head + b"".join([TARGET.pack(*endpoint, 0) for endpoint in row.relay.endpoints])


def read_problems(answer: bytes) -> list[Problem]:
    """The answer to END."""
    found = PROBLEM.iter_unpack(answer[COUNT.size :])
    return [Problem(node, service, errno, bool(claim)) for node, service, errno, claim in found]


def read_counts(answer: bytes) -> dict[int, Counts]:
    """The answer to COUNTS, by number of a node."""
    return {node: Counts(*counts) for node, *counts in COUNTED.iter_unpack(answer[COUNT.size :])}
