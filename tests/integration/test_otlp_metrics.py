"""Metrics over OTLP to a real receiver: temporality, exemplars, limits, forks, and a host's own exporter."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.otlp import OtlpReceiver, attributes
from tracefuse.telemetry import Telemetry, ToolInstruments, configure, operation_span

Receivers = Callable[..., OtlpReceiver]
PROTOCOLS = ("grpc", "http/protobuf")
DELTA, CUMULATIVE = 1, 2
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
QUIET = {"OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED": "false"}


def flush(telemetry: Telemetry) -> bool:
    return bool(telemetry.meter_provider.force_flush())  # type: ignore[attr-defined]


def pushed(receiver: OtlpReceiver, name: str) -> list[tuple[int, float]]:
    """Temporality and value of each push of the metric, in order; a histogram's value is its count."""
    return [(data.aggregation_temporality, value) for data, value in _pushed(receiver, name)]


def _pushed(receiver: OtlpReceiver, name: str) -> Iterator[tuple[Any, float]]:
    for metric in receiver.metrics():
        if metric.name == name:
            data = getattr(metric, metric.WhichOneof("data"))
            yield data, sum(getattr(point, "as_int", 0) or getattr(point, "count", 0) for point in data.data_points)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("preference", "counter", "histogram", "observed", "updown"),
    [
        ("cumulative", CUMULATIVE, CUMULATIVE, CUMULATIVE, CUMULATIVE),
        ("delta", DELTA, DELTA, DELTA, CUMULATIVE),
        ("lowmemory", DELTA, DELTA, CUMULATIVE, CUMULATIVE),
        (None, CUMULATIVE, CUMULATIVE, CUMULATIVE, CUMULATIVE),
    ],
)
def test_the_temporality_is_the_one_preferred_and_the_scrape_stays_cumulative(
    otlp_receiver: Receivers,
    protocol: str,
    preference: str | None,
    counter: int,
    histogram: int,
    observed: int,
    updown: int,
) -> None:
    receiver = otlp_receiver(protocol)
    chosen = {"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": preference} if preference else {}
    with configure(receiver.environ | QUIET | chosen, set_global=False) as telemetry:
        tools = ToolInstruments(telemetry.instrumentation)
        hosts = telemetry.instrumentation.counter("tracefuse.scan.hosts")
        queue = telemetry.instrumentation.up_down_counter("tracefuse.queue.length")
        for executions in (3, 2):
            for _ in range(executions):
                tools.finish("nmap", "success", seconds=0.2)
                hosts.add(1, {"tool": "nmap", "state": "up"})
                queue.add(1, {"tool": "nmap", "reason": "total limit"})
            assert flush(telemetry)
        text = telemetry.exposition().body.decode()
    for name, temporality in {
        "tracefuse.scan.hosts": counter,
        "mcp.tool.execution.seconds": histogram,
        "mcp.tool.execution": observed,
        "tracefuse.queue.length": updown,
    }.items():
        first, second = pushed(receiver, name)[:2]
        assert (name, first, second) == (name, (temporality, 3), (temporality, 2 if temporality == DELTA else 5))
    assert 'mcp_tool_execution_seconds_count{tool="nmap"} 5.0' in text
    assert 'tracefuse_scan_hosts_total{state="up",tool="nmap"} 5.0' in text


@pytest.mark.parametrize("exponential", [False, True])
def test_one_recording_has_its_exemplar_on_both_paths(otlp_receiver: Receivers, exponential: bool) -> None:
    receiver = otlp_receiver("grpc")
    kind = "base2_exponential_bucket_histogram" if exponential else "explicit_bucket_histogram"
    chosen = {"OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": kind}
    with configure(receiver.environ | QUIET | chosen, set_global=False) as telemetry:
        tools = ToolInstruments(telemetry.instrumentation)
        with operation_span(telemetry.instrumentation.tracer, "work") as span:
            tools.finish("nmap", "success", seconds=0.2)
        trace_id = f"{span.get_span_context().trace_id:032x}"
        for _ in range(2):
            text = telemetry.exposition(OPENMETRICS).body.decode()
            (line,) = [
                one for one in text.splitlines() if one.startswith("mcp_tool_execution_seconds_bucket{") and "#" in one
            ]
            assert 'le="0.25"' in line and f'trace_id="{trace_id}"' in line
        assert flush(telemetry)
    ((data, count),) = [*_pushed(receiver, "mcp.tool.execution.seconds")][:1]
    ((exemplar,),) = [point.exemplars for point in data.data_points]
    assert (count, exemplar.as_double, exemplar.trace_id.hex()) == (1, 0.2, trace_id)


def test_exemplars_can_be_switched_off_and_on_for_all(otlp_receiver: Receivers) -> None:
    found = {}
    for chosen in ("always_off", "always_on"):
        receiver = otlp_receiver("grpc")
        with configure(
            receiver.environ | QUIET | {"OTEL_METRICS_EXEMPLAR_FILTER": chosen}, set_global=False
        ) as telemetry:
            tools = ToolInstruments(telemetry.instrumentation)
            tools.finish("nmap", "success", seconds=0.2)
            with operation_span(telemetry.instrumentation.tracer, "work"):
                tools.finish("nmap", "success", seconds=7.0)
            assert flush(telemetry)
        (data, _), *_ = _pushed(receiver, "mcp.tool.execution.seconds")
        found[chosen] = [[bool(exemplar.trace_id) for exemplar in point.exemplars] for point in data.data_points]
    assert found == {"always_off": [[]], "always_on": [[False, True]]}


