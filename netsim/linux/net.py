"""Owns what rtnetlink is asked: links, addresses, routes, veth pairs, bridges; and sysctls.

Functions build one Request each; Netlink.execute runs a batch of them. Addresses are integers in
host order. Routes that netsim makes carry RTPROT_NETSIM, so that they can be told from the kernel's
and from those that people add by hand.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import sys
from collections.abc import Iterable
from typing import NamedTuple

from netsim.linux import syscalls
from netsim.linux.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    Netlink,
    Request,
    attribute,
    attribute_address,
    attribute_text,
    attribute_u32,
    attributes,
)

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_NEWADDR = 16, 17, 18, 20
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWRULE, RTM_DELRULE, RTM_GETRULE = 32, 33, 34
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_TXQLEN = 1, 3, 4, 10, 13
IFLA_LINKINFO, IFLA_IFALIAS, IFLA_NET_NS_FD, IFLA_GSO_MAX_SEGS = 18, 20, 28, 40
IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER, IFLA_BR_MCAST_SNOOPING = 1, 2, 1, 23
IFA_ADDRESS, IFA_LOCAL = 1, 2
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PREFSRC, RTA_TABLE = 1, 4, 5, 7, 15
FRA_DST, FRA_IIFNAME, FRA_PRIORITY, FRA_TABLE, FRA_IP_PROTO, FRA_DPORT_RANGE = 1, 3, 6, 15, 22, 24
FR_ACT_TO_TBL = 1
IFF_UP = 1
RT_TABLE_LOCAL = 255
RT_TABLE_MAIN, RT_SCOPE_UNIVERSE, RT_SCOPE_LINK, RTN_UNICAST, RTNH_F_ONLINK = 254, 0, 253, 1, 4
RTPROT_NETSIM = 110
NO_IPV6 = ("ipv6/conf/all/disable_ipv6", "1")  # on present and future links

_IFINFO = struct.Struct("=BxHiII")  # family, type, index, flags, change
_IFADDR = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
_ROUTE = struct.Struct("=BBBBBBBBI")  # family, dst len, src len, tos, table, proto, scope, type, fl


class Route(NamedTuple):
    """`prefix`/`length` by way of `device`; `via`, `src` are 0 for none.

    `onlink`: the gateway is taken to be reachable through the device, whatever the addresses say.
    `table` is below 256.
    """

    prefix: int
    length: int
    device: str
    via: int = 0
    src: int = 0
    onlink: bool = False
    table: int = RT_TABLE_MAIN


class Rule(NamedTuple):
    """Packets that match look into `table`, in the order of `priority`.

    `protocol` 0, `ports` (first and last, of the destination) (0, 0), `device` (where they come
    in) empty, `address` (of the destination) 0: any.
    """

    priority: int
    table: int
    protocol: int = 0
    ports: tuple[int, int] = (0, 0)
    device: str = ""
    address: int = 0


def _link(index: int, up: bool = False) -> bytes:
    state = IFF_UP if up else 0
    return _IFINFO.pack(socket.AF_UNSPEC, 0, index, state, state)


def link_up(what: str, index: int) -> Request:
    """Bring a link up."""
    return Request(f"{what}: link up", RTM_NEWLINK, 0, _link(index, up=True))


def link_set(what: str, index: int, mtu: int, queue: int, segments: int = 0) -> Request:
    """A link's `mtu`, `queue` (packets) and, where not 0, `segments` (of a super-packet).

    Before it is up: to change the queue of one that is, the kernel waits for all processors.
    """
    body = _link(index) + attribute_u32(IFLA_MTU, mtu) + attribute_u32(IFLA_TXQLEN, queue)
    if segments:
        body += attribute_u32(IFLA_GSO_MAX_SEGS, segments)
    return Request(f"{what}: link", RTM_NEWLINK, 0, body)


def address(what: str, index: int, addr: int, length: int) -> Request:
    """Give a link an IPv4 address."""
    body = _IFADDR.pack(socket.AF_INET, length, 0, RT_SCOPE_UNIVERSE, index)
    body += attribute_address(IFA_LOCAL, addr) + attribute_address(IFA_ADDRESS, addr)
    return Request(f"{what}: address", RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, body)


def _route_body(route: Route, index: int) -> bytes:
    scope = RT_SCOPE_UNIVERSE if route.via else RT_SCOPE_LINK
    flags = RTNH_F_ONLINK if route.onlink else 0
    body = _ROUTE.pack(
        socket.AF_INET, route.length, 0, 0, route.table, RTPROT_NETSIM, scope, RTN_UNICAST, flags
    )
    if route.length:
        body += attribute_address(RTA_DST, route.prefix)
    body += attribute_u32(RTA_OIF, index)
    if route.via:
        body += attribute_address(RTA_GATEWAY, route.via)
    if route.src:
        body += attribute_address(RTA_PREFSRC, route.src)
    return body


def route_add(what: str, route: Route, index: int) -> Request:
    """Add a route through the link with `index`, or replace the one to the same prefix."""
    flags = NLM_F_CREATE | NLM_F_REPLACE
    name = f"{what}: route {show_prefix(route)}"
    return Request(name, RTM_NEWROUTE, flags, _route_body(route, index))


def route_delete(what: str, route: Route, index: int) -> Request:
    """Remove exactly this route."""
    name = f"{what}: remove route {show_prefix(route)}"
    return Request(name, RTM_DELROUTE, 0, _route_body(route, index))


def _rule_body(rule: Rule) -> bytes:
    length = 32 if rule.address else 0
    body = _ROUTE.pack(socket.AF_INET, length, 0, 0, rule.table, 0, 0, FR_ACT_TO_TBL, 0)
    body += attribute_u32(FRA_PRIORITY, rule.priority) + attribute_u32(FRA_TABLE, rule.table)
    if rule.device:
        body += attribute_text(FRA_IIFNAME, rule.device)
    if rule.protocol:
        body += attribute(FRA_IP_PROTO, bytes([rule.protocol]))
    if rule.ports != (0, 0):
        body += attribute(FRA_DPORT_RANGE, struct.pack("=HH", *rule.ports))
    if rule.address:
        body += attribute_address(FRA_DST, rule.address)
    return body


def rule_add(what: str, rule: Rule) -> Request:
    """Add a rule."""
    flags = NLM_F_CREATE | NLM_F_EXCL
    return Request(f"{what}: rule {rule.priority}", RTM_NEWRULE, flags, _rule_body(rule))


def rule_delete(what: str, rule: Rule) -> Request:
    """Remove a rule."""
    return Request(f"{what}: remove rule {rule.priority}", RTM_DELRULE, 0, _rule_body(rule))


def rules(netlink: Netlink) -> set[Rule]:
    """The rules in the socket's namespace."""
    request = Request("list rules", RTM_GETRULE, 0, _ROUTE.pack(socket.AF_INET, *[0] * 8))
    found: set[Rule] = set()
    for body in netlink.dump(request):
        has = attributes(body[_ROUTE.size :])
        found.add(
            Rule(
                int.from_bytes(has.get(FRA_PRIORITY, b""), sys.byteorder),
                int.from_bytes(has.get(FRA_TABLE, b""), sys.byteorder),
                int.from_bytes(has.get(FRA_IP_PROTO, b""), sys.byteorder),
                struct.unpack("=HH", has.get(FRA_DPORT_RANGE, bytes(4))),
                has.get(FRA_IIFNAME, b"").rstrip(b"\0").decode(),
                int.from_bytes(has.get(FRA_DST, b""), "big"),
            )
        )
    return found


