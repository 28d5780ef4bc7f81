"""Recording beside readers, beside failures, and beside a span."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest
from opentelemetry import metrics

from tracefuse.telemetry import MetricsManager, PrometheusRegistry, ToolInstruments
from tracefuse.telemetry.testing import InMemoryTelemetry


def test_recording_goes_on_while_somebody_reads_and_counts_afterwards(manager: MetricsManager) -> None:
    def record() -> None:
        for _ in range(50):
            manager.record_tool_execution("nmap", True, 1.0)

    manager.record_tool_execution("nmap", True, 1.0)
    with manager.reading_tools() as tools:
        thread = threading.Thread(target=record)
        thread.start()
        thread.join(10)
        assert not thread.is_alive()
        assert tools["nmap"].execution_count == 1
    assert manager.get_tool_stats("nmap")["execution_count"] == 51


def test_an_instrument_that_raises_breaks_neither_recording_nor_the_figures(
    manager: MetricsManager, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def record(self, *_: object) -> None:
            raise RuntimeError("secret text")

    series = manager._table.series
    assert series is not None
    real, series.real = series.real, Broken()
    with caplog.at_level(logging.DEBUG, logger="tracefuse"):
        series._proxy, proxy = None, series._proxy
        manager.record_tool_execution("nmap", True, 1.0)
        with manager.reading_tools():
            thread = threading.Thread(target=manager.record_tool_execution, args=("nmap", True, 1.0))
            thread.start()
            thread.join(10)
    series._proxy, series.real = proxy, real
    assert caplog.messages.count("metrics.record_failed error=RuntimeError") == 2
    assert "secret" not in caplog.text
    manager.record_tool_execution("nmap", True, 1.0)
    assert manager.get_tool_stats("nmap")["execution_count"] == 3


def test_the_text_that_is_no_error_type_stands_on_the_span(memory: InMemoryTelemetry) -> None:
    tools = ToolInstruments(memory.telemetry.instrumentation)
    with memory.telemetry.instrumentation.tracer.start_as_current_span("work"):
        tools.finish("nmap", "failure", "host 10.0.0.1 is\ndown", seconds=1.0)
        tools.finish("nmap", "failure", "timeout", seconds=1.0)
    (span,) = memory.spans("work")
    assert dict(span.attributes or {}) == {"tracefuse.error.detail": "host 10.0.0.1 is\\ndown"}


def test_a_time_inside_a_span_has_an_exemplar_that_leads_to_it(memory: InMemoryTelemetry) -> None:
    tools = ToolInstruments(memory.telemetry.instrumentation)
    with memory.telemetry.instrumentation.tracer.start_as_current_span("work") as span:
        tools.finish("nmap", "success", seconds=1.0)
    body = memory.telemetry.exposition("application/openmetrics-text; version=1.0.0").body.decode()
    assert f'trace_id="{span.get_span_context().trace_id:032x}"' in body


class Foreign(metrics.NoOpMeterProvider):
    """A host's provider of another make: it takes no readers."""


Foreign.__module__ = "host"


def test_a_host_that_takes_no_readers_has_no_text_but_figures(
    manager: MetricsManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = Foreign()
    monkeypatch.setattr("opentelemetry.metrics.get_meter_provider", lambda: foreign)
    manager.record_tool_execution("nmap")
    assert manager.get_prometheus_metrics() is None
    stats = manager.get_all_stats()
    assert (stats["prometheus_available"], stats["tools"]["nmap"]["execution_count"]) == (False, 1)


async def test_cleanup_survives_a_flush_that_fails(
    manager: MetricsManager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(Foreign):
        def force_flush(self, _timeout_millis: float) -> bool:
            raise RuntimeError("no")

    manager.record_tool_execution("nmap")
    monkeypatch.setattr("opentelemetry.metrics.get_meter_provider", Failing)
    await manager.cleanup()
    assert "metrics_manager.flush_failed error=RuntimeError('no')" in caplog.messages
    assert manager.tool_metrics == {}


def test_a_registry_that_could_not_be_made_is_made_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> Any:
        raise RuntimeError("no")

    monkeypatch.setattr(PrometheusRegistry, "_instance", None)
    with monkeypatch.context() as broken:
        broken.setattr("tracefuse.telemetry._legacy.reader_in_use", fail)
        registry = PrometheusRegistry()
        assert not registry.available
        assert "prometheus.initialization_failed error=RuntimeError('no')" in caplog.messages
    with caplog.at_level(logging.INFO):
        registry.initialize()
        registry.initialize()
    assert registry.available
    assert caplog.messages.count("prometheus.initialized metrics_count=7") == 1
