"""The data classes and the callback protocol users know."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from ._events import Transition

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from ._events import BreakerEvent, CircuitBreakerState

__all__ = ["CallbackListener", "CircuitBreakerStats", "StateTransition", "StateTransitionCallback"]


@dataclass(slots=True)
class CircuitBreakerStats:
    """Statistics of a breaker. Times are seconds since the epoch, latencies seconds.

    `total_calls` counts admitted calls, also those still running, cancelled or ignored.

    >>> CircuitBreakerStats(total_calls=4, total_latency=1.0).get_average_latency()
    0.25
    """

    total_calls: int = 0
    successful_calls: int = 0
    failed_calls: int = 0
    rejected_calls: int = 0
    consecutive_failures: int = 0
    consecutive_successes: int = 0
    last_failure_time: float | None = None
    last_success_time: float | None = None
    state_changes: int = 0
    last_state_change: float | None = None
    failure_reasons: dict[str, int] = field(default_factory=dict[str, int])
    total_latency: float = 0.0

    def get_average_latency(self) -> float:
        """Mean seconds per admitted call, 0.0 without calls."""
        return self.total_latency / self.total_calls if self.total_calls else 0.0


@dataclass(frozen=True, slots=True)
class StateTransition:
    """One entry of the history; `timestamp` is aware (UTC)."""

    timestamp: datetime
    from_state: CircuitBreakerState
    to_state: CircuitBreakerState
    reason: str
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])

    def to_dict(self) -> dict[str, Any]:
        """As plain data: ISO timestamp, names of the states."""
        return {
            "timestamp": self.timestamp.astimezone(UTC).isoformat(),
            "from_state": self.from_state.name,
            "to_state": self.to_state.name,
            "reason": str(self.reason),
            "metadata": dict(self.metadata),
        }


class StateTransitionCallback(Protocol):
    """Called on every change of state, as a coroutine function or a plain one."""

    def __call__(
        self, from_state: CircuitBreakerState, to_state: CircuitBreakerState, breaker_name: str, /
    ) -> Awaitable[None] | None:
        """Take one change of state."""
        ...


@dataclass(frozen=True, slots=True)
class CallbackListener:
    """A callback as a listener: hears changes of state only."""

    callback: StateTransitionCallback

    def __call__(self, name: str, event: BreakerEvent, /) -> Awaitable[object] | None:
        """Pass a change of state on."""
        return self.callback(event.from_state, event.to_state, name) if isinstance(event, Transition) else None
