"""One HTTP connection that comes to an end: uvicorn's, with a time for everything that it waits for without limit.

uvicorn times an idle connection between two requests. What is timed here: the head of a request, a reader
that does not read, a body that nobody wants, a peer that never hangs up.
"""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING, Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from ._limits import client_key

if TYPE_CHECKING:
    import asyncio

    from ._limits import Gate
    from ._turnstile import Turnstile

__all__ = ["BoundedProtocol"]

_log = logging.getLogger(__name__)

_LINGER: Final = 2.0
"""Seconds in which the rest of an unwanted body is read and dropped, so that the client gets to read the answer."""
_SLOWEST: Final = 1_024
"""Bytes a second that a reader must take at least."""


class BoundedProtocol(H11Protocol):
    """One connection.

    Attributes:
        patience: seconds in which the head of a request must be there, and after which a reader must have
            taken a fair part of what is sent to it.
        gate: how many connections there may be, and of one client.
        turnstile: lets them read a few at a time.
    """

    patience: float = 10.0
    gate: Gate
    turnstile: Turnstile

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline: asyncio.TimerHandle | None = None
        self._reader_check: asyncio.TimerHandle | None = None
        self._unread = bytearray()
        self._entered: str | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        _send_at_once(transport)
        client = client_key(self.client[0] if self.client else None)
        if self.gate.enter(client):
            self._entered = client
            self._hang_up_after(self.patience)
        else:
            _log.warning("http.too_many_connections %d are open; the newest is closed", self.gate.total)
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take what came when it is its turn; until then nothing more is read."""
        waits = bool(self._unread)
        self._unread += data
        if not waits and not self.turnstile.enter(self._take):
            self.flow.pause_reading()

    def _take(self) -> None:
        """Take what came; the time for the head of a request runs from its first byte."""
        data, self._unread = bytes(self._unread), bytearray()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self._deadline is None and self._answered is not False:
            self._hang_up_after(self.patience)
        super().data_received(data)
        if self._answered is False:
            self._cancel_deadline()

    def on_response_complete(self) -> None:
        """The answer is out; whatever the client still sends of its request is dropped, for a while."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._watch_reader()
        elif self.conn.their_state is h11.SEND_BODY:
            self._hang_up_after(_LINGER)

    def timeout_keep_alive_handler(self) -> None:
        """Nothing came for long enough: close, also when the peer does not read what is left for it."""
        super().timeout_keep_alive_handler()
        self._watch_reader()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP."""
        super().send_400_response(msg)
        self._watch_reader()

    def shutdown(self) -> None:
        """The service ends: idle connections are closed."""
        super().shutdown()
        if self.transport.is_closing():
            self._watch_reader()

    def pause_writing(self) -> None:
        """The peer reads more slowly than it is sent to."""
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        """It has caught up."""
        super().resume_writing()
        self._cancel_reader_check()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._cancel_deadline()
        super().connection_lost(exc)
        self._cancel_reader_check()
        if self._entered is not None:
            self.gate.leave(self._entered)
            self._entered = None

    @property
    def _answered(self) -> bool | None:
        """Whether the request is answered; None while there is none, or only a part of its head."""
        cycle: Any = self.cycle  # None before the first request, whatever its type says
        return None if cycle is None else bool(cycle.response_complete)

    def _hang_up_after(self, seconds: float) -> None:
        self._cancel_deadline()
        self._deadline = self.loop.call_later(seconds, self.transport.abort)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _watch_reader(self) -> None:
        """Look again after `patience` seconds whether enough was read."""
        self._cancel_reader_check()
        unread = self.transport.get_write_buffer_size()
        if unread:
            self._reader_check = self.loop.call_later(self.patience, self._judge_reader, unread)

    def _judge_reader(self, before: int) -> None:
        unread = self.transport.get_write_buffer_size()
        if unread > max(0.0, before - self.patience * _SLOWEST):
            self.transport.abort()
        else:
            self._watch_reader()

    def _cancel_reader_check(self) -> None:
        if self._reader_check is not None:
            self._reader_check.cancel()
            self._reader_check = None


def _send_at_once(transport: asyncio.Transport) -> None:
    """Let small pieces leave without waiting for the peer's acknowledgement, which takes 40 ms.

    asyncio does so by itself only for a socket that was made with its protocol named, and a listener made by
    `socket.create_server` was not.
    """
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.family in {socket.AF_INET, socket.AF_INET6}:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
