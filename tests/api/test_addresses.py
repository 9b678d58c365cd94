"""Ranges agree with the standard library's and with netaddr's; addresses are strict."""

from __future__ import annotations

import ipaddress

import netaddr
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.api.addresses import Cidr, address_or_none, covering, format_address, parse_address

addresses = st.integers(0, 2**32 - 1)
cidrs = st.builds(lambda base, length: Cidr(base, length).aligned(), addresses, st.integers(0, 32))


def twin(cidr: Cidr) -> ipaddress.IPv4Network:
    return ipaddress.IPv4Network((cidr.base, cidr.length))


@given(addresses)
def test_an_address_survives_its_text(address: int) -> None:
    assert parse_address(format_address(address)) == address
    assert format_address(address) == str(ipaddress.IPv4Address(address))


@pytest.mark.parametrize(
    "text", ["", "10.0.0", "10.0.0.256", "10.0.0.01", "1", "fd00::1", "10.0.0.1 ", "a\0b", "\ud800"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    assert address_or_none(text) is None
    with pytest.raises(ValueError, match="is not an IPv4 address"):
        parse_address(text)


@given(cidrs)
def test_a_range_survives_its_text(cidr: Cidr) -> None:
    assert Cidr.parse(str(cidr)) == cidr
    assert str(cidr) == str(twin(cidr))
    assert (cidr.size, cidr.last) == (twin(cidr).num_addresses, int(twin(cidr)[-1]))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("10.0.0.0", "is not an IPv4 range such as"),
        ("10.0.0.0/33", "is not an IPv4 range such as"),
        ("10.0.0.0/08", "is not an IPv4 range such as"),
        ("10.0.0.0/-1", "is not an IPv4 range such as"),
        ("10.0.0.0/\u0661", "is not an IPv4 range such as"),
        ("10.0.0/8", "is not an IPv4 address"),
        ("10.0.0.1/8", r"has host bits set; its range is 10\.0\.0\.0/8"),
    ],
)
def test_what_is_no_range_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Cidr.parse(text)


@given(cidrs, cidrs, addresses)
def test_ranges_relate_as_the_standard_librarys(a: Cidr, b: Cidr, address: int) -> None:
    assert a.overlaps(b) == twin(a).overlaps(twin(b))
    assert a.covers(b) == twin(b).subnet_of(twin(a))
    assert a.contains(address) == (ipaddress.IPv4Address(address) in twin(a))


@given(cidrs, st.integers(0, 6))
def test_subnets_are_the_standard_librarys(cidr: Cidr, more: int) -> None:
    length = min(32, cidr.length + more)
    assert [str(s) for s in cidr.subnets(length)] == [
        str(s) for s in twin(cidr).subnets(new_prefix=length)
    ]
    assert cidr.count(length) == len(list(cidr.subnets(length)))
    with pytest.raises(IndexError):
        cidr.subnet(length, cidr.count(length))


def test_no_subnet_is_larger_than_its_range() -> None:
    assert Cidr.parse("10.0.0.0/16").count(8) == 0


@given(st.lists(addresses, min_size=1), st.integers(0, 32))
def test_covering_holds_all_and_no_smaller_range_would(found: list[int], longest: int) -> None:
    cover = covering(found, longest)
    assert all(cover.contains(a) for a in found)
    assert cover.length <= longest
    if cover.length < longest:
        halves = list(cover.subnets(cover.length + 1))
        assert not any(all(half.contains(a) for a in found) for half in halves)


@given(st.lists(addresses, min_size=2), st.integers(0, 32))
def test_covering_is_netaddrs_spanning_range(found: list[int], longest: int) -> None:
    spanning = netaddr.spanning_cidr([netaddr.IPAddress(a, 4) for a in found])
    wanted = min(longest, spanning.prefixlen)
    assert str(covering(found, longest)) == str(netaddr.IPNetwork(f"{spanning.ip}/{wanted}").cidr)


TEXTS = st.lists(
    st.sampled_from(["0", "7", "01", "10", "255", "256", "0x1", "", " ", "-1"]), max_size=5
).map(".".join)


@given(TEXTS)
def test_an_address_is_what_netaddr_takes_for_one(text: str) -> None:
    assert (address_or_none(text) is not None) == netaddr.valid_ipv4(text, netaddr.INET_PTON)


def test_nothing_covers_nothing() -> None:
    with pytest.raises(ValueError, match="no address to cover"):
        covering([], 24)
