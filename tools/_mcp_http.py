"""MCP over streamable HTTP, as an ASGI application that needs no lifespan."""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.responses import PlainTextResponse

from ._auth import Principal
from ._mcp_call import PRINCIPAL_KEY
from ._mcp_server import build_server

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from ._service import Service
    from ._settings import ServeSettings

__all__ = ["McpEndpoint"]

_SESSIONS: Final = 1_000
"""Clients of earlier protocol revisions that may be connected at once; later ones have no sessions."""
_LOCAL_HOSTS: Final = ("127.0.0.1", "localhost", "[::1]")


class McpEndpoint:
    """The endpoint: give it every request for its path. It begins with the first one and ends with the service."""

    def __init__(self, service: Service) -> None:
        serve = service.settings.serve
        self._manager = StreamableHTTPSessionManager(
            build_server(service),
            security_settings=_security(serve),
            max_request_body_size=serve.body_limit,
            max_sessions=_SESSIONS,
        )
        self._running: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._ending = asyncio.Event()
        service.lifecycle.add("mcp", self.stop)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if self._ending.is_set():
            answer = PlainTextResponse("the service is stopping", status_code=503, headers={"retry-after": "5"})
            await answer(scope, receive, send)
            return
        await self._started()
        await self._manager.handle_request(_bound_to_principal(scope), receive, send)

    async def stop(self) -> None:
        """End all sessions, and the calls in them."""
        self._ending.set()
        if self._running is not None:
            await self._running

    async def _started(self) -> None:
        if self._running is None:
            # Without the first request's context: its trace is not that of everybody after it.
            self._running = asyncio.get_running_loop().create_task(self._run(), context=Context())
        await self._ready.wait()

    async def _run(self) -> None:
        """Enter and leave the manager in one task, as its task group wants it."""
        async with self._manager.run():
            self._ready.set()
            await self._ending.wait()


def _security(serve: ServeSettings) -> TransportSecuritySettings:
    """Against rebinding: the names under which the service may be asked, and the pages that may ask it."""
    hosts = [*_LOCAL_HOSTS, *serve.allowed_hosts]
    local = [f"{scheme}://{host}" for scheme in ("http", "https") for host in _LOCAL_HOSTS]
    return TransportSecuritySettings(
        allowed_hosts=[*hosts, *(f"{host}:*" for host in hosts)],
        allowed_origins=[*local, *(f"{origin}:*" for origin in local), *serve.cors_origins],
    )


def _bound_to_principal(scope: Scope) -> Scope:
    """Tell the SDK who asks, so that a session answers only to the token that began it."""
    principal: Any = scope.get(PRINCIPAL_KEY)
    if not isinstance(principal, Principal):
        return scope
    token = AccessToken(token="", client_id=principal.name, scopes=[principal.role.name.lower()])
    return {**scope, "user": AuthenticatedUser(token)}
