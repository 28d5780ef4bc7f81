"""One table of routes: who may ask, what is taken and given, how much of it. Routing and OpenAPI both read it."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from starlette.requests import Request
from starlette.routing import Route

from .._audit import Actor, Operation
from ._auth import Role
from ._problem import ProblemError, seconds
from ._visit import visit_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from pydantic import BaseModel
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

    from .._audit import Audit
    from ._auth import Principal
    from ._limits import RateLimiter, Taken

__all__ = ["Answer", "Endpoint", "Resource", "Rules", "authorize", "routes"]

SCANS: Final = "nmap"


@dataclass(frozen=True, slots=True)
class Answer:
    """One way in which an endpoint answers: in words, and the form of the body, by model or by media types."""

    description: str
    model: type[BaseModel] | None = None
    media: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """What is done for one method of one path.

    `role` None lets everybody in. A `patient` endpoint takes as long as what it waits for. `tool` is whose
    rate limit a request counts against. `problems` are the statuses of its own problems. `audited` is the
    name under which what is done here is audited, with the names of the path in it; so are refusals.
    """

    method: str
    path: str
    handle: Callable[[Request], Awaitable[Response]]
    summary: str
    role: Role | None = Role.READ
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    answers: Mapping[int, Answer] = field(default_factory=dict[int, Answer])
    problems: tuple[int, ...] = ()
    patient: bool = False
    tool: str | None = None
    audited: str | None = None
    tag: str = "service"


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for every endpoint: requests a minute, seconds for one, and where actions are written down."""

    limiter: RateLimiter
    timeout: Callable[[], float]
    audit: Audit


class Resource:
    """A path with its methods, as an ASGI application."""

    def __init__(self, path: str, endpoints: Iterable[Endpoint], rules: Rules) -> None:
        self._path = path
        self._endpoints = {endpoint.method: endpoint for endpoint in endpoints}
        self._rules = rules
        methods = sorted({*self._endpoints, *({"HEAD"} if "GET" in self._endpoints else ())})
        self._allow = ", ".join(methods)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or raise ProblemError."""
        request = Request(scope, receive)
        visit_of(request).route = self._path
        response = await self._respond(request)
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        method = request.method
        endpoint = self._endpoints.get("GET" if method == "HEAD" else method)
        if endpoint is None:
            detail = f"{self._path} takes {self._allow}"
            raise ProblemError(405, "method_not_allowed", detail, headers={"allow": self._allow})
        if endpoint.audited is None:
            return await self._allowed(request, endpoint)
        try:
            response = await self._allowed(request, endpoint)
        except ProblemError as problem:
            self._audit(request, endpoint.audited, problem.status)
            raise
        self._audit(request, endpoint.audited, response.status_code)
        return response

    async def _allowed(self, request: Request, endpoint: Endpoint) -> Response:
        visit = visit_of(request)
        authorize(visit.principal, endpoint.role)
        if endpoint.tool is not None:
            self._count(request, endpoint.tool)
        if endpoint.patient:
            return await endpoint.handle(request)
        limit = self._rules.timeout()
        try:
            async with asyncio.timeout(limit):
                return await endpoint.handle(request)
        except TimeoutError:
            detail = f"it took longer than {limit:g} s; try again later"
            raise ProblemError(
                503, "too_slow", detail, {"retry_after": limit}, {"retry-after": seconds(limit)}
            ) from None

    def _count(self, request: Request, tool: str) -> None:
        """Take one request out of the client's rate; say what is left of it in the answer, whatever that is."""
        visit = visit_of(request)
        limiter = self._rules.limiter
        taken = limiter.take(visit.client, tool)
        visit.headers |= rate_headers(taken, tool, limiter.rate.requests, limiter.rate.period)
        if not taken.allowed:
            raise too_many(taken)

    def _audit(self, request: Request, action: str, status: int) -> None:
        visit_of(request).audited = True
        named = {key: str(value)[:64] for key, value in request.path_params.items()}
        operation = Operation.DELETE if request.method == "DELETE" else Operation.UPDATE
        actor = Actor.of(visit_of(request).caller)
        self._rules.audit.operation(operation, action.format(**named), next(iter(named.values()), ""), status, actor)


def rate_headers(taken: Taken, name: str, requests: int, period: float) -> dict[str, str]:
    """What is left, as draft-ietf-httpapi-ratelimit-headers writes it."""
    return {
        "ratelimit-policy": f'"{name}";q={requests};w={period:.0f}',
        "ratelimit": f'"{name}";r={taken.remaining};t={math.ceil(taken.reset)}',
    }


def too_many(taken: Taken) -> ProblemError:
    """The refusal of a client that asks too often, with the members that known clients read."""
    wait = seconds(taken.retry_after)
    detail = f"too many requests; try again in {wait} s"
    known = {"error": "rate_limited", "message": detail, "retry_after": int(wait)}
    return ProblemError(429, "rate_limited", detail, known, {"retry-after": wait})


def authorize(principal: Principal | None, role: Role | None) -> None:
    """Raise ProblemError unless `principal` has `role`; with `role` None anybody may."""
    if role is None:
        return
    if principal is None:
        detail = "send a token: authorization: Bearer tf_..."
        raise ProblemError(401, "unauthenticated", detail, headers={"www-authenticate": 'Bearer realm="tracefuse"'})
    if principal.role < role:
        needs = role.name.lower()
        detail = f"{principal.name} may {principal.role.name.lower()}, and this needs {needs}"
        raise ProblemError(403, "forbidden", detail, {"role": principal.role.name.lower(), "needs": needs})


def routes(endpoints: Iterable[Endpoint], rules: Rules) -> list[Route]:
    """One route for each path of the table, in the order of the table."""
    by_path: dict[str, list[Endpoint]] = {}
    for endpoint in endpoints:
        by_path.setdefault(endpoint.path, []).append(endpoint)
    return [Route(path, Resource(path, group, rules)) for path, group in by_path.items()]
