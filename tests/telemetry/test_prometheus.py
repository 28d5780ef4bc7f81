"""The pull reader: the seven kept metrics line by line, and each defect of the stock reader gone."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tracefuse.telemetry import INSTRUMENTS, Instrument, Instrumentation, InstrumentKind, PrometheusReader

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
KEPT = """\
# HELP target_info Target metadata
# TYPE target_info gauge
target_info{service_name="test"} 1.0
# HELP mcp_tool_execution_total Total tool executions
# TYPE mcp_tool_execution_total counter
mcp_tool_execution_total{error_type="none",status="success",tool="nmap"} 1.0
# HELP mcp_tool_execution_seconds Tool execution time in seconds
# TYPE mcp_tool_execution_seconds histogram
mcp_tool_execution_seconds_bucket{le="0.005",tool="nmap"} 0.0
mcp_tool_execution_seconds_bucket{le="0.01",tool="nmap"} 0.0
mcp_tool_execution_seconds_bucket{le="0.025",tool="nmap"} 0.0
mcp_tool_execution_seconds_bucket{le="0.05",tool="nmap"} 0.0
mcp_tool_execution_seconds_bucket{le="0.075",tool="nmap"} 0.0
mcp_tool_execution_seconds_bucket{le="0.1",tool="nmap"} 0.0
mcp_tool_execution_seconds_bucket{le="0.25",tool="nmap"} 1.0
mcp_tool_execution_seconds_bucket{le="0.5",tool="nmap"} 1.0
mcp_tool_execution_seconds_bucket{le="0.75",tool="nmap"} 1.0
mcp_tool_execution_seconds_bucket{le="1.0",tool="nmap"} 1.0
mcp_tool_execution_seconds_bucket{le="2.5",tool="nmap"} 1.0
mcp_tool_execution_seconds_bucket{le="5.0",tool="nmap"} 1.0
mcp_tool_execution_seconds_bucket{le="7.5",tool="nmap"} 1.0
mcp_tool_execution_seconds_bucket{le="10.0",tool="nmap"} 1.0
mcp_tool_execution_seconds_bucket{le="30.0",tool="nmap"} 1.0
mcp_tool_execution_seconds_bucket{le="60.0",tool="nmap"} 1.0
mcp_tool_execution_seconds_bucket{le="120.0",tool="nmap"} 1.0
mcp_tool_execution_seconds_bucket{le="300.0",tool="nmap"} 1.0
mcp_tool_execution_seconds_bucket{le="600.0",tool="nmap"} 1.0
mcp_tool_execution_seconds_bucket{le="1800.0",tool="nmap"} 1.0
mcp_tool_execution_seconds_bucket{le="3600.0",tool="nmap"} 1.0
mcp_tool_execution_seconds_bucket{le="+Inf",tool="nmap"} 1.0
mcp_tool_execution_seconds_count{tool="nmap"} 1.0
mcp_tool_execution_seconds_sum{tool="nmap"} 0.25
# HELP mcp_tool_active Currently active tool executions
# TYPE mcp_tool_active gauge
mcp_tool_active{tool="nmap"} 2.0
# HELP mcp_tool_errors_total Total tool errors
# TYPE mcp_tool_errors_total counter
mcp_tool_errors_total{error_type="timeout",tool="nmap"} 3.0
# HELP circuit_breaker_transitions_total Circuit breaker state transitions
# TYPE circuit_breaker_transitions_total counter
circuit_breaker_transitions_total{from_state="closed",name="nmap",to_state="open"} 1.0
# HELP circuit_breaker_state Circuit breaker state (0=closed, 1=open, 2=half_open)
# TYPE circuit_breaker_state gauge
circuit_breaker_state{name="nmap"} 1.0
# HELP circuit_breaker_calls_total Total circuit breaker calls
# TYPE circuit_breaker_calls_total counter
circuit_breaker_calls_total{name="nmap",result="success"} 7.0
"""


class Scene:
    """A reader on a provider of its own."""

    def __init__(self, *views: View) -> None:
        self.reader = PrometheusReader()
        self.provider = MeterProvider(
            [self.reader], Resource({"service.name": "test"}), shutdown_on_exit=False, views=views
        )
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.instrumentation = Instrumentation.from_providers(
            meter_provider=self.provider, tracer_provider=self.tracers
        )

    def text(self) -> str:
        return self.reader.exposition().body.decode()

    def lines(self, prefix: str) -> list[str]:
        return [line for line in self.text().splitlines() if line.startswith(prefix)]

    def families(self) -> dict[str, Any]:
        text = self.reader.exposition(OPENMETRICS).body.decode()
        assert text.endswith("# EOF\n")
        return {family.name: family for family in text_string_to_metric_families(text)}


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_the_seven_kept_metrics_come_out_line_by_line(scene: Scene) -> None:
    make = scene.instrumentation
    make.counter("mcp.tool.execution").add(1, {"tool": "nmap", "status": "success", "error.type": "none"})
    make.histogram("mcp.tool.execution.seconds").record(0.25, {"tool": "nmap"})
    make.up_down_counter("mcp.tool.active").add(2, {"tool": "nmap"})
    make.counter("mcp.tool.errors").add(3, {"tool": "nmap", "error.type": "timeout"})
    make.counter("circuit_breaker.transitions").add(1, {"name": "nmap", "from_state": "closed", "to_state": "open"})
    make.observe("circuit_breaker.state", lambda _: [Observation(1, {"name": "nmap"})])
    make.observe("circuit_breaker.calls", lambda _: [Observation(7, {"name": "nmap", "result": "success"})])
    assert scene.text() == KEPT


@pytest.mark.parametrize("row", INSTRUMENTS.values(), ids=lambda row: row.name)
def test_every_instrument_comes_out_under_its_name_in_the_table(scene: Scene, row: Instrument) -> None:
    attributes = dict.fromkeys(row.attributes, "x")
    match row.kind:
        case InstrumentKind.COUNTER:
            scene.instrumentation.counter(row.name).add(1, attributes)
        case InstrumentKind.UP_DOWN_COUNTER:
            scene.instrumentation.up_down_counter(row.name).add(1, attributes)
        case InstrumentKind.HISTOGRAM:
            scene.instrumentation.histogram(row.name).record(1, attributes)
        case _:
            scene.instrumentation.observe(row.name, lambda _: [Observation(1, attributes)])
    suffix = "_count" if row.kind is InstrumentKind.HISTOGRAM else ""
    labels = ",".join(f'{key}="x"' for key in sorted(key.replace(".", "_") for key in row.attributes))
    series = f"{{{labels}}}" if labels else ""
    assert f"{row.prometheus}{suffix}{series} 1.0" in scene.text().splitlines()
    assert f"# HELP {row.prometheus} {row.description}" in scene.text().splitlines()


def test_only_the_first_callback_of_an_observable_is_heard(scene: Scene) -> None:
    scene.instrumentation.observe("circuit_breaker.state", lambda _: [Observation(1, {"name": "a"})])
    scene.instrumentation.observe("circuit_breaker.state", lambda _: [Observation(1, {"name": "b"})])
    assert scene.lines("circuit_breaker_state") == ['circuit_breaker_state{name="a"} 1.0']


def test_a_hundred_flushes_and_collections_leave_one_snapshot(scene: Scene) -> None:
    scene.instrumentation.counter("mcp.tool.errors").add(1, {"tool": "nmap", "error.type": "x"})
    once = scene.text()
    for _ in range(100):
        scene.provider.force_flush()
        scene.reader.collect()
    assert scene.text() == once


def test_parallel_scrapes_are_all_the_same(scene: Scene) -> None:
    scene.instrumentation.counter("mcp.tool.errors").add(1, {"tool": "nmap", "error.type": "x"})
    expected, texts = scene.text(), []
    start = threading.Barrier(8)

    def scrape() -> None:
        start.wait(10)
        texts.extend(scene.text() for _ in range(20))

    threads = [threading.Thread(target=scrape) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert texts == [expected] * 160


def test_two_scopes_with_one_name_share_a_family_and_keep_their_labels(scene: Scene) -> None:
    scene.provider.get_meter("a").create_counter("x.calls", description="one").add(1, {"name": "z"})
    scene.provider.get_meter("b").create_counter("x.calls", description="two").add(2, {"zone": "z"})
    assert scene.lines("x_calls") == ['x_calls_total{name="z"} 1.0', 'x_calls_total{zone="z"} 2.0']
    assert scene.lines("# ")[2:] == ["# HELP x_calls_total one", "# TYPE x_calls_total counter"]


def test_one_series_of_two_scopes_is_added_up(scene: Scene) -> None:
    for scope, value in (("a", 1), ("b", 2)):
        meter = scene.provider.get_meter(scope)
        meter.create_counter("c").add(value)
        meter.create_up_down_counter("u").add(value)
        meter.create_gauge("g").set(value)
        meter.create_histogram("h", explicit_bucket_boundaries_advisory=[1, 2]).record(value)
    assert scene.lines("c") == ["c_total 3.0"]
    assert scene.lines("u") == ["u 3.0"]
    assert scene.lines("g") == ["g 2.0"]
    assert scene.lines("h_") == [
        *('h_bucket{le="1.0"} 1.0', 'h_bucket{le="2.0"} 2.0', 'h_bucket{le="+Inf"} 2.0'),
        *("h_count 2.0", "h_sum 3.0"),
    ]


def test_a_name_taken_by_another_type_is_left_out_and_told_once(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.provider.get_meter("a").create_counter("x").add(1)
    scene.provider.get_meter("b").create_gauge("x.total").set(5)
    scene.provider.get_meter("c").create_histogram("x").record(5)
    assert scene.lines("x") == scene.lines("x") == ["x_total 1.0"]
    assert len(caplog.messages) == 2 and all("counter x has that name" in message for message in caplog.messages)
    assert set(scene.families()) == {"target", "x"}


def test_one_series_with_two_sets_of_buckets_shows_the_first(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    for scope, bound in (("a", 1.0), ("b", 2.0)):
        meter = scene.provider.get_meter(scope)
        meter.create_histogram("h", explicit_bucket_boundaries_advisory=[bound]).record(0.5)
    assert scene.lines("h_bucket") == ['h_bucket{le="1.0"} 1.0', 'h_bucket{le="+Inf"} 1.0']
    assert len(caplog.messages) == 1


def test_no_scope_labels(scene: Scene) -> None:
    scene.instrumentation.counter("mcp.tool.errors").add(1, {})
    assert "otel_scope" not in scene.text()


def test_an_exponential_view_is_exposed_with_its_own_buckets() -> None:
    view = View(instrument_name="e", aggregation=ExponentialBucketHistogramAggregation(max_size=4))
    scene = Scene(view)
    histogram = scene.provider.get_meter("m").create_histogram("e", "s")
    for value in (0, 1.5, 3, 100):
        histogram.record(value)
    assert scene.lines("e_") == [
        *('e_seconds_bucket{le="0.0"} 1.0', 'e_seconds_bucket{le="4.0"} 3.0', 'e_seconds_bucket{le="16.0"} 3.0'),
        *('e_seconds_bucket{le="64.0"} 3.0', 'e_seconds_bucket{le="256.0"} 4.0', 'e_seconds_bucket{le="+Inf"} 4.0'),
        *("e_seconds_count 4.0", "e_seconds_sum 104.5"),
    ]


def test_exemplars_are_on_counters_and_buckets_and_stay(scene: Scene) -> None:
    counter = scene.instrumentation.counter("mcp.tool.errors")
    histogram = scene.instrumentation.histogram("mcp.tool.execution.seconds")
    with scene.instrumentation.tracer.start_as_current_span("work") as span:
        counter.add(1, {"tool": "nmap"})
        histogram.record(0.3, {"tool": "nmap"})
    histogram.record(0.6, {"tool": "nmap"})  # outside of a span: no exemplar
    context = span.get_span_context()
    ids = {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
    for _ in range(3):  # the reservoir gave it to the first scrape only
        families = scene.families()
        (errors,) = families["mcp_tool_errors"].samples
        assert (errors.exemplar.labels, errors.exemplar.value) == (ids, 1.0)
        buckets = [sample for sample in families["mcp_tool_execution_seconds"].samples if sample.exemplar]
        assert [(sample.labels["le"], sample.exemplar.labels) for sample in buckets] == [("0.5", ids)]
        assert buckets[0].exemplar.timestamp is not None
    assert "trace_id" not in scene.text()


def test_negative_buckets_have_no_sum(scene: Scene) -> None:
    view = View(instrument_name="n", aggregation=ExponentialBucketHistogramAggregation())
    scene = Scene(view)
    scene.provider.get_meter("m").create_up_down_counter("n").add(-4)
    assert [line.split("{")[0] for line in scene.lines("n")] == ["n_bucket", "n_bucket"]
    assert set(scene.families()) == {"target", "n"}


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, "text/plain; version=0.0.4; charset=utf-8"),
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain; version=abc", "text/plain; version=0.0.4; charset=utf-8"),
        (";;=,", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.3",
            "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
        ),
    ],
)
def test_the_format_is_negotiated(scene: Scene, accept: str | None, content_type: str) -> None:
    scene.instrumentation.counter("mcp.tool.errors").add(1, {"tool": "nmap"})
    exposition = scene.reader.exposition(accept)
    assert exposition.content_type == content_type
    assert exposition.body.endswith(b"# EOF\n") == content_type.startswith("application/openmetrics")


def test_hostile_label_values_neither_break_nor_forge_a_line(scene: Scene) -> None:
    hostile = 'a"} 99\nforged{x="1"} 1\\\r\x00\ud800'
    scene.instrumentation.counter("mcp.tool.errors").add(1, {"tool": hostile})
    (sample,) = scene.families()["mcp_tool_errors"].samples
    assert sample.labels["tool"] == hostile.replace("\ud800", "?")
    assert not scene.lines("forged")


def test_after_shutdown_a_scrape_is_empty(scene: Scene) -> None:
    scene.instrumentation.counter("mcp.tool.errors").add(1, {})
    scene.provider.shutdown()
    assert scene.text() == ""


def test_target_info_does_not_tell_a_secret_of_the_resource() -> None:
    reader = PrometheusReader()
    secrets = {"deploy.secret": "hunter2", "deploy.note": "at https://me:hunter2@host/", "deploy.site": "lab"}
    MeterProvider([reader], resource=Resource(secrets), shutdown_on_exit=False).get_meter("x").create_counter("c").add(
        1
    )
    text = reader.exposition().body.decode()
    assert "hunter2" not in text
    assert 'deploy_site="lab"' in text
