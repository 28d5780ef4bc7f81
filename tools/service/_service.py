"""The service: what all its faces share, brought up in order and taken down in the opposite order.

    sidecar › telemetry › logging › history › application › jobs › schedules › health › alerts › faces

Telemetry ends after everything that tells something, and the sidecar after the last flush to it.
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from tracefuse.telemetry import (
    SCOPE,
    AlertEngine,
    HealthCheckPriority,
    HealthCheckResult,
    HealthMonitor,
    RateLimitFilter,
    breaker_check,
    configure,
    configure_logging,
    executable_check,
    exporter_check,
    writable_check,
)

from .._app import build
from .._audit import AUDIT_LOGGER, Audit
from .._breakers import open_store
from .._process import end
from ..history._history import History, HistoryError
from ..jobs._jobs import Jobs
from ..schedule._settings import schedule_of
from ..schedule._store import ScheduleStore
from ._lifecycle import Lifecycle

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
    from typing import TextIO

    from tracefuse.telemetry import Telemetry

    from .._app import App
    from .._tool import Installation
    from ..config._settings import Settings

__all__ = ["Service", "open_service"]

_log = logging.getLogger(__name__)

_DAY = 86_400.0
_HOUR = 3_600.0
_MOMENT = 2.0
"""Seconds that a part gets to end which has nothing left to wait for."""


@dataclass(frozen=True, slots=True)
class Service:
    """What a face works with. `stopping` is set when the service goes down: what streams should end then."""

    app: App
    telemetry: Telemetry
    history: History
    jobs: Jobs
    audit: Audit
    schedules: ScheduleStore
    health: HealthMonitor
    alerts: AlertEngine
    lifecycle: Lifecycle
    stopping: asyncio.Event

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self.app.settings


@asynccontextmanager
async def open_service(
    settings: Settings,
    *,
    telemetry: Telemetry | None = None,
    locate: Callable[[], Awaitable[Installation]] | None = None,
    warn: Callable[[str], object] = _log.warning,
    log_to: TextIO | None = None,
) -> AsyncGenerator[Service]:
    """Bring the service up; take it down after the block.

    `telemetry` defaults to that of the environment, which is then flushed and shut down at the end; a
    given one stays the caller's. `locate` finds nmap. `warn` gets one line for each thing that does not
    keep the service from running, lost telemetry included. `log_to` takes the log, by default standard error.

    Raises:
        SettingsError, ConfigurationError, TemplateError: a setting cannot be used.
        StoreError: the history or the schedules cannot be opened.
        SidecarError: a collector is asked for, and there is none.
    """
    lifecycle = Lifecycle()
    try:
        sidecar = await _start_sidecar(settings, lifecycle) if settings.sidecar.enabled else None
        if telemetry is None:
            telemetry = _set_up_telemetry(settings, sidecar, lifecycle, warn)
        _set_up_logging(settings, log_to, lifecycle)
        service = _bring_up(settings, telemetry, locate, lifecycle, warn)
        if sidecar is not None:
            service.health.add("sidecar", sidecar.check, timeout=settings.health.timeout)
        yield service
    finally:
        report = await lifecycle.stop()
        if not report.clean:
            warn(str(report))


@dataclass(frozen=True, slots=True)
class _Beside:
    """The collector beside the service: how it is, and where it takes OTLP over gRPC."""

    check: Callable[[], HealthCheckResult]
    endpoint: str


async def _start_sidecar(settings: Settings, lifecycle: Lifecycle) -> _Beside:
    from ..sidecar._plan import plan_sidecar
    from ..sidecar._sidecar import Sidecar, SidecarTiming, sidecar_check

    plans = plan_sidecar(settings.sidecar)
    sidecar = Sidecar(plans)
    lifecycle.add("sidecar", sidecar.stop, timeout=SidecarTiming().grace + _MOMENT)
    await sidecar.start()
    return _Beside(sidecar_check(sidecar), plans[0].endpoint)


def _sent_to(sidecar: _Beside | None, environ: Mapping[str, str]) -> Mapping[str, str]:
    """The environment of telemetry: what goes nowhere yet goes to the collector beside the service."""
    chosen = any(name.startswith("OTEL_EXPORTER_OTLP") and name.endswith("ENDPOINT") for name in environ)
    if sidecar is None or chosen:
        return environ
    return {
        **environ,
        "OTEL_EXPORTER_OTLP_ENDPOINT": sidecar.endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
    }


def _set_up_telemetry(
    settings: Settings, sidecar: _Beside | None, lifecycle: Lifecycle, warn: Callable[[str], object]
) -> Telemetry:
    telemetry = configure(_sent_to(sidecar, os.environ), redact_targets=settings.telemetry.redact_targets)
    deadline = settings.telemetry.shutdown_deadline

    def flush() -> None:
        report = telemetry.shutdown(deadline)
        if report.lost:
            warn(str(report))

    lifecycle.add("telemetry", flush, timeout=deadline + _MOMENT)
    for note in telemetry.config.notes:
        warn(note)
    return telemetry


def _bring_up(
    settings: Settings,
    telemetry: Telemetry,
    locate: Callable[[], Awaitable[Installation]] | None,
    lifecycle: Lifecycle,
    warn: Callable[[str], object],
) -> Service:
    history = History.open(
        settings.history_file, max_age=settings.history.max_age * _DAY, max_bytes=settings.history.max_bytes
    )
    lifecycle.add("history", history.close)
    upkeep = asyncio.create_task(_keep_bounds(history))
    lifecycle.add("upkeep", partial(end, upkeep))
    app = build(settings, instrumentation=telemetry.instrumentation, locate=locate, store=open_store(settings, warn))
    lifecycle.add("application", app.close)
    jobs = Jobs(app, history, instrumentation=telemetry.instrumentation)
    audit = Audit(telemetry.instrumentation.logger, redact_targets=settings.telemetry.redact_targets)
    # Here, once, for all faces and for the schedules.
    jobs.add_listener(audit.job)
    lifecycle.add("jobs", partial(jobs.close, 0.0), timeout=settings.nmap.grace + _MOMENT)
    schedules = ScheduleStore(settings.schedule_file)
    lifecycle.add("schedules", schedules.close)
    schedules.take_over(schedule_of(name, entry) for name, entry in settings.schedules.items())
    stopping = asyncio.Event()
    health = _health(app, telemetry, stopping)
    watch = asyncio.create_task(_watch(health, settings.health.interval))
    lifecycle.add("health", partial(_end_watch, watch, health))
    alerts = AlertEngine(instrumentation=telemetry.instrumentation)
    if settings.alerts.enabled:
        alerts.start(settings.alerts.interval)
    lifecycle.add("alerts", alerts.stop)
    return Service(app, telemetry, history, jobs, audit, schedules, health, alerts, lifecycle, stopping)


def _set_up_logging(settings: Settings, log_to: TextIO | None, lifecycle: Lifecycle) -> None:
    """Log as the settings say; audit lines are owed whole, whatever the level is and however many come."""
    setup = configure_logging(
        level=settings.logging.level,
        style=settings.logging.format,
        stream=log_to,
        redact_targets=settings.telemetry.redact_targets,
        rate_limit=RateLimitFilter(unlimited=(AUDIT_LOGGER,)),
        logger_name=SCOPE,
    )
    audit = logging.getLogger(AUDIT_LOGGER)
    before = audit.level
    audit.setLevel(logging.INFO)

    def close() -> None:
        audit.setLevel(before)
        setup.close()

    lifecycle.add("logging", close)


def _health(app: App, telemetry: Telemetry, stopping: asyncio.Event) -> HealthMonitor:
    settings = app.settings
    limit = settings.health.timeout
    health = HealthMonitor(max_age=settings.health.interval / 2, instrumentation=telemetry.instrumentation)
    health.add(
        "service", lambda: not stopping.is_set(), kinds=("ready",), priority=HealthCheckPriority.CRITICAL, timeout=limit
    )
    health.add("nmap", partial(_nmap_answers, app), timeout=limit)
    health.add("store", writable_check(settings.state_dir), priority=HealthCheckPriority.CRITICAL, timeout=limit)
    health.add("exporters", exporter_check(telemetry), kinds=("ready",), timeout=limit)
    for breaker in app.breakers.registry:
        health.add(f"breaker {breaker.name}", breaker_check(breaker), kinds=("ready",), timeout=limit)
    return health


async def _nmap_answers(app: App) -> HealthCheckResult:
    """Ask the nmap of the settings in force."""
    return await executable_check(app.settings.nmap.path)()


async def _keep_bounds(history: History) -> None:
    """Let go of what is too old also while nothing is scanned."""
    while True:
        await asyncio.sleep(_HOUR)
        try:
            await asyncio.to_thread(history.prune)
        except HistoryError as error:
            _log.warning("history.not_pruned %s", error)


async def _watch(health: HealthMonitor, interval: float) -> None:
    """Ask again and again, so that the metrics of health are there also when no probe comes."""
    while True:
        await health.ready()
        await asyncio.sleep(interval)


async def _end_watch(watch: asyncio.Task[None], health: HealthMonitor) -> None:
    await end(watch)
    health.close()
