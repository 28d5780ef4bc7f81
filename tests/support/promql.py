"""PromQL against the names that exist: every metric, label and grouping of a query must be declared somewhere.

Our own come from the table in tracefuse.telemetry; those of the OpenTelemetry SDK and of the collector are
declared here, and tests/integration/test_dashboards_live.py sees each of them come out of the real ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import promql_parser

from tracefuse.telemetry import INSTRUMENTS, InstrumentKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["FOREIGN", "KNOWN", "faults", "for_prometheus"]

_SDK = {"otel_component_name", "otel_component_type"}
_EXPORTER = _SDK | {"server_address", "server_port"}
_PROCESSED, _EXPORTED = _SDK | {"error_type"}, _EXPORTER | {"error_type"}
_TRANSPORT = {"receiver", "transport"}
_QUEUE = {"exporter", "data_type"}
_SENT = {"exporter", "server_address", "server_port", "url_path"}

_SAMPLED = {"sampled", "decision"}
_SPAN = {
    *("span_name", "span_kind", "status_code", "error_type", "otel_metric_overflow"),
    *("gen_ai_tool_name", "tracefuse_scan_template", "tracefuse_caller_kind"),
}
_EDGE = {"client", "server", "connection_type", "failed"}

FOREIGN: Final[Mapping[str, set[str]]] = {
    "otel_sdk_processor_span_processed_total": _PROCESSED,
    "otel_sdk_processor_span_queue_capacity": _SDK,
    "otel_sdk_processor_span_queue_size": _SDK,
    "otel_sdk_processor_log_processed_total": _PROCESSED,
    "otel_sdk_processor_log_queue_capacity": _SDK,
    "otel_sdk_processor_log_queue_size": _SDK,
    "otel_sdk_exporter_span_exported_total": _EXPORTED,
    "otel_sdk_exporter_log_exported_total": _EXPORTED,
    "otel_sdk_exporter_metric_data_point_exported_total": _EXPORTED,
    "otel_sdk_exporter_operation_duration_seconds_sum": _EXPORTED | {"rpc_response_status_code"},
    "otel_sdk_exporter_operation_duration_seconds_count": _EXPORTED | {"rpc_response_status_code"},
    "otelcol_process_uptime": set(),
    "otelcol_process_cpu_seconds": set(),
    "otelcol_process_memory_rss": set(),
    "otelcol_receiver_accepted_spans": _TRANSPORT,
    "otelcol_receiver_accepted_log_records": _TRANSPORT,
    "otelcol_receiver_accepted_metric_points": _TRANSPORT,
    "otelcol_receiver_refused_spans": _TRANSPORT,
    "otelcol_receiver_refused_log_records": _TRANSPORT,
    "otelcol_receiver_refused_metric_points": _TRANSPORT,
    "otelcol_exporter_queue_size": _QUEUE,
    "otelcol_exporter_queue_capacity": _QUEUE,
    "otelcol_exporter_in_flight_requests": _QUEUE,
    "otelcol_exporter_sent_spans": _SENT,
    "otelcol_exporter_sent_log_records": _SENT,
    "otelcol_exporter_sent_metric_points": _SENT,
    "otelcol_exporter_enqueue_failed_spans": _QUEUE,
    "otelcol_exporter_enqueue_failed_log_records": _QUEUE,
    "otelcol_exporter_send_failed_spans": _SENT,
    "otelcol_exporter_send_failed_log_records": _SENT,
    "otelcol_processor_tail_sampling_count_traces_sampled": _SAMPLED | {"policy"},
    "otelcol_processor_tail_sampling_global_count_traces_sampled": _SAMPLED,
    "otelcol_processor_tail_sampling_sampling_traces_on_memory": set(),
    "otelcol_processor_tail_sampling_traces_dropped_too_large": set(),
    "traces_span_metrics_calls_total": _SPAN,
    "traces_span_metrics_duration_seconds_bucket": _SPAN | {"le"},
    "traces_span_metrics_duration_seconds_sum": _SPAN,
    "traces_service_graph_request_total": _EDGE,
    "traces_service_graph_request_failed_total": _EDGE,
    "traces_service_graph_request_client_seconds_bucket": _EDGE | {"le"},
}
"""Metrics that are not ours, with the labels they carry."""

_TARGET = {"job", "instance"}


def _ours() -> Iterator[tuple[str, set[str]]]:
    for row in INSTRUMENTS.values():
        labels = {key.replace(".", "_") for key in row.attributes}
        if row.kind is InstrumentKind.HISTOGRAM:
            yield f"{row.prometheus}_bucket", labels | {"le"}
            yield f"{row.prometheus}_count", labels
            yield f"{row.prometheus}_sum", labels
        else:
            yield row.prometheus, labels


KNOWN: Final[Mapping[str, set[str]]] = {
    name: labels | _TARGET for name, labels in [*_ours(), *FOREIGN.items(), ("up", set[str]())]
}
"""Every metric that a query may name, with its labels."""


def for_prometheus(expression: str, interval: str = "5m", time_range: str = "1h") -> str:
    """A panel's expression as Grafana would send it, with everything chosen in its variables."""
    seconds = promql_parser.parse_duration(time_range).total_seconds()
    fixed = {"$__rate_interval": interval, "$__range_s": f"{seconds:g}", "$__range": time_range}
    for variable, value in (
        fixed | dict.fromkeys(("$job", "$instance", "$tool", "$template", "$breaker", "$collector"), ".*")
    ).items():
        expression = expression.replace(variable, value)
    return expression


def faults(expression: str, known: Mapping[str, set[str]] = KNOWN) -> list[str]:
    """What is wrong with a query: it does not parse, or names a metric or label that does not exist."""
    try:
        parsed = promql_parser.parse(expression)
    except ValueError as error:
        return [f"does not parse: {error}"]
    selectors, groupings = _parts(parsed)
    found = [f"no such metric: {one.name}" for one in selectors if one.name not in known]
    labels = {label for one in selectors for label in known.get(one.name, ())}
    for one in selectors:
        found += [
            f"{one.name} has no label {matcher.name}"
            for matcher in one.matchers.matchers
            if matcher.name not in known.get(one.name, ())
        ]
    return found + [f"nothing here has the label {label}" for label in groupings if label not in labels]


def _parts(expression: Any) -> tuple[list[Any], list[str]]:
    """All vector selectors, and all labels that something is grouped or matched by."""
    selectors: list[Any] = []
    groupings: list[str] = []

    def visit(node: Any) -> None:
        match node:
            case promql_parser.VectorSelector():
                selectors.append(node)
            case promql_parser.AggregateExpr():
                groupings.extend(_labels([node.modifier]))
            case promql_parser.BinaryExpr(modifier=modifier) if modifier is not None:
                groupings.extend(_labels([modifier.matching]))
                groupings.extend(modifier.group_labels or ())
            case _:
                pass

    promql_parser.walk(expression, visit)
    return selectors, groupings


def _labels(modifiers: Iterable[Any]) -> list[str]:
    return [label for modifier in modifiers if modifier is not None for label in modifier.labels]
