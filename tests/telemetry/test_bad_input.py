"""Every parameter of every public function with values of the wrong type and hostile texts.

Each is taken, or refused in one short printable sentence that says what is expected; what records never
refuses. That no function is forgotten is a test, too.
"""

from __future__ import annotations

import asyncio
import inspect
import io
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import is_dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry import trace

import tracefuse.telemetry
from tracefuse.telemetry import (
    AlertEngine,
    AlertRule,
    ConsoleFormatter,
    HealthMonitor,
    JsonFormatter,
    MetricHistory,
    MetricsManager,
    MetricSnapshot,
    OtelLogHandler,
    PrometheusReader,
    RateLimitFilter,
    ScanInstruments,
    ToolExecutionMetrics,
    ToolInstruments,
    ToolMetrics,
    breaker_check,
    configure,
    configure_logging,
    correlate,
    correlation,
    correlation_table,
    emit_event,
    error_type,
    executable_check,
    fail_span,
    in_context,
    log_context,
    log_event,
    operation_span,
    redact,
    sanitize_metric_value,
    writable_check,
)
from tracefuse.telemetry.testing import InMemoryTelemetry

HOSTILE = {
    "None": None,
    "a whole number": 3,
    "a negative number": -1,
    "NaN": math.nan,
    "infinity": math.inf,
    "a huge number": 10**400,
    "True": True,
    "no text": "",
    "control characters": "a\nb\x00\x1b[31m\ud800",
    "a megabyte": "x" * 2**20,
    "a formula": "=cmd|' /C calc'!A0",
    "a forged label": 'x"} 1\nforged{a="',
    "bytes": b"bytes",
    "a list": [],
    "a dictionary": {},
    "an object": object(),
}


class Raising:
    """What raises whatever is asked of it."""

    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __float__ = __bool__ = __hash__ = __str__  # type: ignore[assignment]


def inside(manager: AbstractContextManager[object]) -> None:
    with manager:
        pass


Call = tuple[Callable[..., object], dict[str, Any]]


def recording(memory: InMemoryTelemetry, manager: MetricsManager) -> dict[str, Call]:
    """What runs beside an operation: it takes everything."""
    instrumentation = memory.telemetry.instrumentation
    tool, figures = ToolMetrics("t"), ToolExecutionMetrics("t")
    tools, scans = ToolInstruments(instrumentation), ScanInstruments(instrumentation)
    ended = {"success": True, "execution_time": 1.0, "timed_out": False, "error_type": None}
    return {
        "MetricsManager.record_tool_execution": (
            manager.record_tool_execution,
            {"tool_name": "t", **ended, "status": None, "duration_seconds": None},
        ),
        "ToolMetrics.record_execution": (tool.record_execution, ended),
        "ToolExecutionMetrics.record_execution": (figures.record_execution, ended),
        "ToolInstruments.start": (tools.start, {"tool": "t"}),
        "ToolInstruments.finish": (
            tools.finish, {"tool": "t", "status": "success", "error_type": None, "seconds": 1.0},
        ),
        "ScanInstruments.ended": (scans.ended, {"tool": "t", "status": "success", "seconds": 1.0}),
        "ScanInstruments.hosts": (scans.hosts, {"tool": "t", "state": "up", "count": 1}),
        "ScanInstruments.ports": (scans.ports, {"tool": "t", "state": "open", "count": 1}),
        "ScanInstruments.changes": (scans.changes, {"tool": "t", "kind": "port.opened", "count": 1}),
        "ScanInstruments.refused": (scans.refused, {"tool": "t", "rule": "ports", "count": 1}),
        "ScanInstruments.queued": (scans.queued, {"tool": "t", "reason": "total limit"}),
        "ScanInstruments.admitted": (scans.admitted, {"tool": "t", "reason": "total limit", "waited": 1.0}),
        "sanitize_metric_value": (sanitize_metric_value, {"value": 1.0, "name": "value"}),
        "MetricsManager.get_tool_stats": (manager.get_tool_stats, {"tool_name": "t"}),
        "log_context": (lambda **fields: inside(log_context(**fields)), {"tool": "t", "scan_id": "1"}),
        "emit_event": (
            lambda **given: emit_event(instrumentation.logger, **given), {"name": "e", "attributes": {}},
        ),
        "log_event": (lambda **given: log_event(instrumentation.logger, **given), {"name": "e", "attributes": {}}),
        "fail_span": (
            lambda error: fail_span(trace.get_current_span(), error), {"error": ValueError()},
        ),
        "error_type": (error_type, {"error": ValueError()}),
        "in_context": (in_context, {"function": len}),
        "PrometheusReader.exposition": (PrometheusReader().exposition, {"accept": None}),
        "Telemetry.exposition": (memory.telemetry.exposition, {"accept": None}),
    }  # fmt: skip