def sync_rules(netlink: Netlink, what: str, table: int, wanted: Iterable[Rule]) -> None:
    """Make the rules that look into `table` equal `wanted`."""
    present = {rule for rule in rules(netlink) if rule.table == table}
    desired = set(wanted)
    changes = [rule_add(what, rule) for rule in desired - present]
    netlink.execute(changes + [rule_delete(what, rule) for rule in present - desired])


def bridge(name: str, mtu: int) -> Request:
    """A bridge that is up, without spanning tree and multicast snooping."""
    data = attribute(IFLA_BR_MCAST_SNOOPING, b"\0")
    info = attribute_text(IFLA_INFO_KIND, "bridge") + attribute(IFLA_INFO_DATA, data)
    body = _link(0, up=True) + attribute_text(IFLA_IFNAME, name)
    body += attribute_u32(IFLA_MTU, mtu) + attribute(IFLA_LINKINFO, info)
    return Request(f"bridge {name}", RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body)


class VethEnd(NamedTuple):
    """The far end of a veth pair: in namespace `net` (a descriptor), called `name`."""

    net: int
    name: str
    mac: bytes


def veth(name: str, alias: str, master: int, mtu: int, far: VethEnd) -> Request:
    """A veth pair: this end is up and in the bridge with index `master`, the far end is down."""
    peer = _link(0) + attribute_text(IFLA_IFNAME, far.name)
    peer += attribute_u32(IFLA_MTU, mtu) + attribute(IFLA_ADDRESS, far.mac)
    peer += attribute_u32(IFLA_NET_NS_FD, far.net)
    info = attribute_text(IFLA_INFO_KIND, "veth")
    info += attribute(IFLA_INFO_DATA, attribute(VETH_INFO_PEER, peer))
    body = _link(0, up=True) + attribute_text(IFLA_IFNAME, name) + attribute_u32(IFLA_MTU, mtu)
    body += attribute_u32(IFLA_MASTER, master) + attribute(IFLA_LINKINFO, info)
    if alias:
        body += attribute(IFLA_IFALIAS, alias.encode()[:255])
    return Request(f"link {alias or name}", RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body)


