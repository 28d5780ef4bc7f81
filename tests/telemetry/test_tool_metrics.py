"""The figures of one tool."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from tracefuse.telemetry import MetricsManager, SystemMetrics, ToolExecutionMetrics, ToolMetrics

KEYS = [
    *("tool_name", "execution_count", "success_count", "failure_count", "error_count", "timeout_count"),
    *("success_rate", "average_execution_time", "min_execution_time", "max_execution_time", "p50_execution_time"),
    *("p95_execution_time", "p99_execution_time", "last_execution_time", "recent_failure_rate"),
]


def test_a_new_tool_has_all_keys_and_zeros() -> None:
    tool = ToolExecutionMetrics("nmap")
    assert (tool.execution_count, tool.success_count, tool.failure_count) == (0, 0, 0)
    assert (tool.timeout_count, tool.error_count, tool.total_execution_time) == (0, 0, 0.0)
    assert (tool.min_execution_time, tool.max_execution_time) == (math.inf, 0.0)
    assert tool.last_execution_time is None
    assert tool.recent_executions == []
    stats = tool.get_stats()
    assert list(stats) == KEYS
    assert {key: value for key, value in stats.items() if value not in {0, "nmap"}} == {"last_execution_time": None}


def test_executions_are_counted_by_how_they_ended() -> None:
    tool = ToolExecutionMetrics("nmap")
    tool.record_execution(True, 1.0)
    tool.record_execution(False, 3.0, timed_out=True, error_type="timeout")
    tool.record_execution(False, 2.00004)
    stats = tool.get_stats()
    assert stats == tool.to_dict()
    assert list(stats) == KEYS
    assert stats["execution_count"] == 3
    assert (stats["success_count"], stats["failure_count"], stats["error_count"], stats["timeout_count"]) == (
        1, 2, 1, 1,
    )  # fmt: skip
    assert (stats["success_rate"], stats["recent_failure_rate"]) == (33.33, 66.67)
    assert (stats["average_execution_time"], stats["min_execution_time"], stats["max_execution_time"]) == (
        2.0,
        1.0,
        3.0,
    )
    assert stats["p50_execution_time"] == 2.0
    assert datetime.fromisoformat(stats["last_execution_time"]).utcoffset() == datetime.now(UTC).utcoffset()
    assert tool.last_execution_time == datetime.fromisoformat(stats["last_execution_time"])


def test_the_last_hundred_are_listed() -> None:
    tool = ToolExecutionMetrics("nmap")
    for number in range(150):
        tool.record_execution(number % 2 == 0, float(number), error_type="ValueError")
    recent = tool.recent_executions
    assert len(recent) == 100
    assert list(recent[0]) == ["timestamp", "success", "execution_time", "timed_out", "error_type"]
    assert (recent[0]["execution_time"], recent[-1]["execution_time"]) == (50.0, 149.0)
    assert (recent[0]["error_type"], recent[-1]["error_type"]) == (None, "ValueError")
    assert recent[-1]["timestamp"].endswith("+00:00")


def test_percentiles_are_those_of_the_last_thousand() -> None:
    tool = ToolExecutionMetrics("nmap")
    for seconds in [60.0] * 5000 + [0.01] * 1000:
        tool.record_execution(True, seconds)
    stats = tool.get_stats()
    assert [stats[f"p{p}_execution_time"] for p in (50, 95, 99)] == [0.01] * 3
    assert stats["max_execution_time"] == 60.0


@pytest.mark.parametrize(("asked", "answered"), [(-1, 1.0), (math.nan, 1.0), (101, 4.0), (math.inf, 4.0), (50, 2.0)])
def test_a_percentile_outside_is_clamped_with_a_warning(
    asked: float, answered: float, caplog: pytest.LogCaptureFixture
) -> None:
    tool = ToolExecutionMetrics("nmap")
    for seconds in (1.0, 2.0, 3.0, 4.0):
        tool.record_execution(True, seconds)
    assert tool.get_percentile(asked) == answered
    assert bool(caplog.records) == (asked != 50)
    assert ToolExecutionMetrics("empty").get_percentile(50) == 0.0


def test_the_sum_stays_finite() -> None:
    tool = ToolExecutionMetrics("nmap")
    for _ in range(4):
        tool.record_execution(True, 1.7e308)
    assert math.isfinite(tool.get_stats()["average_execution_time"])


@pytest.mark.parametrize("name", [None, 3, b"nmap", ("a",)])
def test_a_name_that_is_no_text_is_refused(name: Any) -> None:
    with pytest.raises(TypeError, match="expected str, for example 'nmap'"):
        ToolExecutionMetrics(name)
    with pytest.raises(TypeError, match="expected str, for example 'nmap'"):
        ToolMetrics(name)


def test_active_executions_never_go_below_zero_and_agree_with_the_exposition(manager: MetricsManager) -> None:
    tool = manager.get_tool_metrics("nmap")
    tool.decrement_active()
    tool.increment_active()
    tool.increment_active()
    tool.decrement_active()
    assert tool.get_active_count() == tool.get_stats()["active_executions"] == 1
    assert 'mcp_tool_active{tool="nmap"} 1.0' in (manager.get_prometheus_metrics() or "")


def test_a_tool_made_by_itself_is_the_managers(manager: MetricsManager) -> None:
    ToolMetrics("alone").record_execution(True, 1.0)
    assert manager.get_tool_stats("alone")["execution_count"] == 1
    assert repr(ToolMetrics("alone")) == "ToolMetrics('alone')"
    assert ToolMetrics("never").metrics.execution_count == 0
    assert "never" not in manager.tool_metrics


def test_recording_from_threads_loses_nothing() -> None:
    tool = ToolExecutionMetrics("nmap")

    def record(_: int) -> None:
        for number in range(500):
            tool.record_execution(number % 2 == 0, 0.1)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(record, range(4)))
    assert tool.get_stats()["execution_count"] == 2000
    assert tool.get_stats()["success_rate"] == 50.0


def test_system_metrics_count_and_do_not_go_below_zero(clock: Any) -> None:
    system = SystemMetrics(clock=clock)
    assert list(system.get_stats()) == [
        *("uptime_seconds", "request_count", "error_count", "error_rate", "active_connections", "start_time")
    ]
    system.decrement_active_connections()
    system.increment_active_connections()
    for _ in range(3):
        system.increment_request_count()
    system.increment_error_count()
    clock.advance(12.345)
    stats = system.get_stats()
    assert (stats["uptime_seconds"], stats["error_rate"], stats["active_connections"]) == (12.35, 33.33, 1)
    assert datetime.fromisoformat(stats["start_time"]).tzinfo is not None
    for _ in range(5):
        system.increment_error_count()
    assert system.get_stats()["error_rate"] == 100.0
    system.reset()
    assert (system.request_count, system.error_count, system.active_connections) == (0, 0, 0)
    assert system.get_uptime() == pytest.approx(12.345)
