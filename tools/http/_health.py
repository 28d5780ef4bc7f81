"""How the service is: health and probes, metrics, and its settings without secrets."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import JSONResponse, Response

from tracefuse.telemetry import HealthStatus, MetricsManager

from ..config._view import settings_view
from ._input import parse_query
from ._models import ConfigBody, HealthBody, MetricsQuery, ProbeBody
from ._route import Answer, Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from tracefuse.telemetry import HealthMonitor, SystemHealth

    from ..service._service import Service

__all__ = ["PROBES", "HealthFace", "Readiness", "health_of"]

PROBES: Final = ("/livez", "/readyz", "/startupz", "/metrics")
"""Paths that are asked every few seconds by machines."""

_RECENT: Final = 1.0
_METRICS: Final = ("text/plain", "application/openmetrics-text", "application/json")
_HEALTH: Final = {HealthStatus.HEALTHY: 200, HealthStatus.DEGRADED: 207, HealthStatus.UNHEALTHY: 503}


class Readiness:
    """The last finding, for a second: the checks behind it are not made more often, and asking all of them costs."""

    def __init__(self, health: HealthMonitor, clock: Callable[[], float] = time.monotonic) -> None:
        self._health = health
        self._clock = clock
        self._found: SystemHealth | None = None
        self._until = 0.0

    async def now(self) -> SystemHealth:
        """How the service is."""
        if self._found is None or self._clock() >= self._until:
            self._found = await self._health.ready()
            self._until = self._clock() + _RECENT
        return self._found


@dataclass(frozen=True, slots=True)
class HealthFace:
    """The handlers, around one service."""

    service: Service
    readiness: Readiness

    def endpoints(self) -> list[Endpoint]:
        """Those that are asked most come first."""
        probe = {200: Answer("yes", ProbeBody), 503: Answer("no", ProbeBody)}
        return [
            Endpoint(method="GET", path="/health", handle=self.health, tag="health",
                     summary="How the service is, check by check",
                     answers={200: Answer("healthy", HealthBody), 207: Answer("degraded: it works", HealthBody),
                              503: Answer("unhealthy", HealthBody)}),
            Endpoint(method="GET", path="/metrics", handle=self.metrics, query=MetricsQuery, tag="health",
                     summary="Metrics for Prometheus; the text or OpenMetrics by the Accept header, or JSON",
                     answers={200: Answer("the metrics", media=_METRICS)}),
            Endpoint(method="GET", path="/livez", handle=self.live, role=None, tag="health", answers=probe,
                     summary="Whether the process works at all"),
            Endpoint(method="GET", path="/readyz", handle=self.ready, role=None, tag="health", answers=probe,
                     summary="Whether it may be given work"),
            Endpoint(method="GET", path="/startupz", handle=self.started, role=None, tag="health", answers=probe,
                     summary="Whether it has come up"),
            Endpoint(method="GET", path="/config", handle=self.config, tag="health",
                     summary="The settings in force, without secrets, and their version",
                     answers={200: Answer("the settings", ConfigBody)}),
        ]  # fmt: skip

    async def health(self, request: Request) -> Response:
        """The known answer: 200, 207 or 503."""
        del request
        found = await self.readiness.now()
        return JSONResponse(health_of(found), status_code=_HEALTH[found.status])

    async def live(self, request: Request) -> Response:
        """Alive as long as it answers."""
        del request
        return _probe(await self.service.health.live())

    async def ready(self, request: Request) -> Response:
        """Ready until it goes down."""
        del request
        if self.service.stopping.is_set():
            return JSONResponse({"status": "unhealthy", "checks": {"stopping": "unhealthy"}}, status_code=503)
        return _probe(await self.readiness.now())

    async def started(self, request: Request) -> Response:
        """Once it has come up, that stays."""
        del request
        return _probe(await self.service.health.startup())

    async def metrics(self, request: Request) -> Response:
        """The exposition, in a thread: a scrape of many series must not hold up the event loop."""
        accept = request.headers.get("accept", "")
        wanted = parse_query(request, MetricsQuery).format
        if wanted == "json" or (wanted is None and accept.strip().lower().startswith("application/json")):
            return JSONResponse(await asyncio.to_thread(MetricsManager.get().get_all_stats))
        exposition = await asyncio.to_thread(self.service.telemetry.exposition, accept or None)
        return Response(exposition.body, headers={"content-type": exposition.content_type})

    async def config(self, request: Request) -> Response:
        """The settings, without secrets, and which configuration that is."""
        del request
        engine = self.service.app.engine
        return JSONResponse({**settings_view(engine.settings), "version": asdict(engine.version)})


def health_of(found: SystemHealth) -> dict[str, Any]:
    """Health in the known form."""
    return {**found.to_dict(), "transport": "http"}


def _probe(found: SystemHealth) -> Response:
    """A probe's answer needs no details: those are for who may see them."""
    checks = {one.name: one.status.value for one in found.checks}
    return JSONResponse({"status": found.status.value, "checks": checks}, status_code=200 if found.ok else 503)
