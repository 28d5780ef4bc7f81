"""Known names that are more than the breaker itself: its context object and the metric names."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Self

from tracefuse.telemetry import INSTRUMENTS

if TYPE_CHECKING:
    from types import TracebackType

    from ._breaker import CircuitBreaker
    from ._permit import CallPermit

__all__ = [
    "CB_CALLS_COUNTER",
    "CB_STATE_GAUGE",
    "CB_STATE_TRANSITIONS",
    "METRICS_AVAILABLE",
    "CircuitBreakerContext",
]

METRICS_AVAILABLE: Final = True
"""Breakers always speak to OpenTelemetry; without an SDK that is a no-op."""
CB_STATE_GAUGE: Final = INSTRUMENTS["circuit_breaker.state"]
CB_CALLS_COUNTER: Final = INSTRUMENTS["circuit_breaker.calls"]
CB_STATE_TRANSITIONS: Final = INSTRUMENTS["circuit_breaker.transitions"]


class CircuitBreakerContext:
    """One guarded block: `async with CircuitBreakerContext(breaker):`, or plain `with`.

    Refuses to enter while the breaker refuses calls. Exceptions are not suppressed.

    >>> from tracefuse.resilience import CircuitBreaker
    >>> with CircuitBreakerContext(CircuitBreaker(name="db")) as context:
    ...     pass
    >>> context.exception_occurred
    False
    """

    __slots__ = ("_permit", "circuit_breaker", "exception_occurred", "start_time")

    def __init__(self, circuit_breaker: CircuitBreaker) -> None:
        self.circuit_breaker = circuit_breaker
        self.start_time: float | None = None
        self.exception_occurred = False
        self._permit: CallPermit | None = None

    def __enter__(self) -> Self:
        self._permit = self.circuit_breaker.permit()
        self.start_time = time.time()  # noqa: TID251 - shown only
        self.exception_occurred = False
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.exception_occurred = error is not None
        if self._permit is not None:
            self._permit.__exit__(kind, error, trace)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.exception_occurred = error is not None
        if self._permit is not None:
            await self._permit.__aexit__(kind, error, trace)
