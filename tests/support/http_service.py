"""The HTTP face of a service in this process, with a program under nmap's name that does as it is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from support.mcp_service import settings_for
from tracefuse.telemetry.testing import InMemoryTelemetry
from tracefuse.tools import ServeSettings
from tracefuse.tools.http._auth import Role, Tokens, new_token
from tracefuse.tools.http._http import http_app
from tracefuse.tools.service._service import Service, open_service

__all__ = ["Face", "serving_in_process", "token_file"]

BASE = "http://127.0.0.1:8080"
SCAN = {"targets": ["10.0.0.7"], "extra_args": "-p 22,80"}


@dataclass(frozen=True)
class Face:
    """A service, its ASGI application, and a client on this machine."""

    service: Service
    app: Any
    client: httpx.AsyncClient

    async def scan(self, **fields: Any) -> httpx.Response:
        """Ask for a scan."""
        return await self.client.post("/scans", json={**SCAN, **fields})

    def from_address(self, address: str, **headers: str) -> httpx.AsyncClient:
        """A client elsewhere."""
        transport = httpx.ASGITransport(self.app, client=(address, 40_000))
        return httpx.AsyncClient(transport=transport, base_url=BASE, headers=headers)


@asynccontextmanager
async def serving_in_process(
    folder: Path, nmap: str, memory: InMemoryTelemetry, serve: ServeSettings | None = None, **sections: Any
) -> AsyncIterator[Face]:
    """A service on `folder`, asked without a socket."""
    settings = settings_for(folder, nmap, serve=serve or ServeSettings(rate=1_000_000), **sections)
    async with open_service(settings, telemetry=memory.telemetry) as service:
        app = http_app(service)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE, timeout=30) as client:
            yield Face(service, app, client)


def token_file(folder: Path, **roles: Role) -> tuple[Path, dict[str, dict[str, str]]]:
    """A token file, and for each name the header with which its holder asks."""
    tokens, headers = Tokens(), {}
    for name, role in roles.items():
        token, record = new_token(name, role, datetime.now(UTC))
        tokens = tokens.with_record(record)
        headers[name] = {"authorization": f"Bearer {token}"}
    path = folder / "tokens.json"
    tokens.save(path)
    return path, headers
