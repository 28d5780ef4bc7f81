"""HTTP over sockets: uvicorn, so set up that no client and no crowd of clients holds up the others."""

from __future__ import annotations

import asyncio
import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import uvicorn

from ._connection import BoundedProtocol
from ._limits import Gate
from ._turnstile import Turnstile

if TYPE_CHECKING:
    import socket
    from collections.abc import Generator

    from starlette.types import ASGIApp

    from ..config._settings import Settings

__all__ = ["Server", "server_config"]

_ACCEPTED_AT_ONCE: Final = 8
"""Connections that are accepted before anything else has its turn."""
_READ_AT_ONCE: Final = 16
"""Connections that are read from in one turn of the event loop."""
_WAITING: Final = 1_024
"""Connections that the operating system keeps until they are accepted."""
_THRESHOLDS: Final = (700, 10, 100)
"""Net allocations between two collections of the youngest, and how many of each before one of the next."""
_CONNECTIONS_PER_REQUEST: Final = 2
"""Connections that may be open, for each request that may be served: browsers and probes keep some in reserve."""


def server_config(app: ASGIApp, settings: Settings, *, grace: int) -> uvicorn.Config:
    """How uvicorn serves `app` in the running event loop: with the limits of the settings, and TLS where they say so.

    At the end answers have `grace` seconds to reach their clients. X-Forwarded-For is not believed, as
    anybody can write it: the client is whoever connects.
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
        backlog=_ACCEPTED_AT_ONCE,
        ssl_certfile=serve.tls_cert,
        ssl_keyfile=serve.tls_key,
    )


def _protocol(timeout: float, connections: int) -> type[BoundedProtocol]:
    """The protocol with these limits; uvicorn makes its protocols from a class."""
    shared = {
        "patience": timeout,
        "gate": Gate(lambda: connections),
        "turnstile": Turnstile(asyncio.get_running_loop(), _READ_AT_ONCE),
    }
    return type("Protocol", (BoundedProtocol,), shared)


class Server(uvicorn.Server):
    """Leaves the signals to us: uvicorn would raise them again at the end, and the exit code would not be 0."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Capture none."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept, a few at a time, while the operating system lets many wait."""
        _collect_less()
        await super().startup(sockets)
        for listener in sockets or ():
            # asyncio accepts as many in one go as it was told to let wait; told anew, the system alone knows.
            listener.listen(_WAITING)


def _collect_less() -> None:
    """Spare the garbage collector what is here to stay, and everybody the time in which it goes through that.

    With a thousand requests in hand a full collection takes 50 to 200 ms, in which nothing else happens. What
    dies young is found by the partial ones, which are as frequent as the work is.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
