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
from opentelemetry.metrics import Observation
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from tracefuse.telemetry import (
    INSTRUMENTS,
    Event,
    Instrument,
    Instrumentation,
    InstrumentKind,
    SeverityNumber,
    emit_event,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from opentelemetry.metrics import CallbackOptions
    from opentelemetry.sdk.metrics.view import View

    from support.collector import Collector

Protocol = Literal["grpc", "http"]
Exporters = tuple[SpanExporter, MetricExporter, LogRecordExporter]

KEPT = {row.prometheus: row for row in INSTRUMENTS.values() if row.kept}
"""The seven kept metrics, by the name they must come out with."""

VALUES = {
    "tool": "nmap",
    "status": "success",
    "error.type": "",
    "name": "nmap",
    "result": "success",
    "from_state": "closed",
    "to_state": "open",
}
"""The attribute values that they are recorded with."""


@dataclass(frozen=True, slots=True)
class Service:
    """What an instrumented service holds, exporting to a collector."""

    instrumentation: Instrumentation
    tracers: TracerProvider
    meters: MeterProvider
    loggers: LoggerProvider

    def scan(self) -> str:
        """Record one span with a breaker event, which is also a log record; its trace id."""
        held = self.instrumentation
        with held.tracer.start_as_current_span("nmap scan") as span:
            opened = {"name": "nmap", "to_state": "open"}
            emit_event(held.logger, Event.TRANSITION, opened, severity=SeverityNumber.WARN)
            return f"{span.get_span_context().trace_id:032x}"

    def record_kept(self) -> str:
        """Record each of the seven kept metrics once; the trace id of the span that was current."""
        with self.instrumentation.tracer.start_as_current_span("nmap scan") as span:
            for row in KEPT.values():
                _record(self.instrumentation, row)
            return f"{span.get_span_context().trace_id:032x}"

    def flush(self) -> None:
        """Hand everything recorded so far to the collector."""
        assert self.tracers.force_flush(10_000)
        assert self.meters.force_flush(10_000)
        assert self.loggers.force_flush(10_000)


def _record(held: Instrumentation, row: Instrument) -> None:
    attributes = {key: VALUES[key] for key in row.attributes}

    def observed(_: CallbackOptions) -> list[Observation]:
        return [Observation(1, attributes)]

    match row.kind:
        case InstrumentKind.COUNTER:
            held.counter(row.name).add(1, attributes)
        case InstrumentKind.UP_DOWN_COUNTER:
            held.up_down_counter(row.name).add(1, attributes)
        case InstrumentKind.HISTOGRAM:
            held.histogram(row.name).record(0.2, attributes)
        case _:
            held.observe(row.name, observed)


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