def others(memory: InMemoryTelemetry, manager: MetricsManager) -> dict[str, Call]:
    """What is set up, asked or read: it may refuse."""
    instrumentation = memory.telemetry.instrumentation
    health, history = HealthMonitor(instrumentation=instrumentation), MetricHistory(manager)
    snapshot = MetricSnapshot(datetime.now(UTC), {}, {})
    series = [float(number) for number in range(10)]
    rule = {
        "name": "r",
        "metric": "p95",
        "threshold": 1.0,
        "comparison": ">",
        "window": 60.0,
        "confirm_window": None,
        "hold": 0.0,
        "clear": None,
        "keep": 0.0,
        "minimum_count": 1,
        "severity": "info",
        "tool": "*",
    }
    engine = AlertEngine([], manager=manager, instrumentation=instrumentation)
    handler = OtelLogHandler(memory.telemetry.logger_provider)
    record = logging.makeLogRecord({"msg": "m", "levelno": logging.INFO, "levelname": "INFO"})

    def made_anew(**settings: Any) -> None:
        MetricsManager.reset_for_testing()
        made = MetricsManager(**settings)
        made.record_tool_execution("t")
        made.get_all_stats()

    def added(**given: Any) -> None:
        chosen = {"name": "one", "check": lambda: True} | given
        health.add(**chosen)
        health.remove(chosen["name"])

    def started(interval: Any) -> None:
        try:
            engine.start(interval)
        finally:
            engine.stop()

    def logging_set_up(**given: Any) -> None:
        configure_logging({}, stream=io.StringIO(), logger_name="bad-input", **given).close()

    return {
        "MetricsManager": (
            made_anew,
            {"max_tools": 10, "retention": timedelta(1), "cleanup_interval": 1.0, "windows": (60.0,)},
        ),
        "MetricsManager.get": (lambda max_tools: made_anew(max_tools=max_tools), {"max_tools": 10}),
        "MetricsManager.get_tool_metrics": (manager.get_tool_metrics, {"tool_name": "t"}),
        "MetricsManager.get_window_stats": (manager.get_window_stats, {"tool_name": "t", "span": 60.0}),
        "MetricsManager.get_snapshots": (manager.get_snapshots, {"count": 3}),
        "MetricsManager.export": (manager.export, {"export_format": "json"}),
        "MetricsManager.export_json": (manager.export_json, {"pretty": True}),
        "MetricSnapshot.compare": (snapshot.compare, {"other": snapshot}),
        "ToolExecutionMetrics": (ToolExecutionMetrics, {"tool_name": "t"}),
        "ToolExecutionMetrics.get_percentile": (ToolExecutionMetrics("t").get_percentile, {"percentile": 50.0}),
        "ToolExecutionMetrics.window": (ToolExecutionMetrics("t").window, {"span": 60.0}),
        "ToolMetrics": (ToolMetrics, {"tool_name": "t"}),
        "ScanInstruments.declare": (
            ScanInstruments(instrumentation).declare,
            {"tool": "t", "rules": ["r"], "kinds": ["k"], "host_states": ["up"], "port_states": ["open"]},
        ),
        "AlertRule": (AlertRule, rule),
        "AlertEngine": (
            lambda **given: AlertEngine(manager=manager, instrumentation=instrumentation, **given).stop(),
            {"rules": [], "gauges": None, "on_change": []},
        ),
        "AlertEngine.start": (started, {"interval": 60.0}),
        "correlation": (correlation, {"left": series, "right": series}),
        "correlate": (correlate, {"series": {"a": series, "b": series}, "max_lag": 0, "against": None}),
        "correlation_table": (correlation_table, {"found": []}),
        "MetricHistory": (MetricHistory, {"manager": manager, "counters": None, "capacity": 10}),
        "MetricHistory.series": (history.series, {"since": None}),
        "MetricHistory.correlate": (history.correlate, {"since": None, "max_lag": 0, "against": None}),
        "configure": (
            lambda **given: configure(**given, set_global=False).shutdown(), {"environ": {}, "service_name": "s"},
        ),
        "Telemetry.shutdown": (lambda deadline: configure({}, set_global=False).shutdown(deadline), {"deadline": 1.0}),
        "configure_logging": (logging_set_up, {"level": "INFO", "style": "json", "redact_targets": False}),
        "JsonFormatter": (lambda **given: JsonFormatter(**given).format(record), {"redact_targets": False}),
        "ConsoleFormatter": (lambda **given: ConsoleFormatter(**given).format(record), {"redact_targets": False}),
        "OtelLogHandler.emit": (
            lambda msg: handler.emit(logging.makeLogRecord({"msg": msg, "name": "n"})), {"msg": "text"},
        ),
        "RateLimitFilter": (
            lambda **given: RateLimitFilter(**given).filter(record),
            {"burst": 1, "interval": 1.0, "exempt": 40, "capacity": 10},
        ),
        "redact": (redact, {"text": "t", "targets": False}),
        "operation_span": (
            lambda **given: inside(operation_span(instrumentation.tracer, **given)), {"name": "n", "attributes": None},
        ),
        "HealthMonitor": (
            lambda max_age: HealthMonitor(max_age=max_age, instrumentation=instrumentation), {"max_age": 1.0},
        ),
        "HealthMonitor.add": (added, {"name": "n", "check": lambda: True, "kinds": ("ready",), "timeout": 1.0}),
        "HealthMonitor.remove": (health.remove, {"name": "n"}),
        "executable_check": (
            lambda **given: asyncio.run(executable_check(**given)()),
            {"program": "/bin/true", "arguments": ("--version",)},
        ),
        "writable_check": (lambda folder: writable_check(folder)(), {"folder": "/tmp"}),
        "breaker_check": (
            lambda breaker: breaker_check(breaker)(),
            {"breaker": SimpleNamespace(state=SimpleNamespace(name="OPEN"))},
        ),
        "Instrumentation.counter": (instrumentation.counter, {"name": "mcp.tool.errors"}),
        "Instrumentation.up_down_counter": (instrumentation.up_down_counter, {"name": "tracefuse.queue.length"}),
        "Instrumentation.histogram": (instrumentation.histogram, {"name": "tracefuse.queue.wait"}),
        "Instrumentation.observe": (
            lambda name: instrumentation.observe(name, lambda _: ()), {"name": "tracefuse.health.status"},
        ),
    }  # fmt: skip


