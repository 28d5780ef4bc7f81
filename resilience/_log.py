"""How changes of state read in the log, under the event names users know."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ._events import CircuitBreakerState

if TYPE_CHECKING:
    from ._events import Transition

__all__ = ["log_transition"]

_log = logging.getLogger("tracefuse.resilience")


def log_transition(name: str, event: Transition) -> None:
    """Log a change of state under the known event names."""
    match event.to_state, event.reason.value:
        case _, ("forced_open" | "forced_close") as reason:
            _log.warning("circuit_breaker.%s name=%s", reason.replace("forced", "force"), name)
        case CircuitBreakerState.OPEN, reason:
            word = "reopened" if event.from_state is CircuitBreakerState.HALF_OPEN else "open"
            _log.warning(
                "circuit_breaker.%s name=%s reason=%s failures=%d retry_after=%.2f",
                *(word, name, reason, event.failure_count, event.retry_after or 0.0),
            )
        case CircuitBreakerState.HALF_OPEN, _:
            _log.info("circuit_breaker.half_open name=%s", name)
        case _:
            _log.info("circuit_breaker.closed name=%s", name)
