"""What happens to a breaker, as immutable facts, and who may be told."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

__all__ = [
    "BreakerEvent",
    "BreakerMode",
    "CallFinished",
    "CallRejected",
    "CircuitBreakerState",
    "Listener",
    "ModeChanged",
    "Outcome",
    "Reason",
    "Transition",
]


class CircuitBreakerState(Enum):
    """Where the circuit stands. The values are those of the metric `circuit_breaker_state`.

    >>> CircuitBreakerState.HALF_OPEN.value
    2
    """

    CLOSED = 0
    OPEN = 1
    HALF_OPEN = 2


class BreakerMode(StrEnum):
    """What the operator asked for; stays until `release()`, whatever the state does."""

    NORMAL = "normal"
    ISOLATED = "isolated"
    DISABLED = "disabled"
    SHADOW = "shadow"


class Outcome(StrEnum):
    """How an admitted call ended; the values are those of the metric attribute `result`."""

    SUCCESS = "success"
    FAILURE = "failure"
    UNEXPECTED = "unexpected_failure"
    """An exception nobody listed: ignored while closed, reopens while half-open."""
    IGNORED = "ignored"


class Reason(StrEnum):
    """Why the state changed."""

    FAILURE_THRESHOLD = "failure_threshold_exceeded"
    FAILURE_RATE = "failure_rate_exceeded"
    SLOW_CALL_RATE = "slow_call_rate_exceeded"
    RECOVERY_TIMEOUT = "recovery_timeout_elapsed"
    SUCCESS_THRESHOLD = "success_threshold_reached"
    PROBE_FAILED = "recovery_attempt_failed"
    HALF_OPEN_TIMEOUT = "half_open_timeout"
    FORCED_OPEN = "forced_open"
    FORCED_CLOSE = "forced_close"
    RESTORED = "restored"


@dataclass(frozen=True, slots=True)
class Transition:
    """The state changed.

    `at` is an instant of the breaker's clock, `retry_after` the seconds until the next probe when
    the circuit went open. `generation` grows with every change and so orders transitions.
    """

    from_state: CircuitBreakerState
    to_state: CircuitBreakerState
    reason: Reason
    at: float
    generation: int
    failure_count: int
    retry_after: float | None = None
    details: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True, slots=True)
class ModeChanged:
    """The operator switched the mode."""

    old: BreakerMode
    new: BreakerMode
    at: float


# The two below are made once per call: named tuples cost a third of a frozen dataclass.


class CallFinished(NamedTuple):
    """An admitted call ended after `duration` seconds."""

    outcome: Outcome
    duration: float
    error: BaseException | None = None


class CallRejected(NamedTuple):
    """A call was refused. `first` is true for the first refusal since the state last changed."""

    state: CircuitBreakerState
    mode: BreakerMode
    retry_after: float | None
    first: bool


BreakerEvent: TypeAlias = Transition | ModeChanged | CallFinished | CallRejected


class Listener(Protocol):
    """Anything that can be told what happened, synchronously or as a coroutine function.

    Called after the breaker's lock is released, in the order of the transitions, with the context
    variables of the call that caused the event. One that raises is logged and changes nothing. It
    may call the breaker.
    """

    def __call__(self, name: str, event: BreakerEvent, /) -> Awaitable[object] | None:
        """Take one event of the breaker called `name`."""
        ...
