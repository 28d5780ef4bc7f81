"""The push side: OTLP exporters of the chosen protocol, in processors and readers that keep an account.

Exporters are imported when one is asked for: gRPC and requests cost more than the rest of Tracefuse.
"""

from __future__ import annotations

import os
import sys
import weakref
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk._logs.export import (
    BatchLogRecordProcessor,
    ConsoleLogRecordExporter,
    LogRecordExporter,
    LogRecordExportResult,
)
from opentelemetry.sdk.metrics.export import (
    ConsoleMetricExporter,
    MetricExporter,
    MetricExportResult,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter, SpanExportResult

from ._delivery import Delivery
from ._environ import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.metrics import MeterProvider
    from opentelemetry.sdk._logs import ReadableLogRecord, ReadWriteLogRecord
    from opentelemetry.sdk.metrics.export import MetricsData
    from opentelemetry.sdk.trace import ReadableSpan

    from ._config import BatchConfig, OtlpConfig, SignalConfig, TelemetryConfig

__all__ = ["PushReader", "check_tls_files", "push_log_processors", "push_metric_readers", "push_span_processors"]


def check_tls_files(environ: Mapping[str, str]) -> None:
    """Refuse certificate and key files that cannot be read: the exporters would fail at every export."""
    for signal in ("", "TRACES_", "METRICS_", "LOGS_"):
        for kind in ("CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE"):
            variable = f"OTEL_EXPORTER_OTLP_{signal}{kind}"
            path = environ.get(variable, "").strip()
            if path and not (Path(path).is_file() and os.access(path, os.R_OK)):
                raise ConfigurationError(variable, path, "a readable PEM file", f"/etc/otel/{kind.lower()}.pem")


def push_span_processors(
    signal: SignalConfig, batch: BatchConfig, meters: MeterProvider
) -> tuple[list[BatchSpanProcessor], list[Delivery]]:
    """The processors that export spans, and the accounts they keep."""
    processors: list[BatchSpanProcessor] = []
    deliveries: list[Delivery] = []
    if signal.console:
        processors.append(BatchSpanProcessor(ConsoleSpanExporter(out=sys.stderr), meter_provider=meters))
    if signal.otlp:
        delivery = _delivery("spans", signal.otlp)
        exporter: SpanExporter = _exporter("trace_exporter", "OTLPSpanExporter", signal.otlp, meters)
        processors.append(_SpanProcessor(exporter, delivery, batch, meters))
        deliveries.append(delivery)
    return processors, deliveries


def push_log_processors(
    signal: SignalConfig, batch: BatchConfig, meters: MeterProvider
) -> tuple[list[BatchLogRecordProcessor], list[Delivery]]:
    """The processors that export log records, and the accounts they keep."""
    processors: list[BatchLogRecordProcessor] = []
    deliveries: list[Delivery] = []
    if signal.console:
        processors.append(BatchLogRecordProcessor(ConsoleLogRecordExporter(out=sys.stderr), meter_provider=meters))
    if signal.otlp:
        delivery = _delivery("log records", signal.otlp)
        exporter: LogRecordExporter = _exporter("_log_exporter", "OTLPLogExporter", signal.otlp, meters)
        processors.append(_LogProcessor(exporter, delivery, batch, meters))
        deliveries.append(delivery)
    return processors, deliveries


def push_metric_readers(config: TelemetryConfig) -> tuple[list[PushReader], list[Delivery]]:
    """The readers that push metrics, and the accounts they keep."""
    exporters: list[MetricExporter] = []
    deliveries: list[Delivery] = []
    if config.metrics.console:
        exporters.append(ConsoleMetricExporter(out=sys.stderr))
    if config.metrics.otlp:
        delivery = _delivery("metrics", config.metrics.otlp)
        exporter = _exporter("metric_exporter", "OTLPMetricExporter", config.metrics.otlp, NoOpMeterProvider())
        exporters.append(_MetricExporter(exporter, delivery))
        deliveries.append(delivery)
    interval = config.metric_interval * 1000.0
    return [PushReader(exporter, interval) for exporter in exporters], deliveries


class PushReader(PeriodicExportingMetricReader):
    """Pushes metrics; its exporter counts what it exported once it is told where."""

    def count_exports(self, meters: MeterProvider) -> None:
        """Count exports on `meters`, which exists only after its readers and which the SDK does not hand on."""
        if isinstance(self._exporter, _MetricExporter):
            self._exporter.set_meter_provider(meters)


def _delivery(what: str, otlp: OtlpConfig) -> Delivery:
    delivery = Delivery(what, otlp.address)
    reset = weakref.WeakMethod(delivery.reset)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: (call := reset()) and call())
    return delivery


