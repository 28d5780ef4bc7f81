"""`MetricsManager`: all tools of the process in figures, in process and for OpenTelemetry, from one recording."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from opentelemetry import metrics

from ._arguments import number, of_type, require, shown
from ._default_table import default_table, drop_default_table
from ._exports import MetricExportFormat, to_csv, to_json
from ._meter_in_use import reader_in_use
from ._snapshots import MetricSnapshot
from ._tool_metrics import ToolMetrics
from ._tool_table import DEFAULT_MAX_TOOLS, ToolTable
from ._windows import DEFAULT_SPANS, check_spans, merged_stats

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from ._system_metrics import SystemMetrics
    from ._tool_execution import ToolExecutionMetrics
    from ._windows import WindowStats

__all__ = ["MetricsManager"]

_log = logging.getLogger(__name__)

_MIN_TOOLS: Final = 10
_MAX_TOOLS: Final = 10_000
_MAX_SNAPSHOTS: Final = 100
_FLUSH_TIMEOUT: Final = 5.0
_A_RETENTION: Final = "a timedelta above 0, for example timedelta(hours=24)"


class MetricsManager:
    """The one manager of the process: `MetricsManager.get()` and `MetricsManager()` answer the same object.

    It needs no set-up. What it records goes to the global OpenTelemetry meter provider; while there is
    none, to a private one, so that `get_prometheus_metrics` answers at once. The manager may be made
    before or after the SDK is set up: counters are read, not recorded, and of the times a provider that
    comes later gets the most recent 1,000 of each tool.

    `max_tools` from 10 to 10,000 (values outside are brought inside) bounds the tools that are tracked:
    the least recently used goes first. Tools unused for `retention` are dropped, looked for at most
    once per `cleanup_interval` seconds. `windows` are the lengths in seconds that `get_window_stats`
    answers. `clock` is monotonic, for tests; it counts when the manager is what makes the figures' table.

    >>> manager = MetricsManager.get()
    >>> manager.record_tool_execution(tool_name="NmapTool", success=True, execution_time=2.5)
    >>> manager.get_tool_stats("NmapTool")["success_rate"]
    100.0
    >>> 'mcp_tool_execution_total{error_type="none",status="success",tool="NmapTool"}' in (
    ...     manager.get_prometheus_metrics())
    True
    >>> manager.reset()
    """

    _instances: ClassVar[dict[type[MetricsManager], MetricsManager]] = {}
    _lock: ClassVar = threading.RLock()

    _snapshots: deque[MetricSnapshot]
    _table: ToolTable

    def __new__(
        cls,
        max_tools: int = DEFAULT_MAX_TOOLS,
        *,
        retention: timedelta = timedelta(hours=24),
        cleanup_interval: float = 3600.0,
        windows: Sequence[float] = DEFAULT_SPANS,
        clock: Callable[[], float] = time.monotonic,
    ) -> Self:
        """The manager, made at the first call; later settings are not taken over, and a warning says so.

        Raises TypeError or ValueError for settings that cannot be used; nothing is made then.
        """
        bound = _checked_max_tools(max_tools)
        of_type("retention", retention, timedelta, _A_RETENTION)
        require("retention", retention, retention > timedelta(0), _A_RETENTION)
        number("cleanup_interval", cleanup_interval, "seconds, 0 or more, for example 3600.0", low=0.0)
        with MetricsManager._lock:
            known = MetricsManager._instances.get(cls)
            if isinstance(known, cls):
                if bound not in {known.max_tools, DEFAULT_MAX_TOOLS}:
                    _log.warning("metrics_manager.max_tools_ignored max_tools=%d used=%d", bound, known.max_tools)
                return known
            made = super().__new__(cls)
            made._table = _table(bound, retention.total_seconds(), cleanup_interval, check_spans(windows), clock)
            made._snapshots = deque(maxlen=_MAX_SNAPSHOTS)
            made._watch_provider()
            MetricsManager._instances[cls] = made
        _log.info("metrics_manager.initialized max_tools=%d", bound)
        return made

    @classmethod
    def get(cls, max_tools: int = DEFAULT_MAX_TOOLS) -> Self:
        """The manager; the first call sets `max_tools`."""
        return cls(max_tools)

    @classmethod
    def reset_for_testing(cls) -> None:
        """Forget the manager: the next `get` makes a new one, and the figures start at nothing."""
        with MetricsManager._lock:
            MetricsManager._instances.clear()
            drop_default_table()
        _log.info("metrics_manager.reset_for_testing")

    # --- recording

    def record_tool_execution(
        self,
        tool_name: str,
        success: bool = True,
        execution_time: float = 0.0,
        status: str | None = None,
        timed_out: bool = False,
        error_type: str | None = None,
        duration_seconds: float | None = None,
    ) -> None:
        """Record one execution. Never raises and never waits for a reader.

        Args:
            tool_name: what ran. A name that is no text is recorded as "invalid".
            success: whether it succeeded; `status`, when given, decides instead ("success" or anything else).
            execution_time: seconds; `duration_seconds`, when given, replaces it. A value that is no finite
                number of zero or more is repaired as `sanitize_metric_value` says.
            timed_out: whether it ran out of time.
            error_type: why it failed. Values that are neither a known error type nor the name of a built-in
                exception count as "other" in metrics, and stand on the current span.

        Call it inside the execution's span, so that exemplars lead to its trace.
        """
        if status is not None:
            success = status == "success"
        seconds = execution_time if duration_seconds is None else duration_seconds
        self._table.record(tool_name, success, seconds, timed_out, error_type)

    def get_tool_metrics(self, tool_name: str) -> ToolMetrics:
        """The tool `tool_name`, tracked from now on. Raises TypeError when it is no text."""
        handle = ToolMetrics(tool_name, table=lambda: self._table)
        self._table.get(handle.tool_name)
        return handle

    # --- reading

    @property
    def max_tools(self) -> int:
        """How many tools are tracked at most."""
        return self._table.max_tools

    @property
    def tool_metrics(self) -> dict[str, ToolMetrics]:
        """The tracked tools by name, the least recently used first; a copy."""
        with self._table.reading() as tools:
            by_use = sorted(tools.values(), key=lambda tool: tool.last_used)
        return {tool.tool_name: ToolMetrics(tool.tool_name, table=lambda: self._table) for tool in by_use}

    @property
    def system_metrics(self) -> SystemMetrics:
        """Counters of the whole process."""
        return self._table.system

    @property
    def start_time(self) -> datetime:
        """When collection began (UTC)."""
        return self._table.system.start_time

    def get_tool_stats(self, tool_name: str) -> dict[str, Any]:
        """The figures of one tool. A tool that is not tracked is not made: the answer then has a `message`."""
        with self._table.reading():
            tool = self._table.find(tool_name)
            if tool is not None:
                return _stats(tool)
        return {"tool_name": tool_name, "execution_count": 0, "message": "No metrics available for this tool"}

    def get_system_stats(self) -> dict[str, Any]:
        """The figures of the whole process."""
        with self._table.reading():
            return self._table.system.get_stats()

    def get_all_stats(self) -> dict[str, Any]:
        """All figures of one moment, as plain dictionaries of their own."""
        system, tools = self._all()
        return {
            "system": system,
            "tools": tools,
            "prometheus_available": reader_in_use() is not None,
            "collection_start_time": self.start_time.isoformat(),
            "total_tools_tracked": len(tools),
            "max_tools": self.max_tools,
        }

    def _all(self) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        with self._table.reading() as tools:
            return self._table.system.get_stats(), {name: _stats(tool) for name, tool in tools.items()}

    @property
    def window_spans(self) -> tuple[float, ...]:
        """The windows' lengths in seconds."""
        return self._table.spans

    def get_window_stats(self, tool_name: str | None = None, span: float | None = None) -> tuple[WindowStats, ...]:
        """Counts, rate, error ratio and quantiles of the last minutes; of all tools together without `tool_name`.

        One for each window, or the one of `span` seconds. A quantile is within 1 % of the true value.
        Raises ValueError when there is no window of `span` seconds.
        """
        spans = self._table.spans
        kept = f"None, or one of the windows' seconds: {', '.join(f'{known:g}' for known in spans)}"
        require("span", span, span is None or span in spans, kept)
        of_type("tool_name", tool_name, str | None, "None for all tools, or a name, for example 'nmap'")
        now = self._table.clock()
        with self._table.reading() as tools:
            chosen = tools.values() if tool_name is None else [tools[tool_name]] if tool_name in tools else []
            slots = {one: [slot for tool in chosen for slot in tool.windows.slots(one, now)] for one in spans}
        return tuple(merged_stats(one, slots[one]) for one in spans if span in {None, one})

    def reading_tools(self) -> AbstractContextManager[Mapping[str, ToolExecutionMetrics]]:
        """All tools for a block in which nothing changes; recording goes on meanwhile and is applied after it."""
        return self._table.reading()

    # --- snapshots and exports

    def create_snapshot(self) -> MetricSnapshot:
        """Take and keep a snapshot of all figures at this moment. The last 100 are kept."""
        with self._table.reading():
            moment, monotonic = datetime.now(UTC), self._table.clock()
            snapshot = MetricSnapshot(moment, *self._all(), monotonic)
            self._snapshots.append(snapshot)
        return snapshot

    def get_snapshots(self, count: int = 10) -> list[MetricSnapshot]:
        """The last `count` snapshots, newest last; a count outside of 1 to 100 is brought inside.

        Raises TypeError when `count` is no whole number.
        """
        of_type("count", count, int, f"a whole number from 1 to {_MAX_SNAPSHOTS}")
        return list(self._snapshots)[-min(max(count, 1), _MAX_SNAPSHOTS) :]

    def export(self, export_format: MetricExportFormat | str) -> str | None:
        """Everything in the format asked for; see `get_prometheus_metrics`, `export_json`, `export_csv`.

        Raises ValueError for an unknown format.
        """
        try:
            chosen = MetricExportFormat(export_format)
        except ValueError:
            known = ", ".join(repr(one.value) for one in MetricExportFormat)
            raise ValueError(f"export_format: {shown(export_format)}; expected one of {known}") from None
        match chosen:
            case MetricExportFormat.PROMETHEUS:
                return self.get_prometheus_metrics()
            case MetricExportFormat.JSON:
                return self.export_json()
            case MetricExportFormat.CSV:
                return self.export_csv()

    def export_json(self, pretty: bool = True) -> str:
        """`get_all_stats` as strict JSON."""
        return to_json(self.get_all_stats(), pretty=bool(pretty))

    def export_csv(self) -> str:
        """One row for each tool. A name that a spreadsheet would take for a formula gets a leading quote."""
        return to_csv(self._all()[1].values())

    def get_prometheus_metrics(self) -> str | None:
        """Everything on the provider in use as Prometheus text: tools, breakers, the host's own metrics.

        None when the host's provider takes no readers, or the text could not be made.
        """
        try:
            reader = reader_in_use()
            return None if reader is None else reader.exposition().body.decode()
        except Exception as error:  # noqa: BLE001 - a scrape must not break the application
            _log.error("prometheus.generate_metrics_error error=%r", error)
            return None

    # --- the end

    def reset(self) -> None:
        """Forget all tools, counters and snapshots. Running executions stay counted as active."""
        with self._table.reading():
            self._table.clear()
            self._table.system.reset()
            self._snapshots.clear()
        _log.info("metrics_manager.reset")

    async def cleanup(self) -> None:
        """Flush what is pushed, within 5 seconds, then forget everything. May be called again; recording goes on."""
        _log.info("metrics_manager.cleanup_started")
        flush = getattr(metrics.get_meter_provider(), "force_flush", None)
        if flush is not None:
            try:
                await asyncio.wait_for(asyncio.to_thread(flush, _FLUSH_TIMEOUT * 1000), _FLUSH_TIMEOUT)
            except Exception as error:  # noqa: BLE001 - a failing exporter must not keep the figures
                _log.warning("metrics_manager.flush_failed error=%r", error)
        self.reset()
        _log.info("metrics_manager.cleanup_completed")

    def _watch_provider(self) -> None:
        reader_in_use()
        self._table.on_switch = reader_in_use


def _checked_max_tools(max_tools: int) -> int:
    of_type("max_tools", max_tools, int, "a whole number, for example 1000")
    return min(max(max_tools, _MIN_TOOLS), _MAX_TOOLS)


def _table(
    max_tools: int, retention: float, sweep_interval: float, spans: tuple[float, ...], clock: Callable[[], float]
) -> ToolTable:
    """The default table, with these settings also when a recording made it before."""
    table = default_table(lambda: ToolTable(max_tools, clock=clock))
    table.resize(max_tools)
    table.retention, table.sweep_interval, table.spans = retention, sweep_interval, spans
    return table


def _stats(tool: ToolExecutionMetrics) -> dict[str, Any]:
    stats = tool.get_stats()
    stats["active_executions"] = tool.active
    return stats
