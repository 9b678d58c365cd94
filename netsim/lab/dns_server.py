"""The cluster's DNS: on every node at its InternalIP, over UDP and TCP, answered by this process.

It knows names of the cluster only; others are refused (CoreDNS without `forward`). Nothing that
comes in can do more than get an answer: what can not be read is refused or passed over.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import Protocol, cast

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from netsim.api.addresses import format_address
from netsim.controllers.cluster_dns import PORT
from netsim.lab.dns_names import ZONE, Names, Record
from netsim.store.base import View

log = logging.getLogger(__name__)
TTL_S = 5
PLAIN_BYTES, UDP_BYTES, TCP_BYTES = 512, 1232, 65535
HEADER_BYTES = 12
IDLE_S = 10.0
CONNECTIONS_MAX, BACKLOG = 128, 64
SETS_KEPT = 64  # of records
RECORD_BYTES_MIN = 16  # of an address, whose name is a pointer; others take more
AUTHORITY = f"ns.dns.{ZONE}. hostmaster.{ZONE}. {{}} 7200 1800 86400 {TTL_S}"

Make = Callable[[str, socket.SocketKind], Awaitable[socket.socket]]


class HasAddress(Protocol):
    """What a node's sandbox was made from, as far as it matters here."""

    @property
    def address(self) -> int:
        """The node's InternalIP."""


def respond(wire: bytes, names: Names, room: int | None = None) -> bytes | None:
    """The answer to a query, at most as long as its sender takes; None: there is none to give.

    `room` is what the transport allows, for UDP what the query says.
    """
    try:
        query = dns.message.from_wire(wire)
        if query.flags & dns.flags.QR:
            return None
        response = dns.message.make_response(query, our_payload=UDP_BYTES)
    except (dns.exception.DNSException, ValueError):
        return _unreadable(wire)
    try:
        response.set_rcode(_answer(query, response, names))
    except (dns.exception.DNSException, ValueError):  # an object holds what is no name
        response.set_rcode(dns.rcode.SERVFAIL)
    if room is None:
        room = min(max(query.payload, PLAIN_BYTES), UDP_BYTES) if query.edns >= 0 else PLAIN_BYTES
    try:
        if sum(map(len, response.answer)) * RECORD_BYTES_MIN > room:  # without writing them first
            raise dns.exception.TooBig
        return response.to_wire(max_size=room)
    except dns.exception.TooBig:
        response.flags |= dns.flags.TC
        response.answer, response.additional = [], []
        return response.to_wire(max_size=room)


def _answer(
    query: dns.message.Message, response: dns.message.Message, names: Names
) -> dns.rcode.Rcode:
    if query.opcode() != dns.opcode.QUERY:
        return dns.rcode.NOTIMP
    if query.edns > 0:
        return dns.rcode.BADVERS
    if len(query.question) != 1:
        return dns.rcode.FORMERR
    [question] = query.question
    if question.rdclass != dns.rdataclass.IN:
        return dns.rcode.REFUSED
    found = names.find(question.name.to_text(), dns.rdatatype.to_text(question.rdtype))
    if found is None:
        return dns.rcode.REFUSED
    response.flags |= dns.flags.AA
    response.answer, response.additional = [*_sets(found.answers)], [*_sets(found.additional)]
    if not found.answers:
        soa = Record(f"{ZONE}.", "SOA", AUTHORITY.format(names.serial))
        at_apex = question.name.to_text().lower() == soa.name
        if at_apex and question.rdtype == dns.rdatatype.SOA:
            response.answer = [*_sets((soa,))]
        else:
            response.authority = [*_sets((soa,))]
    return dns.rcode.NOERROR if found.exists else dns.rcode.NXDOMAIN


@lru_cache(SETS_KEPT)
def _sets(records: tuple[Record, ...]) -> tuple[dns.rrset.RRset, ...]:
    """Records of one name and type together; aliases before what they lead to.

    Made once for many questions: a thousand endpoints take a tenth of a second. Messages have each
    set in an order of their own.
    """
    by_name: dict[tuple[str, str], list[str]] = {}
    for record in sorted(records, key=lambda r: r.kind != "CNAME"):
        by_name.setdefault((record.name, record.kind), []).append(record.data)
    return tuple(
        [
            dns.rrset.from_text_list(name, TTL_S, "IN", kind, data)
            for (name, kind), data in by_name.items()
        ]
    )


def _unreadable(wire: bytes) -> bytes | None:
    """FORMERR to what has at least the head of a query."""
    if len(wire) < HEADER_BYTES or wire[2] & 0x80:
        return None
    return wire[:2] + bytes([0x80 | wire[2] & 0x79, dns.rcode.FORMERR]) + bytes(8)


class DnsServers:
    """The sockets on the nodes; `make` gives an unbound one in a node's namespace."""

    def __init__(self, make: Make) -> None:
        self._names, self._make = Names(), make
        self._open: dict[str, tuple[HasAddress, asyncio.DatagramTransport, asyncio.Server]] = {}
        self._connections = 0

    async def reconcile(self, view: View, nodes: Mapping[str, HasAddress]) -> None:
        """Answer on these nodes, and no others. What can not be had is logged, and tried again."""
        self._names.advance(view)
        for name in [n for n, (made, *_) in self._open.items() if nodes.get(n) != made]:
            self._close(name)
        for name in nodes.keys() - self._open.keys():
            try:
                self._open[name] = await self._listen(name, nodes[name])
            except OSError as error:
                log.warning("node %s: cluster DNS: %s", name, error)

    def close(self) -> None:
        """Stop answering."""
        for name in list(self._open):
            self._close(name)

    def _close(self, name: str) -> None:
        _, datagrams, server = self._open.pop(name)
        datagrams.close()
        server.close()

    async def _listen(
        self, name: str, made: HasAddress
    ) -> tuple[HasAddress, asyncio.DatagramTransport, asyncio.Server]:
        with contextlib.ExitStack() as stack:
            udp = stack.enter_context(await self._make(name, socket.SOCK_DGRAM))
            tcp = stack.enter_context(await self._make(name, socket.SOCK_STREAM))
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            for sock in (udp, tcp):
                sock.bind((format_address(made.address), PORT))
            tcp.listen(BACKLOG)
            loop = asyncio.get_running_loop()
            server = await asyncio.start_server(self._serve, sock=tcp)
            datagrams, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(self._names), sock=udp
            )
            stack.pop_all()
        return made, datagrams, server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Questions one after the other, as long as they come."""
        self._connections += 1
        try:
            while self._connections <= CONNECTIONS_MAX:
                async with asyncio.timeout(IDLE_S):
                    length = int.from_bytes(await reader.readexactly(2))
                    answer = respond(await reader.readexactly(length), self._names, TCP_BYTES)
                    if answer is None:
                        break
                    writer.write(len(answer).to_bytes(2) + answer)
                    await writer.drain()
        except (OSError, EOFError, TimeoutError):
            pass
        finally:
            self._connections -= 1
            writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, names: Names) -> None:
        self._names = names
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        answer = respond(data, self._names)
        if answer is not None and self._transport is not None:
            self._transport.sendto(answer, addr)
