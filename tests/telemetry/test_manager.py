"""The metrics manager: its known surface, its bounds, and that text and dictionaries agree."""

from __future__ import annotations

import csv
import io
import json
import logging
import math
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tracefuse.telemetry import (
    MetricExportFormat,
    MetricsManager,
    MetricSnapshot,
    PrometheusMetrics,
    PrometheusRegistry,
    ToolInstruments,
    sanitize_metric_value,
)

HEADER = (
    "tool_name,execution_count,success_count,failure_count,success_rate,avg_time,min_time,max_time,"
    "p50,p95,p99,timeout_count,error_count"
)


def samples(manager: MetricsManager, name: str) -> dict[frozenset[tuple[str, str]], float]:
    """The samples called `name` of the Prometheus text, by their labels."""
    text = manager.get_prometheus_metrics()
    assert text is not None
    return {
        frozenset(sample.labels.items()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        # Without labels are those that another test added to the instrument of this name.
        if sample.name == name and sample.labels
    }


def total(manager: MetricsManager, name: str, **labels: str) -> float:
    return sum(value for key, value in samples(manager, name).items() if labels.items() <= dict(key).items())


# --- one manager


def test_there_is_one_manager(manager: MetricsManager) -> None:
    assert MetricsManager.get() is MetricsManager() is MetricsManager.get(500) is manager
    assert manager.max_tools == 10


def test_another_size_is_not_ignored_silently(manager: MetricsManager, caplog: pytest.LogCaptureFixture) -> None:
    MetricsManager.get(77)
    assert "metrics_manager.max_tools_ignored max_tools=77 used=10" in caplog.messages


@pytest.mark.parametrize(("asked", "used"), [(-5, 10), (9, 10), (10, 10), (10_000, 10_000), (10**9, 10_000)])
def test_the_size_is_brought_inside_its_range(asked: int, used: int) -> None:
    MetricsManager.reset_for_testing()
    assert MetricsManager(max_tools=asked).max_tools == used
    MetricsManager.reset_for_testing()


@pytest.mark.parametrize("size", ["10", None, 50.5, math.nan, True])
def test_a_size_that_cannot_be_used_leaves_no_manager_behind(size: Any) -> None:
    MetricsManager.reset_for_testing()
    with pytest.raises(TypeError, match="expected a whole number, for example 1000"):
        MetricsManager(max_tools=size)
    assert MetricsManager.get(20).max_tools == 20
    MetricsManager.reset_for_testing()


@pytest.mark.parametrize("settings", [{"retention": timedelta(0)}, {"windows": ()}])
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    MetricsManager.reset_for_testing()
    with pytest.raises(ValueError, match="for example"):
        MetricsManager(**settings)


def test_many_threads_get_the_same_finished_manager() -> None:
    for _ in range(20):
        MetricsManager.reset_for_testing()
        barrier = threading.Barrier(4)

        def get(_: int, barrier: threading.Barrier = barrier) -> MetricsManager:
            barrier.wait(5)
            made = MetricsManager.get()
            made.system_metrics.get_stats()
            return made

        with ThreadPoolExecutor(4) as pool:
            assert len(set(pool.map(get, range(4)))) == 1
    MetricsManager.reset_for_testing()


def test_a_subclass_has_a_manager_of_its_own_class(manager: MetricsManager) -> None:
    class Mine(MetricsManager):
        """With more in it."""

    assert type(Mine.get()) is Mine
    assert Mine.get() is Mine()
    assert type(MetricsManager.get()) is MetricsManager


def test_its_life_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="tracefuse"):
        MetricsManager.reset_for_testing()
        manager = MetricsManager(max_tools=10)
        manager.get_tool_metrics("a\nb")
        manager.reset()
        MetricsManager.reset_for_testing()
    assert caplog.messages == [
        "metrics_manager.reset_for_testing",
        "metrics_manager.initialized max_tools=10",
        "metrics.tool_created name=a\\nb total_tools=1",
        "metrics_manager.reset",
        "metrics_manager.reset_for_testing",
    ]


# --- recording


def test_the_known_example_runs(manager: MetricsManager) -> None:
    manager.record_tool_execution(tool_name="NmapTool", success=True, execution_time=2.5)
    assert manager.get_all_stats()["tools"]["NmapTool"]["average_execution_time"] == 2.5
    assert "NmapTool" in (manager.get_prometheus_metrics() or "")


