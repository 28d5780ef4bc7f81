"""The figures of one tool: what its users know as `ToolExecutionMetrics`."""

from __future__ import annotations

import logging
import math
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from ._arguments import number
from ._names import Attribute
from ._recent import ERROR, LATE, SUCCESS, RecentExecutions, RecentValues
from ._sanitize import Repairs, bounded_error_type, clean_name, default_repairs, is_success, repair, text_of
from ._tool_counts import Counts, iso, moment, rounded
from ._windows import DEFAULT_SPANS, Windows, WindowStats

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

__all__ = ["ToolExecutionMetrics"]

_log = logging.getLogger(__name__)
_PERCENTILES: Final = (50.0, 95.0, 99.0)
_SUCCESS: Final = ("success", "none")


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
        *("_clock", "_counts", "_ended", "_failures", "_lock", "_recent", "_repairs", "_slot_end", "_touched"),
        *("_values", "_wall", "_windows", "active", "attributes", "tool_name"),
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
        self._touched = self._ended = clock()
        self._slot_end = -math.inf
        self._counts = Counts()
        self._failures: dict[str, int] = {}
        self._recent = RecentExecutions()
        self._values = RecentValues()
        self._windows = Windows(spans, self._values)

    def record_execution(
        self, success: bool, execution_time: float, timed_out: bool = False, error_type: str | None = None
    ) -> None:
        """Take in one execution. `execution_time` is in seconds and repaired when it is no such number."""
        seconds = self._repairs.value(execution_time, "execution_time")
        good = is_success(success)
        with self._lock:
            error = bounded_error_type(error_type)
            now = max(self._clock(), self._ended)
            self.add(now, self._wall(), seconds, good, is_success(timed_out), error_type, error)

    def add(
        self, now: float, when: int, seconds: float, success: bool, timed_out: bool, error_type: object, error: str
    ) -> None:
        """Take in what is already checked, `error` being the bounded error type; the caller holds the lock.

        Little is written here, because every recording pays for it; `_settle` counts later, many at once.
        """
        if now >= self._slot_end:
            self._open_slot(now)
        detail: str | None = None
        flags = LATE if timed_out else 0
        if success:
            flags |= SUCCESS
        else:
            if error_type is not None:
                flags |= ERROR
                detail = error if error != "other" else text_of(error_type)
            elif timed_out:
                error = "timeout"
            self._failures[error] = self._failures.get(error, 0) + 1
        self._ended = now
        if self._recent.add(when, seconds, flags, detail):
            self._settle()

    def _open_slot(self, now: float) -> None:
        self._settle()
        self._windows.open(now)
        self._slot_end = self._windows.until

    def _settle(self) -> Counts:
        """Count what was recorded since this was done last; the caller holds the lock."""
        counts = self._counts
        seconds, flags = self._recent.take()
        if seconds:
            self._windows.take(seconds, counts.add(seconds, flags), self._ended)
        return counts

    def _settled(self) -> Counts:
        with self._lock:
            return self._settle()

    def touch(self, now: float) -> None:
        """It is used, although nothing is recorded."""
        self._touched = now

    @property
    def last_used(self) -> float:
        """When it was used last, on the monotonic clock."""
        return max(self._touched, self._ended)

    @property
    def execution_count(self) -> int:
        """How many executions were recorded."""
        counts = self._settled()
        return counts.successes + counts.failures

    @property
    def success_count(self) -> int:
        """How many of them succeeded."""
        return self._settled().successes

    @property
    def failure_count(self) -> int:
        """How many of them failed."""
        return self._settled().failures

    @property
    def timeout_count(self) -> int:
        """How many of them timed out."""
        return self._settled().timeouts

    @property
    def error_count(self) -> int:
        """How many of them failed with an error type."""
        return self._settled().errors

    @property
    def total_execution_time(self) -> float:
        """Seconds of all of them together."""
        return self._settled().total

    @property
    def min_execution_time(self) -> float:
        """Seconds of the shortest; infinite before the first."""
        return self._settled().shortest

    @property
    def max_execution_time(self) -> float:
        """Seconds of the longest; 0.0 before the first."""
        return self._settled().longest

    @property
    def outcomes(self) -> dict[tuple[str, str], int]:
        """How often it ended how: executions by status and bounded error type."""
        count = self._settled().successes
        return ({_SUCCESS: count} if count else {}) | {("failure", error): n for error, n in self._failures.items()}

    @property
    def last_execution_time(self) -> datetime | None:
        """When the last execution was recorded (UTC); None before the first."""
        last = self._recent.last
        return None if last is None else moment(last)

    @property
    def recent_executions(self) -> list[dict[str, Any]]:
        """The last 100 executions, oldest first."""
        with self._lock:
            rows = list(self._recent)
        return [
            {
                "timestamp": iso(when),
                "success": bool(flags & SUCCESS),
                "execution_time": seconds,
                "timed_out": bool(flags & LATE),
                "error_type": error_type,
            }
            for when, seconds, flags, error_type in rows
        ]

    def recent_values(self) -> list[float]:
        """The times of the most recent 1,000 executions in seconds, oldest first."""
        with self._lock:
            self._settle()
            return list(self._values)

    def get_percentile(self, percentile: float) -> float:
        """The nearest-rank percentile of the most recent 1,000 executions, in seconds; 0.0 without any.

        A `percentile` outside of 0 to 100 is taken as the nearer end, with a warning.
        """
        number, reason = repair(percentile)
        clamped = min(number, 100.0) if reason is None else 100.0 if percentile == math.inf else 0.0
        if clamped != percentile:
            _log.warning("metrics.invalid_percentile percentile=%.20r used=%s", percentile, clamped)
        with self._lock:
            self._settle()
            return self._values.percentiles((clamped,))[0]

    def window(self, span: float) -> WindowStats:
        """What happened in the last `span` seconds."""
        number("span", span, "seconds above 0, for example 60.0", low=1e-9)
        with self._lock:
            self._settle()
            return self._windows.stats(span, self._clock())

    @property
    def windows(self) -> Windows:
        """The slots behind `window`, for who adds up several tools under the lock."""
        self._settle()
        return self._windows

    def get_stats(self) -> dict[str, Any]:
        """All figures; rates in percent, times in seconds. The same keys whether the tool ever ran or not."""
        with self._lock:
            counts = self._settle()
            p50, p95, p99 = self._values.percentiles(_PERCENTILES)
            last, recent_failures = self._recent.last, self._recent.failure_ratio
        count = counts.successes + counts.failures
        total = min(counts.total, sys.float_info.max)
        return {
            "tool_name": self.tool_name,
            "execution_count": count,
            "success_count": counts.successes,
            "failure_count": counts.failures,
            "error_count": counts.errors,
            "timeout_count": counts.timeouts,
            "success_rate": rounded(counts.successes / count * 100, 100) if count else 0.0,
            "average_execution_time": rounded(total / count) if count else 0.0,
            "min_execution_time": rounded(counts.shortest) if count else 0.0,
            "max_execution_time": rounded(counts.longest),
            "p50_execution_time": rounded(p50),
            "p95_execution_time": rounded(p95),
            "p99_execution_time": rounded(p99),
            "last_execution_time": None if last is None else iso(last),
            "recent_failure_rate": rounded(recent_failures * 100, 100),
        }

    def to_dict(self) -> dict[str, Any]:
        """The same as `get_stats`."""
        return self.get_stats()