@pytest.mark.parametrize("preference", ["cumulative", "delta"])
def test_tools_do_not_use_up_the_limit_of_series_and_others_overflow_visibly(
    otlp_receiver: Receivers, preference: str
) -> None:
    receiver = otlp_receiver("grpc")
    chosen = {"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": preference}
    with configure(receiver.environ | QUIET | chosen, set_global=False) as telemetry:
        tools = ToolInstruments(telemetry.instrumentation)
        hosts = telemetry.instrumentation.counter("tracefuse.scan.hosts")
        for number in range(2100):
            tools.finish(f"tool{number % 900}", "success", seconds=0.2)
            tools.finish(f"tool{number % 900}", "failure", "timeout", seconds=0.2)
            tools.finish(f"tool{number % 900}", "failure", "not_found", seconds=0.2)
            hosts.add(1, {"tool": f"tool{number}", "state": "up"})
        assert flush(telemetry)
        text = telemetry.exposition().body.decode()
    (executions, _), *_ = _pushed(receiver, "mcp.tool.execution")
    assert len(executions.data_points) == 2700
    (hosts_seen, _), *_ = _pushed(receiver, "tracefuse.scan.hosts")
    overflow = [point.as_int for point in hosts_seen.data_points if "otel.metric.overflow" in str(attributes(point))]
    assert (len(hosts_seen.data_points), overflow) == (2001, [100])
    assert 'otel_metric_overflow="true"' in text
    assert not [line for line in text.splitlines() if line.startswith("mcp_") and 'overflow="true"' in line]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_flush_that_lies_is_found_out(otlp_receiver: Receivers, protocol: str) -> None:
    receiver = otlp_receiver(protocol, "unavailable")
    telemetry = configure(receiver.environ | QUIET | {"OTEL_EXPORTER_OTLP_TIMEOUT": "1"}, set_global=False)
    telemetry.instrumentation.tracer.start_span("lost").end()
    telemetry.instrumentation.counter("tracefuse.scan.hosts").add(1, {"tool": "nmap", "state": "up"})
    assert telemetry.tracer_provider.force_flush(5000) is True  # type: ignore[attr-defined]
    assert flush(telemetry) is True
    report = telemetry.shutdown()
    assert (report.spans_lost, report.metrics_lost) == (1, True)
    assert receiver.spans() == []


def run(script: str, environ: dict[str, str]) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        capture_output=True,
        encoding="utf-8",
        env=clean | paths | environ,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


WORKERS = """
import os
from tracefuse.telemetry import MetricsManager, ToolInstruments, configure
children = []
for worker in range(3):
    child = os.fork()
    if child == 0:
        telemetry = configure()
        manager = MetricsManager.get()
        for _ in range(worker + 1):
            manager.record_tool_execution("nmap", True, 0.2)
        report = telemetry.shutdown()
        os._exit(1 if report.lost else 0)
    children.append(child)
assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
"""


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_workers_that_set_up_after_the_fork_push_figures_of_their_own(otlp_receiver: Receivers, protocol: str) -> None:
    receiver = otlp_receiver(protocol)
    run(WORKERS, receiver.environ)
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for _, request in receiver.requests:
        for resource in getattr(request, "resource_metrics", ()):
            instance = attributes(resource.resource)["service.instance.id"]
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    if metric.name == "mcp.tool.execution":
                        counts[instance]["nmap"] += sum(point.as_int for point in metric.sum.data_points)
    assert sorted(count["nmap"] for count in counts.values()) == [1, 2, 3]


HOST = """
from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
resource = Resource.create({"service.name": "the host"})
meters = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter(insecure=True))], resource)
tracers = TracerProvider(resource=resource)
tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(insecure=True)))
metrics.set_meter_provider(meters)
trace.set_tracer_provider(tracers)
from tracefuse.telemetry import MetricsManager, configure
telemetry = configure()
print(sorted(telemetry.host_signals), metrics.get_meter_provider() is meters, trace.get_tracer_provider() is tracers)
with telemetry.instrumentation.tracer.start_as_current_span("ours"):
    MetricsManager.get().record_tool_execution("nmap", True, 0.2)
print(telemetry.shutdown())
with trace.get_tracer("host").start_as_current_span("the host's, later"):
    metrics.get_meter("host").create_counter("host_things").add(1)
tracers.shutdown()
meters.shutdown()
"""


def test_a_hosts_own_exporters_carry_ours_and_outlive_us(otlp_receiver: Receivers) -> None:
    receiver = otlp_receiver("grpc")
    said = run(HOST, receiver.environ).splitlines()
    assert said == ["['metrics', 'traces'] True True", "telemetry: nothing was lost"]
    assert [span.name for span in receiver.spans()] == ["ours", "the host's, later"]
    names = {metric.name for metric in receiver.metrics()}
    assert {"mcp.tool.execution", "mcp.tool.execution.seconds", "host_things"} <= names
    assert {resource["service.name"] for resource in receiver.resources()} >= {"the host"}
