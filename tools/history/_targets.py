"""Targets as intervals of addresses: to find scans by an address, and to know equal targets however written."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, NamedTuple

from .._policy import Policy, PolicyViolation
from ..nmap._addresses import V4Set
from ..nmap._targets import HostName, parse_target

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..nmap._addresses import AddressSet

__all__ = ["Span", "address_set", "intervals", "span_of"]


class Span(NamedTuple):
    """First and last address of a target as texts that sort as the addresses do; empty for a name."""

    low: str = ""
    high: str = ""


def address_set(target: str) -> AddressSet | None:
    """The addresses that `target` means; None for a name, and for what is no target.

    >>> address_set("10.0.0.0/30").count, address_set("db.lab.internal")
    (4, None)
    """
    try:
        parsed = parse_target(target, 0, Policy())
    except PolicyViolation:
        return None
    return None if isinstance(parsed, HostName) else parsed


def span_of(addresses: AddressSet | None) -> Span:
    """From where to where `addresses` reach.

    >>> span_of(address_set("10.0.0.0/30"))
    Span(low='40a000000', high='40a000003')
    """
    if addresses is None:
        return Span()
    width = 8 if isinstance(addresses, V4Set) else 32
    prefix = "4" if isinstance(addresses, V4Set) else "6"
    return Span(*(f"{prefix}{int(end):0{width}x}" for end in (addresses.first, addresses.last)))


def intervals(targets: Iterable[str]) -> list[tuple[int, int]]:
    """The addresses of `targets`, all of one family, as the fewest intervals that hold them, in order.

    >>> intervals(["10.0.0.2", "10.0.0.0-1"]) == intervals(["10.0.0.0-2"])
    True
    """
    merged: list[tuple[int, int]] = []
    for low, high in sorted(part for target in targets for part in _parts(address_set(target))):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(high, merged[-1][1])
        else:
            merged.append((low, high))
    return merged


def _parts(addresses: AddressSet | None) -> Iterator[tuple[int, int]]:
    if addresses is None:
        return
    if int(addresses.last) - int(addresses.first) + 1 == addresses.count or not isinstance(addresses, V4Set):
        yield int(addresses.first), int(addresses.last)
        return
    *leading, last = ([*_runs(mask)] for mask in addresses.octets)
    octets = ([octet for low, high in runs for octet in range(low, high + 1)] for runs in leading)
    for a, b, c in product(*octets):
        base = a << 24 | b << 16 | c << 8
        for low, high in last:
            yield base | low, base | high


def _runs(mask: int) -> Iterator[tuple[int, int]]:
    """The octets of a bit mask as intervals."""
    start: int | None = None
    for octet in range(257):
        held = bool(mask >> octet & 1)
        if held and start is None:
            start = octet
        elif not held and start is not None:
            yield start, octet - 1
            start = None
