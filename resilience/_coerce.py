"""From the known constructor's arguments to a config: numbers are brought into range, aloud."""

from __future__ import annotations

import functools
import math
import warnings
from typing import TYPE_CHECKING, Unpack

from ._config import BreakerConfig, BreakerOptions
from ._errors import InvalidConfigError

if TYPE_CHECKING:
    from ._config import ErrorPredicate, ExceptionTypes

__all__ = ["ConfigAdjustedWarning", "coerced_config"]

DEFAULT_MAX_TIMEOUT = 300.0


class ConfigAdjustedWarning(UserWarning):
    """A constructor argument was out of range; the message names it and the value used instead."""


def coerced_config(
    *,
    failure_threshold: float,
    recovery_timeout: float,
    expected_exception: ExceptionTypes | ErrorPredicate,
    success_threshold: float,
    timeout_multiplier: float,
    max_timeout: float,
    enable_jitter: bool,
    **options: Unpack[BreakerOptions],
) -> BreakerConfig:
    """The config of these arguments, each number at least its known minimum.

    Raises:
        InvalidConfigError: not a number at all, or not a finite one.
    """
    recovery = _at_least("recovery_timeout", recovery_timeout, 1.0)
    # Left at its default, the maximum follows a longer recovery timeout without a word.
    if max_timeout == DEFAULT_MAX_TIMEOUT:
        max_timeout = max(max_timeout, recovery)
    config = BreakerConfig(
        failure_threshold=_whole_at_least("failure_threshold", failure_threshold),
        recovery_timeout=recovery,
        expected_exception=expected_exception,
        success_threshold=_whole_at_least("success_threshold", success_threshold),
        timeout_multiplier=_at_least("timeout_multiplier", timeout_multiplier, 1.0),
        max_timeout=_at_least("max_timeout", max_timeout, recovery),
        jitter=0.1 if enable_jitter else 0.0,
        **options,
    )
    return _shared(config)


@functools.lru_cache(maxsize=64)
def _shared(config: BreakerConfig) -> BreakerConfig:
    """The first config equal to this one: breakers with the same settings keep them once."""
    return config


def _whole_at_least(field: str, value: float) -> int:
    number = max(1, int(_finite(field, value)))
    if number != value:
        _warn(field, value, number)
    return number


def _at_least(field: str, value: float, least: float) -> float:
    number = max(least, float(_finite(field, value)))
    if number != value:
        _warn(field, value, number)
    return number


def _finite(field: str, value: object) -> int | float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InvalidConfigError(field, value, "a finite number")
    return value


def _warn(field: str, given: float, used: float) -> None:
    # Level 5 is the line that called CircuitBreaker(...).
    warnings.warn(f"{field}={given!r} is out of range, using {used!r}", ConfigAdjustedWarning, stacklevel=5)