@pytest.mark.parametrize(
    ("arguments", "succeeded"),
    [
        ({}, True),
        ({"success": False}, False),
        ({"success": True, "status": "failure"}, False),
        ({"success": False, "status": "success"}, True),
        ({"status": "SUCCESS"}, False),
        ({"success": "false"}, False),
    ],
)
def test_status_decides_when_given(manager: MetricsManager, arguments: dict[str, Any], succeeded: bool) -> None:
    manager.record_tool_execution("t", **arguments)
    assert manager.get_tool_stats("t")["success_count"] == int(succeeded)
    assert manager.get_system_stats()["error_count"] == int(not succeeded)
    assert total(manager, "mcp_tool_execution_total", status="success" if succeeded else "failure") == 1


def test_duration_seconds_replaces_execution_time(manager: MetricsManager) -> None:
    manager.record_tool_execution("t", execution_time=1.0, duration_seconds=7.0)
    assert manager.get_tool_stats("t")["max_execution_time"] == 7.0


def test_text_and_dictionaries_agree(manager: MetricsManager) -> None:
    chance = random.Random(1)
    for _ in range(500):
        failed = chance.random() < 0.4
        error = chance.choice([None, "timeout", "ValueError", "host 10.0.0.1 is down"]) if failed else "ignored"
        manager.record_tool_execution(
            f"tool{chance.randrange(5)}", not failed, chance.random(), error_type=error, timed_out=error == "timeout"
        )
    stats = manager.get_all_stats()
    assert stats["system"]["request_count"] == 500
    for name, tool in stats["tools"].items():
        assert total(manager, "mcp_tool_execution_total", tool=name) == tool["execution_count"]
        assert total(manager, "mcp_tool_execution_total", tool=name, status="success") == tool["success_count"]
        assert total(manager, "mcp_tool_errors_total", tool=name) == tool["failure_count"]
        assert total(manager, "mcp_tool_execution_seconds_count", tool=name) == tool["execution_count"]
        assert total(manager, "mcp_tool_execution_total", tool=name, error_type="timeout") == tool["timeout_count"]
    assert {dict(key)["error_type"] for key in samples(manager, "mcp_tool_errors_total")} == {
        *("none", "timeout", "ValueError", "other")
    }


def test_a_success_carries_no_error_type(manager: MetricsManager) -> None:
    manager.record_tool_execution("t", True, error_type="ValueError")
    assert list(samples(manager, "mcp_tool_execution_total")) == [
        frozenset({("tool", "t"), ("status", "success"), ("error_type", "none")})
    ]
    assert samples(manager, "mcp_tool_errors_total") == {}
    assert manager.get_tool_stats("t")["error_count"] == 0


def test_a_timeout_without_a_type_is_a_timeout(manager: MetricsManager) -> None:
    manager.record_tool_execution("t", False, timed_out=True)
    assert total(manager, "mcp_tool_errors_total", error_type="timeout") == 1


class Hostile:
    def __float__(self) -> float:
        raise RuntimeError

    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__

    def __bool__(self) -> bool:
        raise RuntimeError

    __hash__ = None  # type: ignore[assignment]


HOSTILE: list[Any] = [
    None,
    3,
    (),
    {},
    b"x",
    Hostile(),
    "\x00\n\r\t",
    '"}\\',
    "x" * 1_000_000,
    math.nan,
    -math.inf,
    10**400,
]


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_nothing_that_is_recorded_can_break_recording_or_the_exposition(manager: MetricsManager, value: Any) -> None:
    manager.record_tool_execution(value, True, 1.0)
    manager.record_tool_execution("t", value, value, value, value, value, value)
    manager.record_tool_execution("t", False, 1.0, error_type=value)
    manager.record_tool_execution("t", True, 1.0)
    assert manager.get_tool_stats("t")["execution_count"] == 3
    assert total(manager, "mcp_tool_execution_total") == 4
    text = manager.get_prometheus_metrics()
    assert text is not None
    assert len(text) < 60_000
    exported = manager.export_json()
    json.loads(exported, parse_constant=pytest.fail)
    assert len(list(csv.reader(io.StringIO(manager.export_csv())))) == 3


def test_ten_thousand_error_texts_make_one_series(manager: MetricsManager) -> None:
    for number in range(10_000):
        manager.record_tool_execution("t", False, 0.1, error_type=f"error {number}")
    assert list(samples(manager, "mcp_tool_errors_total").values()) == [10_000]


