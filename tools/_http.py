"""The HTTP face: scans in, results and `/metrics` out, on loopback.

Errors are problem details (RFC 9457); a caller's `traceparent` header (W3C Trace Context) becomes the
parent of the scan's trace. A request must name a loopback host and send JSON, so that a web page
opened on the same machine can neither rebind a name to this address nor post a form to it.
"""

from __future__ import annotations

import asyncio
import json
import math
from typing import TYPE_CHECKING, TypeVar

from opentelemetry import context, propagate
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ._breaker_sources import ACTIONS, act_on, view_of
from ._exit import ExitCode
from ._explain import explain
from ._process import end
from ._result import completed_to_dict
from ._tool import Caller, CallerKind
from .nmap import ScanRequest

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from starlette.requests import Request

    from tracefuse.telemetry import Telemetry

    from ._app import App
    from ._explain import Explained
    from ._service import Service

__all__ = ["http_app"]

T = TypeVar("T")

_BODY_LIMIT = 64 * 1024
_CLIENT_GONE = 499
"""Nobody reads it; the number that others log for this."""
_STATUS = {ExitCode.FAILED: 502, ExitCode.REFUSED: 422, ExitCode.CIRCUIT_OPEN: 503}


class _ScanBody(BaseModel):
    """The body of `POST /scans`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    targets: list[str] = Field(min_length=1, max_length=64)
    template: str = "quick"
    extra_args: str = ""
    exclude: list[str] = Field(default=[], max_length=64)
    timeout: float | None = Field(default=None, gt=0, le=86_400)


def http_app(service: Service) -> Starlette:
    """The ASGI application of one service."""
    face = _Face(service.app, service.telemetry)
    return Starlette(
        routes=[
            Route("/", face.index),
            Route("/livez", face.alive),
            Route("/metrics", face.metrics),
            Route("/scans", face.scan, methods=["POST"]),
            Route("/breakers", face.breakers),
            Route("/breakers/{name}/{action}", face.operate, methods=["POST"]),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "[::1]", "testserver"])],
    )


class _Face:
    """The handlers, around one application."""

    def __init__(self, app: App, telemetry: Telemetry) -> None:
        self._app = app
        self._telemetry = telemetry

    async def index(self, request: Request) -> Response:
        """What there is."""
        del request
        paths = {
            "POST /scans": "run a scan",
            "GET /breakers": "the circuit breakers, with their history",
            "POST /breakers/{name}/{action}": f"operate a breaker: {', '.join(ACTIONS)}",
            "GET /metrics": "Prometheus metrics",
            "GET /livez": "is it alive",
        }
        return JSONResponse({"service": "tracefuse", "paths": paths})

    async def alive(self, request: Request) -> Response:
        """Alive as long as it answers."""
        del request
        return JSONResponse({"status": "ok"})

    async def metrics(self, request: Request) -> Response:
        """The exposition, in a thread: a scrape of many series must not hold up the event loop."""
        exposition = await asyncio.to_thread(self._telemetry.exposition, request.headers.get("accept"))
        return Response(exposition.body, headers={"content-type": exposition.content_type})

    async def breakers(self, request: Request) -> Response:
        """Every breaker, as the operator sees it."""
        del request
        return JSONResponse({"breakers": [view_of(breaker) for breaker in self._app.breakers.registry]})

    async def operate(self, request: Request) -> Response:
        """Do what the operator asks of one breaker."""
        if not _is_json(request):
            return _not_json()
        name, action = request.path_params["name"], request.path_params["action"]
        if name not in self._app.breakers.registry:
            return _problem(404, "no_such_breaker", f"there is no breaker {name!r}; see GET /breakers")
        if action not in ACTIONS:
            return _problem(404, "no_such_action", f"{action!r} is none of {', '.join(ACTIONS)}")
        return JSONResponse(act_on(self._app.breakers.registry.get(name), action))

    async def scan(self, request: Request) -> Response:
        """Run one scan and answer with its result."""
        if not _is_json(request):
            return _not_json()
        try:
            body = _ScanBody.model_validate_json(await _read(request))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "body"
            return _problem(422, "bad_request", f'{where}: {first["msg"]}; for example {{"targets": ["127.0.0.1"]}}')
        except ValueError as error:
            return _problem(413, "body_too_large", str(error))
        return await self._run(body, request)

    async def _run(self, body: _ScanBody, request: Request) -> Response:
        token = context.attach(propagate.extract(dict(request.headers)))
        wanted = ScanRequest(
            targets=tuple(body.targets),
            template=body.template,
            extra_args=body.extra_args,
            exclude=tuple(body.exclude),
            timeout=body.timeout,
        )
        caller = Caller(CallerKind.HTTP, request.headers.get("user-agent"))
        try:
            done = await _while_connected(request, self._app.scan(wanted, caller=caller))
        except Exception as error:
            if (explained := explain(error)) is None:
                raise
            return _refusal(explained)
        finally:
            context.detach(token)
        return Response(status_code=_CLIENT_GONE) if done is None else JSONResponse(completed_to_dict(done))


async def _while_connected(request: Request, work: Coroutine[object, object, T]) -> T | None:
    """What `work` comes to; None when the client hangs up before, and then `work` is cancelled."""
    task, gone = asyncio.create_task(work), asyncio.create_task(_gone(request))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        return await task if task.done() else None
    finally:
        await end(gone)
        await end(task)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _is_json(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip() == "application/json"


def _not_json() -> Response:
    return _problem(415, "unsupported_media_type", "send JSON: content-type: application/json")


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _BODY_LIMIT:
            raise ValueError(f"the body is larger than {_BODY_LIMIT} bytes")
    return bytes(body)


def _refusal(explained: Explained) -> Response:
    fields = dict(explained.fields)
    headers: dict[str, str] = {}
    if isinstance(retry_after := fields.get("retry_after"), float):
        headers["retry-after"] = str(math.ceil(retry_after))
    kind, message = str(fields.pop("type")), str(fields.pop("message"))
    status = 503 if kind == "queue_full" else _STATUS[explained.code]
    return _problem(status, kind, message, fields, headers)


def _problem(
    status: int,
    kind: str,
    detail: str,
    extra: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    body = {"type": f"urn:tracefuse:{kind}", "title": kind.replace("_", " "), "status": status, "detail": detail}
    return Response(
        json.dumps({**body, **(extra or {})}, default=str),
        status_code=status,
        media_type="application/problem+json",
        headers=dict(headers or {}),
    )
