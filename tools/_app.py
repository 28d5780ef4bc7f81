"""The composition root: builds everything from the settings, in one order.

    telemetry › breakers › queue › engine (tool › pipeline › runner)

Nothing else constructs these for itself, and nothing is kept at module level.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, TypeAlias

from tracefuse.resilience import Pipeline, RetryPolicy
from tracefuse.telemetry import Instrumentation, ScanInstruments

from ._breakers import Breakers, breaker_config
from ._errors import ToolError, ToolNotFoundError, ToolResourceError, ToolTimeoutError
from ._listeners import call_safely
from ._local import spawn
from ._places import Places
from ._policy import Rule
from ._queue import QueueLimits
from ._runner import Completed, Runner
from ._threads import beside
from .config._settings import Settings, SettingsError, digest, load_settings
from .jobs._switch import TOOL_DISABLED
from .nmap._changes import ChangeKind
from .nmap._installation import inspect_nmap, script_database_path
from .nmap._observer import NmapObserver
from .nmap._own_templates import read_templates
from .nmap._progress import OverallProgress
from .nmap._resolver import resolve
from .nmap._script_db import ScriptDatabase, load_script_database
from .nmap._templates import TEMPLATES
from .nmap._tool import LiveEvent, Nmap

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tracefuse.resilience import CircuitBreaker, StateStore

    from ._stream import EventStream
    from ._tool import Caller, Installation
    from .history._recorder import Recorder
    from .nmap._report import Report
    from .nmap._request import ScanPlan, ScanRequest

__all__ = ["App", "CompletedScan", "ConfigVersion", "Engine", "ScanRecorder", "ScanStream", "build", "build_tool"]

CompletedScan: TypeAlias = "Completed[ScanPlan, Report]"
_PLANNING = 8
"""Threads that look up names: their own, so that slow names cannot keep the history's readers waiting."""
_PORT_STATES = ("open", "closed", "filtered", "unfiltered", "open|filtered", "closed|filtered")
"""The six states that nmap knows (Reference Guide, "Port Scanning Basics")."""

ScanRunner: TypeAlias = "Runner[ScanRequest, ScanPlan, LiveEvent, Report]"
ScanRecorder: TypeAlias = "Recorder[ScanPlan, CompletedScan]"
ScanStream: TypeAlias = "EventStream[LiveEvent, CompletedScan, Report]"


@dataclass(frozen=True, slots=True)
class ConfigVersion:
    """Which configuration is in force: 1 at the start and one more with each reload, and a digest of its values."""

    number: int
    digest: str

    def __str__(self) -> str:
        return f"{self.number} ({self.digest})"


@dataclass(frozen=True, slots=True)
class Engine:
    """What one scan runs on from its beginning to its end, so that a reload changes it for none that runs."""

    settings: Settings
    version: ConfigVersion
    tool: Nmap
    runner: ScanRunner


@dataclass(slots=True, eq=False, weakref_slot=True)
class App:
    """What a face works with: the terminal, HTTP, or a Python service.

    `engine` is replaced whole by `apply`; queue and breakers live on, with what waits and what they learned.
    """

    engine: Engine
    breakers: Breakers
    places: Places
    planning: ThreadPoolExecutor
    _assemble: Callable[[Settings, int], Engine]

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self.engine.settings

    @property
    def version(self) -> ConfigVersion:
        """Which configuration that is."""
        return self.engine.version

    @property
    def tool(self) -> Nmap:
        """nmap under the policy in force."""
        return self.engine.tool

    @property
    def runner(self) -> ScanRunner:
        """What runs the next scan."""
        return self.engine.runner

    @property
    def breaker(self) -> CircuitBreaker:
        """nmap's breaker."""
        return self.breakers.registry.get(self.tool.name)

    def close(self) -> None:
        """Let go of what outlives a scan: the breakers' states are stored, and no more names are looked up."""
        self.planning.shutdown(wait=False, cancel_futures=True)
        self.breakers.close()

    def prepare(self, settings: Settings) -> Callable[[], None]:
        """Check `settings` whole and build what they change; calling the answer puts it in force, and cannot fail.

        Scans that run or wait keep the policy that admitted them. A breaker keeps its state and its counts.

        Raises:
            TemplateError, PolicyError: a setting cannot be used; nothing was changed.
        """
        engine = self._assemble(settings, self.version.number + 1)
        breaker, limits = breaker_config(settings), _queue_limits(settings)

        def commit() -> None:
            self.breakers.registry.configure_defaults(breaker)
            self.engine = engine
            self.places.resize(limits)

        return commit

    def apply(self, settings: Settings) -> ConfigVersion:
        """Put `settings` in force, all of them or, when one cannot be used, none; see `prepare`."""
        self.prepare(settings)()
        return self.version

    async def plan(self, request: ScanRequest) -> ScanPlan:
        """What `request` would run; starts nothing. Raises PolicyViolation."""
        return await beside(self.planning, partial(self.tool.plan, request))

    async def scan(
        self,
        request: ScanRequest,
        *,
        caller: Caller | None = None,
        on_event: Callable[[LiveEvent], None] | None = None,
        progress_callback: Callable[[OverallProgress], None] | None = None,
        scan_id: str | None = None,
        recorder: ScanRecorder | None = None,
    ) -> CompletedScan:
        """Run one scan; see `Runner.run` for what it raises.

        `progress_callback` gets an estimate of how far the whole scan is, from 0 to 100 percent and
        never back; one that raises is logged and changes nothing, as with `on_event`.
        """

        def told(event: LiveEvent) -> None:
            if isinstance(event, OverallProgress):
                call_safely(progress_callback, event)
            call_safely(on_event, event)

        return await self.runner.run(request, caller=caller, on_event=told, scan_id=scan_id, recorder=recorder)

    def stream(
        self,
        request: ScanRequest,
        *,
        caller: Caller | None = None,
        buffer: int = 1000,
        scan_id: str | None = None,
        recorder: ScanRecorder | None = None,
    ) -> ScanStream:
        """Run one scan while its events are taken: `async for event in app.stream(request)`.

        They are `ScanStarted`, `PhaseBegan`, `PhaseEnded`, `Progress` (of the phase), `OverallProgress`,
        `PortDiscovered`, `HostHinted`, `HostFinished`, `ScanFinished` and, before them, `Queued` when
        the scan has to wait. The last one is the `Completed`. A failed run that is tried again begins
        again with `ScanStarted`. See `Runner.stream` for leaving early and for slow readers.
        """
        return self.runner.stream(request, caller=caller, buffer=buffer, scan_id=scan_id, recorder=recorder)


