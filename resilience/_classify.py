"""How a call's end counts: pure rules from an exception or a result to an outcome."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING, cast

from ._errors import BulkheadFullError, CircuitBreakerOpenError
from ._events import Outcome

if TYPE_CHECKING:
    from ._config import BreakerConfig, ErrorPredicate, ExceptionTypes

__all__ = ["classify", "classify_result", "matches", "wait_hint"]

FAILURE, UNEXPECTED, IGNORED = Outcome.FAILURE, Outcome.UNEXPECTED, Outcome.IGNORED
_SPECIAL = (CircuitBreakerOpenError, BulkheadFullError, asyncio.CancelledError)
_log = logging.getLogger(__name__)


def classify(config: BreakerConfig, error: BaseException, elapsed: float) -> Outcome:
    """How a call counts that raised `error` after `elapsed` seconds.

    A refusal by another breaker or by a bulkhead inside the call never counts: the dependency was not called.
    """
    if isinstance(error, _SPECIAL):
        if not isinstance(error, asyncio.CancelledError):
            return IGNORED
        if matches(error, config.ignored_exception, if_broken=False):
            return IGNORED
        if config.cancel_counts_after is not None:
            return FAILURE if elapsed >= config.cancel_counts_after else IGNORED
    elif config.ignored_exception and matches(error, config.ignored_exception, if_broken=False):
        return IGNORED
    if matches(error, config.expected_exception, if_broken=isinstance(error, Exception)):
        return FAILURE
    return UNEXPECTED if isinstance(error, Exception) else IGNORED


def classify_result(config: BreakerConfig, result: object) -> Outcome:
    """How a call counts that returned `result`."""
    if config.failed_result is None:
        return Outcome.SUCCESS
    try:
        return Outcome.FAILURE if config.failed_result(result) else Outcome.SUCCESS
    except Exception:  # noqa: BLE001 - a user's predicate must not change how the call ends
        _log.exception("failed_result %r raised; the call counts as a success", config.failed_result)
        return Outcome.SUCCESS


def wait_hint(error: BaseException) -> float:
    """The seconds an exception asks callers to wait (its `retry_after`), 0 when it does not say."""
    try:
        hint = getattr(error, "retry_after", None)
        if hint is None or isinstance(hint, bool) or not isinstance(hint, (int, float)):
            return 0.0
        return float(hint) if math.isfinite(hint) and hint > 0 else 0.0
    except Exception:  # noqa: BLE001 - the attribute is a user's code
        _log.exception("reading retry_after of a %s raised", type(error).__name__)
        return 0.0


def matches(error: BaseException, kinds: ExceptionTypes | ErrorPredicate, *, if_broken: bool) -> bool:
    """Whether `error` is of these kinds, a tuple of types or a predicate; `if_broken` when that raises."""
    if isinstance(kinds, tuple):
        return isinstance(error, cast("tuple[type[BaseException], ...]", kinds))
    try:
        # The configs have made a tuple of whatever types they were given: this is a predicate.
        return bool(cast("ErrorPredicate", kinds)(error))
    except Exception:  # noqa: BLE001 - a user's predicate must not change how the call ends
        _log.exception("exception predicate %r raised", kinds)
        return if_broken
