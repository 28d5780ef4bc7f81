"""The manager, breakers, our set-up and a host's own: in any order, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap

HELPERS = """
import os
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from tracefuse.resilience import CircuitBreaker
from tracefuse.telemetry import MetricsManager, ToolInstruments, configure
from tracefuse.telemetry.testing import InMemoryTelemetry

def values(reader):
    data = reader.get_metrics_data()
    found = {}
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    found[metric.name] = found.get(metric.name, 0) + getattr(point, "value", getattr(point, "count", 0))
    return found

def line(text, start):
    return next((float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(start)), None)

SECONDS = 'mcp_tool_execution_seconds_count{tool="nmap"}'
TOTAL = 'mcp_tool_execution_total{error_type="none",status="success",tool="nmap"}'
BREAKER = 'circuit_breaker_state{name="early"}'
OFF = {"OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED": "false"}
"""


def run(script: str) -> None:
    """Run `script` after the helpers; its asserts are the test's."""
    source = HELPERS + textwrap.dedent(script)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", source], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Overriding" not in done.stderr


def test_without_any_set_up_breakers_and_tools_come_out_of_one_text() -> None:
    run("""
        early = CircuitBreaker(name="early")
        manager = MetricsManager.get()
        late = CircuitBreaker(name="late")
        manager.record_tool_execution("nmap")
        text = manager.get_prometheus_metrics()
        assert line(text, SECONDS) == line(text, TOTAL) == 1
        assert line(text, BREAKER) == line(text, 'circuit_breaker_state{name="late"}') == 0
        assert line(text, 'circuit_breaker_calls_total{name="early",result="success"}') == 0
        # Nothing was made global.
        assert type(metrics.get_meter_provider()).__name__ == "_ProxyMeterProvider"
    """)


def test_what_was_recorded_before_the_set_up_is_exported_after_it() -> None:
    run("""
        early = CircuitBreaker(name="early")
        manager = MetricsManager.get()
        manager.record_tool_execution("nmap", execution_time=2.0)
        reader = InMemoryMetricReader()
        telemetry = configure(OFF, metric_readers=(reader,))
        assert values(reader)["mcp.tool.execution"] == values(reader)["mcp.tool.execution.seconds"] == 1
        manager.record_tool_execution("nmap", execution_time=3.0)
        assert values(reader)["mcp.tool.execution"] == values(reader)["mcp.tool.execution.seconds"] == 2
        for text in (telemetry.exposition().body.decode(), manager.get_prometheus_metrics()):
            assert line(text, SECONDS) == line(text, TOTAL) == 2
            assert line(text, 'mcp_tool_execution_seconds_sum{tool="nmap"}') == 5
            assert line(text, BREAKER) == 0
        assert telemetry.host_signals == frozenset()
        telemetry.shutdown()
    """)


def test_the_manager_after_the_set_up_uses_its_reader() -> None:
    run("""
        telemetry = configure(OFF)
        tools = ToolInstruments(telemetry.instrumentation)
        tools.start("nmap"); tools.finish("nmap", "success", seconds=1.0)
        manager = MetricsManager.get()
        assert manager.get_tool_stats("nmap")["execution_count"] == 1
        assert manager.get_prometheus_metrics().split() == telemetry.exposition().body.decode().split()
        assert len(telemetry.meter_provider._measurement_consumer._reader_storages) == 1
        telemetry.shutdown()
    """)


def test_a_hosts_provider_that_was_there_first_is_used() -> None:
    run("""
        reader = InMemoryMetricReader()
        metrics.set_meter_provider(MeterProvider([reader], shutdown_on_exit=False))
        manager = MetricsManager.get()
        early = CircuitBreaker(name="early")
        metrics.get_meter("host").create_counter("host_things").add(3)
        manager.record_tool_execution("nmap")
        assert values(reader)["mcp.tool.execution.seconds"] == 1
        text = manager.get_prometheus_metrics()
        assert line(text, SECONDS) == line(text, TOTAL) == 1
        assert line(text, BREAKER) == 0
        assert line(text, "host_things_total") == 3
    """)


