"""Exact percentiles of the most recent values, against a naive model."""

from __future__ import annotations

import math
from array import array
from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from tracefuse.telemetry._recent import ERROR, LATE, SUCCESS, RecentExecutions, RecentValues, percentile, successes

finite = st.floats(0, 1e6)


def naive(values: list[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[max(math.ceil(percent / 100 * len(ordered)) - 1, 0)] if ordered else 0.0


@given(st.lists(st.lists(finite, max_size=30), max_size=20), st.integers(1, 20), st.floats(0, 100))
def test_percentiles_are_those_of_the_last_values(batches: list[list[float]], capacity: int, percent: float) -> None:
    recent, values = RecentValues(capacity), list[float]()
    for batch in batches:
        recent.extend(array("d", batch))
        values += batch
    last = values[-capacity:]
    assert list(recent) == last
    assert len(recent) == len(last)
    assert recent.percentiles((percent,)) == (naive(last, percent),)


@given(st.lists(st.tuples(st.lists(finite, max_size=5), st.integers(0, 3)), max_size=150), st.integers(1, 120))
def test_percentiles_are_right_whenever_they_are_asked_for(rows: list[tuple[list[float], int]], capacity: int) -> None:
    recent, seen = RecentValues(capacity), list[float]()
    for batch, asked in rows:
        recent.extend(array("d", batch))
        seen += batch
        if asked == 0:
            assert recent.percentiles((50, 95, 99)) == tuple(naive(seen[-capacity:], p) for p in (50, 95, 99))
    assert recent.percentiles((99,)) == (naive(seen[-capacity:], 99),)


def test_an_outlier_leaves_after_a_thousand_values() -> None:
    recent = RecentValues()
    for value in [60.0] * 1000 + [0.01] * 1000:
        recent.extend(array("d", [value]))
    assert recent.percentiles((50, 95, 99, 100)) == (0.01,) * 4


def test_percentiles_of_nothing_and_of_the_ends() -> None:
    assert percentile([], 50) == 0.0
    assert percentile([1.0, 2.0], 50) == 1.0
    assert percentile([1.0, 2.0], -5) == 1.0
    assert percentile([1.0, 2.0], 200) == 2.0


@given(st.lists(st.lists(finite, max_size=9), max_size=30), st.integers(10, 40))
def test_each_value_is_taken_once_as_long_as_it_is_there(batches: list[list[float]], capacity: int) -> None:
    recent, waiting = RecentValues(capacity), list[float]()
    for batch in batches:
        recent.extend(array("d", batch))
        waiting = (waiting + batch)[-capacity:]
        assert recent.untaken == len(waiting)
        if len(batch) % 3 == 0:
            assert list(recent.take()) == waiting
            waiting = []
    assert list(recent.take()) == waiting


flags = st.sampled_from([0, SUCCESS, LATE, SUCCESS | LATE, ERROR, ERROR | LATE])


@given(st.lists(st.tuples(finite, flags, st.sampled_from([None, "timeout"])), max_size=250))
def test_the_last_hundred_executions_are_kept_and_each_is_taken_once(rows: list[tuple[float, int, str | None]]) -> None:
    recent, model, taken = RecentExecutions(), deque[tuple[int, float, int, str | None]](maxlen=100), list[int]()
    for when, (seconds, how, error) in enumerate(rows):
        full = recent.add(when * 1000, seconds, how, error)
        model.append((when, seconds, how, error))
        if full or how == ERROR:
            taken += recent.take()[1]
    assert list(recent) == list(model)
    assert len(recent) == len(model)
    assert recent.last == (len(rows) - 1 if rows else None)
    assert [*taken, *recent.take()[1]] == [row[1] for row in rows]
    assert recent.failure_ratio == (sum(not row[2] & SUCCESS for row in model) / len(model) if model else 0.0)
    assert successes(bytes(row[1] for row in rows)) == sum(row[1] & SUCCESS for row in rows)
