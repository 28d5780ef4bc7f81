"""The three providers, each either made here or the host application's own, with what is attached to them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import (
    AlwaysOffExemplarFilter,
    AlwaysOnExemplarFilter,
    MeterProvider,
    TraceBasedExemplarFilter,
)
from opentelemetry.sdk.trace import TracerProvider, sampling

from ._exporters import push_log_processors, push_metric_readers, push_span_processors
from ._meter_in_use import remember_reader
from ._prometheus import PrometheusReader
from ._views import tool_views

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from opentelemetry.sdk._logs import LogRecordProcessor
    from opentelemetry.sdk.metrics import ExemplarFilter
    from opentelemetry.sdk.metrics.export import MetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanProcessor

    from ._config import TelemetryConfig
    from ._delivery import Delivery

__all__ = ["Attachments", "Host", "Providers", "build_providers", "disabled_providers", "find_host", "no_host"]

_log = logging.getLogger(__name__)

_P = TypeVar("_P")
_API_MODULES: Final = ("opentelemetry.trace", "opentelemetry.metrics", "opentelemetry._logs")
_SAMPLERS: Final[Mapping[str, Callable[[float], sampling.Sampler]]] = {
    "always_on": lambda _: sampling.ALWAYS_ON,
    "always_off": lambda _: sampling.ALWAYS_OFF,
    "traceidratio": sampling.TraceIdRatioBased,
    "parentbased_always_on": lambda _: sampling.DEFAULT_ON,
    "parentbased_always_off": lambda _: sampling.DEFAULT_OFF,
    "parentbased_traceidratio": sampling.ParentBasedTraceIdRatio,
}
_EXEMPLAR_FILTERS: Final[Mapping[str, Callable[[], ExemplarFilter]]] = {
    "always_on": AlwaysOnExemplarFilter,
    "always_off": AlwaysOffExemplarFilter,
    "trace_based": TraceBasedExemplarFilter,
}


@dataclass(frozen=True, slots=True)
class Host:
    """The providers that a host application made global; None where it made none."""

    tracers: trace.TracerProvider | None
    meters: metrics.MeterProvider | None
    loggers: _logs.LoggerProvider | None

    @property
    def signals(self) -> frozenset[str]:
        """The signals that are the host's."""
        named = {"traces": self.tracers, "metrics": self.meters, "logs": self.loggers}
        return frozenset(signal for signal, provider in named.items() if provider is not None)


@dataclass(frozen=True, slots=True)
class Attachments:
    """What the caller of `configure` adds to the providers."""

    span_processors: Sequence[SpanProcessor]
    metric_readers: Sequence[MetricReader]
    log_processors: Sequence[LogRecordProcessor]


@dataclass(frozen=True, slots=True)
class Providers:
    """The providers in use; `reader` answers scrapes, `deliveries` keep account of what is pushed."""

    tracers: trace.TracerProvider
    meters: metrics.MeterProvider
    loggers: _logs.LoggerProvider
    host_signals: frozenset[str]
    reader: PrometheusReader | None = None
    deliveries: tuple[Delivery, ...] = ()

    def shutdown_calls(self, deadline: float) -> dict[str, Callable[[], None]]:
        """What ends everything that is ours, by signal."""
        calls: dict[str, Callable[[], None]] = {}
        if isinstance(self.tracers, TracerProvider) and "traces" not in self.host_signals:
            calls["traces"] = self.tracers.shutdown
        if isinstance(self.loggers, LoggerProvider) and "logs" not in self.host_signals:
            calls["logs"] = self.loggers.shutdown
        if isinstance(self.meters, MeterProvider) and "metrics" not in self.host_signals:
            calls["metrics"] = partial(self.meters.shutdown, deadline * 1000.0)
        elif isinstance(self.meters, MeterProvider) and self.reader is not None:
            calls["metrics"] = partial(self.meters.remove_metric_reader, self.reader)
        return calls


def no_host() -> Host:
    """Nothing is taken over."""
    return Host(None, None, None)


