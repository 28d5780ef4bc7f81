"""The collector's two neighbours: a service with the real SDK before it, an OTLP backend behind it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import grpc
from opentelemetry.exporter.otlp.proto.grpc import _log_exporter as grpc_logs
from opentelemetry.exporter.otlp.proto.grpc import metric_exporter as grpc_metrics
from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as grpc_traces
from opentelemetry.exporter.otlp.proto.http import _log_exporter as http_logs
from opentelemetry.exporter.otlp.proto.http import metric_exporter as http_metrics
from opentelemetry.exporter.otlp.proto.http import trace_exporter as http_traces
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs_pb2
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc as logs_rpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_rpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_rpc
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from tracefuse.telemetry import Instrumentation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
    from opentelemetry.proto.trace.v1.trace_pb2 import Span
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
    collector: Collector, protocol: Protocol = "grpc", resource: Mapping[str, str] | None = None
) -> Iterator[Service]:
    """A service called `scanner` that exports all three signals to `collector`."""
    spans, metrics, logs = _exporters(collector, protocol)
    identity = Resource.create({"service.name": "scanner", "service.instance.id": "scanner-1", **(resource or {})})
    tracers = TracerProvider(resource=identity)
    tracers.add_span_processor(BatchSpanProcessor(spans))
    meters = MeterProvider([PeriodicExportingMetricReader(metrics, export_interval_millis=3_600_000)], identity)
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


@dataclass(frozen=True, slots=True)
class Backend:
    """An OTLP backend over gRPC that keeps what it is sent."""

    traces: list[trace_pb2.ExportTraceServiceRequest] = field(default_factory=list)
    metrics: list[metrics_pb2.ExportMetricsServiceRequest] = field(default_factory=list)
    logs: list[logs_pb2.ExportLogsServiceRequest] = field(default_factory=list)

    def spans(self) -> list[Span]:
        """All spans, in the order in which they came."""
        return [
            span for request in list(self.traces) for one in request.resource_spans for scope in one.scope_spans
            for span in scope.spans
        ]  # fmt: skip

    def records(self) -> list[LogRecord]:
        """All log records, in the order in which they came."""
        return [
            record for request in list(self.logs) for one in request.resource_logs for scope in one.scope_logs
            for record in scope.log_records
        ]  # fmt: skip

    def everything(self) -> str:
        """All that was received, as text."""
        return "\n".join(str(request) for request in (*self.traces, *self.metrics, *self.logs))


class _Traces(trace_rpc.TraceServiceServicer):
    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    def Export(self, request, context):  # noqa: N802
        self.backend.traces.append(request)
        return trace_pb2.ExportTraceServiceResponse()


class _Metrics(metrics_rpc.MetricsServiceServicer):
    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    def Export(self, request, context):  # noqa: N802
        self.backend.metrics.append(request)
        return metrics_pb2.ExportMetricsServiceResponse()


class _Logs(logs_rpc.LogsServiceServicer):
    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    def Export(self, request, context):  # noqa: N802
        self.backend.logs.append(request)
        return logs_pb2.ExportLogsServiceResponse()


@contextmanager
def backend(port: int) -> Iterator[Backend]:
    """A backend that listens on the loopback port."""
    kept = Backend()
    with ThreadPoolExecutor(4) as threads:
        server = grpc.server(threads)
        trace_rpc.add_TraceServiceServicer_to_server(_Traces(kept), server)
        metrics_rpc.add_MetricsServiceServicer_to_server(_Metrics(kept), server)
        logs_rpc.add_LogsServiceServicer_to_server(_Logs(kept), server)
        assert server.add_insecure_port(f"127.0.0.1:{port}") == port
        server.start()
        try:
            yield kept
        finally:
            server.stop(1).wait()
