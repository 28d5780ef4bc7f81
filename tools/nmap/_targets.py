"""Target expressions, parsed strictly and rewritten canonically, so that nmap cannot read them otherwise.

The grammar is nmap's own (nmap-targets(5) in the reference guide, checked against 7.93) without what two
parsers could read differently: leading zeros, hexadecimal and short forms, netmasks, zones, ports, URLs,
and `name/prefix`. One expression is one address, network, octet expression (`10.0.0-3.1,5,7`) or name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Final, TypeAlias

from .._policy import Policy, PolicyViolation, Rule
from ._addresses import AddressSet, V4Set, V6Set, octet_span
from ._reach import example_target

__all__ = ["MAX_TARGET_LENGTH", "HostName", "Target", "parse_target", "target_violation"]

MAX_TARGET_LENGTH: Final = 1024
"""Characters of one target expression."""


@dataclass(frozen=True, slots=True)
class HostName:
    """A host name, still to be resolved."""

    name: str


Target: TypeAlias = AddressSet | HostName

_OCTET = r"([0-9,*-]+)"
_V4: Final = re.compile(rf"{_OCTET}\.{_OCTET}\.{_OCTET}\.{_OCTET}(?:/(0|[1-9][0-9]?))?", re.ASCII)
_V6: Final = re.compile(r"([0-9a-f:.]*:[0-9a-f:.]*)(?:/(0|[1-9][0-9]{0,2}))?", re.ASCII | re.IGNORECASE)
_ELEMENT: Final = re.compile(r"(0|[1-9][0-9]{0,2})?(-)?(0|[1-9][0-9]{0,2})?", re.ASCII)
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME: Final = re.compile(rf"(?:{_LABEL}\.)*(?=[a-z0-9-]*[a-z]){_LABEL}", re.ASCII | re.IGNORECASE)
_PRINTABLE: Final = re.compile(r"[ -~]*", re.ASCII)

# What people do write, most specific first: pattern, what is wrong with it, what to do.
_MISTAKES: Final = tuple(
    (re.compile(pattern, re.ASCII), problem, suggestion)
    for pattern, problem, suggestion in (
        (r"-", "a target that starts with a dash would be an option", "give options as arguments"),
        (r" *$", "the target is empty", "give an address, a network or a name"),
        (r".*\s", "blanks do not belong in a target", "give several targets as separate items"),
        (r".*://", "a URL is not a target", "give its host without scheme and path"),
        (r"[\[\]]", "brackets do not belong around an address", "write the bare IPv6 address"),
        (
            r".*:.*%",
            "an IPv6 zone, and the link-local addresses that need one, are not allowed",
            "give another address",
        ),
        (r"[0-9.]+/[0-9]+\.", "nmap reads no netmasks", "write the prefix length, as in /24"),
        (r".*[A-Za-z].*/", "a prefix length belongs to an address, not to a name", "give the network's address"),
        (r".*/", "what follows the slash is not a prefix length", "write 0 to 32 for IPv4, 0 to 128 for IPv6"),
        (r"[0-9.,*-]+:[0-9]+$", "a port does not belong in a target", "give ports with -p"),
        (r".*:", "not an IPv6 address", "write it as in RFC 4291, without port or zone"),
        (r"[0-9.,*-]+$", "not four octets of decimal numbers from 0 to 255", "write all four octets"),
        (r".*\.$", "a dot at the end does not belong there", "leave it out"),
    )
)


def parse_target(text: object, position: int, policy: Policy, field: str = "target") -> Target:
    """Parse one expression. What it may reach is checked elsewhere.

    Raises:
        PolicyViolation: rule type, length, characters or target.syntax.

    >>> parse_target("192.168.1.77/24", 0, Policy()).literals()
    ('192.168.1.0/24',)
    >>> parse_target("10.0.0.1,9/31", 0, Policy()).literals()
    ('10.0.0.0-1,8-9',)
    """
    if not isinstance(text, str):
        raise target_violation(policy, Rule.TYPE, repr(text), position, "a target is a text", field=field)
    if len(text) > MAX_TARGET_LENGTH:
        problem = f"{len(text):,} characters, and a target may have {MAX_TARGET_LENGTH:,}"
        raise target_violation(policy, Rule.LENGTH, text, position, problem, field=field)
    if not _PRINTABLE.fullmatch(text):
        problem = "control characters and characters outside ASCII are not allowed"
        raise target_violation(policy, Rule.CHARACTERS, text, position, problem, field=field)
    try:
        return _parse(text)
    except ValueError as error:
        problem, _, suggestion = str(error).partition("; ")
        raise target_violation(policy, Rule.TARGET_SYNTAX, text, position, problem, suggestion, field=field) from None


def target_violation(
    policy: Policy, rule: Rule, token: str, position: int | None, problem: str, suggestion: str = "", *,
    field: str = "target", example: str = "",
) -> PolicyViolation:  # fmt: skip
    """A violation about a target, with an address as the example that the policy would accept."""
    example = example or example_target(policy.networks)
    return PolicyViolation(rule, token, position, example, suggestion, problem=problem, field=field)


def _parse(text: str) -> Target:
    if text.startswith("-"):
        raise _mistake(text)
    if found := _V4.fullmatch(text):
        a, b, c, d = (_octet(part) for part in found.group(1, 2, 3, 4))
        return _masked(V4Set((a, b, c, d)), found[5])
    if found := _V6.fullmatch(text):
        return _interval(found[1], found[2])
    if _NAME.fullmatch(text) and len(text) <= 253:
        return HostName(text)
    raise _mistake(text)


def _mistake(text: str) -> ValueError:
    for pattern, problem, suggestion in _MISTAKES:
        if pattern.match(text):
            return ValueError(f"{problem}; {suggestion}")
    return ValueError("not an address, network, octet range or host name; use letters, digits, dots and hyphens")


@lru_cache(maxsize=1024)
def _octet(text: str) -> int:
    if text == "*":
        return octet_span(0, 255)
    mask = 0
    for element in text.split(","):
        found = _ELEMENT.fullmatch(element)
        if not found or not element or (found[3] and not found[2]):
            raise ValueError(f"{element!r} is not an octet or a range of octets; write decimal, without leading zeros")
        first = int(found[1] or 0)
        last = (int(found[3]) if found[3] else 255) if found[2] else first
        if last > 255:
            raise ValueError(f"octet {element!r} is above 255; write octets from 0 to 255")
        if first > last:
            raise ValueError(f"octets {element!r} descend; write the smaller number first")
        mask |= octet_span(first, last)
    return mask


def _masked(target: V4Set, prefix: str | None) -> V4Set:
    """`target` widened to networks of `prefix` bits, octet by octet."""
    if prefix is None or prefix == "32":
        return target
    bits = int(prefix)
    if bits > 32:
        raise ValueError("an IPv4 prefix length is at most 32; write /32 or less")
    a, b, c, d = (_widened(mask, 8 - bits + 8 * index) for index, mask in enumerate(target.octets))
    return V4Set((a, b, c, d))


def _widened(mask: int, host_bits: int) -> int:
    if host_bits <= 0:
        return mask
    size = 1 << min(host_bits, 8)
    spans = (octet_span(low, low + size - 1) for low in range(0, 256, size))
    return sum(span for span in spans if span & mask)


def _interval(address: str, prefix: str | None) -> V6Set:
    bits = 128 if prefix is None else int(prefix)
    if bits > 128:
        raise ValueError("an IPv6 prefix length is at most 128; write /128 or less")
    try:
        value = int(IPv6Address(address))
    except ValueError:
        raise _mistake(address) from None
    size = 1 << (128 - bits)
    low = value & -size
    return V6Set(low, low + size - 1)
