"""`tracefuse serve`: the service in the foreground, until a signal ends it."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click

from .._errors import MissingExtraError
from .._exit import ExitCode
from .._process import end
from ..http._address import base_url, check_certificate, listen
from ..http._exposure import check_exposure
from ..schedule._scheduler import Scheduler
from ..service._reload_service import on_hangup, reloading
from ..service._service import open_service
from ._session import warn

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncGenerator

    from ..config._settings import ConfigSource, Settings
    from ..http._server import Server
    from ..service._service import Service

__all__ = ["run_service"]

_MOMENT = 2
"""Seconds for answers to reach their clients once the scans they wait for have ended."""


def run_service(source: ConfigSource) -> ExitCode:
    """Serve until SIGINT or SIGTERM: the first one ends the service in order, the second one at once.

    The settings of `source` are read now, again when their file changes, and on SIGHUP.

    Raises:
        SettingsError: an address that may not be used, a port that is taken, or any bad setting.
        MissingExtraError: an extra is not installed.
    """
    source = source.pinned()
    configuration = source.load()
    for text in configuration.warnings:
        warn(text)
    settings = configuration.settings
    _check_extras(settings)
    check_exposure(settings)
    if settings.serve.mcp == "stdio":
        asyncio.run(_serve_stdio(settings, source))
    else:
        check_certificate(settings)
        with listen(settings) as listener:
            asyncio.run(_serve_http(settings, source, listener))
    return ExitCode.DONE


def _check_extras(settings: Settings) -> None:
    """Say what is not installed before anything is started."""
    if settings.serve.mcp != "off" and find_spec("mcp") is None:
        raise MissingExtraError("tracefuse serve --mcp", "mcp")
    if settings.serve.mcp != "stdio" and (find_spec("starlette") is None or find_spec("uvicorn") is None):
        raise MissingExtraError("tracefuse serve", "serve")


async def _serve_stdio(settings: Settings, source: ConfigSource) -> None:
    """One agent on standard input and output; what people read goes to standard error."""
    from ..mcp._mcp import run_stdio

    signalled = _signalled()
    async with open_service(settings, warn=warn) as service, _reloaded(service, source):
        session = asyncio.create_task(run_stdio(service))
        _announce(f"tracefuse serves MCP on standard input and output\n{_places(settings)}", err=True)
        await _first(signalled, session)
        service.stopping.set()
        await _finish(service, settings.serve.grace, signalled, session)
        await end(session)


async def _finish(service: Service, grace: float, signalled: asyncio.Future[int], session: asyncio.Task[None]) -> None:
    """Let scans finish for `grace` seconds; stop them at once when the client has both hung up and sent a signal.

    Clients close the input of a server that they started, then send SIGTERM, and SIGKILL within seconds, which
    would leave nothing of what was found.
    """
    finishing = asyncio.create_task(service.jobs.close(grace))
    insisted = asyncio.create_task(asyncio.wait((signalled, session)))
    await asyncio.wait((finishing, insisted), return_when=asyncio.FIRST_COMPLETED)
    if not finishing.done():
        await service.jobs.close(0.0)
    await finishing
    await end(insisted)


async def _serve_http(settings: Settings, source: ConfigSource, listener: socket.socket) -> None:
    signalled = _signalled()
    async with open_service(settings, warn=warn) as service, _reloaded(service, source):
        scheduler = _scheduler(service)
        server = _server(service)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        if settings.schedule.enabled:
            scheduler.start()
        base = base_url(settings, listener)
        _announce(f"tracefuse serves on {base}\n{_places(settings, base)}")
        await _first(signalled, serving)
        service.stopping.set()
        # Nobody new is let in, and scans get their grace before they are stopped; who waits for one is answered.
        server.should_exit = True
        await scheduler.rest()
        await service.jobs.close(settings.serve.grace)
        await scheduler.stop()
        await serving


@asynccontextmanager
async def _reloaded(service: Service, source: ConfigSource) -> AsyncGenerator[None]:
    async with reloading(service, source) as reloader:
        with on_hangup(reloader):
            yield


async def _first(signalled: asyncio.Future[int], running: asyncio.Task[None]) -> None:
    """Wait for a signal, or for the end of what runs; when that ends by an error it is raised."""
    await asyncio.wait((signalled, running), return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        await running


def _scheduler(service: Service) -> Scheduler:
    chosen = service.settings.schedule
    return Scheduler(
        service.schedules,
        service.jobs,
        concurrency=chosen.concurrency,
        grace=chosen.missed_after,
        instrumentation=service.telemetry.instrumentation,
    )


def _server(service: Service) -> Server:
    from ..http._http import http_app
    from ..http._server import Server, server_config

    grace = service.settings.serve.grace + _MOMENT
    return Server(server_config(http_app(service), service.settings, grace=grace))


def _announce(text: str, *, err: bool = False) -> None:
    """Say where everything is; that nobody can hear it is no reason not to serve."""
    try:
        click.echo(text, err=err)
    except OSError as error:
        warn(f"where it serves could not be told: {error.strerror}")


def _places(settings: Settings, base: str | None = None) -> str:
    """Where everything is, a line each."""
    places: dict[str, object] = {
        "history": settings.history_file,
        "state": settings.state_dir,
        "cache": settings.cache_dir,
    }
    if base is not None:
        paths = {"scans": "POST {}/scans", "metrics": "{}/metrics", "health": "{}/readyz", "API": "{}/openapi.json"}
        if settings.serve.mcp == "http":
            paths["MCP"] = "{}/mcp"
        places = {name: path.format(base) for name, path in paths.items()} | places
    return "\n".join(f"  {name:8} {place}" for name, place in places.items())


def _signalled() -> asyncio.Future[int]:
    """Done with the first SIGINT or SIGTERM; a second one ends the process as it is."""
    loop = asyncio.get_running_loop()
    first: asyncio.Future[int] = loop.create_future()

    def told(number: int) -> None:
        if first.done():
            # nmap goes with us, because its lifeline breaks, and what was acknowledged is on disk.
            os._exit(128 + number)
        first.set_result(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told, number)
    return first