def test_repaired_values_are_counted_by_reason(manager: MetricsManager) -> None:
    before = total(manager, "tracefuse_metrics_repaired_total", reason="nan")
    manager.record_tool_execution("t", True, math.nan)
    sanitize_metric_value(math.nan)
    assert total(manager, "tracefuse_metrics_repaired_total", reason="nan") == before + 2


# --- bounds


def test_the_least_recently_used_tool_goes_first(manager: MetricsManager) -> None:
    for number in range(10):
        manager.record_tool_execution(f"t{number}")
    manager.get_tool_metrics("t0")
    manager.record_tool_execution("new")
    assert sorted(manager.tool_metrics) == ["new", "t0", *(f"t{n}" for n in range(2, 10))]


def test_tools_that_never_ran_are_bounded_too(manager: MetricsManager) -> None:
    for number in range(500):
        manager.get_tool_metrics(f"t{number}")
    assert len(manager.tool_metrics) == 10
    assert len(samples(manager, "mcp_tool_active")) == 10


def test_a_running_tool_is_not_evicted_while_another_can_be(manager: MetricsManager) -> None:
    running = manager.get_tool_metrics("running")
    running.increment_active()
    for number in range(50):
        manager.record_tool_execution(f"t{number}")
    assert running.get_active_count() == 1
    for number in range(50):
        manager.get_tool_metrics(f"r{number}").increment_active()
    assert len(manager.tool_metrics) == 10


def test_series_of_evicted_tools_leave_and_come_back_from_zero(manager: MetricsManager) -> None:
    for number in range(300):
        manager.record_tool_execution(f"t{number}", number % 2 == 0, 1.0)
    for name in ("mcp_tool_execution_total", "mcp_tool_execution_seconds_count", "mcp_tool_active"):
        assert {dict(key)["tool"] for key in samples(manager, name)} == {f"t{n}" for n in range(290, 300)}
    manager.record_tool_execution("t0")
    assert total(manager, "mcp_tool_execution_seconds_count", tool="t0") == 1
    assert total(manager, "tracefuse_metrics_evictions_total", reason="capacity") == 291


def test_a_held_tool_keeps_recording_after_its_eviction(manager: MetricsManager) -> None:
    held = manager.get_tool_metrics("held")
    held.record_execution(True, 1.0)
    for number in range(20):
        manager.record_tool_execution(f"t{number}")
    assert "held" not in manager.tool_metrics
    held.record_execution(True, 1.0)
    assert manager.get_tool_stats("held")["execution_count"] == held.get_stats()["execution_count"] == 1