def link_delete(what: str, name: str) -> Request:
    """Remove a link by name."""
    body = _link(0) + attribute_text(IFLA_IFNAME, name)
    return Request(f"{what}: remove link {name}", RTM_DELLINK, 0, body)


def show_prefix(route: Route) -> str:
    """The destination of a route for people."""
    return f"{socket.inet_ntoa(route.prefix.to_bytes(4, 'big'))}/{route.length}"


def links(netlink: Netlink) -> dict[str, int]:
    """Names and indices of the links in the socket's namespace."""
    found: dict[str, int] = {}
    for body in netlink.dump(Request("list links", RTM_GETLINK, 0, _link(0))):
        name = attributes(body[_IFINFO.size :])[IFLA_IFNAME].rstrip(b"\0").decode()
        found[name] = _IFINFO.unpack_from(body)[2]
    return found


def routes(netlink: Netlink, names: dict[int, str]) -> set[Route]:
    """The routes of netsim (RTPROT_NETSIM) in the socket's namespace. `names`: links by index."""
    request = Request("list routes", RTM_GETROUTE, 0, _ROUTE.pack(socket.AF_INET, *[0] * 8))
    found: set[Route] = set()
    for body in netlink.dump(request):
        _, length, _, _, table, protocol, _, _, flags = _ROUTE.unpack_from(body)
        if protocol != RTPROT_NETSIM:
            continue
        has = attributes(body[_ROUTE.size :])
        (index,) = struct.unpack("=I", has.get(RTA_OIF, bytes(4)))
        found.add(
            Route(
                int.from_bytes(has.get(RTA_DST, b""), "big"),
                length,
                names.get(index, ""),
                int.from_bytes(has.get(RTA_GATEWAY, b""), "big"),
                int.from_bytes(has.get(RTA_PREFSRC, b""), "big"),
                bool(flags & RTNH_F_ONLINK),
                table,
            )
        )
    return found


def sync_routes(netlink: Netlink, what: str, wanted: Iterable[Route]) -> int:
    """Make netsim's routes in the socket's namespace equal `wanted`; how many changed."""
    indices = links(netlink)
    present = routes(netlink, {index: name for name, index in indices.items()})
    desired = set(wanted)
    missing = {route.device for route in desired} - indices.keys()
    if missing:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), f"{what}: {min(missing)}")
    changes = [route_add(what, route, indices[route.device]) for route in desired - present]
    # An addition replaces the route to the same prefix: that one must not be deleted after it.
    prefixes = {(route.table, route.prefix, route.length) for route in desired}
    changes += [
        route_delete(what, route, indices[route.device])
        for route in present - desired
        if (route.table, route.prefix, route.length) not in prefixes and route.device in indices
    ]
    netlink.execute(changes)
    return len(changes)


def sysctl(name: str, value: str) -> None:
    """Set net/`name` in the calling thread's network namespace."""
    syscalls.write_file(f"/proc/sys/net/{name}", value.encode())


def disable_ipv6() -> None:
    """No IPv6 in the namespace; a kernel without IPv6 is fine."""
    with contextlib.suppress(FileNotFoundError):
        sysctl(*NO_IPV6)


def bridge_past_netfilter() -> None:
    """What bridges of the namespace carry passes no iptables, as through a switch."""
    for family in ("arptables", "iptables", "ip6tables"):
        with contextlib.suppress(FileNotFoundError):  # no br_netfilter: so it is anyway
            sysctl(f"bridge/bridge-nf-call-{family}", "0")
