"""What our reservoir keeps, against the SDK's own."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.metrics import AlignedHistogramBucketExemplarReservoir, SimpleFixedSizeExemplarReservoir

from tracefuse.telemetry._exemplars import LastOfEachBucket, reservoirs

BOUNDS = (0.1, 1.0, 10.0)


def context(number: int) -> Any:
    ids = trace.SpanContext(number, number, is_remote=False, trace_flags=trace.TraceFlags(1))
    return trace.set_span_in_context(trace.NonRecordingSpan(ids) if number else trace.INVALID_SPAN)


offers = st.lists(st.tuples(st.floats(0, 20), st.integers(1, 9), st.sampled_from([{}, {"tool": "t"}, {"x": 1}])))


@given(st.lists(offers, max_size=4))
def test_it_keeps_what_the_sdks_keeps(rounds: list[list[tuple[float, int, dict[str, Any]]]]) -> None:
    ours, theirs = LastOfEachBucket(boundaries=BOUNDS), AlignedHistogramBucketExemplarReservoir(BOUNDS)
    for offered in rounds:
        for time, (value, number, attributes) in enumerate(offered):
            ours.offer(value, time, attributes, context(number))
            theirs.offer(value, time, attributes, context(number))
        kept = [
            (one.value, one.time_unix_nano, one.trace_id, one.span_id, dict(one.filtered_attributes or {}))
            for one in ours.collect({"tool": "t"})
        ]
        assert kept == [
            (one.value, one.time_unix_nano, one.trace_id, one.span_id, dict(one.filtered_attributes or {}))
            for one in theirs.collect({"tool": "t"})
        ]


def test_a_value_outside_of_spans_does_not_take_over_the_trace_of_the_one_before() -> None:
    reservoir = LastOfEachBucket(boundaries=BOUNDS)
    reservoir.offer(0.5, 1, {}, context(7))
    reservoir.offer(0.6, 2, {}, context(0))
    (exemplar,) = reservoir.collect({})
    assert (exemplar.value, exemplar.trace_id, exemplar.span_id) == (0.6, None, None)


def test_what_has_no_buckets_keeps_the_last_and_what_asks_for_places_gets_the_sdks_own() -> None:
    make = reservoirs(object)
    counter = make()
    for value in (1.0, 2.0, 3.0):
        counter.offer(value, 0, {}, context(1))
    assert [one.value for one in counter.collect({})] == [3.0]
    assert counter.collect({}) == []
    assert isinstance(make(size=20), SimpleFixedSizeExemplarReservoir)
