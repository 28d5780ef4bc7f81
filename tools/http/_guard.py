"""What every request passes before anything looks at it, as plain ASGI: nothing is buffered, streams stay streams.

request id › span, metrics, log fields › host and origin › token › a place › size of the body › the route
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import ClientDisconnect
from starlette.responses import Response

from .._audit import ORIGIN, Actor, Origin
from ._attempts import TURNED_AWAY
from ._auth import LOCAL, PRINCIPAL_KEY
from ._limits import client_key
from ._problem import CLIENT_GONE, ProblemError, problem_of, problem_response
from ._streams import Answering, Counted, declared_length
from ._visit import Visit, header, request_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from ._attempts import Attempts
    from ._auth import Principal, Tokens
    from ._exposure import Doors
    from ._limits import Gate
    from ._telemetry import HttpTelemetry

__all__ = ["Guard", "principal_of"]

_log = logging.getLogger(__name__)

_BUSY_FOR: Final = 1
_LONGEST: Final = 128
_PREFLIGHT: Final = {
    "access-control-allow-methods": "GET, POST, DELETE",
    "access-control-allow-headers": "authorization, content-type, prefer, traceparent, tracestate, x-request-id",
    "access-control-max-age": "600",
}
_EXPOSED: Final = "location, ratelimit, ratelimit-policy, retry-after, x-request-id"


class Guard:
    """Admits requests, and turns every error into problem details.

    Args:
        app: what is guarded.
        doors: names and origins that are allowed, as they are now.
        tokens: those that are let in; None where everybody on this machine is.
        gate: how many are served at once.
        body_limit: bytes of a body.
        telemetry: tells of it.
        attempts: writes down who was turned away.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        doors: Callable[[], Doors],
        tokens: Callable[[], Tokens | None],
        gate: Gate,
        body_limit: Callable[[], int],
        telemetry: HttpTelemetry,
        attempts: Attempts,
    ) -> None:
        self._app = app
        self._doors = doors
        self._tokens = tokens
        self._gate = gate
        self._body_limit = body_limit
        self._telemetry = telemetry
        self._attempts = attempts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1003})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        visit = _visit(scope)
        visit.enter(scope)
        ORIGIN.set(Origin(visit.address, visit.request_id))
        with self._telemetry.observe(scope, visit) as outcome:
            await self._serve(scope, receive, Answering(send, visit, outcome), visit)

    async def _serve(self, scope: Scope, receive: Receive, send: Answering, visit: Visit) -> None:
        try:
            await self._admit(scope, receive, send, visit)
        except ClientDisconnect:
            send.outcome.status = send.outcome.status or CLIENT_GONE
        except Exception as error:
            if send.outcome.status:
                raise  # too late for another answer: the server drops the connection
            if isinstance(error, ProblemError) and error.status in TURNED_AWAY and not visit.audited:
                self._write_down(scope, visit, error)
            problem = _problem(error)
            _let_go(error)
            await problem_response(problem, visit.request_id)(scope, receive, send)

    def _write_down(self, scope: Scope, visit: Visit, problem: ProblemError) -> None:
        resource = f"{scope['method']} {visit.route or scope['path']}"[:_LONGEST]
        self._attempts.refused(
            visit.client, f"request.{problem.kind}", resource, problem.status, Actor.of(visit.caller)
        )

    async def _admit(self, scope: Scope, receive: Receive, send: Answering, visit: Visit) -> None:
        doors = self._doors()
        if self._check_origin(scope, visit, doors) and scope["method"] == "OPTIONS":
            await Response(status_code=204, headers=_PREFLIGHT)(scope, receive, send)
            return
        visit.principal = principal_of(header(scope, b"authorization"), self._tokens())
        scope[PRINCIPAL_KEY] = visit.principal
        if visit.principal is not None and visit.principal.authenticated:
            visit.client = f"token:{visit.principal.name}"
        if not self._gate.enter(visit.client):
            detail = f"too many requests are being served; try again in {_BUSY_FOR} s"
            raise ProblemError(503, "too_busy", detail, {"retry_after": _BUSY_FOR}, {"retry-after": str(_BUSY_FOR)})
        try:
            await self._app(scope, Counted(receive, self._body_limit(), declared_length(scope)), send)
        finally:
            self._gate.leave(visit.client)

    def _check_origin(self, scope: Scope, visit: Visit, doors: Doors) -> bool:
        """Raise ProblemError for a foreign host or origin; whether a page of a configured origin asks."""
        host, origin = header(scope, b"host") or "", header(scope, b"origin")
        if not doors.host_allowed(host):
            detail = f"the service is not known as {host[:256]!r}; TRACEFUSE_SERVE_ALLOWED_HOSTS can name it"
            raise ProblemError(400, "bad_host", detail)
        if origin is None:
            return False
        if not doors.origin_allowed(origin, host):
            detail = f"pages of {origin[:256]!r} may not ask; TRACEFUSE_SERVE_CORS_ORIGINS can allow them"
            raise ProblemError(403, "bad_origin", detail)
        if origin not in doors.origins:
            return False
        visit.headers |= {
            "access-control-allow-origin": origin,
            "access-control-expose-headers": _EXPOSED,
            "vary": "origin",
        }
        return True


def principal_of(authorization: str | None, tokens: Tokens | None) -> Principal | None:
    """Who asks: the local user while there are no tokens, the holder of the token, or None for a stranger.

    Raises:
        ProblemError: the header holds no token, or one that is not let in.
    """
    if tokens is None:
        return LOCAL
    if authorization is None:
        return None
    scheme, _, token = authorization.partition(" ")
    found = tokens.authenticate(token.strip()) if scheme.lower() == "bearer" else None
    if found is None:
        wanted = {"www-authenticate": 'Bearer realm="tracefuse", error="invalid_token"'}
        detail = "this token is not let in; make one with: tracefuse token create NAME"
        raise ProblemError(401, "unauthenticated", detail, headers=wanted)
    return found


def _visit(scope: Scope) -> Visit:
    client: Any = scope.get("client")
    address = client[0] if client else None
    return Visit(
        request_id=request_id(header(scope, b"x-request-id")),
        client=client_key(address),
        address=address,
        user_agent=header(scope, b"user-agent"),
        principal=None,
    )


def _problem(error: Exception) -> ProblemError:
    if (problem := problem_of(error)) is not None:
        return problem
    _log.error("http.failed a request ended in an unexpected error", exc_info=error)
    return ProblemError(500, "defect", "this is a defect; the log has the details under the request's id")


def _let_go(error: BaseException | None) -> None:
    """Part `error` from the frames it went through: whoever keeps it would keep all of them, in a circle.

    Refusals come by the thousand; freed at once they leave nothing for the garbage collector to stop the world for.
    """
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
