"""What leaves the process reaches a real OTLP receiver whole: parents, events, exemplars, logs, resource."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from support.otlp import OtlpReceiver, attributes
from tracefuse.telemetry import Event, configure, emit_event, operation_span

Receivers = Callable[..., OtlpReceiver]
PROTOCOLS = ("grpc", "http/protobuf")


def metric(receiver: OtlpReceiver, name: str) -> Any:
    (found,) = [metric for metric in receiver.metrics() if metric.name == name]
    return found


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_one_trace_with_parents_events_exemplars_and_logs_arrives(otlp_receiver: Receivers, protocol: str) -> None:
    receiver = otlp_receiver(protocol)
    with configure(receiver.environ, set_global=False, service_name="scanner") as telemetry:
        make = telemetry.instrumentation
        with operation_span(make.tracer, "nmap scan"):
            with operation_span(make.tracer, "attempt"):
                emit_event(make.logger, Event.TRANSITION, {"name": "nmap", "to_state": "open"})
                make.histogram("mcp.tool.execution.seconds").record(0.3, {"tool": "nmap"})
            logging.getLogger("tracefuse.tools").warning("a line of the log")
        report = telemetry.shutdown()
    assert str(report) == "telemetry: nothing was lost"

    scan, attempt = sorted(receiver.spans(), key=lambda span: span.start_time_unix_nano)
    assert (scan.name, scan.parent_span_id, attempt.name) == ("nmap scan", b"", "attempt")
    assert (attempt.parent_span_id, attempt.trace_id) == (scan.span_id, scan.trace_id)
    assert [(event.name, attributes(event)) for event in attempt.events] == [
        (Event.TRANSITION, {"name": "nmap", "to_state": "open"})
    ]
    event, line = sorted(receiver.logs(), key=lambda record: record.time_unix_nano)
    assert (event.event_name, event.span_id, event.trace_id) == (Event.TRANSITION, attempt.span_id, scan.trace_id)
    assert (line.body.string_value, line.severity_text, line.span_id) == ("a line of the log", "WARN", scan.span_id)
    (point,) = metric(receiver, "mcp.tool.execution.seconds").histogram.data_points
    (exemplar,) = point.exemplars
    assert (exemplar.span_id, exemplar.trace_id, exemplar.as_double) == (attempt.span_id, scan.trace_id, 0.3)
    assert {resource["service.name"] for resource in receiver.resources()} == {"scanner"}
    assert len({resource["service.instance.id"] for resource in receiver.resources()}) == 1


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_headers_and_compression_are_used(otlp_receiver: Receivers, protocol: str) -> None:
    receiver = otlp_receiver(protocol)
    environ = {"OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=a%20b", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}
    with configure(receiver.environ | environ, set_global=False) as telemetry:
        telemetry.instrumentation.tracer.start_span("work").end()
    assert [span.name for span in receiver.spans()] == ["work"]
    assert {headers["x-tenant"] for headers in receiver.headers} == {"a b"}
    if protocol == "http/protobuf":
        assert {headers["Content-Encoding"] for headers in receiver.headers} == {"gzip"}


def test_each_signal_goes_where_its_variable_says(otlp_receiver: Receivers) -> None:
    over_grpc, over_http = otlp_receiver("grpc"), otlp_receiver("http/protobuf")
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": over_grpc.endpoint,
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{over_http.endpoint}/v1/traces",
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
        "OTEL_LOGS_EXPORTER": "none",
    }
    with configure(environ, set_global=False) as telemetry:
        telemetry.instrumentation.tracer.start_span("work").end()
        emit_event(telemetry.instrumentation.logger, "e", {})
    assert {path for path, _ in over_http.requests} == {"/v1/traces"}
    assert {path for path, _ in over_grpc.requests} == {"/v1/metrics"}


def test_histograms_go_exponential_over_otlp_while_the_exposition_keeps_its_buckets(otlp_receiver: Receivers) -> None:
    receiver = otlp_receiver("grpc")
    prefix = "OTEL_EXPORTER_OTLP_METRICS"
    environ = {
        f"{prefix}_DEFAULT_HISTOGRAM_AGGREGATION": "base2_exponential_bucket_histogram",
        f"{prefix}_TEMPORALITY_PREFERENCE": "delta",
    }
    with configure(receiver.environ | environ, set_global=False) as telemetry:
        telemetry.instrumentation.histogram("mcp.tool.execution.seconds").record(0.3, {"tool": "nmap"})
        text = telemetry.exposition().body.decode()
    assert 'mcp_tool_execution_seconds_bucket{le="0.5",tool="nmap"} 1.0' in text
    exponential = metric(receiver, "mcp.tool.execution.seconds").exponential_histogram
    assert exponential.data_points[0].count == 1
    assert exponential.aggregation_temporality == 1  # delta


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_sdks_own_metrics_tell_what_was_exported(otlp_receiver: Receivers, protocol: str) -> None:
    receiver = otlp_receiver(protocol)
    with configure(receiver.environ | {"OTEL_BSP_SCHEDULE_DELAY": "10"}, set_global=False) as telemetry:
        telemetry.instrumentation.tracer.start_span("work").end()
        telemetry.instrumentation.counter("tracefuse.policy.refusals").add(1, {"tool": "nmap", "rule": "target.form"})
        assert receiver.arrived.wait(10)
        telemetry.meter_provider.force_flush()  # type: ignore[attr-defined]
        text = telemetry.exposition().body.decode()
    assert "otel_sdk_processor_span_queue_capacity" in text
    assert "otel_sdk_exporter_span_inflight" in text
    assert "otel_sdk_exporter_metric_data_point_exported_total{" in text


def test_nothing_connects_without_an_endpoint(otlp_receiver: Receivers, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    attempts: list[object] = []
    monkeypatch.setattr(socket.socket, "connect", lambda *address: attempts.append(address))
    with configure(
        {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_METRICS_EXPORTER": "prometheus"}, set_global=False
    ) as telemetry:
        telemetry.instrumentation.tracer.start_span("work").end()
        emit_event(telemetry.instrumentation.logger, "e", {})
        telemetry.instrumentation.counter("mcp.tool.errors").add(1, {})
    assert (attempts, telemetry.shutdown().lost) == ([], False)


@pytest.mark.parametrize("redacts", [False, True])
def test_lines_of_the_log_go_out_without_secrets_and_when_asked_without_targets(
    otlp_receiver: Receivers, redacts: bool
) -> None:
    receiver = otlp_receiver("grpc")
    with configure(receiver.environ, set_global=False, redact_targets=redacts):
        logging.getLogger("tracefuse.tools").warning("scan of 10.9.8.7 with password=hunter2 failed")
    (line,) = receiver.logs()
    address = "[redacted]" if redacts else "10.9.8.7"
    assert line.body.string_value == f"scan of {address} with password=[redacted] failed"
