"""Time windows on a clock of the test's own."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracefuse.telemetry._windows import DEFAULT_SPANS, Windows, check_spans, merged_stats

SLOT = 1 / 6


@pytest.mark.parametrize("span", DEFAULT_SPANS)
def test_a_lone_recording_leaves_exactly_on_time(span: float) -> None:
    windows = Windows()
    windows.add(100.0, 2.0, failed=True)
    assert windows.stats(span, 100.0 + span - 0.001).count == 1
    assert windows.stats(span, 100.0 + span).count == 0
    windows.add(100.0 + span, 1.0, failed=False)
    assert windows.stats(span, 100.0 + span).count == 1


@given(st.lists(st.tuples(st.floats(0, 400), st.floats(0.001, 100), st.booleans()), min_size=1, max_size=150))
def test_counts_are_those_of_the_window_with_at_most_a_sixth_of_it_more(rows: list[tuple[float, float, bool]]) -> None:
    windows, now, seen = Windows(), 0.0, []
    for gap, seconds, failed in rows:
        now += gap
        windows.add(now, seconds, failed=failed)
        seen.append((now, seconds, failed))
        for span in DEFAULT_SPANS:
            stats = windows.stats(span, now)
            inside = [row for row in seen if row[0] > now - span]
            at_most = [row for row in seen if row[0] > now - span * (1 + SLOT)]
            assert len(inside) <= stats.count <= len(at_most)
            assert sum(row[2] for row in inside) <= stats.failures <= sum(row[2] for row in at_most)
            assert stats.rate == stats.count / span


@given(st.lists(st.floats(0.001, 20.0), min_size=1, max_size=300))
def test_quantiles_are_within_one_percent(values: list[float]) -> None:
    windows = Windows()
    for second, value in enumerate(values):
        windows.add(second / 10, value, failed=False)
    stats = windows.stats(3600.0, len(values) / 10)
    ordered = sorted(values)
    for q, answered in ((0.5, stats.p50), (0.95, stats.p95), (0.99, stats.p99)):
        exact = ordered[max(math.ceil(q * len(ordered)) - 1, 0)]
        assert abs(answered - exact) <= exact * 0.0101
    assert math.isclose(stats.mean, sum(values) / len(values))


def test_an_empty_window_has_zeros() -> None:
    stats = Windows().stats(60.0, 1e6)
    assert (stats.count, stats.rate, stats.error_ratio, stats.mean, stats.p99) == (0, 0.0, 0.0, 0.0, 0.0)


def test_zeros_and_huge_values_are_counted() -> None:
    windows = Windows()
    for value in (0.0, 0.0, 0.0, 1e200):
        windows.add(1.0, value, failed=False)
    stats = windows.stats(60.0, 1.0)
    assert stats.p50 == 0.0
    assert stats.p99 == pytest.approx(1e200, rel=0.01)


def test_windows_of_several_tools_are_added_up() -> None:
    one, two = Windows(), Windows()
    one.add(1.0, 1.0, failed=False)
    two.add(2.0, 3.0, failed=True)
    both = merged_stats(60.0, [*one.slots(60.0, 2.0), *two.slots(60.0, 2.0)])
    assert (both.count, both.error_ratio, both.mean) == (2, 0.5, 2.0)


def everything(value: object, seen: set[int]) -> Iterator[object]:
    if id(value) in seen or isinstance(value, type):
        return
    seen.add(id(value))
    yield value
    slots = [getattr(value, name) for cls in type(value).__mro__ for name in getattr(cls, "__slots__", ())]
    inner = [*slots, *getattr(value, "__dict__", {}).values()]
    if isinstance(value, list | tuple) or type(value).__name__ == "deque":
        inner += list(value)  # type: ignore[call-overload]
    for one in inner:
        yield from everything(one, seen)


def test_memory_does_not_grow_with_time_or_traffic() -> None:
    windows = Windows()
    sizes = []
    for hour in range(4):
        for second in range(3600):
            for part in range(3):
                windows.add(hour * 3600 + second, 0.05 * 1.03 ** ((second * 7 + part) % 100), failed=False)
        sizes.append(sum(sys.getsizeof(one) for one in everything(windows, set())))
    assert sizes[-1] < 20_000
    assert sizes[-1] <= sizes[1] * 1.1


@pytest.mark.parametrize("spans", [(), (60, 60), (300, 60), (0.5,), ("a",), None, (math.nan,), tuple(range(1, 20))])
def test_windows_that_make_no_sense_are_refused(spans: object) -> None:
    with pytest.raises(ValueError, match="expected 1 to 8 rising lengths in seconds, for example"):
        check_spans(spans)  # type: ignore[arg-type]


def test_other_windows_can_be_chosen() -> None:
    assert check_spans([10, 100]) == (10.0, 100.0)
