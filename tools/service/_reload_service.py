"""Reloading for a service that runs: which parts take new settings, and what notices that there are some."""

from __future__ import annotations

import asyncio
import signal
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from tracefuse.telemetry import SCOPE, HealthCheckPriority, HealthCheckResult, HealthStatus, redact

from ..config._watch import ConfigWatcher
from ._reload import Reloader
from ._reload_parts import HistoryLimits, LogLevel, SchedulesOfTheFile

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from .._app import App
    from ..config._settings import ConfigSource
    from ._service import Service

__all__ = ["configuration_check", "on_hangup", "reloader_of", "reloading"]


def reloader_of(service: Service, source: ConfigSource) -> Reloader:
    """What reads `source` again and puts it in force in `service`."""
    parts = (LogLevel(SCOPE), HistoryLimits(service.history), SchedulesOfTheFile(service.schedules))
    return Reloader(service.app, source.load, parts, instrumentation=service.telemetry.instrumentation)


@asynccontextmanager
async def reloading(service: Service, source: ConfigSource) -> AsyncGenerator[Reloader]:
    """Reload during the block whenever the file of `source` changes; the reloader is there for signals as well."""
    source = source.pinned()
    reloader = reloader_of(service, source)
    service.health.add(
        "configuration", configuration_check(service.app, reloader), priority=HealthCheckPriority.INFORMATIONAL
    )
    try:
        if source.file is None:
            yield reloader
            return
        watcher = ConfigWatcher(source.file, reloader.reload)
        await watcher.start()
        try:
            yield reloader
        finally:
            await watcher.stop()
    finally:
        service.health.remove("configuration")


@contextmanager
def on_hangup(reloader: Reloader) -> Generator[None]:
    """Reload on SIGHUP during the block, off the event loop that runs it; of the main thread only."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, loop.run_in_executor, None, reloader.reload)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)


def configuration_check(app: App, reloader: Reloader) -> Callable[[], HealthCheckResult]:
    """Degraded while the file has something else than what is in force, because it was refused."""

    def check() -> HealthCheckResult:
        last, version = reloader.last, app.version
        refused = last is not None and last.error is not None
        said = redact(str(last)) if refused else f"configuration {version}"
        return HealthCheckResult(
            "configuration",
            HealthStatus.DEGRADED if refused else HealthStatus.HEALTHY,
            said[:256],
            metadata={
                "version": version.number,
                "digest": version.digest,
                "needs_restart": list(last.needs_restart if last is not None else ()),
            },
        )

    return check
