"""The settings of a breaker: one frozen value that refuses what makes no sense."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypedDict, cast

from ._errors import InvalidConfigError

__all__ = [
    "ANY_EXCEPTION",
    "BreakerConfig",
    "BreakerOptions",
    "ErrorPredicate",
    "ExceptionTypes",
    "as_exceptions",
    "check_number",
    "check_optional",
    "check_whole",
]

ExceptionTypes: TypeAlias = type[BaseException] | Iterable[type[BaseException]]
"""One exception class or several."""
ErrorPredicate: TypeAlias = Callable[[BaseException], bool]
"""Says of an exception whether it belongs."""


ANY_EXCEPTION: Final[tuple[type[BaseException], ...]] = (Exception,)
"""The usual setting, always as this one object, so that it is recognised at a glance."""


class BreakerOptions(TypedDict, total=False):
    """The settings beyond the nine of the known constructor; see `BreakerConfig`."""

    ignored_exception: ExceptionTypes | ErrorPredicate
    failed_result: Callable[[Any], bool] | None
    half_open_max_calls: int
    half_open_timeout: float
    cancel_counts_after: float | None
    backoff_reset_after: float
    failure_rate: float | None
    slow_call_rate: float | None
    slow_call_duration: float
    window: int
    window_seconds: float | None
    minimum_calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerConfig:
    """How a breaker trips, waits and recovers. Durations are seconds, rates fractions of 1.

    Raises:
        InvalidConfigError: a value has the wrong type or lies outside its range.

    >>> BreakerConfig(failure_threshold=0)
    Traceback (most recent call last):
        ...
    tracefuse.resilience._errors.InvalidConfigError: failure_threshold is 0, expected a whole number from 1 to 1000000
    """

    failure_threshold: int = 5
    """Failures in a row that trip the breaker. Not used when a rate is set."""
    recovery_timeout: float = 60.0
    """How long the breaker stays open before the first probe."""
    expected_exception: ExceptionTypes | ErrorPredicate = ANY_EXCEPTION
    """What counts as a failure: exception types, or a predicate over the exception."""
    success_threshold: int = 1
    """Probes in a row that must succeed to close the breaker."""
    timeout_multiplier: float = 1.5
    """Growth of the wait after each failed probe."""
    max_timeout: float = 300.0
    """The wait grows no further than this (jitter comes on top)."""
    jitter: float = 0.1
    """Spread of the wait: 0.1 draws once per opening from 90 % to 110 %."""
    ignored_exception: ExceptionTypes | ErrorPredicate = ()
    """What says nothing about the dependency, in no state. Goes before `expected_exception`."""
    failed_result: Callable[[Any], bool] | None = None
    """Says of a returned value whether it is a failure."""
    half_open_max_calls: int = 1
    """Probes in flight at once while half-open."""
    half_open_timeout: float = 300.0
    """A half-open breaker whose probes have not ended after this long counts them as lost and reopens."""
    cancel_counts_after: float | None = 1.0
    """A call cancelled after it ran for this long is a failure; None: a cancellation never is."""
    backoff_reset_after: float = 0.0
    """Healthy time after which a grown wait falls back; 0: it falls back as soon as the breaker closes."""
    failure_rate: float | None = None
    """Share of failed calls in the window that trips the breaker, instead of failures in a row."""
    slow_call_rate: float | None = None
    """Share of slow calls in the window that trips the breaker."""
    slow_call_duration: float = 60.0
    """A call that took at least this long was slow."""
    window: int = 100
    """Calls in the window, unless `window_seconds` is set."""
    window_seconds: float | None = None
    """Length of a window over time."""
    minimum_calls: int = 10
    """With fewer calls in the window than this, rates are not looked at."""

    def __post_init__(self) -> None:
        for name in ("failure_threshold", "success_threshold", "half_open_max_calls", "window", "minimum_calls"):
            check_whole(name, getattr(self, name), 1, 1_000_000)
        for name in ("recovery_timeout", "max_timeout", "half_open_timeout", "slow_call_duration"):
            check_number(name, getattr(self, name), above=0.0, most=1e9)
        check_number("timeout_multiplier", self.timeout_multiplier, least=1.0, most=1e6)
        check_number("jitter", self.jitter, least=0.0, most=0.9)
        check_number("backoff_reset_after", self.backoff_reset_after, least=0.0, most=1e9)
        check_optional("cancel_counts_after", self.cancel_counts_after, least=0.0, most=1e9)
        check_optional("failure_rate", self.failure_rate, above=0.0, most=1.0)
        check_optional("slow_call_rate", self.slow_call_rate, above=0.0, most=1.0)
        check_optional("window_seconds", self.window_seconds, above=0.0, most=1e9)
        if self.max_timeout < self.recovery_timeout:
            expected = f"a number of at least recovery_timeout ({self.recovery_timeout:g})"
            raise InvalidConfigError("max_timeout", self.max_timeout, expected)
        if self.failed_result is not None and not callable(self.failed_result):
            raise InvalidConfigError("failed_result", self.failed_result, "a predicate over the result, or None")
        for name in ("expected_exception", "ignored_exception"):
            object.__setattr__(self, name, as_exceptions(name, getattr(self, name)))

    @property
    def uses_rates(self) -> bool:
        """Whether the breaker trips by rates over a window instead of failures in a row."""
        return self.failure_rate is not None or self.slow_call_rate is not None


def check_whole(field: str, value: object, least: int, most: int) -> None:
    """Refuse what is not a whole number from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidConfigError(field, value, f"a whole number from {least} to {most}")


def check_number(
    field: str, value: object, *, most: float, least: float | None = None, above: float | None = None
) -> None:
    """Refuse what is not a finite number in the range: from `least`, or greater than `above`, to `most`."""
    low_ok = False
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        low_ok = value >= least if least is not None else above is None or value > above
        low_ok = low_ok and value <= most
    if not low_ok:
        low = f"from {least:g}" if least is not None else f"greater than {above:g}"
        raise InvalidConfigError(field, value, f"a finite number {low}, up to {most:g}")


def check_optional(
    field: str, value: object, *, most: float, least: float | None = None, above: float | None = None
) -> None:
    """Refuse what is neither None nor a number in the range."""
    if value is not None:
        check_number(field, value, most=most, least=least, above=above)


def as_exceptions(field: str, given: object) -> tuple[type[BaseException], ...] | ErrorPredicate:
    """Exception classes as a tuple; a predicate as it is."""
    if isinstance(given, type):
        given = (given,)
    elif callable(given):
        return cast("ErrorPredicate", given)
    expected = "exception classes such as (OSError, TimeoutError), or a predicate over the exception"
    if not isinstance(given, Iterable) or isinstance(given, (str, bytes)):
        raise InvalidConfigError(field, given, expected)
    kinds = tuple(cast("Iterable[object]", given))
    if kinds == ANY_EXCEPTION:
        return ANY_EXCEPTION
    if not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
        raise InvalidConfigError(field, kinds, expected)
    return cast("tuple[type[BaseException], ...]", kinds)
