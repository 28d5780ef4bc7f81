"""The breakers of one application: made from the settings, kept across restarts when there is a store."""

from __future__ import annotations

import logging
import sqlite3
from typing import TYPE_CHECKING

from tracefuse.resilience import BreakerConfig, BreakerRegistry, CircuitBreaker, SQLiteStore, StateKeeper

from ._errors import ToolError, ToolResourceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracefuse.resilience import StateStore
    from tracefuse.telemetry import Instrumentation

    from .config._settings import Settings

__all__ = ["Breakers", "breaker_config", "open_store"]

_log = logging.getLogger(__name__)


def breaker_config(settings: Settings) -> BreakerConfig:
    """How every breaker behaves. Only a tool's failure counts; a refusal by the policy never comes this far."""
    return BreakerConfig(
        failure_threshold=settings.breaker.failure_threshold,
        recovery_timeout=settings.breaker.recovery_timeout,
        success_threshold=settings.breaker.success_threshold,
        max_timeout=max(300.0, settings.breaker.recovery_timeout),
        # A probe is a whole scan; only one that outlives its own time limit is lost.
        half_open_timeout=settings.nmap.timeout + settings.nmap.grace + 60.0,
        # A scan has a time limit of its own, so a hang never hides behind a caller who gives up.
        cancel_counts_after=None,
        expected_exception=(ToolError,),
        # A scan that writes more than it may was asked for too much; nmap did nothing wrong.
        ignored_exception=(ToolResourceError,),
    )


def open_store(settings: Settings, warn: Callable[[str], object] = _log.warning) -> StateStore | None:
    """The state file of this user; None, and a warning, where it cannot be written: scans go on without it."""
    path = settings.breaker_file
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return SQLiteStore(path)
    except (OSError, sqlite3.Error) as error:
        warn(f"breaker states are not kept: {path}: {error}; set TRACEFUSE_STATE_DIR to a writable folder")
        return None


class Breakers:
    """The registry and, with a store, what keeps it across restarts."""

    def __init__(self, settings: Settings, instrumentation: Instrumentation, store: StateStore | None = None) -> None:
        self._keeper = None if store is None else StateKeeper(store)

        def make(name: str, config: BreakerConfig) -> CircuitBreaker:
            return CircuitBreaker.from_config(name, config, instrumentation=instrumentation)

        self.registry = BreakerRegistry(breaker_config(settings), make=make, keeper=self._keeper)

    def close(self) -> None:
        """Store every breaker as it stands, the count of failures in a row included, and stop the writer."""
        if self._keeper is None:
            return
        self._keeper.flush()
        for breaker in self.registry:
            try:
                self._keeper.store.save(breaker.snapshot())
            except (OSError, sqlite3.Error) as error:
                _log.warning("the state of breaker %s was not stored: %s", breaker.name, error)
        self._keeper.close()
