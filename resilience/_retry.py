"""Retrying: when to try again, and how long to wait first. tenacity decides; this file translates.

Nothing here is touched while calls succeed: tenacity's state is built after a first failure.
"""

from __future__ import annotations

import random as random_module
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import tenacity

from ._classify import matches, wait_hint
from ._config import as_exceptions, check_number, check_optional, check_whole
from ._errors import CircuitBreakerOpenError

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from ._config import ErrorPredicate, ExceptionTypes

__all__ = ["RetryBudget", "RetryPolicy", "RetryRun"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When and how often to try again. Durations are seconds.

    A refusal by a circuit breaker is tried again no sooner than its `retry_after`, and not at all when
    that is unknown or longer than `max_wait`. The same holds for any exception with a `retry_after`.
    Cancellation is never retried.

    Raises:
        InvalidConfigError: a value has the wrong type or lies outside its range.

    >>> RetryPolicy(attempts=0)
    Traceback (most recent call last):
        ...
    tracefuse.resilience._errors.InvalidConfigError: attempts is 0, expected a whole number from 1 to 1000
    """

    attempts: int = 3
    """Tries in all, the first included."""
    wait: float = 0.5
    """The wait before the second try."""
    multiplier: float = 2.0
    """Growth of the wait from try to try."""
    max_wait: float = 30.0
    """No wait is longer than this."""
    jitter: float = 0.25
    """Spread of each wait: 0.25 draws from 75 % to 125 %."""
    retry_on: ExceptionTypes | ErrorPredicate = (Exception,)
    """What is tried again: exception types, or a predicate over the exception."""
    deadline: float | None = None
    """No try starts later than this after the first."""
    budget: float | None = 100.0
    """Retries that all calls of one pipeline together may make beyond what successes earn; None: no limit."""
    budget_refill: float = 0.2
    """What each success adds to the budget, in retries."""

    def __post_init__(self) -> None:
        check_whole("attempts", self.attempts, 1, 1000)
        check_number("wait", self.wait, least=0.0, most=1e6)
        check_number("multiplier", self.multiplier, least=1.0, most=1e3)
        check_number("max_wait", self.max_wait, least=0.0, most=1e6)
        check_number("jitter", self.jitter, least=0.0, most=1.0)
        check_optional("deadline", self.deadline, above=0.0, most=1e9)
        check_optional("budget", self.budget, least=0.0, most=1e9)
        check_number("budget_refill", self.budget_refill, least=0.0, most=1e6)
        object.__setattr__(self, "retry_on", as_exceptions("retry_on", self.retry_on))


class RetryRun:
    """The retries of one call, begun at `began` on `clock`."""

    __slots__ = ("_began", "_clock", "_policy", "_random", "_retrying", "_state")

    def __init__(
        self,
        policy: RetryPolicy,
        began: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = random_module.random,
    ) -> None:
        self._policy = policy
        self._began = began
        self._clock = clock
        self._random = random
        self._retrying = tenacity.Retrying(
            stop=self._is_over,
            wait=self._wait,
            retry=self._is_retryable,
            retry_error_callback=lambda _: None,
        )
        self._retrying.begin()
        self._state = tenacity.RetryCallState(self._retrying, None, (), {})

    def next_wait(self, error: Exception) -> float | None:
        """The seconds to wait before the next try after `error`; None: do not try again.

        The error is handed over as a result: tenacity then decides without raising it, and so without
        adding its own frames to the error's traceback.
        """
        self._state.set_result(error)
        verdict = self._retrying.iter(self._state)
        # Not kept: an error whose traceback leads here would be a cycle.
        self._state.prepare_for_next_attempt()
        return float(verdict) if isinstance(verdict, tenacity.DoSleep) else None

    def _is_retryable(self, state: tenacity.RetryCallState) -> bool:
        error = _error_of(state)
        if isinstance(error, CircuitBreakerOpenError) and error.retry_after is None:
            return False
        if wait_hint(error) > self._policy.max_wait:
            return False
        return matches(error, self._policy.retry_on, if_broken=False)

    def _wait(self, state: tenacity.RetryCallState) -> float:
        policy = self._policy
        grow = tenacity.wait_exponential(multiplier=policy.wait, exp_base=policy.multiplier, max=policy.max_wait)
        spread = 1.0 + policy.jitter * (2.0 * self._random() - 1.0)
        return max(min(grow(state) * spread, policy.max_wait), wait_hint(_error_of(state)))

    def _is_over(self, state: tenacity.RetryCallState) -> bool:
        deadline = self._policy.deadline
        late = deadline is not None and self._clock() - self._began + state.upcoming_sleep > deadline
        return late or tenacity.stop_after_attempt(self._policy.attempts)(state)


class RetryBudget:
    """A token bucket of retries, so that retries cannot multiply an outage.

    Each retry takes one token, each success adds a part of one (the idea of gRPC's retry
    throttling, gRFC A6).

    >>> budget = RetryBudget(capacity=1.0, refill=0.5)
    >>> budget.take(), budget.take()
    (True, False)
    """

    __slots__ = ("_capacity", "_lock", "_refill", "_tokens")

    def __init__(self, capacity: float, refill: float) -> None:
        self._capacity = capacity
        self._refill = refill
        self._tokens = capacity
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Take a token for one retry; False when there is none."""
        with self._lock:
            if self._tokens < 1.0:
                return False
            self._tokens -= 1.0
            return True

    def earn(self) -> None:
        """Add what a success is worth."""
        if self._tokens < self._capacity:
            with self._lock:
                self._tokens = min(self._capacity, self._tokens + self._refill)


def _error_of(state: tenacity.RetryCallState) -> BaseException:
    return cast("BaseException", cast("Future[object]", state.outcome).result())
