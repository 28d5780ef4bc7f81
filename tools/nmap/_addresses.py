"""Sets of addresses as arithmetic: counting, intersecting and subtracting without expanding anything.

An IPv4 target of nmap is a product of four octet sets (`10.0.0-3.1,5,7`), which includes every network,
so a set is four bit masks of 256 bits. The intersection of two products is a product, and their
difference is at most four. IPv6 targets are intervals. Cost depends on how a set is written, never on
how many addresses it holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, summarize_address_range
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .._policy import Network

__all__ = ["AddressSet", "V4Set", "V6Set", "from_network", "octet_span", "subtract"]

_ALL = (1 << 256) - 1


def octet_span(first: int, last: int) -> int:
    """The octets from `first` to `last` as a bit mask.

    >>> bin(octet_span(1, 3))
    '0b1110'
    """
    return ((1 << (last - first + 1)) - 1) << first


@dataclass(frozen=True, slots=True)
class V4Set:
    """IPv4 addresses: every combination of the octets in four bit masks, none of them empty.

    >>> part = V4Set((1 << 10, 1 << 0, 1 << 0, octet_span(0, 255)))
    >>> part.count, part.literals()
    (256, ('10.0.0.0/24',))
    """

    octets: tuple[int, int, int, int]

    @property
    def count(self) -> int:
        """How many addresses."""
        a, b, c, d = self.octets
        return a.bit_count() * b.bit_count() * c.bit_count() * d.bit_count()

    @property
    def first(self) -> IPv4Address:
        """The lowest address."""
        a, b, c, d = ((mask & -mask).bit_length() - 1 for mask in self.octets)
        return IPv4Address(a << 24 | b << 16 | c << 8 | d)

    @property
    def last(self) -> IPv4Address:
        """The highest address."""
        a, b, c, d = (mask.bit_length() - 1 for mask in self.octets)
        return IPv4Address(a << 24 | b << 16 | c << 8 | d)

    def shared(self, other: AddressSet) -> int:
        """How many addresses both hold."""
        meet = self._meet(other) if isinstance(other, V4Set) else None
        return meet.count if meet else 0

    def minus(self, other: AddressSet) -> tuple[V4Set, ...]:
        """What is left without `other`: at most four disjoint sets."""
        meet = self._meet(other) if isinstance(other, V4Set) else None
        if meet is None:
            return (self,)
        left: list[V4Set] = []
        octets = list(self.octets)
        for index, common in enumerate(meet.octets):
            rest = octets[index] & ~common
            if rest:
                left.append(V4Set((*octets[:index], rest, *octets[index + 1 :])))  # type: ignore[arg-type]
            octets[index] = common
        return tuple(left)

    def literals(self) -> tuple[str, ...]:
        """The set in nmap's writing: one address, network or octet expression."""
        return (_network_literal(self.octets) or ".".join(_octet_literal(mask) for mask in self.octets),)

    def _meet(self, other: V4Set) -> V4Set | None:
        a = self.octets[0] & other.octets[0]
        if not a:
            return None
        b = self.octets[1] & other.octets[1]
        if not b:
            return None
        c = self.octets[2] & other.octets[2]
        d = self.octets[3] & other.octets[3]
        return V4Set((a, b, c, d)) if c and d else None


@dataclass(frozen=True, slots=True)
class V6Set:
    """IPv6 addresses from `low` to `high`, both included.

    >>> V6Set(1, 1).literals()
    ('::1',)
    """

    low: int
    high: int

    @property
    def count(self) -> int:
        """How many addresses."""
        return self.high - self.low + 1

    @property
    def first(self) -> IPv6Address:
        """The lowest address."""
        return IPv6Address(self.low)

    @property
    def last(self) -> IPv6Address:
        """The highest address."""
        return IPv6Address(self.high)

    def shared(self, other: AddressSet) -> int:
        """How many addresses both hold."""
        if not isinstance(other, V6Set):
            return 0
        return max(0, min(self.high, other.high) - max(self.low, other.low) + 1)

    def minus(self, other: AddressSet) -> tuple[V6Set, ...]:
        """What is left without `other`: at most two intervals."""
        if not isinstance(other, V6Set) or not self.shared(other):
            return (self,)
        left = V6Set(self.low, other.low - 1), V6Set(other.high + 1, self.high)
        return tuple(part for part in left if part.low <= part.high)

    def literals(self) -> tuple[str, ...]:
        """The interval in nmap's writing: addresses and networks."""
        if self.low == self.high:
            return (str(self.first),)
        networks = summarize_address_range(self.first, self.last)
        return tuple(str(network).removesuffix("/128") for network in networks)


AddressSet: TypeAlias = V4Set | V6Set


@lru_cache(maxsize=1024)
def from_network(network: Network) -> AddressSet:
    """A network as a set."""
    low, high = int(network.network_address), int(network.broadcast_address)
    if not isinstance(network, IPv4Network):
        return V6Set(low, high)
    a, b, c, d = (octet_span(low >> shift & 255, high >> shift & 255) for shift in (24, 16, 8, 0))
    return V4Set((a, b, c, d))


def subtract(parts: Iterable[AddressSet], removed: Iterable[AddressSet]) -> list[AddressSet]:
    """What is left of disjoint `parts` without all of `removed`, again disjoint."""
    left: list[AddressSet] = list(parts)
    for gone in removed:
        left = [rest for part in left for rest in part.minus(gone)]
    return left


def _network_literal(octets: tuple[int, int, int, int]) -> str:
    """`octets` as an address or network, or "" when they are neither."""
    values = [(mask & -mask).bit_length() - 1 for mask in octets]
    prefix = 32
    for index, mask in enumerate(octets):
        size = mask.bit_count()
        if size > 1:
            aligned = size & (size - 1) == 0 and values[index] % size == 0
            if not aligned or mask != octet_span(values[index], values[index] + size - 1):
                return ""
            if any(rest != _ALL for rest in octets[index + 1 :]):
                return ""
            prefix = 8 * index + 9 - size.bit_length()
            break
    address = f"{values[0]}.{values[1]}.{values[2]}.{values[3]}"
    return address if prefix == 32 else f"{address}/{prefix}"


def _octet_literal(mask: int) -> str:
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in _runs(mask))


def _runs(mask: int) -> Iterator[tuple[int, int]]:
    low = 0
    while mask:
        skip = (mask & -mask).bit_length() - 1
        mask >>= skip
        low += skip
        length = (~mask & (mask + 1)).bit_length() - 1
        yield low, low + length - 1
        mask >>= length
        low += length
