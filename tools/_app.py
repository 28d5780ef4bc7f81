"""The composition root: builds everything from the settings, in one order.

    telemetry › breaker › pipeline › tool › runner

Nothing else constructs these for itself, and nothing is kept at module level.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, TypeAlias

from tracefuse.resilience import CircuitBreaker, Pipeline, RetryPolicy
from tracefuse.telemetry import Instrumentation, ScanInstruments

from ._errors import ToolError, ToolNotFoundError, ToolTimeoutError
from ._policy import Policy
from ._process import spawn
from ._runner import Completed, Runner
from ._settings import Settings, SettingsError, load_settings
from .nmap._installation import inspect_nmap, script_database_path
from .nmap._observer import NmapObserver
from .nmap._resolver import resolve
from .nmap._script_db import ScriptDatabase, load_script_database
from .nmap._tool import Nmap

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ._tool import Caller
    from .nmap._report import Report
    from .nmap._request import ScanPlan, ScanRequest
    from .nmap._scan_events import ScanEvent

__all__ = ["App", "CompletedScan", "build"]

CompletedScan: TypeAlias = "Completed[ScanPlan, Report]"
ScanRunner: TypeAlias = "Runner[ScanRequest, ScanPlan, ScanEvent, Report]"


@dataclass(frozen=True, slots=True)
class App:
    """What a face works with: the terminal, HTTP, or a Python service."""

    settings: Settings
    tool: Nmap
    breaker: CircuitBreaker
    runner: ScanRunner

    async def scan(
        self,
        request: ScanRequest,
        *,
        caller: Caller | None = None,
        on_event: Callable[[ScanEvent], None] | None = None,
    ) -> CompletedScan:
        """Run one scan; see `Runner.run` for what it raises."""
        return await self.runner.run(request, caller=caller, on_event=on_event)


def build(
    settings: Settings | None = None,
    *,
    instrumentation: Instrumentation | None = None,
    locate: Callable[[], Awaitable[str]] | None = None,
) -> App:
    """Build the application from `settings`, by default those of the environment.

    `instrumentation` defaults to the global OpenTelemetry providers; `locate` finds nmap, by default the
    one the settings name.

    Raises:
        SettingsError: a setting cannot be used; nothing was started.

    >>> build(Settings()).tool.name
    'nmap'
    """
    settings = settings or load_settings()
    _check_cache_dir(settings)
    instrumentation = instrumentation or Instrumentation.from_providers()
    breaker = CircuitBreaker(
        name=Nmap.name,
        failure_threshold=settings.breaker.failure_threshold,
        recovery_timeout=settings.breaker.recovery_timeout,
        expected_exception=(ToolError,),
        instrumentation=instrumentation,
    )
    tool = Nmap(
        _policy(settings),
        resolver=resolve,
        scripts=cache(partial(_scripts, settings.nmap.path)),
        privileged=os.geteuid() == 0,
        timeout=settings.nmap.timeout,
    )
    runner = Runner(
        tool,
        Pipeline(Nmap.name, retry=_retry(settings), breaker=breaker, instrumentation=instrumentation),
        locate=locate or _Locator(settings.nmap.path),
        observe=partial(
            NmapObserver,
            instrumentation,
            ScanInstruments(instrumentation),
            redact_targets=settings.telemetry.redact_targets,
        ),
        workdirs=settings.cache_dir / "runs",
        instrumentation=instrumentation,
        grace=settings.nmap.grace,
        record_arguments=settings.telemetry.record_arguments,
    )
    return App(settings, tool, breaker, runner)


class _Locator:
    """Finds nmap at the first run and remembers it; while it is missing, looks again each time."""

    def __init__(self, executable: str) -> None:
        self._executable = executable
        self._found: str | None = None

    async def __call__(self) -> str:
        if self._found is None:
            self._found = (await inspect_nmap(self._executable, spawn=spawn)).path
        return self._found


def _policy(settings: Settings) -> Policy:
    chosen = settings.policy
    return Policy(
        networks=chosen.networks,
        domains=chosen.domains,
        max_addresses=chosen.max_addresses,
        allow_intrusive=chosen.allow_intrusive,
    )


def _retry(settings: Settings) -> RetryPolicy:
    """A missing program does not come back by itself within a moment, and a timeout is not cured by another."""
    return RetryPolicy(attempts=settings.retry.attempts, wait=settings.retry.wait, retry_on=_worth_another_try)


def _worth_another_try(error: BaseException) -> bool:
    return isinstance(error, ToolError) and not isinstance(error, ToolNotFoundError | ToolTimeoutError)


def _scripts(executable: str) -> ScriptDatabase | None:
    path = script_database_path(executable)
    return None if path is None else load_script_database(path)


def _check_cache_dir(settings: Settings) -> None:
    folder = settings.cache_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        reason = "it cannot be written to"
    except OSError as error:
        reason = f"it cannot be made ({error.strerror})"
    if not os.access(folder, os.W_OK | os.X_OK):
        raise SettingsError(
            "TRACEFUSE_CACHE_DIR", str(folder), f"{reason}; for example TRACEFUSE_CACHE_DIR=/tmp/tracefuse"
        )
