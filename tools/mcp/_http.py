"""MCP over streamable HTTP, as an ASGI application that needs no lifespan."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse

from .._process import end
from ..http._auth import PRINCIPAL_KEY, Principal
from ..http._exposure import Doors
from ._server import build_server

if TYPE_CHECKING:
    from collections.abc import Generator

    from starlette.types import Receive, Scope, Send

    from ..config._settings import ServeSettings
    from ..http._attempts import ClientLimits
    from ..service._service import Service

__all__ = ["McpEndpoint"]

_SESSIONS: Final = 1_000
"""Clients of earlier protocol revisions that may be connected at once; later ones have no sessions."""
_STOPPING: Final = PlainTextResponse("the service is stopping", status_code=503, headers={"retry-after": "10"})


class McpEndpoint:
    """The endpoint: give it every request for its path. It begins with the first one and ends with the service.

    When the service is stopping it answers what it was asked before, then ends the sessions, so that a
    client that only listens holds nobody up.
    """

    def __init__(self, service: Service, limits: ClientLimits | None = None) -> None:
        self._service = service
        self._manager = StreamableHTTPSessionManager(
            build_server(service, limits),
            # Names and origins are checked below, by the settings as they are at the time.
            security_settings=TransportSecuritySettings(enable_dns_rebinding_protection=False),
            max_request_body_size=service.settings.serve.body_limit,
            max_sessions=_SESSIONS,
        )
        self._running: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._ended = False
        self._asked = 0
        self._all_answered = asyncio.Event()
        self._all_answered.set()
        service.lifecycle.add("mcp", self.stop)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        answer = _STOPPING if self._ended else _turned_away(scope, self._service.settings.serve)
        if answer is not None:
            await answer(scope, receive, send)
            return
        with self._counted(scope["method"]):
            await self._begun()
            await self._manager.handle_request(_bound_to_principal(scope), receive, send)

    async def stop(self) -> None:
        """End all sessions, and the calls in them."""
        self._ended = True
        if self._running is not None:
            await end(self._running)

    @contextmanager
    def _counted(self, method: str) -> Generator[None]:
        """Note that an answer is owed; a GET only listens."""
        owed = int(method == "POST")
        self._asked += owed
        if owed:
            self._all_answered.clear()
        try:
            yield
        finally:
            self._asked -= owed
            if not self._asked:
                self._all_answered.set()

    async def _begun(self) -> None:
        if self._running is None:
            # Without the first request's context: its trace is not that of everybody after it.
            self._running = asyncio.get_running_loop().create_task(self._run(), context=Context())
        await self._ready.wait()

    async def _run(self) -> None:
        """Enter and leave the manager in one task, as its task group wants it."""
        try:
            async with self._manager.run():
                self._ready.set()
                await self._service.stopping.wait()
                await self._all_answered.wait()
        finally:
            self._ended = True
            self._ready.set()


def _turned_away(scope: Scope, serve: ServeSettings) -> PlainTextResponse | None:
    """The answer to a stranger, to a page that rebound a name or may not ask; None for everybody else."""
    if PRINCIPAL_KEY in scope and not isinstance(scope[PRINCIPAL_KEY], Principal):
        return PlainTextResponse("say who you are", status_code=401, headers={"www-authenticate": "Bearer"})
    doors, headers = Doors.of(serve), Headers(scope=scope)
    host, origin = headers.get("host", ""), headers.get("origin")
    if not doors.host_allowed(host):
        return PlainTextResponse("the service is not known by this name", status_code=421)
    if origin is not None and not doors.origin_allowed(origin, host):
        return PlainTextResponse("pages of this origin may not ask", status_code=403)
    return None


def _bound_to_principal(scope: Scope) -> Scope:
    """Tell the SDK who asks, so that a session answers only to the token that began it."""
    principal: Any = scope.get(PRINCIPAL_KEY)
    if principal is None:
        return scope
    token = AccessToken(token="", client_id=principal.name, scopes=[principal.role.name.lower()])
    return {**scope, "user": AuthenticatedUser(token)}
