"""Ports by their bytes: what was read once need not be read again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ._host import Port

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PortsSeen"]

_HEAD: Final = re.compile(rb'\s*<port protocol="([a-z]{1,8})" portid="([0-9]{1,5})">')
_MOST: Final = 4096
_LONGEST: Final = 2048


class PortsSeen:
    """A bounded memory of ports.

    `whole` knows ports by all their bytes. Behind it ports are known by all but their number, as on
    a host where every port is open. A memory that is full starts again from nothing.
    """

    __slots__ = ("_bodies", "_protocols", "whole")

    def __init__(self) -> None:
        self.whole: dict[bytes, Port] = {}
        self._bodies: dict[bytes, Port] = {}
        self._protocols: dict[bytes, str] = {}

    def port(self, raw: bytes, read: Callable[[bytes], Port | None]) -> Port | None:
        """Return the port that `raw` stands for, by `read` if nothing like it was seen.

        `raw` is what lies between two ends of ports, and `read` gives None when it is no port of a host.
        """
        head = _HEAD.match(raw)
        if head is None or len(raw) > _LONGEST:
            return read(raw)
        body = raw[head.end() :]
        known = self._bodies.get(body)
        if known is None:
            known = read(raw)
            if known is None:
                return None
            _remember(self._bodies, body, known)
            port = known
        else:
            number = int(head[2])
            if number > 65535:
                return read(raw)
            port = Port(
                self._protocol(head[1]),
                number,
                known.state,
                known.reason,
                known.reason_ttl,
                known.reason_ip,
                known.owner,
                known.service,
                known.scripts,
            )
        _remember(self.whole, raw, port)
        return port

    def _protocol(self, name: bytes) -> str:
        if len(self._protocols) > 16:
            self._protocols.clear()
        return self._protocols.setdefault(name, name.decode())


def _remember(memory: dict[bytes, Port], raw: bytes, port: Port) -> None:
    if len(memory) >= _MOST:
        memory.clear()
    memory[raw] = port
