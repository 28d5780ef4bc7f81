"""HTTP over sockets: uvicorn, with an end to every connection that does not come to an end by itself.

uvicorn times an idle connection between two requests. What it waits for without limit is bounded here: the
head of a request, a reader that does not read, a body that nobody wants, a peer that never hangs up.
"""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING, Any, Final

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio

    from starlette.types import ASGIApp

    from ._settings import Settings

__all__ = ["BoundedProtocol", "server_config"]

_log = logging.getLogger(__name__)

_LINGER: Final = 2.0
"""Seconds in which the rest of an unwanted body is read and dropped, so that the client gets to read the answer."""
_SLOWEST: Final = 1_024
"""Bytes a second that a reader must take at least."""
_CONNECTIONS_PER_REQUEST: Final = 2
"""Connections that may be open, for each request that may be served: browsers and probes keep some in reserve."""


def server_config(app: ASGIApp, settings: Settings, *, grace: int) -> uvicorn.Config:
    """How uvicorn serves `app`: with the limits of the settings, TLS where they say so, and no trust in proxies.

    At the end answers have `grace` seconds to reach their clients. X-Forwarded-For is not believed, as
    anybody can write it; the client is whoever connects.
    """
    serve = settings.serve
    return uvicorn.Config(
        app,
        http=_protocol(serve.request_timeout, serve.max_requests * _CONNECTIONS_PER_REQUEST),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=grace,
        ssl_certfile=serve.tls_cert,
        ssl_keyfile=serve.tls_key,
    )


def _protocol(timeout: float, connections: int) -> type[BoundedProtocol]:
    """The protocol with these limits; uvicorn makes its protocols from a class."""
    return type("Protocol", (BoundedProtocol,), {"patience": timeout, "most": connections})


class BoundedProtocol(H11Protocol):
    """One connection.

    `patience` is the seconds in which the head of a request must be there, and after which a reader must
    have taken a fair part of what is sent to it; `most` is how many connections there may be.
    """

    patience: float = 10.0
    most: int = 4_000

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline: asyncio.TimerHandle | None = None
        self._reader_check: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        _send_at_once(transport)
        if len(self.connections) > self.most:
            _log.warning("http.too_many_connections %d are open; the newest is closed", self.most)
            transport.abort()
        else:
            self._hang_up_after(self.patience)

    def data_received(self, data: bytes) -> None:
        """Take what came; the time for the head of a request runs from its first byte."""
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
