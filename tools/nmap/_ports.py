"""Port lists: parsed to typed ranges, limited, checked against the scan types, and written canonically.

The grammar is that of nmap's `-p` (port specification in the reference guide) for numbers: `80`, `1-1024`,
`-1024`, `60000-`, `-`, sticky protocol prefixes `T:` `U:` `S:` `P:`, and `[...]` for the ports within a
range that nmap knows a service for. Port 0, leading zeros, blanks, empty elements and service names are
refused, although nmap takes some of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

__all__ = ["PortList", "PortRange", "Protocol", "parse_ports"]


class Protocol(StrEnum):
    """What a range is for; the value is nmap's prefix, and ANY has none."""

    ANY = ""
    TCP = "T"
    UDP = "U"
    SCTP = "S"
    IP = "P"


@dataclass(frozen=True, slots=True)
class PortRange:
    """Ports from `first` to `last`; with `known_only` just those that nmap knows a service for."""

    first: int
    last: int
    protocol: Protocol = Protocol.ANY
    known_only: bool = False

    def __str__(self) -> str:
        text = str(self.first) if self.first == self.last else f"{self.first}-{self.last}"
        return f"[{text}]" if self.known_only else text


@dataclass(frozen=True, slots=True)
class PortList:
    """A port list.

    Attributes:
        ranges: merged and in order, protocol by protocol.
        written: how many elements the list had as it was written; this is what a limit counts.

    >>> ports = parse_ports("443,80,8000-8080,8081,U:53")
    >>> str(ports), ports.written
    ('80,443,8000-8081,U:53', 5)
    """

    ranges: tuple[PortRange, ...]
    written: int

    @property
    def protocols(self) -> frozenset[Protocol]:
        """The protocols that are named, `ANY` for ranges without a prefix."""
        return frozenset(part.protocol for part in self.ranges)

    @property
    def highest(self) -> int:
        """The highest port."""
        return max(part.last for part in self.ranges)

    def __str__(self) -> str:
        pieces: list[str] = []
        current = Protocol.ANY
        for part in self.ranges:
            prefix = f"{part.protocol}:" if part.protocol is not current else ""
            current = part.protocol
            pieces.append(f"{prefix}{part}")
        return ",".join(pieces)


_NUMBER = r"([1-9][0-9]{0,4})"
_ELEMENT: Final = re.compile(rf"(?:([TUSP]):)?(\[)?(?:{_NUMBER}?(-){_NUMBER}?|{_NUMBER})(\])?", re.ASCII)
_HIGHEST: Final = 65_535


@lru_cache(maxsize=256)
def parse_ports(text: str, *, prefixes: bool = True) -> PortList:
    """Parse a port list; `prefixes` allows `T:` and its like.

    Raises:
        ValueError: it is malformed; the message names the element.

    >>> str(parse_ports("-"))
    '1-65535'
    >>> parse_ports("80,,443")
    Traceback (most recent call last):
        ...
    ValueError: '' is not a port or a range of ports from 1 to 65535
    """
    protocol = Protocol.ANY
    ranges: list[PortRange] = []
    elements = text.split(",")
    for element in elements:
        found = _ELEMENT.fullmatch(element)
        if not found or bool(found[2]) != bool(found[7]):
            raise ValueError(f"{element!r} is not a port or a range of ports from 1 to {_HIGHEST}{_why(element)}")
        if found[1]:
            if not prefixes:
                raise ValueError(f"{element!r} has a protocol prefix, and this option has its own protocol")
            protocol = Protocol(found[1])
        ranges.append(_range(element, found, protocol))
    return PortList(tuple(_merged(ranges)), len(elements))


def _range(element: str, found: re.Match[str], protocol: Protocol) -> PortRange:
    if found[4]:
        first, last = int(found[3] or 1), int(found[5] or _HIGHEST)
    else:
        first = last = int(found[6])
    if not first <= last <= _HIGHEST:
        raise ValueError(f"{element!r} does not ascend within 1 to {_HIGHEST}")
    return PortRange(first, last, protocol, known_only=bool(found[2]))


def _why(element: str) -> str:
    if re.fullmatch(r"[TUSP][0-9].*|[tusp]:.*", element, re.ASCII):
        return f"; write a protocol as in {element[0].upper()}:{element[1:].lstrip(':')}"
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9*?_-]*", element, re.ASCII):
        return "; service names are not accepted, write the number"
    if re.match(r"0[0-9]", element, re.ASCII):
        return "; write it without leading zeros"
    return ""


def _merged(ranges: list[PortRange]) -> list[PortRange]:
    """Without duplicates and overlaps; grouped by protocol, those without a prefix first."""
    order = list(Protocol)
    merged: list[PortRange] = []
    for part in sorted(ranges, key=lambda part: (order.index(part.protocol), part.known_only, part.first)):
        before = merged[-1] if merged else None
        alike = before and (before.protocol, before.known_only) == (part.protocol, part.known_only)
        if before and alike and part.first <= before.last + 1:
            last = max(before.last, part.last)
            merged[-1] = PortRange(before.first, last, part.protocol, known_only=part.known_only)
        else:
            merged.append(part)
    return merged
