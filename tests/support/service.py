"""A service with the real SDK that exports its three signals to a collector."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from opentelemetry.exporter.otlp.proto.grpc import _log_exporter as grpc_logs
from opentelemetry.exporter.otlp.proto.grpc import metric_exporter as grpc_metrics
from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as grpc_traces
from opentelemetry.exporter.otlp.proto.http import _log_exporter as http_logs
from opentelemetry.exporter.otlp.proto.http import metric_exporter as http_metrics
from opentelemetry.exporter.otlp.proto.http import trace_exporter as http_traces
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from tracefuse.telemetry import Instrumentation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from opentelemetry.sdk.metrics.view import View
    from tests.support.collector import Collector

Protocol = Literal["grpc", "http"]
Exporters = tuple[SpanExporter, MetricExporter, LogRecordExporter]


@dataclass(frozen=True, slots=True)
class Service:
    """What an instrumented service holds, exporting to a collector."""

    instrumentation: Instrumentation
    tracers: TracerProvider
    meters: MeterProvider
    loggers: LoggerProvider

    def flush(self) -> None:
        """Hand everything recorded so far to the collector."""
        assert self.tracers.force_flush(10_000)
        assert self.meters.force_flush(10_000)
        assert self.loggers.force_flush(10_000)


@contextmanager
def service(
    collector: Collector,
    protocol: Protocol = "grpc",
    *,
    resource: Mapping[str, str] | None = None,
    views: Sequence[View] = (),
) -> Iterator[Service]:
    """A service called `scanner` that exports all three signals to `collector`."""
    spans, metrics, logs = _exporters(collector, protocol)
    identity = Resource.create({"service.name": "scanner", "service.instance.id": "scanner-1", **(resource or {})})
    tracers = TracerProvider(resource=identity)
    tracers.add_span_processor(BatchSpanProcessor(spans))
    pushed_when_flushed = PeriodicExportingMetricReader(metrics, export_interval_millis=3_600_000)
    meters = MeterProvider([pushed_when_flushed], identity, views=views)
    loggers = LoggerProvider(identity)
    loggers.add_log_record_processor(BatchLogRecordProcessor(logs))
    handles = Instrumentation.from_providers(tracer_provider=tracers, meter_provider=meters, logger_provider=loggers)
    try:
        yield Service(handles, tracers, meters, loggers)
    finally:
        for provider in (tracers, meters, loggers):
            provider.shutdown()


def _exporters(collector: Collector, protocol: Protocol) -> Exporters:
    if protocol == "grpc":
        address = f"127.0.0.1:{collector.grpc}"
        return (
            grpc_traces.OTLPSpanExporter(address, insecure=True, timeout=5),
            grpc_metrics.OTLPMetricExporter(address, insecure=True, timeout=5),
            grpc_logs.OTLPLogExporter(address, insecure=True, timeout=5),
        )
    base = f"http://127.0.0.1:{collector.http}/v1"
    return (
        http_traces.OTLPSpanExporter(f"{base}/traces", timeout=5),
        http_metrics.OTLPMetricExporter(f"{base}/metrics", timeout=5),
        http_logs.OTLPLogExporter(f"{base}/logs", timeout=5),
    )