def test_unused_tools_go_after_the_retention_time_also_those_that_never_ran(
    clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    MetricsManager.reset_for_testing()
    manager = MetricsManager(clock=clock)
    manager.get_tool_metrics("never")
    manager.record_tool_execution("old")
    running = manager.get_tool_metrics("running")
    running.increment_active()
    clock.advance(23 * 3600.0)
    manager.record_tool_execution("young")
    clock.advance(2 * 3600.0)
    with caplog.at_level(logging.INFO):
        assert sorted(manager.get_all_stats()["tools"]) == ["running", "young"]
    assert "metrics.cleanup removed=2 remaining=2" in caplog.messages
    assert total(manager, "mcp_tool_execution_seconds_count", tool="old") == 0
    MetricsManager.reset_for_testing()


def test_retention_can_be_chosen(clock: Any) -> None:
    MetricsManager.reset_for_testing()
    manager = MetricsManager(retention=timedelta(hours=1), cleanup_interval=60.0, clock=clock)
    manager.record_tool_execution("t")
    clock.advance(3601.0)
    assert manager.tool_metrics == {}
    MetricsManager.reset_for_testing()


# --- reading


def test_an_unknown_tool_is_not_made(manager: MetricsManager) -> None:
    assert manager.get_tool_stats("unknown") == {
        "tool_name": "unknown",
        "execution_count": 0,
        "message": "No metrics available for this tool",
    }
    assert manager.tool_metrics == {}


def test_all_stats_have_the_known_keys_and_are_a_copy(manager: MetricsManager) -> None:
    manager.record_tool_execution("t")
    stats = manager.get_all_stats()
    assert list(stats) == [
        *("system", "tools", "prometheus_available", "collection_start_time", "total_tools_tracked", "max_tools")
    ]
    assert (stats["prometheus_available"], stats["total_tools_tracked"], stats["max_tools"]) == (True, 1, 10)
    assert datetime.fromisoformat(stats["collection_start_time"]).tzinfo is not None
    stats["tools"]["t"]["execution_count"] = 99
    stats["tools"].clear()
    assert manager.get_tool_stats("t")["execution_count"] == 1
    assert manager.get_tool_stats("t")["active_executions"] == 0


def test_windows_are_answered_for_a_tool_and_for_all(manager: MetricsManager) -> None:
    manager.record_tool_execution("a", True, 1.0)
    manager.record_tool_execution("b", False, 3.0)
    assert manager.window_spans == (60.0, 300.0, 900.0, 3600.0)
    assert [stats.count for stats in manager.get_window_stats()] == [2, 2, 2, 2]
    (minute,) = manager.get_window_stats("b", 60.0)
    assert (minute.count, minute.error_ratio, minute.mean) == (1, 1.0, 3.0)
    assert manager.get_window_stats("unknown", 60.0)[0].count == 0
    assert manager.get_tool_metrics("a").metrics.window(60.0).count == 1
    with pytest.raises(ValueError, match="one of the windows' seconds: 60, 300, 900, 3600"):
        manager.get_window_stats(span=61.0)


def test_snapshots_are_kept_up_to_a_hundred(manager: MetricsManager) -> None:
    for number in range(120):
        manager.record_tool_execution("t")
        taken = manager.create_snapshot()
        assert taken.tool_stats["t"]["execution_count"] == number + 1
    assert manager.get_snapshots(1) == [taken]
    assert len(manager.get_snapshots()) == 10
    assert len(manager.get_snapshots(10**6)) == 100
    assert len(manager.get_snapshots(-3)) == 1
    assert taken.timestamp.utcoffset() == timedelta(0)
    assert manager.get_snapshots()[-1].compare(manager.get_snapshots()[0])["tool_changes"]["t"]["execution_count"] == 9
    with pytest.raises(TypeError, match="expected a whole number from 1 to 100"):
        manager.get_snapshots(2.5)  # type: ignore[arg-type]


def test_a_snapshot_is_one_moment_while_others_record(manager: MetricsManager) -> None:
    stop = threading.Event()

    def record(seed: int) -> None:
        chance = random.Random(seed)
        while not stop.is_set():
            manager.record_tool_execution(f"t{chance.randrange(8)}", chance.random() < 0.5)

    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(record, seed) for seed in range(3)]
        try:
            for _ in range(100):
                taken: MetricSnapshot = manager.create_snapshot()
                tools = taken.tool_stats.values()
                assert sum(tool["execution_count"] for tool in tools) == taken.system_stats["request_count"]
                assert sum(tool["failure_count"] for tool in tools) == taken.system_stats["error_count"]
        finally:
            stop.set()
        for one in running:
            one.result(10)


def test_threads_that_record_read_and_scrape_at_once_lose_nothing(manager: MetricsManager) -> None:
    def record(_: int) -> None:
        for _ in range(2000):
            manager.record_tool_execution("same", True, 0.01)

    def read(_: int) -> None:
        for _ in range(10):
            manager.get_all_stats()
            manager.get_prometheus_metrics()
            manager.export_csv()

    with ThreadPoolExecutor(6) as pool:
        done = [*(pool.submit(record, n) for n in range(4)), *(pool.submit(read, n) for n in range(2))]
        for one in done:
            one.result(60)
    assert manager.get_tool_stats("same")["execution_count"] == 8000
    assert total(manager, "mcp_tool_execution_seconds_count", tool="same") == 8000
    assert total(manager, "mcp_tool_execution_total", tool="same") == 8000


# --- exports


def test_csv_has_the_known_header_and_a_row_for_each_tool(manager: MetricsManager) -> None:
    manager.get_tool_metrics("never")
    manager.record_tool_execution("t", False, 1.5, error_type="timeout")
    lines = manager.export_csv().splitlines()
    assert lines[0] == HEADER
    assert lines[1:] == ["never,0,0,0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0,0", "t,1,0,1,0.0,1.5,1.5,1.5,1.5,1.5,1.5,0,1"]


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)"])
def test_a_spreadsheet_reads_no_formula(manager: MetricsManager, name: str) -> None:
    manager.record_tool_execution(name)
    (_, row) = csv.reader(io.StringIO(manager.export_csv()))
    assert row[0] == f"'{name}"


def test_json_is_indented_or_compact(manager: MetricsManager) -> None:
    manager.record_tool_execution("t")
    pretty, compact = manager.export_json(), manager.export_json(pretty=False)
    assert '\n  "system"' in pretty
    assert "\n" not in compact
    assert json.loads(pretty)["tools"] == json.loads(compact)["tools"] == manager.get_all_stats()["tools"]


