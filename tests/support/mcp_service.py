"""A service in this process, for the tests of its MCP face, with a program under nmap's name that does as told."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import uvicorn
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from support.cli import script
from tracefuse.telemetry.testing import InMemoryTelemetry
from tracefuse.tools import BreakerSettings, NmapSettings, QueueSettings, RetrySettings, Settings
from tracefuse.tools.http._auth import PRINCIPAL_KEY, Principal, Role
from tracefuse.tools.mcp._mcp import mcp_asgi
from tracefuse.tools.mcp._server import build_server
from tracefuse.tools.nmap.testing import CUT_SHORT, ONE_HOST
from tracefuse.tools.service._service import Service, open_service

__all__ = [
    "MODES",
    "called",
    "connected",
    "connected_over_http",
    "failing_nmap",
    "hanging_nmap",
    "http_endpoint",
    "patient_nmap",
    "process_of",
    "quick_nmap",
    "running_service",
    "settings_for",
    "told",
]

MODES = ("auto", "legacy")
"""The current protocol revision, and the last one with a handshake."""

_BEGIN = """case "$*" in *--version*) echo "Nmap version 7.93 ( https://nmap.org )"; exit 0;; esac
echo run >> "{ran}"
while [ $# -gt 0 ]; do [ "$1" = -oX ] && out=$2; shift; done
"""


def _nmap(folder: Path, rest: str) -> str:
    return script(folder / "nmap", _BEGIN.format(ran=folder / "ran") + rest)


def quick_nmap(folder: Path, report: bytes = ONE_HOST) -> str:
    """Writes `report` at once, and a line to `ran`."""
    (folder / "report.xml").write_bytes(report)
    return _nmap(folder, f'cat "{folder / "report.xml"}" > "$out"')


def patient_nmap(folder: Path) -> str:
    """Takes two seconds."""
    (folder / "report.xml").write_bytes(ONE_HOST)
    report = folder / "report.xml"
    return _nmap(folder, f'head -n 6 "{report}" > "$out"; sleep 2; tail -n +7 "{report}" > "$out"')


def hanging_nmap(folder: Path) -> str:
    """Writes one host and the beginning of another, its process id to `pid`, and never ends."""
    (folder / "report.xml").write_bytes(CUT_SHORT)
    return _nmap(folder, f'cat "{folder / "report.xml"}" > "$out"; echo $$ > "{folder / "pid"}"; exec sleep 600')


def failing_nmap(folder: Path) -> str:
    """Ends with exit code 1."""
    return _nmap(folder, "echo 'out of luck' >&2; exit 1")


def process_of(folder: Path) -> int | None:
    """The process of a hanging nmap, while there is one."""
    try:
        pid = int((folder / "pid").read_text())
        os.kill(pid, 0)
    except (OSError, ValueError):
        return None
    return pid


def settings_for(folder: Path, nmap: str, **sections: Any) -> Settings:
    """Settings that touch nothing outside `folder`."""
    return Settings(
        cache_dir=folder / "cache",
        state_dir=folder / "state",
        nmap=NmapSettings(path=nmap, grace=0.2),
        retry=RetrySettings(attempts=1),
        **sections,
    )


@asynccontextmanager
async def running_service(
    folder: Path,
    nmap: str,
    memory: InMemoryTelemetry,
    *,
    queue: QueueSettings | None = None,
    breaker: BreakerSettings | None = None,
) -> AsyncIterator[Service]:
    """A service on `folder`."""
    settings = settings_for(folder, nmap, queue=queue or QueueSettings(), breaker=breaker or BreakerSettings())
    async with open_service(settings, telemetry=memory.telemetry) as service:
        yield service


@asynccontextmanager
async def connected(service: Service, mode: str = "auto", **options: Any) -> AsyncIterator[Client]:
    """The SDK's client, talking to the server in memory."""
    async with Client(build_server(service), mode=mode, **options) as client:
        yield client


@asynccontextmanager
async def http_endpoint(service: Service) -> AsyncIterator[str]:
    """The URL of the service's MCP endpoint on loopback; the header `x-role` stands for a token of that role."""
    endpoint = mcp_asgi(service)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if role := Headers(scope=scope).get("x-role"):
            known = Role.__members__.get(role.upper())
            scope = {**scope, PRINCIPAL_KEY: None if known is None else Principal(f"{role}-token", known)}
        await endpoint(scope, receive, send)

    server = _Server(uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=2))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
        finally:
            await endpoint.stop()
            server.should_exit = True
            await serving


class _Server(uvicorn.Server):
    """Leaves the signals to pytest."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def connected_over_http(
    url: str, mode: str = "auto", headers: dict[str, str] | None = None, **options: Any
) -> AsyncIterator[Client]:
    """The SDK's client over streamable HTTP."""
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode, **options) as client,
    ):
        yield client


async def called(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """The structured result of a call that must succeed."""
    result = await client.call_tool(tool, arguments)
    assert isinstance(result, CallToolResult)
    assert not result.is_error, told(result)
    structured: dict[str, Any] = result.structured_content
    return structured


def told(result: CallToolResult) -> str:
    """The text of a result."""
    return "\n".join(getattr(block, "text", "") for block in result.content)
