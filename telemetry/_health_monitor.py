"""Runs health checks, each within its time limit, and remembers what they found."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from ._arguments import number, of_type, require
from ._events import SeverityNumber, emit_event
from ._health import HealthCheckPriority, HealthCheckResult, HealthStatus, SystemHealth, overall
from ._instrumentation import Instrumentation
from ._log_context import in_context
from ._names import Attribute, Event
from ._observed import add_source
from ._sanitize import text_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

__all__ = ["HealthMonitor"]

_log = logging.getLogger(__name__)

Kind = Literal["live", "ready", "startup"]
Finding = bool | str | HealthStatus | HealthCheckResult | None

_LONGEST_NAME: Final = 128
_KINDS: Final = ("live", "ready", "startup")
_LEVELS: Final = {HealthStatus.HEALTHY: 0, HealthStatus.DEGRADED: 1, HealthStatus.UNHEALTHY: 2}


@dataclass(frozen=True, slots=True)
class _Check:
    name: str
    find: Callable[[], Finding | Awaitable[Finding]]
    kinds: frozenset[str]
    priority: HealthCheckPriority
    timeout: float


class HealthMonitor:
    """Liveness, readiness and start-up of one process.

    `live` says that the process should not be restarted, `ready` that it may be given work, `startup`
    that it has come up, and once that is said it stays. A check that is late, raises or hangs counts as
    unhealthy; a plain function runs on a thread, and while one hangs it is not started again. Answers
    are remembered for `max_age` seconds, so that probes may come often.

    Where each check stands is the metric `tracefuse.health.status`; a change is the event
    `health.changed`.

    >>> monitor = HealthMonitor()
    >>> monitor.add("store", lambda: True, priority=HealthCheckPriority.CRITICAL)
    >>> monitor.add("disk", lambda: "80 % used")
    >>> found = asyncio.run(monitor.ready())
    >>> found.status.value, [one.message for one in found.checks]
    ('healthy', ['', '80 % used'])
    """

    def __init__(
        self,
        *,
        max_age: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
        instrumentation: Instrumentation | None = None,
    ) -> None:
        number("max_age", max_age, "seconds, 0 or more, for example 5.0", low=0.0)
        self._max_age = max_age
        self._clock = clock
        self._lock = threading.RLock()
        self._checks: dict[str, _Check] = {}
        self._results: dict[str, tuple[float, HealthCheckResult]] = {}
        self._hanging: set[str] = set()
        self._started = False
        instrumentation = instrumentation or Instrumentation.from_providers()
        self._logger = instrumentation.logger
        self.close = add_source(instrumentation, "tracefuse.health.status", self._observe)
        """Report no more as a metric."""

    def add(
        self,
        name: str,
        check: Callable[[], Finding | Awaitable[Finding]],
        *,
        kinds: Iterable[Kind] = ("ready", "startup"),
        priority: HealthCheckPriority = HealthCheckPriority.IMPORTANT,
        timeout: float = 2.0,
    ) -> None:
        """Add `check`, a function or coroutine function, under a name of its own; at most 100 checks.

        It answers True or None for healthy, False for unhealthy, a text for healthy with that message, a
        HealthStatus, or a HealthCheckResult. `timeout` is in seconds. Raises ValueError for a name that is
        taken, an unknown kind, no time, or one check too many.
        """
        of_type("name", name, str, "a text, for example 'store'")
        require("name", name, 0 < len(name) <= _LONGEST_NAME and name.isprintable(), "a short text without line ends")
        require("check", check, callable(check), "a function without arguments")
        some = f"some of {', '.join(_KINDS)}"
        of_type("kinds", kinds, Iterable, some)
        wanted = frozenset(kinds)
        require("kinds", kinds, bool(wanted) and wanted <= set(_KINDS), some)
        number("timeout", timeout, "seconds above 0, at most 3600, for example 2.0", low=1e-6, high=3600.0)
        with self._lock:
            if name in self._checks or len(self._checks) >= 100:
                raise ValueError(f"check {name!r}: there is one of this name, or there are 100 already")
            self._checks[name] = _Check(name, check, wanted, priority, timeout)

    def remove(self, name: str) -> None:
        """Take a check away; nothing happens when there is none of this name."""
        of_type("name", name, str, "a text, for example 'store'")
        with self._lock:
            self._checks.pop(name, None)
            self._results.pop(name, None)

    async def live(self) -> SystemHealth:
        """Whether the process works at all; with no check of this kind it does, because it answers."""
        return await self._run("live")

    async def ready(self) -> SystemHealth:
        """Whether it may be given work."""
        return await self._run("ready")

    async def startup(self) -> SystemHealth:
        """Whether it has come up. Once it has, the checks are not asked again."""
        if self._started:
            return SystemHealth(HealthStatus.HEALTHY)
        found = await self._run("startup")
        self._started = found.ok
        return found

    def last(self) -> SystemHealth:
        """What was found last, without running anything."""
        now = self._clock()
        with self._lock:
            known = list(self._results.values())
        results = tuple(result for _, result in known)
        return SystemHealth(overall(results), results, age=max((now - when for when, _ in known), default=0.0))

    async def _run(self, kind: str) -> SystemHealth:
        with self._lock:
            chosen = [check for check in self._checks.values() if kind in check.kinds]
        results = tuple(await asyncio.gather(*(self._result(check) for check in chosen)))
        return SystemHealth(overall(results), results)

    async def _result(self, check: _Check) -> HealthCheckResult:
        with self._lock:
            known = self._results.get(check.name)
        if known is not None and self._clock() - known[0] < self._max_age:
            return known[1]
        began = self._clock()
        try:
            found = await asyncio.wait_for(self._find(check), check.timeout)
        except TimeoutError:
            result = _unhealthy(check, f"no answer within {check.timeout:g} s")
        except Exception as error:  # noqa: BLE001 - a check that raises has found something
            result = _unhealthy(check, f"{type(error).__qualname__}: {text_of(error, 200)}")
        else:
            result = _result_of(check, found)
        result = replace(result, duration=self._clock() - began)
        self._keep(check, result)
        return result

    async def _find(self, check: _Check) -> Finding:
        if inspect.iscoroutinefunction(check.find):
            return cast("Finding", await check.find())
        found = await self._on_thread(check)
        return await found if inspect.isawaitable(found) else found

    async def _on_thread(self, check: _Check) -> Finding | Awaitable[Finding]:
        """Run a plain function on a daemon thread: one that hangs must neither block the loop nor the exit."""
        with self._lock:
            if check.name in self._hanging:
                raise TimeoutError
            self._hanging.add(check.name)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()

        def run() -> None:
            try:
                found, error = check.find(), None
            except Exception as raised:  # noqa: BLE001 - handed to who waits
                found, error = None, raised
            with self._lock:
                self._hanging.discard(check.name)
            if not loop.is_closed():
                loop.call_soon_threadsafe(_settle, answer, found, error)

        threading.Thread(target=in_context(run), name=f"tracefuse-health-{check.name}", daemon=True).start()
        return cast("Finding | Awaitable[Finding]", await answer)

    def _keep(self, check: _Check, result: HealthCheckResult) -> None:
        with self._lock:
            before = self._results.get(check.name)
            if check.name in self._checks:
                self._results[check.name] = (self._clock(), result)
        old = before[1].status if before else HealthStatus.HEALTHY
        if old is result.status:
            return
        attributes: Mapping[str, str] = {
            Attribute.NAME: check.name,
            Attribute.FROM_STATE: old.value,
            Attribute.TO_STATE: result.status.value,
            Attribute.MESSAGE: result.message[:256],
        }
        fine = result.status is HealthStatus.HEALTHY
        severity = SeverityNumber.INFO if fine else SeverityNumber.WARN
        emit_event(self._logger, Event.HEALTH_CHANGED, attributes, severity=severity)
        level = logging.INFO if fine else logging.WARNING
        _log.log(level, "health.changed check=%s from=%s to=%s %s", check.name, old.value, result.status.value,
                 result.message)  # fmt: skip

    def _observe(self) -> Iterator[tuple[float, Mapping[str, str]]]:
        with self._lock:
            results = [result for _, result in self._results.values()]
        for result in results:
            yield _LEVELS[result.status], {Attribute.NAME: result.name}


def _settle(answer: asyncio.Future[Any], found: object, error: Exception | None) -> None:
    if answer.done():
        return
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(found)


def _unhealthy(check: _Check, message: str) -> HealthCheckResult:
    return HealthCheckResult(check.name, HealthStatus.UNHEALTHY, message, check.priority)


def _result_of(check: _Check, found: Finding) -> HealthCheckResult:
    match found:
        case HealthCheckResult():
            return replace(found, name=check.name, priority=check.priority)
        case HealthStatus():
            return HealthCheckResult(check.name, found, priority=check.priority)
        case str():
            return HealthCheckResult(check.name, HealthStatus.HEALTHY, found[:256], check.priority)
        case None | True:
            return HealthCheckResult(check.name, HealthStatus.HEALTHY, priority=check.priority)
        case _:
            return _unhealthy(check, "the check answered no")