# Their input is one of our own objects or figures, or nothing that could be wrong.
FIXED = {
    *("Instrumentation", "Instrumentation.from_providers", "OtelLogHandler", "PrometheusMetrics", "PrometheusRegistry"),
    *("SystemMetrics", "ToolInstruments", "ScanInstruments", "Telemetry", "LoggingSetup", "exporter_check"),
    *("HealthMonitor.close", "RateLimitFilter.filter", "JsonFormatter.format", "ConsoleFormatter.format"),
    *("AlertRule.breached", "AlertRule.cleared", "SystemHealth.is_stale"),
    *("ToolExecutionMetrics.add", "ToolExecutionMetrics.touch", "PrometheusReader.force_flush", "WindowStats"),
}


@pytest.fixture
def scene(memory: InMemoryTelemetry) -> Iterator[tuple[InMemoryTelemetry, MetricsManager]]:
    MetricsManager.reset_for_testing()
    logging.disable(logging.CRITICAL)
    yield memory, MetricsManager.get()
    logging.disable(logging.NOTSET)
    MetricsManager.reset_for_testing()


def parameters(calls: Callable[..., Mapping[str, Call]]) -> list[tuple[str, str]]:
    with InMemoryTelemetry() as memory:
        return [(name, one) for name, (_, given) in calls(memory, MetricsManager.get()).items() for one in given]


@pytest.mark.parametrize(("name", "parameter"), parameters(recording))
def test_what_records_takes_everything(
    scene: tuple[InMemoryTelemetry, MetricsManager], name: str, parameter: str
) -> None:
    function, given = recording(*scene)[name]
    for value in (*HOSTILE.values(), Raising()):
        function(**given | {parameter: value})
    memory, manager = scene
    for text in (manager.get_prometheus_metrics() or "", memory.telemetry.exposition().body.decode()):
        assert not [line for line in text.splitlines() if line.startswith(("forged", " ")) or "\x1b" in line]


@pytest.mark.parametrize(("name", "parameter"), parameters(others))
def test_what_is_wrong_is_taken_or_refused_in_one_short_sentence(
    scene: tuple[InMemoryTelemetry, MetricsManager], name: str, parameter: str
) -> None:
    function, given = others(*scene)[name]
    unclear = {}
    for what, value in HOSTILE.items():
        try:
            function(**given | {parameter: value})
        except (TypeError, ValueError, KeyError) as error:
            said = str(error.args[0]) if isinstance(error, KeyError) else str(error)
            if not ("expected" in said.lower() or "compare" in said) or len(said) > 600 or not said.isprintable():
                unclear[what] = f"{type(error).__name__}: {said[:200]}"
    assert unclear == {}


def test_no_public_function_is_forgotten(scene: tuple[InMemoryTelemetry, MetricsManager]) -> None:
    known = {*recording(*scene), *others(*scene), *FIXED}
    assert sorted({name for name in public_functions() if name not in known}) == []


def public_functions() -> Iterator[str]:
    """Functions, classes and methods of the package that take something."""
    for name in tracefuse.telemetry.__all__:
        value = getattr(tracefuse.telemetry, name)
        if inspect.isfunction(value) and inspect.signature(value).parameters:
            yield name
        elif inspect.isclass(value) and not issubclass(value, Enum | BaseException):
            if not is_dataclass(value) and len(inspect.signature(value).parameters) > 0:
                yield name
            for method, member in vars(value).items():
                function = member.__func__ if isinstance(member, classmethod | staticmethod) else member
                own = inspect.isfunction(function) and not method.startswith("_")
                if own and len(inspect.signature(function).parameters) > 1:
                    yield f"{name}.{method}"
