"""Messages equal pyroute2's, byte for byte; lying lengths end a parse and nothing else."""

from __future__ import annotations

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from netsim.linux import net, netlink
from tests.linux.conftest import ip

ADDRESSES = st.integers(0, 2**32 - 1)


def dotted(address: int) -> str:
    return ".".join(str(byte) for byte in address.to_bytes(4, "big"))


@given(st.integers(1, 2**31 - 1), ADDRESSES, st.integers(0, 32))
def test_an_address_request_is_what_pyroute2_builds(index: int, addr: int, length: int) -> None:
    message = ifaddrmsg()
    message.update(family=2, prefixlen=length, index=index)
    message["attrs"] = [("IFA_LOCAL", dotted(addr)), ("IFA_ADDRESS", dotted(addr))]
    message["header"].update(type=net.RTM_NEWADDR, flags=0x601, sequence_number=7)
    message.encode()
    request = net.address("x", index, addr, length)
    assert netlink.encode(request, 7, request.flags | 1) == bytes(message.data)


@given(st.integers(1, 2**31 - 1), ADDRESSES, st.integers(1, 32), ADDRESSES, ADDRESSES)
def test_a_route_request_is_what_pyroute2_builds(
    index: int, prefix: int, length: int, via: int, src: int
) -> None:
    message = rtmsg()
    scope = 0 if via else 253
    message.update(family=2, dst_len=length, table=254, proto=110, scope=scope, type=1, flags=4)
    message["attrs"] = [("RTA_DST", dotted(prefix)), ("RTA_OIF", index)]
    message["attrs"] += [("RTA_GATEWAY", dotted(via))] if via else []
    message["attrs"] += [("RTA_PREFSRC", dotted(src))] if src else []
    message["header"].update(type=net.RTM_NEWROUTE, flags=0x501, sequence_number=1)
    message.encode()
    request = net.route_add("x", net.Route(prefix, length, "d", via, src, onlink=True), index)
    assert netlink.encode(request, 1, request.flags | 1) == bytes(message.data)


@given(
    st.lists(st.tuples(st.integers(0, 0x3FFF), st.binary(max_size=40)), unique_by=lambda p: p[0])
)
def test_attributes_survive_there_and_back(pairs: list[tuple[int, bytes]]) -> None:
    data = b"".join(netlink.attribute(kind, value) for kind, value in pairs)
    assert netlink.attributes(data) == dict(pairs)


@given(st.binary(max_size=200))
def test_any_bytes_parse_as_attributes(data: bytes) -> None:
    for value in netlink.attributes(data).values():
        assert value in data


@pytest.mark.linux
def test_an_error_names_object_and_operation_and_the_rest_is_still_done() -> None:
    with netlink.Netlink() as kernel, pytest.raises(OSError, match="pod x lo: link up") as caught:
        kernel.execute([net.link_up("pod x lo", 2**30), net.link_up("later", 1)])
    assert caught.value.errno == errno.ENODEV


@pytest.mark.linux
def test_a_dump_lists_the_links_of_the_namespace() -> None:
    with netlink.Netlink() as kernel:
        assert set(net.links(kernel)) == set(os.listdir("/sys/class/net"))


def test_a_route_shows_as_its_prefix() -> None:
    assert net.show_prefix(net.Route(ip("10.1.0.0"), 16, "eth0")) == "10.1.0.0/16"
