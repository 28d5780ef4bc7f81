"""The HTTP face: scans in, results, metrics and events out.

    server › guard › routes › faces › service

Each face is a group of endpoints around the service; the table of all of them makes the routes and the
OpenAPI document. What is refused, is refused as problem details (RFC 9457).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.routing import Route

from ._attempts import Attempts, ClientLimits
from ._auth import Role
from ._discovery import DiscoveryFace
from ._events import EventFace, Hub
from ._exposure import Doors
from ._guard import Guard
from ._health import PROBES, HealthFace, Readiness
from ._index import described
from ._known import ToolFace
from ._limits import Gate, Rate, RateLimiter
from ._operate import BreakerFace
from ._problem import ProblemError
from ._route import Endpoint, Rules, authorize, routes
from ._scans import ScanFace
from ._schedules import ScheduleFace
from ._starting import Starting
from ._telemetry import HttpTelemetry
from ._token_file import TokenFile
from ._visit import visit_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from ..service._service import Service
    from ._auth import Tokens

__all__ = ["endpoints_of", "http_app"]


def http_app(service: Service) -> Starlette:
    """The ASGI application of one service; made inside the event loop that serves it.

    Raises:
        SettingsError: the token file cannot be used.
    """
    serve = service.settings.serve
    file = None if serve.tokens_file is None else TokenFile(serve.tokens_file)
    limits = ClientLimits(RateLimiter(lambda: Rate(service.settings.serve.rate)), Attempts(service.audit))
    rules = Rules(limits.limiter, lambda: service.settings.serve.request_timeout, service.audit)
    app = Starlette(
        routes=[
            *routes(endpoints_of(service, secured=file is not None), rules),
            *_mounted(service, limits),
        ],
        middleware=[
            Middleware(
                Guard,
                doors=_doors(service),
                tokens=lambda: _tokens(file),
                gate=Gate(lambda: service.settings.serve.max_requests),
                body_limit=lambda: service.settings.serve.body_limit,
                telemetry=HttpTelemetry(service.telemetry.instrumentation, PROBES),
                attempts=limits.attempts,
            )
        ],
    )
    app.router.redirect_slashes = False
    app.router.default = _not_found
    return app


def endpoints_of(service: Service, *, secured: bool) -> list[Endpoint]:
    """The table of routes, those that are asked most first; `secured` says whether tokens are asked for."""
    starting = Starting(service.jobs)
    hub = Hub(asyncio.get_running_loop())
    service.jobs.add_listener(hub.job)
    for breaker in service.app.breakers.registry:
        breaker.add_callback(hub.breaker)
    table = [
        *HealthFace(service, Readiness(service.health)).endpoints(),
        *ScanFace(service, starting).endpoints(),
        *EventFace(service, hub).endpoints(),
        *ToolFace(service, starting).endpoints(),
        *BreakerFace(service).endpoints(),
        *ScheduleFace(service).endpoints(),
        *DiscoveryFace(service).endpoints(),
    ]
    return described(table, secured=secured)


def _doors(service: Service) -> Callable[[], Doors]:
    return lambda: Doors.of(service.settings.serve)


def _tokens(file: TokenFile | None) -> Tokens | None:
    return None if file is None else file.tokens


def _mounted(service: Service, limits: ClientLimits) -> list[Route]:
    """MCP under `/mcp`, where the settings ask for it; what a tool of it needs, it asks for itself."""
    if service.settings.serve.mcp != "http":
        return []
    from ..mcp._mcp import mcp_asgi

    return [Route("/mcp", _Role(mcp_asgi(service, limits), Role.READ))]


class _Role:
    """Lets those with a role through."""

    def __init__(self, app: ASGIApp, role: Role) -> None:
        self._app = app
        self._role = role

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = visit_of(Request(scope))
        visit.route = "/mcp"
        authorize(visit.principal, self._role)
        await self._app(scope, receive, send)


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    del receive, send
    raise ProblemError(404, "not_found", f"there is nothing at {scope['path'][:256]!r}; GET / lists what there is")