def build(
    settings: Settings | None = None,
    *,
    instrumentation: Instrumentation | None = None,
    locate: Callable[[], Awaitable[Installation]] | None = None,
    store: StateStore | None = None,
) -> App:
    """Build the application from `settings`, by default those of the environment.

    `instrumentation` defaults to the global OpenTelemetry providers; `locate` finds nmap, by default the
    one the settings name; `store` keeps the breakers' states across restarts, by default nothing does.

    Raises:
        SettingsError, TemplateError: a setting cannot be used; nothing was started.

    >>> build(Settings()).tool.name
    'nmap'
    """
    settings = settings or load_settings()
    _check_cache_dir(settings)
    instrumentation = instrumentation or Instrumentation.from_providers()
    breakers = Breakers(settings, instrumentation, store)
    breaker, places = breakers.registry.get(Nmap.name), Places(_queue_limits(settings))
    planning = ThreadPoolExecutor(_PLANNING, "tracefuse-plan")
    scans = ScanInstruments(instrumentation)
    scans.declare(
        Nmap.name, rules=(*Rule, TOOL_DISABLED), kinds=ChangeKind, host_states=("up", "down"), port_states=_PORT_STATES
    )

    def assemble(settings: Settings, number: int) -> Engine:
        tool = build_tool(settings)
        runner = Runner(
            tool,
            Pipeline(Nmap.name, retry=_retry(settings), breaker=breaker, instrumentation=instrumentation),
            locate=locate or _Locator(settings.nmap.path),
            observe=partial(
                NmapObserver,
                instrumentation,
                scans,
                redact_targets=settings.telemetry.redact_targets,
            ),
            workdir=settings.cache_dir / "runs",
            places=places,
            planning=planning,
            instrumentation=instrumentation,
            grace=settings.nmap.grace,
            record_arguments=settings.telemetry.record_arguments,
        )
        return Engine(settings, ConfigVersion(number, digest(settings)), tool, runner)

    return App(assemble(settings, 1), breakers, places, planning, assemble)


def build_tool(settings: Settings) -> Nmap:
    """nmap under the policy of `settings`; starts nothing. Raises TemplateError for a template that it refuses."""
    policy, scripts = settings.policy.policy(), cache(partial(_scripts, settings.nmap.path))
    return Nmap(
        policy,
        resolver=resolve,
        scripts=scripts,
        privileged=os.geteuid() == 0,
        timeout=settings.nmap.timeout,
        host_timeout=settings.nmap.host_timeout,
        output_limit=settings.nmap.output_limit,
        templates=read_templates(settings.templates, policy, scripts()) if settings.templates else TEMPLATES,
    )


class _Locator:
    """Finds nmap at the first run and remembers it; while it is missing, looks again each time."""

    def __init__(self, executable: str) -> None:
        self._executable = executable
        self._found: Installation | None = None

    async def __call__(self) -> Installation:
        if self._found is None:
            self._found = await inspect_nmap(self._executable, spawn=spawn)
        return self._found


def _queue_limits(settings: Settings) -> QueueLimits:
    chosen = settings.queue
    return QueueLimits(total=chosen.total, per_tool=chosen.per_tool, length=chosen.length)


def _retry(settings: Settings) -> RetryPolicy:
    """A missing program does not come back by itself within a moment, and no limit is cured by reaching it again."""
    return RetryPolicy(attempts=settings.retry.attempts, wait=settings.retry.wait, retry_on=_worth_another_try)


def _worth_another_try(error: BaseException) -> bool:
    return isinstance(error, ToolError) and not isinstance(
        error, ToolNotFoundError | ToolTimeoutError | ToolResourceError
    )


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
