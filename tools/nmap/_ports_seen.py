"""Ports by their bytes: what was read once need not be read again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ._host import Port

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PortsSeen"]

_HEAD: Final = re.compile(rb'\s*<port protocol="([a-z]{1,8})" portid="([0-9]{1,5})">')
_LONGEST: Final = 1024
_ROOM: Final = 1024**2
_OBJECTS: Final = 400  # about the size of a port's objects beside its bytes


class PortsSeen:
    """A bounded memory of ports: `whole` knows them by all their bytes, another by all but their number.

    The second is for hosts where every port is open. Long ports are not remembered: they hold script
    output, which differs from host to host.
    """

    __slots__ = ("_bodies", "_protocols", "whole")

    def __init__(self) -> None:
        self.whole = _Memory()
        self._bodies = _Memory()
        self._protocols: dict[bytes, str] = {}

    def port(self, raw: bytes, read: Callable[[bytes], Port | None]) -> Port | None:
        """Return the port that `raw` stands for, by `read` if nothing like it was seen.

        `raw` is what lies between two ends of ports, and `read` gives None when it is no port of a host.
        """
        seen = self.whole.get(raw)
        if seen is not None:
            return seen
        head = _HEAD.match(raw) if len(raw) < _LONGEST else None
        if head is None:
            return read(raw)
        body = raw[head.end() :]
        number = int(head[2])
        alike = self._bodies.get(body)
        if alike is None or number > 65535:
            port = read(raw)
            if port is None:
                return None
            self._bodies.remember(body, port)
        else:
            port = self._with_number(alike, head[1], number)
        self.whole.remember(raw, port)
        return port

    def _with_number(self, port: Port, protocol: bytes, number: int) -> Port:
        if len(self._protocols) > 16:
            self._protocols.clear()
        return Port(
            self._protocols.setdefault(protocol, protocol.decode()),
            number,
            port.state,
            port.reason,
            port.reason_ttl,
            port.reason_ip,
            port.owner,
            port.service,
            port.scripts,
        )


class _Memory(dict[bytes, Port]):
    """A mapping that starts again from nothing when it is full."""

    __slots__ = ("_room",)

    def __init__(self) -> None:
        super().__init__()
        self._room = _ROOM

    def remember(self, raw: bytes, port: Port) -> None:
        self._room -= len(raw) + _OBJECTS
        if self._room < 0:
            self.clear()
            self._room = _ROOM
        self[raw] = port