def find_host() -> Host:
    """What is global now. The API's own proxies and no-ops only hold the place for a provider to come."""
    return Host(
        _unless_placeholder(trace.get_tracer_provider()),
        _unless_placeholder(metrics.get_meter_provider()),
        _unless_placeholder(_logs.get_logger_provider()),
    )


def disabled_providers() -> Providers:
    """Providers that record nothing."""
    return Providers(trace.NoOpTracerProvider(), metrics.NoOpMeterProvider(), _logs.NoOpLoggerProvider(), frozenset())


def build_providers(config: TelemetryConfig, resource: Resource, host: Host, extra: Attachments) -> Providers:
    """Make the providers that `host` leaves open, and attach what `config` and the caller ask for."""
    meters, reader, metrics_owed = _meters(config, resource, host.meters, extra.metric_readers)
    tracers, spans_owed = _tracers(config, resource, host.tracers, meters)
    loggers, logs_owed = _loggers(config, resource, host.loggers, meters)
    for span_processor in extra.span_processors:
        _attach(tracers, "add_span_processor", span_processor)
    for log_processor in extra.log_processors:
        _attach(loggers, "add_log_record_processor", log_processor)
    return Providers(tracers, meters, loggers, host.signals, reader, (*spans_owed, *logs_owed, *metrics_owed))


def _meters(
    config: TelemetryConfig, resource: Resource, host: metrics.MeterProvider | None, extra: Sequence[MetricReader]
) -> tuple[metrics.MeterProvider, PrometheusReader | None, list[Delivery]]:
    reader = PrometheusReader()
    if host is not None:
        attached = _attach(host, "add_metric_reader", reader)
        for one in extra:
            _attach(host, "add_metric_reader", one)
        if attached:
            remember_reader(host, reader)
        return host, reader if attached else None, []
    pushing, owed = push_metric_readers(config)
    exemplars = _EXEMPLAR_FILTERS[config.exemplar_filter]()
    readers = [reader, *pushing, *extra]
    meters = MeterProvider(readers, resource, exemplars, shutdown_on_exit=False, views=tool_views())
    for one in pushing:
        one.count_exports(meters)
    remember_reader(meters, reader)
    return meters, reader, owed


def _tracers(
    config: TelemetryConfig, resource: Resource, host: trace.TracerProvider | None, meters: metrics.MeterProvider
) -> tuple[trace.TracerProvider, list[Delivery]]:
    if host is not None:
        return host, []
    sampler = _SAMPLERS[config.sampler](config.sampler_ratio)
    # What is lost is told by processors and exporters; counting each span's start and end as well would
    # cost more than the span.
    tracers = TracerProvider(sampler, resource, shutdown_on_exit=False, meter_provider=metrics.NoOpMeterProvider())
    processors, owed = push_span_processors(config.traces, config.span_batch, meters)
    for processor in processors:
        tracers.add_span_processor(processor)
    return tracers, owed


def _loggers(
    config: TelemetryConfig, resource: Resource, host: _logs.LoggerProvider | None, meters: metrics.MeterProvider
) -> tuple[_logs.LoggerProvider, list[Delivery]]:
    if host is not None:
        return host, []
    loggers = LoggerProvider(resource, shutdown_on_exit=False, meter_provider=metrics.NoOpMeterProvider())
    processors, owed = push_log_processors(config.logs, config.log_batch, meters)
    for processor in processors:
        loggers.add_log_record_processor(processor)
    return loggers, owed


def _unless_placeholder(provider: _P) -> _P | None:
    return None if type(provider).__module__.startswith(_API_MODULES) else provider


def _attach(provider: object, method: str, part: object) -> bool:
    """Add `part` to a provider that may be a host's, of another make than the SDK's."""
    add = getattr(provider, method, None)
    if add is None:
        _log.warning("telemetry: %s takes no %s; it is left out", type(provider).__qualname__, type(part).__qualname__)
        return False
    add(part)
    return True
