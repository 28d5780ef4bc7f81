"""Exact percentiles of the most recent values, against a naive model."""

from __future__ import annotations

import math
from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from tracefuse.telemetry._recent import RecentOutcomes, RecentValues, percentile

finite = st.floats(0, 1e6)


def naive(values: list[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[max(math.ceil(percent / 100 * len(ordered)) - 1, 0)] if ordered else 0.0


@given(st.lists(finite, max_size=60), st.integers(1, 20), st.floats(0, 100))
def test_percentiles_are_those_of_the_last_values(values: list[float], capacity: int, percent: float) -> None:
    recent = RecentValues(capacity)
    for value in values:
        recent.add(value)
    last = values[-capacity:]
    assert list(recent) == last
    assert len(recent) == len(last)
    assert recent.percentiles((percent,)) == (naive(last, percent),)


@given(st.lists(st.tuples(finite, st.integers(0, 3)), max_size=400), st.integers(1, 120))
def test_percentiles_are_right_whenever_they_are_asked_for(rows: list[tuple[float, int]], capacity: int) -> None:
    recent, seen = RecentValues(capacity), list[float]()
    for value, asked in rows:
        recent.add(value)
        seen.append(value)
        if asked == 0:
            assert recent.percentiles((50, 95, 99)) == tuple(naive(seen[-capacity:], p) for p in (50, 95, 99))
    assert recent.percentiles((99,)) == (naive(seen[-capacity:], 99),)


def test_an_outlier_leaves_after_a_thousand_values() -> None:
    recent = RecentValues()
    for value in [60.0] * 1000 + [0.01] * 1000:
        recent.add(value)
    assert recent.percentiles((50, 95, 99, 100)) == (0.01,) * 4


def test_percentiles_of_nothing_and_of_the_ends() -> None:
    assert percentile([], 50) == 0.0
    assert percentile([1.0, 2.0], 50) == 1.0
    assert percentile([1.0, 2.0], -5) == 1.0
    assert percentile([1.0, 2.0], 200) == 2.0


@given(st.lists(st.tuples(finite, st.booleans(), st.booleans(), st.sampled_from([None, "timeout"])), max_size=250))
def test_the_last_hundred_outcomes_are_kept(rows: list[tuple[float, bool, bool, str | None]]) -> None:
    outcomes, model = RecentOutcomes(), deque[tuple[int, bool, bool, str | None]](maxlen=100)
    for when, (_, success, late, error) in enumerate(rows):
        outcomes.add(when * 1000, success + 2 * late, error)
        model.append((when, success, late, error))
    assert list(outcomes) == list(model)
    assert outcomes.failure_ratio == (sum(not row[1] for row in model) / len(model) if model else 0.0)
    assert len(outcomes) == len(model)
