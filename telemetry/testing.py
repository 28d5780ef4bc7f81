"""What was recorded, read back: telemetry in memory for tests, demonstrations and examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ._setup import configure

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from opentelemetry.sdk.metrics.export import ExponentialHistogramDataPoint, HistogramDataPoint
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.util.types import AnyValue

    from ._setup import Telemetry

__all__ = ["InMemoryTelemetry", "RecordedEvent", "SpanEvent", "SpanNode", "span_tree"]

_OFF = {"OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED": "false"}


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """One log record; `name` is its event name, None for a plain record. Ids are hexadecimal, "" for none."""

    name: str | None
    body: AnyValue
    attributes: Mapping[str, AnyValue]
    severity: str
    trace_id: str
    span_id: str


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """An event on a span, `offset` seconds after the span began."""

    name: str
    offset: float
    attributes: Mapping[str, AnyValue]


@dataclass(frozen=True, slots=True)
class SpanNode:
    """A finished span and those below it, in the order they began.

    `start` is in seconds since the epoch, `duration` in seconds; `status` is UNSET, OK or ERROR.
    """

    name: str
    kind: str
    start: float
    duration: float
    status: str
    status_description: str | None
    attributes: Mapping[str, AnyValue]
    events: tuple[SpanEvent, ...]
    trace_id: str
    span_id: str
    children: tuple[SpanNode, ...]

    def walk(self) -> Iterator[SpanNode]:
        """This node and all below it, parents first."""
        yield self
        for child in self.children:
            yield from child.walk()


class InMemoryTelemetry:
    """A `Telemetry` of its own whose spans, events and metrics can be read back. Makes nothing global.

    `environ` may name OTEL_* variables as for `configure`; without any nothing leaves the process, no
    thread runs, and the SDK's own metrics are off.

    >>> with InMemoryTelemetry() as memory:
    ...     with memory.telemetry.instrumentation.tracer.start_as_current_span("work"):
    ...         memory.telemetry.instrumentation.counter("mcp.tool.errors").add(2, {"tool": "nmap", "error.type": "x"})
    ...     memory.metric("mcp.tool.errors", tool="nmap"), [node.name for node in memory.tree()]
    (2, ['work'])
    """

    def __init__(self, environ: Mapping[str, str] | None = None, *, service_name: str = "tracefuse") -> None:
        self._spans = InMemorySpanExporter()
        self._logs = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
        self._metrics = InMemoryMetricReader()
        self.telemetry: Telemetry = configure(
            _OFF | dict(environ or {}),
            service_name=service_name,
            set_global=False,
            span_processors=(SimpleSpanProcessor(self._spans),),
            log_processors=(SimpleLogRecordProcessor(self._logs),),
            metric_readers=(self._metrics,),
        )

    def spans(self, name: str | None = None) -> tuple[ReadableSpan, ...]:
        """The finished spans, in the order they ended; with `name` only those called so."""
        return tuple(span for span in self._spans.get_finished_spans() if name in {None, span.name})

    def tree(self) -> tuple[SpanNode, ...]:
        """The finished spans as trees, in the order they began."""
        return span_tree(self._spans.get_finished_spans())

    def events(self, name: str | None = None) -> tuple[RecordedEvent, ...]:
        """The log records, in the order they were emitted; with `name` only events of that name."""
        records = (item.log_record for item in self._logs.get_finished_logs())
        return tuple(
            RecordedEvent(
                record.event_name,
                record.body,
                dict(record.attributes or {}),
                record.severity_text or "",
                f"{record.trace_id:032x}" if record.trace_id else "",
                f"{record.span_id:016x}" if record.span_id else "",
            )
            for record in records
            if name in {None, record.event_name}
        )

    def metric(self, name: str, /, **attributes: AnyValue) -> float | None:
        """The sum of all values of the metric `name` whose attributes contain these; None when there is none.

        A histogram's value is its count. Dots of attribute keys are written as underscores: `error_type`.
        """
        values = [
            point.value if isinstance(point, NumberDataPoint) else point.count
            for point in self.points(name)
            if attributes.items() <= _as_keywords(point.attributes or {}).items()
        ]
        return sum(values) if values else None

    def points(self, name: str) -> Sequence[NumberDataPoint | HistogramDataPoint | ExponentialHistogramDataPoint]:
        """The SDK's data points of the metric `name`, collected now, of all scopes."""
        data = self._metrics.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def clear(self) -> None:
        """Forget spans and log records; metrics are cumulative and stay."""
        self._spans.clear()
        self._logs.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.telemetry.shutdown()


def _as_keywords(attributes: Mapping[str, AnyValue]) -> dict[str, AnyValue]:
    return {key.replace(".", "_"): value for key, value in attributes.items()}


def span_tree(spans: Sequence[ReadableSpan]) -> tuple[SpanNode, ...]:
    """Arrange finished `spans` below their parents. A span whose parent is not among them is a root."""
    ordered = sorted(spans, key=lambda span: span.start_time or 0)
    known = {span.context.span_id for span in ordered if span.context}
    below: dict[int | None, list[ReadableSpan]] = {}
    for span in ordered:
        parent = span.parent.span_id if span.parent and span.parent.span_id in known else None
        below.setdefault(parent, []).append(span)
    return tuple(_node(span, below) for span in below.get(None, ()))


def _node(span: ReadableSpan, below: Mapping[int | None, Sequence[ReadableSpan]]) -> SpanNode:
    start, end = span.start_time or 0, span.end_time or 0
    context = span.context
    return SpanNode(
        span.name,
        span.kind.name,
        start / 1e9,
        (end - start) / 1e9,
        span.status.status_code.name,
        span.status.description,
        dict(span.attributes or {}),
        tuple(
            SpanEvent(event.name, (event.timestamp - start) / 1e9, dict(event.attributes or {}))
            for event in span.events
        ),
        f"{context.trace_id:032x}" if context else "",
        f"{context.span_id:016x}" if context else "",
        tuple(_node(child, below) for child in below.get(context.span_id, ())) if context else (),
    )