def test_a_hosts_provider_that_comes_later_is_used_from_then_on() -> None:
    run("""
        early = CircuitBreaker(name="early")
        manager = MetricsManager.get()
        manager.record_tool_execution("nmap")
        foreign = metrics.get_meter("host").create_counter("host_things")
        reader = InMemoryMetricReader()
        metrics.set_meter_provider(MeterProvider([reader], shutdown_on_exit=False))
        foreign.add(3)
        manager.record_tool_execution("nmap")
        assert values(reader)["mcp.tool.execution"] == values(reader)["mcp.tool.execution.seconds"] == 2
        assert values(reader)["host_things"] == 3
        assert "circuit_breaker.state" in values(reader)
        text = manager.get_prometheus_metrics()
        assert line(text, SECONDS) == line(text, TOTAL) == 2
        assert line(text, BREAKER) == 0
    """)


def test_recorders_made_before_everything_still_deliver() -> None:
    run("""
        tools = ToolInstruments()
        tools.start("nmap"); tools.finish("nmap", "success", seconds=1.0)
        reader = InMemoryMetricReader()
        telemetry = configure(OFF, metric_readers=(reader,))
        assert values(reader)["mcp.tool.execution.seconds"] == 1
        assert values(reader)["mcp.tool.execution"] == 1
        telemetry.shutdown()
    """)


def test_telemetry_of_its_own_has_figures_of_its_own() -> None:
    run("""
        manager = MetricsManager.get()
        with InMemoryTelemetry() as memory:
            tools = ToolInstruments(memory.telemetry.instrumentation)
            tools.finish("nmap", "success", seconds=1.0)
            ToolInstruments(memory.telemetry.instrumentation).finish("nmap", "success", seconds=1.0)
            assert memory.metric("mcp.tool.execution", tool="nmap") == 2
        assert manager.tool_metrics == {}
    """)


def test_more_than_two_thousand_series_do_not_overflow_on_a_provider_of_ours() -> None:
    run("""
        manager = MetricsManager.get(10_000)
        for number in range(3000):
            manager.record_tool_execution(f"t{number}", False, 0.1, error_type="timeout")
            manager.record_tool_execution(f"t{number}")
        text = manager.get_prometheus_metrics()
        assert "otel_metric_overflow" not in text
        assert text.count("mcp_tool_execution_total{") == 6000
        assert text.count("mcp_tool_execution_seconds_count{") == 3000
        for _ in range(3):
            manager.reset()
            manager.record_tool_execution("nmap")
        text = manager.get_prometheus_metrics()
        assert text.count("mcp_tool_execution_total{") == text.count("mcp_tool_execution_seconds_count{") == 1
    """)


def test_a_fork_while_others_record_leaves_the_child_free() -> None:
    run("""
        import threading
        manager = MetricsManager.get()
        stop = threading.Event()
        def record():
            while not stop.is_set():
                manager.record_tool_execution("nmap")
        threads = [threading.Thread(target=record) for _ in range(3)]
        for thread in threads: thread.start()
        try:
            for _ in range(30):
                child = os.fork()
                if child == 0:
                    stats = manager.get_tool_stats("nmap")
                    before = stats["execution_count"]
                    manager.record_tool_execution("nmap")
                    os._exit(0 if manager.get_tool_stats("nmap")["execution_count"] == before + 1 else 1)
                assert os.waitpid(child, 0)[1] == 0
        finally:
            stop.set()
            for thread in threads: thread.join()
    """)


def test_a_second_import_collides_with_nothing() -> None:
    run("""
        import importlib, sys
        MetricsManager.get().record_tool_execution("nmap")
        for name in [name for name in sys.modules if name.startswith("tracefuse.telemetry")]:
            del sys.modules[name]
        again = importlib.import_module("tracefuse.telemetry").MetricsManager.get()
        assert type(again) is not MetricsManager
        again.record_tool_execution("nmap")
        for manager in (again, MetricsManager.get()):
            assert manager.get_tool_stats("nmap")["execution_count"] == 1
            assert line(manager.get_prometheus_metrics(), SECONDS) == 1
    """)
