"""`tracefuse serve`: the service on loopback until it is told to stop."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from ._errors import MissingExtraError
from ._exit import ExitCode
from ._session import application
from ._settings import SettingsError, load_settings

if TYPE_CHECKING:
    from collections.abc import Generator

    import uvicorn

    from tracefuse.telemetry import Telemetry

    from ._app import App

__all__ = ["run_service"]


def run_service(host: str | None, port: int | None) -> ExitCode:
    """Serve until SIGINT or SIGTERM; `host` and `port` win over the settings.

    Raises:
        SettingsError: an address that is not loopback, a port that is taken, or any bad setting.
        MissingExtraError: the extra `serve` is not installed.
    """
    settings = load_settings()
    listener = _listen(host or settings.serve.host, settings.serve.port if port is None else port)
    with listener, application(settings) as (app, telemetry):
        asyncio.run(_serve(listener, app, telemetry))
    return ExitCode.DONE


def _listen(host: str, port: int) -> socket.socket:
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        address = None
    if address is None or not address.is_loopback:
        raise SettingsError(
            "TRACEFUSE_SERVE_HOST",
            host,
            "the service listens on loopback only; for example TRACEFUSE_SERVE_HOST=127.0.0.1",
        )
    try:
        return socket.create_server(
            (str(address), port), family=socket.AF_INET6 if address.version == 6 else socket.AF_INET
        )
    except OSError as error:
        raise SettingsError(
            "TRACEFUSE_SERVE_PORT", str(port), f"{error.strerror}; for example TRACEFUSE_SERVE_PORT=0 for a free one"
        ) from error


async def _serve(listener: socket.socket, app: App, telemetry: Telemetry) -> None:
    server = _server(app, telemetry)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, _stop, server)
    host, port = listener.getsockname()[:2]
    base = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    click.echo(
        f"tracefuse serves on {base}\n  scans    POST {base}/scans\n  metrics  {base}/metrics\n  health   {base}/livez"
    )
    await server.serve(sockets=[listener])


def _server(app: App, telemetry: Telemetry) -> uvicorn.Server:
    try:
        import uvicorn

        from ._http import http_app
    except ImportError as error:
        raise MissingExtraError("tracefuse serve", "serve") from error

    class Server(uvicorn.Server):
        """Leaves the signals to us: uvicorn would raise them again at the end, and the exit code would not be 0."""

        @contextmanager
        def capture_signals(self) -> Generator[None]:
            yield

    return Server(
        uvicorn.Config(
            http_app(app, telemetry),
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=app.settings.serve.grace,
        )
    )


def _stop(server: uvicorn.Server) -> None:
    """The first signal lets what runs finish, the second does not wait for it."""
    server.force_exit = server.should_exit
    server.should_exit = True
