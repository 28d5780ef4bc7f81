"""How a call's end counts: pure rules from an exception or a result to an outcome."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING, cast

from ._config import ANY_EXCEPTION
from ._errors import RefusedError
from ._events import Outcome

if TYPE_CHECKING:
    from ._config import BreakerConfig, ErrorPredicate, ExceptionTypes

__all__ = ["classify", "classify_result", "describe", "matches", "wait_hint"]

FAILURE, UNEXPECTED, IGNORED = Outcome.FAILURE, Outcome.UNEXPECTED, Outcome.IGNORED
_TEXT_KEPT = 500
_log = logging.getLogger(__name__)


def classify(config: BreakerConfig, error: BaseException, elapsed: float) -> Outcome:
    """How a call counts that raised `error` after `elapsed` seconds.

    A refusal by another breaker or by a bulkhead inside the call never counts: the dependency was not called.
    """
    if not isinstance(error, Exception):
        return _classify_exit(config, error, elapsed)
    if isinstance(error, RefusedError):
        return IGNORED
    if config.ignored_exception and matches(error, config.ignored_exception, if_broken=False):
        return IGNORED
    expected = config.expected_exception
    if expected is ANY_EXCEPTION:
        return FAILURE
    return FAILURE if matches(error, expected, if_broken=True) else UNEXPECTED


def _classify_exit(config: BreakerConfig, error: BaseException, elapsed: float) -> Outcome:
    """How a call counts that was cancelled, abandoned or interrupted."""
    if matches(error, config.ignored_exception, if_broken=False):
        return IGNORED
    if isinstance(error, asyncio.CancelledError) and config.cancel_counts_after is not None:
        return FAILURE if elapsed >= config.cancel_counts_after else IGNORED
    return FAILURE if matches(error, config.expected_exception, if_broken=False) else IGNORED


def classify_result(config: BreakerConfig, result: object) -> Outcome:
    """How a call counts that returned `result`."""
    if config.failed_result is None:
        return Outcome.SUCCESS
    try:
        return Outcome.FAILURE if config.failed_result(result) else Outcome.SUCCESS
    except Exception:  # noqa: BLE001 - a user's predicate must not change how the call ends
        _log.exception("failed_result %r raised; the call counts as a success", config.failed_result)
        return Outcome.SUCCESS


def describe(error: BaseException) -> tuple[str, float]:
    """The text of an exception, cut, and the seconds it asks callers to wait (its `retry_after`; 0: none).

    Both are a user's code: not to be asked for under a lock, and it may raise.
    """
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - an exception whose text raises must not change the call's end
        text = "<no text: its __str__ raised>"
    try:
        hint = getattr(error, "retry_after", None)
        if hint is not None:
            known = isinstance(hint, (int, float)) and not isinstance(hint, bool) and math.isfinite(hint)
            hint = max(0.0, float(hint)) if known else None
    except Exception:  # noqa: BLE001 - as above
        _log.exception("reading retry_after of a %s raised", type(error).__name__)
        hint = None
    return text if len(text) <= _TEXT_KEPT else text[:_TEXT_KEPT], hint or 0.0


def wait_hint(error: BaseException) -> float:
    """The seconds an exception asks callers to wait, 0 when it does not say."""
    return describe(error)[1]


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
