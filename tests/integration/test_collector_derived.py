"""Metrics that a real collector makes of spans: all of them counted, few labels, and who calls whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from support.cli import environment, tracefuse
from support.collector import Collector, running, sending_to
from support.components import component
from support.otlp import OtlpReceiver
from support.polling import eventually
from support.prometheus import scraping
from support.spans import Made, send, trace_id
from tracefuse.telemetry import INSTRUMENTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from prometheus_client.samples import Sample

# The first test on a machine builds the collector, which takes minutes.
pytestmark = pytest.mark.timeout(600)

CALLS = "traces_span_metrics_calls_total"
DURATION = "traces_span_metrics_duration_seconds"
REQUESTS = "traces_service_graph_request_total"
SOON = {"OTELCOL_DERIVED_INTERVAL": "1s", "OTELCOL_GRAPH_WAIT": "1s"}


@pytest.fixture(scope="module")
def collector(collector_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """One that keeps no trace at all, so that whatever is counted was counted before the sampling."""
    environ = SOON | {"OTELCOL_SAMPLE_PERCENT": "0"}
    with running(collector_binary, tmp_path_factory.mktemp("derived"), environ) as started:
        yield started


def samples(collector: Collector, name: str, **labels: str) -> list[Sample]:
    """What Prometheus would scrape under this name, with these labels among others."""
    families = text_string_to_metric_families(collector.metrics())
    found = (sample for family in families for sample in family.samples if sample.name == name)
    return [sample for sample in found if labels.items() <= sample.labels.items()]


def total(collector: Collector, name: str, **labels: str) -> float:
    return sum(sample.value for sample in samples(collector, name, **labels))


def scan(trace: str, service_call: Made | None = None, **attributes: str) -> list[Made]:
    """The spans of one scan, as the service makes them, below a tool call over MCP."""
    call = service_call or Made(
        name="tools/call nmap", trace=trace, kind="SERVER", attributes={"gen_ai.tool.name": "nmap"}
    )
    about = {"tracefuse.scan.template": "quick", "tracefuse.caller.kind": "mcp", "tracefuse.scan.id": trace}
    top = Made(trace=trace, parent=call, seconds=100, attributes=about | attributes)
    attempt = Made(name="attempt", trace=trace, parent=top, seconds=90)
    process = Made(
        name="nmap",
        trace=trace,
        parent=attempt,
        kind="CLIENT",
        seconds=80,
        attributes={"process.executable.name": "nmap", "server.address": "192.0.2.7"},
    )
    phase = Made(name="phase Connect Scan", trace=trace, parent=process, seconds=70)
    return [call, top, attempt, process, phase]


def test_every_span_is_counted_whether_its_trace_is_kept_or_not(collector_binary: Path, tmp_path: Path) -> None:
    with OtlpReceiver() as tempo:
        environ = sending_to(tempo) | SOON | {"OTELCOL_SAMPLE_PERCENT": "20"}
        with running(collector_binary, tmp_path, environ) as collector:
            for number in range(100):
                send(collector, [Made(trace=f"trace {number}")])
            eventually(lambda: total(collector, CALLS, span_name="nmap scan") == 100, "every call")
            assert total(collector, f"{DURATION}_count", span_name="nmap scan") == 100
    assert 0 < len(tempo.spans()) < 50


def test_labels_are_few_and_none_of_them_is_a_target(collector: Collector) -> None:
    send(collector, scan("labels"), service="labels")
    (counted,) = eventually(lambda: samples(collector, CALLS, job="labels", span_name="nmap scan"), "the scan")
    assert counted.labels == {
        "job": "labels",
        "instance": "labels-1",
        "span_name": "nmap scan",
        "span_kind": "SPAN_KIND_INTERNAL",
        "status_code": "STATUS_CODE_UNSET",
        "tracefuse_scan_template": "quick",
        "tracefuse_caller_kind": "mcp",
    }
    (called,) = samples(collector, CALLS, job="labels", span_kind="SPAN_KIND_SERVER")
    assert called.labels["gen_ai_tool_name"] == "nmap"
    assert "192.0.2.7" not in collector.metrics()


def test_errors_are_told_apart_by_type(collector: Collector) -> None:
    for number in range(3):
        failed = Made(trace=f"failed {number}", error="TimeoutError", attributes={"error.type": "TimeoutError"})
        send(collector, [failed], service="errors")
    told = {"job": "errors", "status_code": "STATUS_CODE_ERROR", "error_type": "TimeoutError"}
    eventually(lambda: total(collector, CALLS, **told) == 3, "three errors of this type")


def test_phases_have_durations_in_the_buckets_of_the_service(collector: Collector) -> None:
    send(collector, scan("phases"), service="phases")
    labels = {"job": "phases", "span_name": "phase Connect Scan"}
    buckets = eventually(lambda: samples(collector, f"{DURATION}_bucket", **labels), "the phase's duration")
    bounds = [float(sample.labels["le"]) for sample in buckets]
    assert bounds == [*(INSTRUMENTS["mcp.tool.execution.seconds"].boundaries or ()), float("inf")]
    assert max(bound for bound, sample in zip(bounds, buckets, strict=True) if not sample.value) == 60
    assert total(collector, f"{DURATION}_sum", **labels) == 70


def test_the_graph_leads_from_the_caller_through_the_service_to_what_it_runs(collector: Collector) -> None:
    asked = Made(name="tools/call nmap", trace="graph", kind="CLIENT", seconds=101)
    served = Made(name="tools/call nmap", trace="graph", kind="SERVER", seconds=100.5, parent=asked)
    send(collector, [asked], service="assistant")
    send(collector, scan("graph", served), service="scanner")
    refused = Made(name="POST /scans", trace="direct", kind="SERVER", error="PolicyViolation")
    send(collector, [refused], service="scanner")
    edges = [("assistant", "scanner", "false"), ("scanner", "nmap", "false"), ("user", "scanner", "true")]
    for client, server, failed in edges:
        labels = {"client": client, "server": server, "failed": failed}
        eventually(lambda labels=labels: total(collector, REQUESTS, **labels) == 1, f"an edge {labels}")
    between = {"client": "assistant", "server": "scanner"}
    assert total(collector, "traces_service_graph_request_client_seconds_sum", **between) == 101
    assert total(collector, "traces_service_graph_request_server_seconds_sum", **between) == 100.5
    assert "192.0.2.7" not in {sample.labels["server"] for sample in samples(collector, REQUESTS)}


def test_series_are_bounded_and_what_is_over_still_counts(collector_binary: Path, tmp_path: Path) -> None:
    with running(collector_binary, tmp_path, SOON | {"OTELCOL_SPAN_SERIES": "50"}) as collector:
        send(collector, [Made(name=f"span {number}", trace=f"trace {number}") for number in range(200)])
        eventually(lambda: total(collector, CALLS) == 200, "every span")
        assert len(samples(collector, CALLS)) == 51
        assert total(collector, CALLS, otel_metric_overflow="true") == 150
        assert len(samples(collector, f"{DURATION}_count")) == 51


@component("nmap")
def test_a_real_scan_and_a_refused_one_are_counted_phase_by_phase(collector: Collector, tmp_path: Path) -> None:
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.grpc}", "OTEL_SERVICE_NAME": "real"}
    env = environment(tmp_path, **endpoint)
    assert tracefuse("scan", "127.0.0.1", "--args", "-p 1", env=env).code == 0
    assert tracefuse("scan", "8.8.8.8", env=env).code != 0
    done = {"span_name": "nmap scan", "tracefuse_scan_template": "quick", "tracefuse_caller_kind": "cli"}
    eventually(lambda: total(collector, CALLS, job="real", **done) == 1, "the scan")
    refused = {"span_name": "nmap scan", "error_type": "PolicyViolation", "tracefuse_caller_kind": "cli"}
    eventually(lambda: total(collector, CALLS, job="real", **refused) == 1, "the refusal")
    names = {sample.labels["span_name"] for sample in samples(collector, CALLS, job="real")}
    assert names >= {"attempt", "nmap"}
    assert any(name.startswith("phase ") for name in names), names
    edge = {"client": "real", "server": "nmap", "failed": "false"}
    eventually(lambda: total(collector, REQUESTS, **edge) == 1, "nmap in the graph")


@component("prometheus")
def test_a_real_prometheus_tells_phases_and_leads_from_them_to_traces(collector_binary: Path, tmp_path: Path) -> None:
    # Exemplars stand from one flush to the next: long enough for a scrape each second.
    environ = {"OTELCOL_DERIVED_INTERVAL": "3s"}
    with running(collector_binary, tmp_path, environ) as collector, scraping(collector, tmp_path) as prometheus:
        selector = f'{DURATION}_bucket{{span_name=~"phase .*"}}'
        sent: set[str] = set()

        def exemplars() -> list[dict[str, Any]]:
            name = f"exemplar {len(sent)}"
            send(collector, scan(name))
            sent.add(trace_id(name))
            return prometheus.exemplars(selector)

        found = eventually(exemplars, "exemplars of a phase", interval=1)
        assert {exemplar["labels"]["trace_id"] for exemplar in found} <= sent
        median = f"histogram_quantile(0.5, sum by (le, span_name) ({selector}))"
        (phase,) = eventually(lambda: prometheus.query(median), "the phase's median")
    assert phase["metric"] == {"span_name": "phase Connect Scan"}
    assert 60 < float(phase["value"][1]) < 120
