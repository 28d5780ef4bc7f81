"""Reloading for a service that runs: which parts take new settings, and what notices that there are some."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tracefuse.telemetry import SCOPE

from ._config_watch import ConfigWatcher
from ._reload import Reloader
from ._reload_parts import HistoryLimits, LogLevel, SchedulesOfTheFile

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from ._service import Service
    from ._settings import ConfigSource

__all__ = ["reloader_of", "reloading"]


def reloader_of(service: Service, source: ConfigSource) -> Reloader:
    """What reads `source` again and puts it in force in `service`."""
    parts = (LogLevel(SCOPE), HistoryLimits(service.history), SchedulesOfTheFile(service.schedules))
    return Reloader(service.app, source.load, parts, instrumentation=service.telemetry.instrumentation)


@asynccontextmanager
async def reloading(service: Service, source: ConfigSource) -> AsyncGenerator[Reloader]:
    """Reload during the block whenever the file of `source` changes; the reloader is there for signals as well."""
    source = source.pinned()
    reloader = reloader_of(service, source)
    if source.file is None:
        yield reloader
        return
    watcher = ConfigWatcher(source.file, reloader.reload)
    await watcher.start()
    try:
        yield reloader
    finally:
        await watcher.stop()
