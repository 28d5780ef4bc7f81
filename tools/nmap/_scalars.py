"""Attribute values of nmap's XML to texts and numbers: repaired, finite, in range. Pure."""

from __future__ import annotations

import math
from typing import Final

from ._parse_errors import MalformedXmlError

__all__ = ["epoch", "integer", "optional", "port_number", "real", "text"]

_END_OF_TIME: Final = 253_402_300_800.0
"""The year 10000 in epoch seconds: the first moment that a datetime cannot hold."""


def text(value: str) -> str:
    """Undo nmap's habit of writing each byte of a UTF-8 text as a character of its own.

    >>> text("S\\u00c3\\u00b6ns"), text("S\\u00f6ns")
    ('Söns', 'Söns')
    """
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value


def integer(value: str | None) -> int | None:
    """Read a whole number; None when it is missing or is none."""
    return int(value) if value and len(value) <= 20 and value.isascii() and value.isdecimal() else None


def real(value: str | None) -> float | None:
    """Read a finite number; None when it is missing or is none."""
    if not value:
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def epoch(value: str | None) -> float | None:
    """Read a point in time; None when it is missing or lies outside of history."""
    number = real(value)
    return number if number is not None and 0 < number < _END_OF_TIME else None


def optional(value: str | None) -> str | None:
    return None if value is None else text(value)


def port_number(value: str) -> int:
    """Read a port number.

    Raises:
        MalformedXmlError: it is none.
    """
    number = integer(value)
    if number is None or number > 65535:
        raise MalformedXmlError(f'port number {value[:32]!r} is not between 0 and 65535, as in portid="443"')
    return number
