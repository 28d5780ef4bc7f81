"""Our writer of Prometheus' text against prometheus_client's own."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricsData
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import InfoMetricFamily, Metric

from tracefuse.telemetry import PrometheusReader
from tracefuse.telemetry._families import ExemplarStore, families, grouped
from tracefuse.telemetry._text_format import family_text, points_text
from tracefuse.telemetry.testing import InMemoryTelemetry

texts = st.text(max_size=20)
keys = st.sampled_from(["tool", "le", "a", "error.type"])
rows = st.lists(st.tuples(st.dictionaries(keys, texts), st.floats(-1e12, 1e12)), max_size=6)


class Fixed:
    def __init__(self, *found: Metric) -> None:
        self._found = found

    def collect(self) -> list[Metric]:
        return list(self._found)


def theirs(*found: Metric) -> str:
    registry = CollectorRegistry()
    registry.register(Fixed(*found))  # type: ignore[arg-type]
    return generate_latest(registry).decode()


def collected(record: Any) -> MetricsData:
    reader = PrometheusReader()
    views = [View(instrument_name="exponential", aggregation=ExponentialBucketHistogramAggregation())]
    record(MeterProvider([reader], shutdown_on_exit=False, views=views).get_meter("test"))
    data = reader._collect_now()
    assert data is not None
    return data


@settings(max_examples=40)
@given(rows, texts)
def test_the_text_is_theirs_for_any_points(given_rows: list[tuple[dict[str, str], float]], help_text: str) -> None:
    def record(meter: Any) -> None:
        meter.create_counter("always", "", help_text).add(1)
        for labels, value in given_rows:
            meter.create_counter("calls", "", help_text).add(abs(value), labels)
            meter.create_up_down_counter("now", "s").add(value, labels)
            meter.create_histogram("took", "s", explicit_bucket_boundaries_advisory=[-5.0, 0.25, 1e7]).record(
                abs(value), labels
            )
            meter.create_histogram("positive", "s", explicit_bucket_boundaries_advisory=[1, 2]).record(1.5, labels)
            meter.create_histogram("exponential").record(abs(value), labels)
        meter.create_observable_gauge("gauge", [lambda _: [Observation(v, labels) for labels, v in given_rows]])

    data = collected(record)
    assert points_text(grouped(data, set()), ExemplarStore()) == theirs(*families(data, ExemplarStore(), set()))


def test_information_is_a_gauge() -> None:
    family = InfoMetricFamily("target", "he\\lp\n", value={"service_name": 'x"'})
    assert family_text(family) == theirs(family)


def test_no_points_give_no_text() -> None:
    assert points_text([], ExemplarStore()) == ""
    assert PrometheusReader().text() == ""


def test_exemplars_wait_for_a_scrape_that_can_show_them(memory: InMemoryTelemetry) -> None:
    instrumentation = memory.telemetry.instrumentation
    with instrumentation.tracer.start_as_current_span("work"):
        instrumentation.histogram("tracefuse.scan.duration").record(1.0, {"tool": "nmap"})
    assert b"trace_id" not in memory.telemetry.exposition().body
    assert b"trace_id" in memory.telemetry.exposition("application/openmetrics-text; version=1.0.0").body
