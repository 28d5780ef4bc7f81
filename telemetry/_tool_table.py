"""The tools that are tracked: bounded, the least recently used goes first, with one recording path that never waits.

A recording is put into a queue, and whoever finds the lock free works the queue off, its own item
included; who finds it taken goes on, because the holder looks at the queue again after letting go. So
threads that record do not queue up behind each other or behind a reader, and no recording is lost. (The
idea: Hendler, Incze, Shavit, Tzafrir: "Flat Combining and the Synchronization-Parallelism Tradeoff",
SPAA 2010.) A thread waits only when 256 recordings are pending.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry.context import get_current

from ._eviction import EvictionOrder
from ._fork import hold_at_fork
from ._names import Attribute
from ._sanitize import METRIC_ERROR_TYPES, bounded_error_type, clean_name, default_repairs, is_success, text_of
from ._system_metrics import SystemMetrics
from ._tool_execution import ToolExecutionMetrics
from ._windows import DEFAULT_SPANS

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from opentelemetry.context import Context

    from ._sanitize import Repairs
    from ._tool_series import ToolSeries

__all__ = ["DEFAULT_MAX_TOOLS", "ToolTable"]

_log = logging.getLogger(__name__)

DEFAULT_MAX_TOOLS: Final = 1000
_MAX_PENDING: Final = 256
_INVALID: Final = "invalid"


class ToolTable:
    """All tools of one meter. Thread-safe; `clock` is monotonic, `wall` is shown only."""

    def __init__(
        self,
        max_tools: int = DEFAULT_MAX_TOOLS,
        *,
        retention: float = 86_400.0,
        sweep_interval: float = 3600.0,
        spans: tuple[float, ...] = DEFAULT_SPANS,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], int] = time.time_ns,
        repairs: Repairs | None = None,
    ) -> None:
        self.max_tools = max_tools
        self.retention = retention
        self.sweep_interval = sweep_interval
        self.spans = spans
        self.clock = clock
        self.wall = wall
        self.repairs = repairs or default_repairs()
        self.lock = threading.RLock()
        self.system = SystemMetrics(clock=clock, lock=self.lock)
        self.tools: dict[str, ToolExecutionMetrics] = {}
        self.evictions = {"capacity": 0, "retention": 0}
        self.series: ToolSeries | None = None
        self.on_switch: Callable[[], object] | None = None
        """Called, outside of the lock, before the first recording on another provider."""
        self._pending: deque[tuple[Any, ...]] = deque()
        self._notes: deque[tuple[int, str, tuple[object, ...]]] = deque()
        self._swept = clock()
        self._latest = -math.inf
        self._order = EvictionOrder()
        hold_at_fork(self)

    # --- recording: never waits for a reader, never raises

    def record(
        self,
        name: object,
        success: object,
        seconds: object,
        timed_out: object,
        error_type: object,
        known: frozenset[str] = METRIC_ERROR_TYPES,
    ) -> None:
        """Take in one execution. An `error_type` that is none of `known` counts as "other"."""
        error = "none"
        if error_type is not None:
            error = bounded_error_type(error_type, known)
            if error == "other":
                _tell_span(error_type)
                error_type = text_of(error_type)
        if self.series is not None and self.series.switched():
            self._take_over(self.series)
        now, when, context = self.clock(), self.wall(), get_current()
        if not self._pending and self.lock.acquire(False):
            try:
                self._add(name, success, seconds, timed_out, error_type, error, now, when, context)
            except Exception as failure:  # noqa: BLE001 - telemetry never breaks the operation
                self._note_failure(failure)
            finally:
                self.lock.release()
        else:
            self._pending.append((name, success, seconds, timed_out, error_type, error, now, when, context))
        if self._pending or self._notes:
            self._work_off()

    def _take_over(self, series: ToolSeries) -> None:
        """Another provider is in use from now on."""
        if self.on_switch is not None:
            self.on_switch()
        with self.lock:
            series.hand_on()

    def change_active(self, name: object, change: int) -> None:
        """An execution of the tool began (+1) or ended (-1); never below 0."""
        self._pending.append((name, change))
        self._work_off()

    def _work_off(self) -> None:
        pending, lock = self._pending, self.lock
        while pending and lock.acquire(blocking=len(pending) > _MAX_PENDING):
            try:
                self._apply_pending()
            finally:
                lock.release()
        if self._notes:
            self._tell()

    def _apply_pending(self) -> None:
        pending = self._pending
        while pending:
            try:
                waiting = pending.popleft()
                # A pair is a change of how many run, all else an execution.
                (self._change_active if len(waiting) == 2 else self._add)(*waiting)
            except IndexError:
                return
            except Exception as error:  # noqa: BLE001 - telemetry never breaks the operation
                self._note_failure(error)

    def _note_failure(self, error: Exception) -> None:
        self._notes.append((logging.DEBUG, "metrics.record_failed error=%s", (type(error).__qualname__,)))

    def _add(
        self,
        name: object,
        success: object,
        seconds: object,
        timed_out: object,
        error_type: object,
        error: str,
        now: float,
        when: int,
        context: Context,
    ) -> None:
        self._latest = now = now if now > self._latest else self._a_little_later()
        if not isinstance(name, str) or (tool := self.tools.get(name)) is None:
            tool = self._used(name, now)
        value = seconds if type(seconds) is float and 0.0 <= seconds < 1e300 else self.repairs.value(seconds, "seconds")
        good = success if type(success) is bool else is_success(success)
        late = timed_out if type(timed_out) is bool else is_success(timed_out)
        tool.add(now, when, value, good, late, error_type, error)
        system = self.system
        system.request_count += 1
        if not good:
            system.error_count += 1
        series = self.series
        if series is not None and series.real is not None:
            series.real.record(value, tool.attributes, context)

    def _a_little_later(self) -> float:
        """Threads read the clock before they find the lock taken, and clocks have steps: no two uses at one time."""
        return math.nextafter(self._latest, math.inf)

    def _change_active(self, name: object, change: int) -> None:
        tool = self._used(name, self.clock())
        tool.active = max(0, tool.active + change)

    # --- which tools are tracked; the caller holds the lock

    def _used(self, name: object, now: float) -> ToolExecutionMetrics:
        """The tool `name`, made when there is none, as the most recently used one."""
        cleaned = clean_name(name)
        if cleaned is None:
            self.repairs.note("name", "tool_name")
            cleaned = _INVALID
        tool = self.tools.get(cleaned) or self._make(cleaned, now)
        self._latest = now = now if now > self._latest else self._a_little_later()
        tool.touch(now)
        return tool

    def _make(self, name: str, now: float) -> ToolExecutionMetrics:
        self._sweep(now)
        while len(self.tools) >= self.max_tools:
            self._evict_one()
        tool = self.tools[name] = ToolExecutionMetrics(
            name, clock=self.clock, wall=self.wall, spans=self.spans, repairs=self.repairs, lock=self.lock
        )
        self._notes.append((logging.DEBUG, "metrics.tool_created name=%s total_tools=%d", (name, len(self.tools))))
        return tool

    def _evict_one(self) -> None:
        name = self._order.next(self.tools)
        self._forget(self.tools.pop(name))
        self.evictions["capacity"] += 1
        self._notes.append((logging.DEBUG, "metrics.evicted tool=%s remaining=%d", (name, len(self.tools))))

    def _sweep(self, now: float) -> None:
        """At most once per interval drop what was not used for the retention time; running tools stay."""
        if now - self._swept < self.sweep_interval:
            return
        self._swept = now
        old = [tool for tool in self.tools.values() if now - tool.last_used > self.retention and not tool.active]
        for tool in old:
            del self.tools[tool.tool_name]
            self._forget(tool)
        self.evictions["retention"] += len(old)
        if old:
            self._notes.append((logging.INFO, "metrics.cleanup removed=%d remaining=%d", (len(old), len(self.tools))))

    def _forget(self, tool: ToolExecutionMetrics) -> None:
        if self.series is not None:
            self.series.forget(tool)

    # --- reading: consistent, because nothing is applied meanwhile

    @contextmanager
    def reading(self) -> Generator[dict[str, ToolExecutionMetrics]]:
        """All tools, with everything applied that was recorded before, unchanging inside the block."""
        try:
            with self.lock:
                self._apply_pending()
                self._sweep(self.clock())
                yield self.tools
        finally:
            self._work_off()

    def get(self, name: str) -> ToolExecutionMetrics:
        """The tool `name`, made when there is none. Counts as use."""
        with self.reading():
            return self._used(name, self.clock())

    def find(self, name: object) -> ToolExecutionMetrics | None:
        """The tool `name`, or None. Does not count as use."""
        cleaned = clean_name(name)
        with self.reading() as tools:
            return None if cleaned is None else tools.get(cleaned)

    def resize(self, max_tools: int) -> None:
        """From now on track at most `max_tools`."""
        with self.reading():
            self.max_tools = max_tools
            while len(self.tools) > max_tools:
                self._evict_one()

    def clear(self) -> None:
        """Forget all tools; running executions stay counted as active."""
        with self.reading():
            running = {tool.tool_name: tool.active for tool in self.tools.values() if tool.active}
            for tool in self.tools.values():
                self._forget(tool)
            self.tools.clear()
            for name, active in running.items():
                self._used(name, self.clock()).active = active

    def _tell(self) -> None:
        """Log outside of the lock: a handler may do anything, also read metrics."""
        while self._notes:
            try:
                level, message, args = self._notes.popleft()
            except IndexError:
                return
            _log.log(level, message, *args)


def _tell_span(error_type: object) -> None:
    """Put the text that is no metric attribute on the span that is running."""
    try:
        span = trace.get_current_span()
        if span.is_recording():
            span.set_attribute(Attribute.ERROR_DETAIL, text_of(error_type, 256))
    except Exception:  # noqa: BLE001 - telemetry never breaks the operation
        _log.debug("metrics.error_detail_failed", exc_info=True)
