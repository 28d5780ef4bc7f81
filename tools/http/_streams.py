"""What goes through a request: its body is counted on the way in, its answer gets headers and is cut on the way out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from ._problem import ProblemError
from ._visit import header

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

    from ._telemetry import Outcome
    from ._visit import Visit

__all__ = ["Answering", "Counted", "declared_length"]

_PIECE: Final = 65_536
"""Bytes of an answer that are sent before others have their turns."""


class Answering:
    """Sends on, with the headers of every answer, and notes the status."""

    def __init__(self, send: Send, visit: Visit, outcome: Outcome) -> None:
        self._send = send
        self._visit = visit
        self.outcome = outcome

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.outcome.status = message["status"]
            given = {name for name, _ in message["headers"]}
            own = {"x-request-id": self._visit.request_id, "x-content-type-options": "nosniff", **self._visit.headers}
            added = [(name.encode(), value.encode("latin-1")) for name, value in own.items()]
            if b"cache-control" not in given:
                added.append((b"cache-control", b"no-store"))
            message = {**message, "headers": [*message["headers"], *added]}
        elif len(body := message.get("body", b"")) > _PIECE:
            await self._send_in_pieces(body)
            message = {**message, "body": body[len(body) - len(body) % _PIECE :]}
        await self._send(message)

    async def _send_in_pieces(self, body: bytes) -> None:
        """Send the whole pieces of a large body: as fast as it is read, and others have their turns in between."""
        for begin in range(0, len(body) - _PIECE + 1, _PIECE):
            await self._send({"type": "http.response.body", "body": body[begin : begin + _PIECE], "more_body": True})
            await asyncio.sleep(0)


class Counted:
    """Receives on, until the body is larger than it may be."""

    def __init__(self, receive: Receive, limit: int, declared: int) -> None:
        self._receive = receive
        self._limit = limit
        self._left = limit
        self._declared = declared

    async def __call__(self) -> Message:
        if self._declared > self._limit:
            raise self._too_large()
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise self._too_large()
        return message

    def _too_large(self) -> ProblemError:
        detail = f"the body is larger than {self._limit} bytes; TRACEFUSE_SERVE_BODY_LIMIT sets how much it may be"
        return ProblemError(413, "body_too_large", detail, {"limit": self._limit})


def declared_length(scope: Scope) -> int:
    """The length that the client declares. Raises ProblemError for two that may differ: request smuggling."""
    declared = header(scope, b"content-length")
    if declared is None:
        return 0
    if header(scope, b"transfer-encoding") is not None:
        raise ProblemError(400, "ambiguous_length", "give a content-length or a transfer-encoding, not both")
    return int(declared) if declared.isdigit() else 0