def test_export_is_the_method_of_its_format(manager: MetricsManager) -> None:
    manager.record_tool_execution("t")
    assert manager.export(MetricExportFormat.CSV) == manager.export("csv") == manager.export_csv()
    assert json.loads(manager.export("json") or "")["tools"] == manager.get_all_stats()["tools"]
    assert (manager.export(MetricExportFormat.PROMETHEUS) or "").startswith("# HELP")
    with pytest.raises(ValueError, match="expected one of 'prometheus', 'json', 'csv'"):
        manager.export("xml")


# --- the end


def test_reset_forgets_everywhere(manager: MetricsManager) -> None:
    tool = manager.get_tool_metrics("t")
    tool.increment_active()
    tool.record_execution(False, 1.0, error_type="ValueError")
    manager.system_metrics.increment_active_connections()
    manager.create_snapshot()
    manager.reset()
    assert manager.get_snapshots() == []
    assert manager.get_system_stats()["request_count"] == 0
    assert total(manager, "mcp_tool_execution_total") == total(manager, "mcp_tool_execution_seconds_count") == 0
    assert tool.get_active_count() == 1
    tool.record_execution(True, 1.0)
    assert total(manager, "mcp_tool_execution_total") == total(manager, "mcp_tool_execution_seconds_count") == 1


def test_a_manager_of_a_test_leaves_nothing_for_the_next(manager: MetricsManager) -> None:
    manager.record_tool_execution("t", False)
    MetricsManager.reset_for_testing()
    fresh = MetricsManager(max_tools=10)
    assert fresh is not manager
    assert fresh.get_all_stats()["tools"] == {}
    assert total(fresh, "mcp_tool_execution_total") == 0
    manager.record_tool_execution("t")
    assert total(fresh, "mcp_tool_execution_total") == 0


async def test_cleanup_may_be_called_again_and_recording_goes_on(
    manager: MetricsManager, caplog: pytest.LogCaptureFixture
) -> None:
    manager.record_tool_execution("t")
    manager.create_snapshot()
    with caplog.at_level(logging.INFO):
        await manager.cleanup()
        await manager.cleanup()
    assert caplog.messages.count("metrics_manager.cleanup_started") == 2
    assert caplog.messages.count("metrics_manager.cleanup_completed") == 2
    assert (manager.tool_metrics, manager.get_snapshots()) == ({}, [])
    manager.record_tool_execution("t")
    assert manager.get_tool_stats("t")["execution_count"] == 1


# --- the faces


def test_what_the_runner_records_is_what_the_manager_answers(manager: MetricsManager) -> None:
    tools = ToolInstruments()
    tools.start("nmap")
    assert manager.get_tool_metrics("nmap").get_active_count() == 1
    tools.finish("nmap", "failure", "timeout", seconds=30.0)
    stats = manager.get_tool_stats("nmap")
    assert (stats["execution_count"], stats["timeout_count"], stats["active_executions"]) == (1, 1, 0)


def test_the_known_prometheus_classes_answer_the_same_text(manager: MetricsManager) -> None:
    manager.record_tool_execution("t")
    registry = PrometheusRegistry()
    registry.initialize()
    assert registry is PrometheusRegistry()
    assert registry.available
    assert registry.generate_latest is not None
    assert b'mcp_tool_execution_total{error_type="none",status="success",tool="t"} 1.0' in registry.generate_latest(
        registry.registry
    )
    assert PrometheusMetrics().registry is registry.registry
    assert 'tool="t"' in (PrometheusMetrics().get_metrics() or "")


def test_a_failing_exposition_is_none_and_logged(
    manager: MetricsManager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise RuntimeError("no")

    monkeypatch.setattr("tracefuse.telemetry._manager.reader_in_use", fail)
    assert manager.get_prometheus_metrics() is None
    assert "prometheus.generate_metrics_error error=RuntimeError('no')" in caplog.messages


def test_the_wall_clock_does_not_matter(manager: MetricsManager, clock: Any) -> None:
    moment = 1_700_000_000 * 10**9
    manager._table.wall = lambda: moment
    manager.record_tool_execution("t")
    moment -= 3600 * 10**9
    manager.record_tool_execution("t")
    assert manager.get_system_stats()["uptime_seconds"] >= 0
    assert manager.get_tool_metrics("t").metrics.last_execution_time == datetime.fromtimestamp(moment / 1e9, UTC)
    assert manager.get_window_stats("t", 60.0)[0].count == 2
