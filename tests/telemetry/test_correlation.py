"""Correlation: against known series, and from what tools and breakers did."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracefuse.telemetry import MetricHistory, MetricsManager, correlate, correlation, correlation_table

numbers = st.lists(st.integers(-50, 50), min_size=8, max_size=40)


def test_known_series() -> None:
    rising, chance = list(range(50)), random.Random(3)
    assert correlation(rising, [math.exp(x) for x in rising]) == 1.0
    assert correlation(rising, [-x for x in rising]) == -1.0
    noise = correlation(rising, [chance.random() for _ in rising])
    assert noise is not None
    assert abs(noise) < 0.3


def test_what_says_nothing_is_undefined_not_nan() -> None:
    assert correlation([1.0] * 20, list(range(20))) is None
    assert correlation(list(range(7)), list(range(7))) is None
    assert correlation([math.nan] * 10, list(range(10))) is None
    with pytest.raises(ValueError, match="series of 1 and 2 samples"):
        correlation([1], [1, 2])


@given(numbers, st.randoms())
def test_a_coefficient_is_symmetric_bounded_and_blind_to_scale(left: list[int], chance: random.Random) -> None:
    right = left.copy()
    chance.shuffle(right)
    value = correlation(left, right)
    assert value == correlation(right, left)
    if value is not None:
        assert -1.0 <= value <= 1.0
        assert correlation([3 * x + 7 for x in left], right) == pytest.approx(value)


def test_a_lag_is_found_with_its_direction() -> None:
    chance = random.Random(1)
    cause = [chance.random() for _ in range(60)]
    effect = [0.0, 0.0, *cause[:-2]]
    (found,) = correlate({"cause": cause, "effect": effect}, max_lag=4)
    assert (found.coefficient, found.lag, found.samples) == (1.0, 2, 58)
    (found,) = correlate({"a_effect": effect, "cause": cause}, max_lag=4)
    assert found.lag == -2


def test_pairs_are_sorted_by_strength_and_may_be_those_of_one_series() -> None:
    series = {"a": list(range(10)), "b": [x**2 for x in range(10)], "c": [1.0] * 10}
    found = correlate(series, against="a")
    assert [(one.left, one.right, one.coefficient) for one in found] == [("a", "b", 1.0), ("a", "c", None)]
    assert correlation_table(found) == "+1.00  a  ~  b\nundefined  a  ~  c"
    with pytest.raises(ValueError, match="expected None, or one of"):
        correlate(series, against="d")
    with pytest.raises(ValueError, match="expected 0 or more"):
        correlate(series, max_lag=-1)


def test_errors_that_came_with_a_breakers_trips_are_found(manager: MetricsManager, clock: Any) -> None:
    trips = 0.0
    history = MetricHistory(manager, counters=lambda: {"nmap trips": trips}, clock=clock)
    history.sample()
    for minute in range(12):
        bad = minute in {3, 4, 8}
        trips += bad
        for number in range(10):
            manager.record_tool_execution("nmap", not bad, 5.0 if bad else 0.1)
            manager.record_tool_execution("other", number % 2 == 0, 0.2)
        clock.advance(60.0)
        history.sample()
    series = history.series()
    assert series["nmap trips"] == [float(minute in {3, 4, 8}) for minute in range(12)]
    assert series["nmap latency"][3] == pytest.approx(5.0)
    found = {one.right: one.coefficient for one in history.correlate(against="nmap trips")}
    assert found["nmap errors"] == found["nmap latency"] == 1.0
    assert found["other errors"] is None
    assert len(history.series(since=300.0)["nmap errors"]) == 5


def test_history_is_bounded_and_survives_a_reset(manager: MetricsManager) -> None:
    history = MetricHistory(manager, capacity=8)
    for _ in range(20):
        manager.record_tool_execution("nmap", False, 1.0)
        history.sample()
    assert len(history.series()["nmap errors"]) == 8
    manager.reset()
    manager.record_tool_execution("nmap", False, 1.0)
    history.sample()
    assert history.series()["nmap errors"][-1] == 1.0
    with pytest.raises(ValueError, match="expected a whole number, 8 to"):
        MetricHistory(manager, capacity=2)
