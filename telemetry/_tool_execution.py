"""The figures of one tool: what its users know as `ToolExecutionMetrics`."""

from __future__ import annotations

import logging
import math
import sys
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from ._names import Attribute
from ._recent import RecentOutcomes, RecentValues
from ._sanitize import Repairs, bounded_error_type, clean_name, default_repairs, is_success, repair, text_of
from ._windows import DEFAULT_SPANS, Windows, WindowStats

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ToolExecutionMetrics"]

_log = logging.getLogger(__name__)
_PERCENTILES: Final = (50.0, 95.0, 99.0)


_SUCCESS: Final = ("success", "none")


def _moment(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds / 1e6, UTC)


class ToolExecutionMetrics:
    """Counts, times, exact percentiles and time windows of one tool. Thread-safe.

    The counters live for as long as the tool is tracked; percentiles are those of the most recent 1,000
    executions (nearest rank), `recent_executions` has the last 100. What `mcp_tool_execution_total` shows
    is read from `outcomes`.

    >>> tool = ToolExecutionMetrics("nmap")
    >>> tool.record_execution(True, 2.0)
    >>> tool.record_execution(False, 4.0, error_type="timeout")
    >>> stats = tool.get_stats()
    >>> stats["execution_count"], stats["success_rate"], stats["p50_execution_time"], stats["error_count"]
    (2, 50.0, 2.0, 1)
    """

    __slots__ = (
        *("_clock", "_failures", "_lock", "_outcomes", "_recent", "_repairs", "_wall", "_windows", "active"),
        *("attributes", "error_count", "failure_count", "last_used", "max_execution_time", "min_execution_time"),
        *("success_count", "timeout_count", "tool_name", "total_execution_time", "used"),
    )

    def __init__(
        self,
        tool_name: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], int] = time.time_ns,
        spans: tuple[float, ...] = DEFAULT_SPANS,
        repairs: Repairs | None = None,
        lock: threading.RLock | None = None,
    ) -> None:
        name = clean_name(tool_name)
        if name is None:
            raise TypeError(f"tool_name is {type(tool_name).__qualname__}; expected str, for example 'nmap'")
        self.tool_name = name
        self.attributes = {Attribute.TOOL: name}
        self._clock = clock
        self._wall = wall
        self._repairs = repairs or default_repairs()
        self._lock = lock if lock is not None else threading.RLock()
        self.active = 0
        self.last_used = clock()
        self.used = 0
        self.success_count = 0
        self.failure_count = 0
        self.timeout_count = 0
        self.error_count = 0
        self.total_execution_time = 0.0
        self.min_execution_time = math.inf
        self.max_execution_time = 0.0
        self._failures: dict[str, int] = {}
        self._recent = RecentValues()
        self._windows = Windows(spans, self._recent)
        self._outcomes = RecentOutcomes()

    def record_execution(
        self, success: bool, execution_time: float, timed_out: bool = False, error_type: str | None = None
    ) -> None:
        """Take in one execution. `execution_time` is in seconds and repaired when it is no such number."""
        seconds = self._repairs.value(execution_time, "execution_time")
        good = is_success(success)
        with self._lock:
            error = bounded_error_type(error_type)
            self.last_used = max(self._clock(), self.last_used)
            self.add(self.last_used, self._wall(), seconds, good, is_success(timed_out), error_type, error)

    def add(
        self, now: float, when: int, seconds: float, success: bool, timed_out: bool, error_type: object, error: str
    ) -> None:
        """Take in what is already checked, `error` being the bounded error type; the caller holds the lock."""
        detail: str | None = None
        if success:
            self.success_count += 1
        else:
            self.failure_count += 1
            if error_type is not None:
                self.error_count += 1
                detail = error if error != "other" else text_of(error_type)
            elif timed_out:
                error = "timeout"
            self._failures[error] = self._failures.get(error, 0) + 1
        if timed_out:
            self.timeout_count += 1
        self.total_execution_time += seconds
        if seconds < self.min_execution_time:
            self.min_execution_time = seconds
        if seconds > self.max_execution_time:
            self.max_execution_time = seconds
        self._outcomes.add(when, success + 2 * timed_out, detail)
        self._windows.add(now, seconds, not success)

    @property
    def outcomes(self) -> dict[tuple[str, str], int]:
        """How often it ended how: executions by status and bounded error type."""
        successes = {_SUCCESS: self.success_count} if self.success_count else {}
        return successes | {("failure", error): count for error, count in self._failures.items()}

    @property
    def execution_count(self) -> int:
        """How many executions were recorded."""
        return self.success_count + self.failure_count

    @property
    def last_execution_time(self) -> datetime | None:
        """When the last execution was recorded (UTC); None before the first."""
        last = self._outcomes.last
        return None if last is None else _moment(last)

    @property
    def recent_executions(self) -> list[dict[str, Any]]:
        """The last 100 executions, oldest first."""
        with self._lock:
            values = list(self._recent)
            rows = list(zip(self._outcomes, values[-len(self._outcomes) :], strict=True))
        return [
            {
                "timestamp": _moment(when).isoformat(),
                "success": success,
                "execution_time": seconds,
                "timed_out": timed_out,
                "error_type": error_type,
            }
            for (when, success, timed_out, error_type), seconds in rows
        ]

    def recent_values(self) -> list[float]:
        """The times of the most recent 1,000 executions in seconds, oldest first."""
        with self._lock:
            return list(self._recent)

    def get_percentile(self, percentile: float) -> float:
        """The nearest-rank percentile of the most recent 1,000 executions, in seconds; 0.0 without any.

        A `percentile` outside of 0 to 100 is taken as the nearer end, with a warning.
        """
        number, reason = repair(percentile)
        clamped = min(number, 100.0) if reason is None else 100.0 if percentile == math.inf else 0.0
        if clamped != percentile:
            _log.warning("metrics.invalid_percentile percentile=%.20r used=%s", percentile, clamped)
        with self._lock:
            return self._recent.percentiles((clamped,))[0]

    def window(self, span: float) -> WindowStats:
        """What happened in the last `span` seconds."""
        with self._lock:
            return self._windows.stats(span, self._clock())

    @property
    def windows(self) -> Windows:
        """The slots behind `window`, for who adds up several tools under the lock."""
        return self._windows

    def get_stats(self) -> dict[str, Any]:
        """All figures; rates in percent, times in seconds. The same keys whether the tool ever ran or not."""
        with self._lock:
            count = self.execution_count
            p50, p95, p99 = self._recent.percentiles(_PERCENTILES)
            last = self._outcomes.last
            total = min(self.total_execution_time, sys.float_info.max)
            return {
                "tool_name": self.tool_name,
                "execution_count": count,
                "success_count": self.success_count,
                "failure_count": self.failure_count,
                "error_count": self.error_count,
                "timeout_count": self.timeout_count,
                "success_rate": round(self.success_count / count * 100, 2) if count else 0.0,
                "average_execution_time": round(total / count, 4) if count else 0.0,
                "min_execution_time": round(self.min_execution_time, 4) if count else 0.0,
                "max_execution_time": round(self.max_execution_time, 4),
                "p50_execution_time": round(p50, 4),
                "p95_execution_time": round(p95, 4),
                "p99_execution_time": round(p99, 4),
                "last_execution_time": None if last is None else _moment(last).isoformat(),
                "recent_failure_rate": round(self._outcomes.failure_ratio * 100, 2),
            }

    def to_dict(self) -> dict[str, Any]:
        """The same as `get_stats`."""
        return self.get_stats()
