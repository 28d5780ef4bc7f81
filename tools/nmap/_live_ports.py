"""Open ports as nmap finds them, from its text for people: the XML has a host's ports only when the host is done."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["LivePorts", "PortDiscovered"]

_LINE: Final = re.compile(
    rb"Discovered open(?:\|filtered)? port ([0-9]{1,5})/([a-z]{2,8}) on ([\w.:%-]{2,64})(?: is actually open)?",
    re.ASCII,
)
_LONGEST: Final = 1 << 16
"""Bytes of a line that are kept; nmap's own about ports have less than a hundred."""


@dataclass(frozen=True, slots=True)
class PortDiscovered:
    """A port was found open, long before its host is done. The host's own word comes with `HostFinished`."""

    address: str
    protocol: str
    number: int


class LivePorts:
    """Turns nmap's text, in pieces of any size, into discovered ports.

    >>> live = LivePorts()
    >>> live.feed(b"Initiating SYN Stealth Scan at 10:00\\nDiscovered open port 80/tcp on 10.0.")
    []
    >>> live.feed(b"0.7\\n")
    [PortDiscovered(address='10.0.0.7', protocol='tcp', number=80)]
    """

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[PortDiscovered]:
        """Take the next piece; return what its finished lines say."""
        if b"\n" not in data:
            self._rest = (self._rest + data)[:_LONGEST]
            return []
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[:_LONGEST]
        return [port for line in lines if line.startswith(b"Discovered") and (port := _port(line)) is not None]


def _port(line: bytes) -> PortDiscovered | None:
    found = _LINE.fullmatch(line.rstrip(b"\r"))
    return found and PortDiscovered(found[3].decode("ascii"), found[2].decode("ascii"), int(found[1]))
