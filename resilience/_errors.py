"""Errors of this package.

* ResilienceError
  * RefusedError: the call was never made
    * CircuitBreakerOpenError: the breaker refused it
    * BulkheadFullError: the pipeline's bulkhead had no free place
  * PipelineTimeoutError (also TimeoutError): a deadline of the pipeline passed
  * InvalidConfigError (also ValueError): a setting outside its range
    * InvalidSnapshotError: a stored state that cannot be read
"""

from __future__ import annotations

__all__ = [
    "BulkheadFullError",
    "CircuitBreakerOpenError",
    "InvalidConfigError",
    "InvalidSnapshotError",
    "PipelineTimeoutError",
    "RefusedError",
    "ResilienceError",
]


class ResilienceError(Exception):
    """Base of all errors raised by this package."""


class RefusedError(ResilienceError):
    """A protection refused the call: it was never made, so it says nothing about the dependency."""


class CircuitBreakerOpenError(RefusedError):
    """The circuit breaker refused the call; the protected function was not called.

    `retry_after` is in seconds, or None when no time can be told (an isolated breaker).

    >>> str(CircuitBreakerOpenError("Circuit breaker is open for db", 6.0, "db"))
    'Circuit breaker is open for db'
    """

    error_type = "circuit_breaker_open"
    """What spans and metrics call it (`tracefuse.telemetry.error_type`)."""

    # One is made for every refused call: slots, and no call of the base class, whose __new__ has
    # kept the arguments already.
    __slots__ = ("breaker_name", "message", "retry_after")

    def __init__(self, message: str, retry_after: float | None = None, breaker_name: str | None = None) -> None:
        self.message = message
        self.retry_after = retry_after
        self.breaker_name = breaker_name

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.message, self.retry_after, self.breaker_name)


class BulkheadFullError(RefusedError):
    """Every place in the pipeline's bulkhead was taken; the function was not called.

    `limit` is the number of places.
    """

    def __init__(self, name: str, limit: int) -> None:
        super().__init__(name, limit)
        self.name = name
        self.limit = limit

    def __str__(self) -> str:
        return f"all {self.limit} places of {self.name!r} are taken: wait for one to become free, or raise the limit"


class PipelineTimeoutError(ResilienceError, TimeoutError):
    """A deadline of a pipeline passed. `scope` is "total" or "attempt", `limit` its seconds."""

    def __init__(self, name: str, scope: str, limit: float) -> None:
        super().__init__(name, scope, limit)
        self.name = name
        self.scope = scope
        self.limit = limit

    def __str__(self) -> str:
        return f"{self.name!r} did not finish within its {self.scope} timeout of {self.limit:g} s"


class InvalidConfigError(ResilienceError, ValueError):
    """A setting was refused: `field`, the `value` given, and what was `expected`."""

    def __init__(self, field: str, value: object, expected: str) -> None:
        super().__init__(field, value, expected)
        self.field = field
        self.value = value
        self.expected = expected

    def __str__(self) -> str:
        return f"{self.field} is {self.value!r}, expected {self.expected}"


class InvalidSnapshotError(InvalidConfigError):
    """A stored state cannot be read: damaged, or written by another version."""