def _exporter(module: str, name: str, otlp: OtlpConfig, meters: MeterProvider) -> Any:
    """Endpoint, headers and TLS files are left to the exporter, which reads the environment."""
    if otlp.protocol == "grpc":
        package, kinds = "opentelemetry.exporter.otlp.proto.grpc", import_module("grpc").Compression
        compression = kinds.Gzip if otlp.compression == "gzip" else kinds.NoCompression
    else:
        package = "opentelemetry.exporter.otlp.proto.http"
        compression = import_module(package).Compression(otlp.compression)
    exporter = getattr(import_module(f"{package}.{module}"), name)
    return exporter(timeout=otlp.timeout, compression=compression, meter_provider=meters)


class _SpanExporter(SpanExporter):
    def __init__(self, inner: SpanExporter, delivery: Delivery) -> None:
        self._inner = inner
        self._delivery = delivery

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        done = self._delivery.attempt(len(spans), lambda: self._inner.export(spans) is SpanExportResult.SUCCESS)
        return SpanExportResult.SUCCESS if done else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self._delivery.close(self._inner.shutdown)


class _SpanProcessor(BatchSpanProcessor):
    def __init__(self, exporter: SpanExporter, delivery: Delivery, batch: BatchConfig, meters: MeterProvider) -> None:
        super().__init__(
            _SpanExporter(exporter, delivery), batch.queue, batch.delay * 1000.0, batch.batch, meter_provider=meters
        )
        self._delivery = delivery

    def on_end(self, span: ReadableSpan) -> None:
        if span.context and span.context.trace_flags.sampled:
            self._delivery.accept(lambda: super(_SpanProcessor, self).on_end(span))


class _LogExporter(LogRecordExporter):
    def __init__(self, inner: LogRecordExporter, delivery: Delivery) -> None:
        self._inner = inner
        self._delivery = delivery

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        done = self._delivery.attempt(len(batch), lambda: self._inner.export(batch) is LogRecordExportResult.SUCCESS)
        return LogRecordExportResult.SUCCESS if done else LogRecordExportResult.FAILURE

    def shutdown(self) -> None:
        self._delivery.close(self._inner.shutdown)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)


class _LogProcessor(BatchLogRecordProcessor):
    def __init__(
        self, exporter: LogRecordExporter, delivery: Delivery, batch: BatchConfig, meters: MeterProvider
    ) -> None:
        super().__init__(
            _LogExporter(exporter, delivery),
            schedule_delay_millis=batch.delay * 1000.0,
            max_export_batch_size=batch.batch,
            max_queue_size=batch.queue,
            meter_provider=meters,
        )
        self._delivery = delivery

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        self._delivery.accept(lambda: super(_LogProcessor, self).on_emit(log_record))


class _MetricExporter(MetricExporter):
    def __init__(self, inner: Any, delivery: Delivery) -> None:
        super().__init__(inner._preferred_temporality, inner._preferred_aggregation)
        self._inner = inner
        self._delivery = delivery

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        done = self._delivery.attempt(
            0, lambda: self._inner.export(metrics_data, timeout_millis, **kwargs) is MetricExportResult.SUCCESS
        )
        return MetricExportResult.SUCCESS if done else MetricExportResult.FAILURE

    def set_meter_provider(self, meters: MeterProvider) -> None:
        self._inner.set_meter_provider(meters)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return bool(self._inner.force_flush(timeout_millis))

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        self._delivery.close(self._inner.shutdown)
