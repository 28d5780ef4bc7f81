"""Values, names and error types that cannot be recorded as they are."""

from __future__ import annotations

import logging
import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracefuse.telemetry import METRIC_ERROR_TYPES, sanitize_metric_value
from tracefuse.telemetry._sanitize import Repairs, bounded_error_type, clean_name, is_success, repair, text_of


class Hostile:
    """Raises whatever is asked of it."""

    def __float__(self) -> float:
        raise RuntimeError("no")

    def __str__(self) -> str:
        raise RuntimeError("no")

    def __bool__(self) -> bool:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "number", "reason"),
    [
        (None, 0.0, "null"),
        ("fast", 0.0, "invalid"),
        (object(), 0.0, "invalid"),
        ([1], 0.0, "invalid"),
        (Hostile(), 0.0, "invalid"),
        (math.nan, 0.0, "nan"),
        pytest.param("nan", 0.0, "nan", id="nan-in-text"),
        (math.inf, 0.0, "infinite"),
        (-math.inf, 0.0, "infinite"),
        (10**400, 0.0, "infinite"),
        (-2.5, 2.5, "negative"),
        ("2.5", 2.5, None),
        (3, 3.0, None),
        (True, 1.0, None),
        (Decimal("0.1"), 0.1, None),
        (Fraction(1, 2), 0.5, None),
    ],
)
def test_values_are_repaired_with_a_reason(value: Any, number: float, reason: str | None) -> None:
    assert repair(value) == (number, reason)
    assert sanitize_metric_value(value) == number


@given(st.one_of(st.floats(), st.integers(), st.text(), st.none(), st.binary(), st.lists(st.integers())))
def test_whatever_comes_a_finite_number_of_zero_or_more_is_recorded(value: Any) -> None:
    number, _ = repair(value)
    assert math.isfinite(number)
    assert number >= 0


def test_repairs_are_logged_once_a_minute_for_each_reason_and_counted_always(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    repairs = Repairs(lambda: now)
    with caplog.at_level(logging.WARNING):
        for second in range(150):
            now = float(second)
            repairs.value(math.nan, "execution_time")
            repairs.value(-1, "execution_time")
    events = [record.getMessage().split()[0] for record in caplog.records]
    assert events == ["metrics.nan_value", "metrics.negative_value"] * 3
    assert repairs.counts() == {"nan": 150, "negative": 150}
    assert {record.name for record in caplog.records} == {"tracefuse.telemetry._sanitize"}


def test_names_cannot_forge_log_lines_or_break_the_exposition() -> None:
    assert clean_name("x\nCRITICAL root: in") == "x\\nCRITICAL root: in"
    assert clean_name("\ud800") == "\\ud800"
    assert clean_name("") == "unnamed"
    assert clean_name("日本") == "日本"
    assert [clean_name(name) for name in (None, 3, ("a",), b"a")] == [None] * 4


@given(st.text(max_size=300))
def test_a_clean_name_is_printable_short_and_stays_as_it_is(name: str) -> None:
    cleaned = clean_name(name)
    assert cleaned is not None
    assert cleaned.isprintable()
    assert 0 < len(cleaned) <= 128
    assert clean_name(cleaned) == cleaned


def test_error_types_come_from_a_bounded_set() -> None:
    assert bounded_error_type("ValueError") == "ValueError"
    assert bounded_error_type("timeout") == "timeout"
    assert bounded_error_type(None) == "none"
    assert {bounded_error_type(f"error {n}") for n in range(10_000)} == {"other"}
    assert bounded_error_type(Hostile()) == "other"
    assert len(METRIC_ERROR_TYPES) < 100


def test_success_is_no_truthy_text() -> None:
    given = [True, 1, "true", "Success", False, 0, "false", "", "no", None, Hostile()]
    assert [is_success(value) for value in given] == [True] * 4 + [False] * 7


def test_a_text_never_raises() -> None:
    assert text_of(Hostile()) == "<Hostile>"
    assert text_of("a\x00b") == "a\\x00b"
