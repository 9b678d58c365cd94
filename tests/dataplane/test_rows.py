"""Packed endpoints are the endpoints, in their order, of both families."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netsim.dataplane.rows import (
    EndpointRow,
    pack_endpoint,
    pack_endpoints,
    pack_port,
    unpack_endpoints,
)

OLD, NEW = st.integers(0, 2**32 - 1), st.integers(2**33, 2**128 - 1)
PORTS = st.integers(0, 2**16 - 1)


@given(st.lists(st.builds(EndpointRow, st.one_of(OLD, NEW), PORTS)))
def test_what_is_packed_comes_out(rows: list[EndpointRow]) -> None:
    rows = [row for row in rows if row.addr >> 32 != 0xFFFF]  # would come out as IPv4
    assert unpack_endpoints(pack_endpoints(rows)) == tuple(rows)


@given(st.lists(OLD), PORTS)
def test_one_port_of_many_addresses_is_packed_like_endpoints(addrs: list[int], port: int) -> None:
    short = [addr.to_bytes(4, "big") for addr in addrs]
    packed = pack_endpoints([EndpointRow(addr, port) for addr in addrs])
    assert pack_port(short, port) == packed
    assert b"".join([pack_endpoint(addr, port) for addr in short]) == packed


@given(st.lists(st.builds(EndpointRow, OLD, PORTS)))
def test_packed_endpoints_sort_as_endpoints(rows: list[EndpointRow]) -> None:
    packed = sorted(pack_endpoints([row]) for row in rows)
    assert unpack_endpoints(b"".join(packed)) == tuple(sorted(rows))
