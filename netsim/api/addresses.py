"""IPv4 addresses and ranges as integers: what rows, allocation and validation compute with."""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterable, Iterator
from functools import partial
from typing import NamedTuple

IPV4_BITS = 32
_packed = partial(socket.inet_pton, int(socket.AF_INET))  # members of enumerations are slow
_LENGTHS = frozenset(str(length) for length in range(IPV4_BITS + 1))


def parse_address(text: str) -> int:
    """An IPv4 address in dotted form (no leading zeros) as an integer; ValueError otherwise."""
    return int.from_bytes(pack_address(text), "big")


def pack_address(text: str) -> bytes:
    """The same as four bytes in network order."""
    try:
        return _packed(text)
    except (OSError, ValueError):  # ValueError: a NUL or a lone surrogate in the text
        raise ValueError(f"{text!r} is not an IPv4 address") from None


def pack_addresses(texts: Collection[str]) -> list[bytes]:
    """The same of many at once."""
    try:
        return list(map(_packed, texts))
    except (OSError, TypeError, ValueError):
        return [pack_address(text) for text in texts]  # which says of which one


def format_address(address: int) -> str:
    """The dotted form of an IPv4 address."""
    return socket.inet_ntoa(address.to_bytes(4, "big"))


def address_or_none(text: str) -> int | None:
    """The address that `text` is, None when it is none (empty, IPv6, nonsense)."""
    try:
        return parse_address(text)
    except ValueError:
        return None


class Cidr(NamedTuple):
    """An IPv4 range: its first address (host bits are zero) and its prefix length."""

    base: int
    length: int

    @classmethod
    def parse(cls, text: str) -> Cidr:
        """`a.b.c.d/n` with no host bits set; ValueError says what is wrong with it."""
        address, _, length = text.partition("/")
        if length not in _LENGTHS:
            raise ValueError(f"{text!r} is not an IPv4 range such as 10.244.0.0/16")
        found = cls(parse_address(address), int(length))
        if found.base & (found.size - 1):
            raise ValueError(f"{text!r} has host bits set; its range is {found.aligned()}")
        return found

    @property
    def size(self) -> int:
        """How many addresses it holds, all counted."""
        return 1 << (IPV4_BITS - self.length)

    @property
    def last(self) -> int:
        """Its highest address: the broadcast address of a subnet."""
        return self.base + self.size - 1

    def aligned(self) -> Cidr:
        """The range of this length around `base`."""
        return Cidr(self.base & ~(self.size - 1), self.length)

    def contains(self, address: int) -> bool:
        """Whether the address lies inside."""
        return self.base <= address <= self.last

    def covers(self, other: Cidr) -> bool:
        """Whether all of `other` lies inside."""
        return self.base <= other.base and other.last <= self.last

    def overlaps(self, other: Cidr) -> bool:
        """Whether the two share an address."""
        return self.base <= other.last and other.base <= self.last

    def count(self, length: int) -> int:
        """How many ranges of prefix `length` fit, 0 when they are larger than this one."""
        return 0 if length < self.length else 1 << (length - self.length)

    def subnet(self, length: int, index: int) -> Cidr:
        """The range number `index` (from 0) of prefix `length`; IndexError past the last."""
        if not 0 <= index < self.count(length):
            raise IndexError(f"{self} has no /{length} number {index}")
        return Cidr(self.base + (index << (IPV4_BITS - length)), length)

    def subnets(self, length: int) -> Iterator[Cidr]:
        """Every range of prefix `length`, in order."""
        return (self.subnet(length, index) for index in range(self.count(length)))

    def __str__(self) -> str:
        return f"{format_address(self.base)}/{self.length}"


def cidr_or_none(text: str) -> Cidr | None:
    """The range that `text` is, None when it is none."""
    try:
        return Cidr.parse(text)
    except ValueError:
        return None


def covering(addresses: Iterable[int], longest: int) -> Cidr:
    """The smallest range that holds every address, its prefix no longer than `longest`.

    ValueError when there is no address.
    """
    ordered = sorted(addresses)
    if not ordered:
        raise ValueError("no address to cover")
    differing = (ordered[0] ^ ordered[-1]).bit_length()
    return Cidr(ordered[0], min(longest, IPV4_BITS - differing)).aligned()
