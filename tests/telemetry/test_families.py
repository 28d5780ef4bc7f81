"""From data points to families: labels, buckets and exemplars, value by value."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import Buckets, ExponentialHistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View

from tracefuse.telemetry._exemplars import ExemplarStore
from tracefuse.telemetry._families import exponential_buckets, label_pairs


def point(scale: int, zero: int, positive: tuple[int, list[int]], negative: tuple[int, list[int]] = (0, [])) -> Any:
    count = zero + sum(positive[1]) + sum(negative[1])
    return ExponentialHistogramDataPoint(
        {}, 0, 0, count, 0.0, scale, zero, Buckets(*positive), Buckets(*negative), 0, 0.0, 0.0
    )


def test_exponential_buckets_have_the_bounds_of_the_specification() -> None:
    bounds, counts = exponential_buckets(point(0, 2, (0, [1, 0, 3]), (0, [4, 5])))
    assert bounds == (-2.0, -1.0, 0.0, 2.0, 4.0, 8.0)
    assert counts == [5, 4, 2, 1, 0, 3, 0]


def test_bounds_at_powers_of_two_are_exact_at_every_scale() -> None:
    for scale in range(8):
        bounds, _ = exponential_buckets(point(scale, 0, (2**scale - 1, [1])))
        assert bounds == (2.0,)


def test_an_empty_exponential_histogram_has_the_last_bucket_only() -> None:
    assert exponential_buckets(point(20, 0, (0, [0]))) == ((), [0])


def test_bounds_beyond_a_float_go_to_infinity() -> None:
    bounds, counts = exponential_buckets(point(-10, 0, (0, [3, 2])))
    assert (bounds, counts) == ((), [5])


@given(st.lists(st.floats(0, 1e12, allow_subnormal=False), min_size=1, max_size=60), st.integers(2, 40))
def test_exponential_counts_are_those_of_the_values(values: list[float], size: int) -> None:
    reader = InMemoryMetricReader()
    view = View(instrument_name="h", aggregation=ExponentialBucketHistogramAggregation(max_size=size))
    provider = MeterProvider([reader], shutdown_on_exit=False, views=[view])
    histogram = provider.get_meter("m").create_histogram("h")
    for value in values:
        histogram.record(value)
    data = reader.get_metrics_data()
    assert data is not None
    recorded: Any = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points[0]
    bounds, counts = exponential_buckets(recorded)
    assert list(bounds) == sorted(set(bounds)) and len(bounds) <= size + 2
    assert sum(counts) == len(values)
    for bound, below in zip(bounds, accumulate(counts), strict=False):
        # The SDK's mapping may err by one rounding at a bound, hence the narrow band around it.
        assert sum(v <= bound * (1 - 1e-9) for v in values) <= below <= sum(v <= bound * (1 + 1e-9) for v in values)


def test_labels_are_sorted_sanitised_and_printable() -> None:
    pairs = label_pairs({"z": True, "error.type": "x", "1st": [1, 2], "bad": "\ud800", "n": None})
    assert pairs == (("_st", "[1, 2]"), ("bad", "?"), ("error_type", "x"), ("n", "null"), ("z", "true"))


def exemplar(value: float, trace: int | None = 1, time: int = 0) -> Any:
    return SimpleNamespace(value=value, trace_id=trace, span_id=trace, time_unix_nano=time, filtered_attributes={})


def test_an_exemplar_stays_until_another_takes_its_bucket() -> None:
    store = ExemplarStore()
    bounds = (1.0, 2.0)
    store.update("h", (), [exemplar(0.5, trace=1), exemplar(5.0, trace=2)], bounds)
    store.update("h", (), [], bounds)
    placed = store.update("h", (), [exemplar(0.7, trace=3)], bounds)
    assert {index: (kept.value, kept.labels["trace_id"][-1]) for index, kept in placed.items()} == {
        0: (0.7, "3"),
        2: (5.0, "2"),
    }


def test_an_exemplar_without_a_trace_is_left_out() -> None:
    assert ExemplarStore().update("c", (), [exemplar(1.0, trace=None)], ()) == {}


def test_exemplars_follow_their_values_when_the_bounds_change() -> None:
    store = ExemplarStore()
    store.update("h", (), [exemplar(3.0)], (1.0, 2.0, 4.0))
    assert set(store.update("h", (), [], (4.0,))) == {0}


@given(st.lists(st.tuples(st.integers(0, 30), st.floats(0, 100)), max_size=80))
def test_the_store_is_bounded_and_every_exemplar_fits_its_bucket(updates: list[tuple[int, float]]) -> None:
    store, bounds = ExemplarStore(capacity=10), (1.0, 10.0)
    for series, value in updates:
        for index, kept in store.update("h", (("s", str(series)),), [exemplar(value)], bounds).items():
            assert bisect_left(bounds, kept.value) == index
    assert len(store._series) <= 10
