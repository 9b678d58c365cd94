"""Longest-prefix match against Python's ipaddress; peers against a dictionary."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.dataplane._tables import PeerTable, RouteTable

Row = tuple[int, int, int, int]
POD, STACK, PEER, UNREACHABLE, SERVICE_RANGE, NO_KIND = range(6)
V4 = 2**32 - 1


def network(row: Row) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network((row[0], row[1]))


def naive_find(rows: Sequence[Row], dst: int) -> tuple[int, int] | None:
    address = ipaddress.ip_address(dst)
    match = [r for r in rows if address.version == network(r).version and address in network(r)]
    return max(match, key=lambda r: r[1])[2:] if match else None


@st.composite
def rows(draw: st.DrawFn) -> Row:
    """IPv4 close together, so that prefixes nest; IPv6 above the mapped range."""
    wide = draw(st.integers(0, 9)) == 0
    bits = 128 if wide else 32
    length = draw(st.integers(64 if wide else 0, bits))
    address = draw(addresses(wide))
    return (address >> (bits - length) << (bits - length), length, draw(st.integers(0, 4)),
            draw(st.integers(0, 2**32 - 1)))  # fmt: skip


@st.composite
def addresses(draw: st.DrawFn, wide: bool = False) -> int:
    low = draw(st.integers(0, 3)) << 16 | draw(st.integers(0, 7)) << 5 | draw(st.integers(0, 31))
    return (0x20010DB8 << 96 if wide else 0x0A000000) + low


@given(
    st.lists(rows(), max_size=40, unique_by=lambda r: (r[0], r[1])),
    st.lists(addresses() | addresses(wide=True) | st.integers(0, V4), min_size=1, max_size=30),
)
def test_finds_the_longest_prefix_that_the_naive_table_finds(
    table: list[Row], asked: list[int]
) -> None:
    routes = RouteTable(table)
    assert len(routes) == len(table)
    for dst in asked + [r[0] for r in table]:
        assert routes.find(dst) == naive_find(table, dst)


def test_a_lab_of_a_thousand_nodes() -> None:
    nodes = [(0x0AF40000 + 256 * i, 24, PEER, i) for i in range(1000)]
    routes = RouteTable([*nodes, (0x0A600000, 12, SERVICE_RANGE, 0), (0, 0, UNREACHABLE, 0)])
    for i in range(1000):
        assert routes.find(0x0AF40000 + 256 * i + i % 256) == (PEER, i)
    assert routes.find(0x0A601234) == (SERVICE_RANGE, 0)
    assert routes.find(0x08080808) == (UNREACHABLE, 0)


REFUSED: list[tuple[str, list[Row], type[OSError], str]] = [
    ("bits outside the prefix", [(0x0A000001, 24, POD, 0)], OSError, "Invalid"),
    ("bits outside a default", [(1, 0, POD, 0)], OSError, "Invalid"),
    ("a kind that does not exist", [(0, 0, NO_KIND, 0)], OSError, "Invalid"),
    ("a length beyond the address", [(0, 33, POD, 0)], OSError, "Invalid"),
    ("one prefix twice", [(0, 0, POD, 0), (0, 0, STACK, 1)], FileExistsError, "exists"),
]


@pytest.mark.parametrize(("name", "table", "error", "text"), REFUSED, ids=[r[0] for r in REFUSED])
def test_refuses(name: str, table: list[Row], error: type[OSError], text: str) -> None:
    with pytest.raises(error, match=text):
        RouteTable(table)


def test_an_empty_table_finds_nothing() -> None:
    assert RouteTable([]).find(0x0A000001) is None
    assert PeerTable([]).find(0x0A000001) is None
    assert PeerTable([]).row(0) is None


@given(st.lists(st.integers(0, V4), unique=True, max_size=50), st.integers(0, V4))
def test_peers_are_found_by_position_and_by_address(underlay: list[int], stranger: int) -> None:
    table = [(address, 8472, i) for i, address in enumerate(underlay)]
    peers = PeerTable(table)
    for i, row in enumerate(table):
        assert peers.row(i) == peers.find(row[0]) == row
    assert peers.row(len(table)) is None
    assert peers.find(stranger) == next((r for r in table if r[0] == stranger), None)


def test_refuses_two_peers_with_one_address() -> None:
    with pytest.raises(FileExistsError):
        PeerTable([(1, 8472, 0), (2, 8472, 1), (1, 8285, 2)])
