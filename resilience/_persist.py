"""From a live breaker to a snapshot and back, between its monotonic clock and wall time."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from ._events import BreakerMode, CircuitBreakerState, Reason, Transition
from ._snapshot import BreakerSnapshot
from ._tally import HISTORY_KEPT

if TYPE_CHECKING:
    from ._shell import BreakerShell

__all__ = ["restore_into", "snapshot_of"]

OPEN, HALF_OPEN = CircuitBreakerState.OPEN, CircuitBreakerState.HALF_OPEN


def snapshot_of(breaker: BreakerShell) -> BreakerSnapshot:
    """What is kept of `breaker` now."""
    counts = breaker.call_counts()
    with breaker._lock:
        core, tally = breaker._core, breaker._tally
        now, wall = breaker._clock(), breaker._wall_clock()
        return BreakerSnapshot(
            name=breaker.name,
            state=core.state.name,
            mode=core.mode.value,
            saved_at=wall,
            # A half-open breaker has waited enough: after a restart it may probe at once.
            retry_at=wall + max(0.0, core.until - now) if core.state is OPEN else wall,
            wait=core.wait,
            failures=core.failures,
            counts={**counts, "total": tally.asked()[0], "latency": tally.latency},
            failure_reasons=dict(tally.reasons or {}),
            history=[_entry(at, event) for at, event in tally.history or ()],
        )


def restore_into(breaker: BreakerShell, snapshot: BreakerSnapshot) -> None:
    """Bring a new `breaker` to `snapshot`: counts, history, mode, and an opening for its remaining time.

    The remaining time is by wall time, and never more than the whole wait: a clock that was set back
    while the process was down does not keep a breaker open for years.
    """
    with breaker._lock:
        _restore_counts(breaker, snapshot)
        breaker._core.set_mode(BreakerMode(snapshot.mode))
        transition = None
        if snapshot.state != CircuitBreakerState.CLOSED.name:
            spread = 1.0 + breaker.config.jitter
            longest = min(max(snapshot.wait, breaker.config.recovery_timeout), breaker.config.max_timeout) * spread
            remaining = min(max(0.0, snapshot.retry_at - breaker._wall_clock()), longest)
            transition = breaker._core.restore(breaker._clock(), snapshot.wait, remaining, snapshot.failures)
        else:
            breaker._core.failures = snapshot.failures
        if transition is not None:
            breaker._took_place(transition)
    breaker._announce()


def _restore_counts(breaker: BreakerShell, snapshot: BreakerSnapshot) -> None:
    counts, tally = snapshot.counts, breaker._tally
    tally.successful = int(counts.get("success", 0))
    tally.failed = int(counts.get("failure", 0))
    tally.unexpected = int(counts.get("unexpected_failure", 0))
    tally.ignored = int(counts.get("ignored", 0))
    tally.latency = float(counts.get("latency", 0.0))
    tally.resume(int(counts.get("total", 0)), int(counts.get("rejected", 0)))
    tally.reasons = dict(snapshot.failure_reasons) or None
    tally.state_changes = len(snapshot.history)
    if snapshot.history:
        tally.history = deque((_event(entry) for entry in snapshot.history), HISTORY_KEPT)


def _entry(at: float, event: Transition) -> dict[str, Any]:
    return {
        "at": at,
        "from_state": event.from_state.name,
        "to_state": event.to_state.name,
        "reason": event.reason.value,
        "failure_count": event.failure_count,
        "retry_after": event.retry_after,
        "details": dict(event.details),
    }


def _event(entry: dict[str, Any]) -> tuple[float, Transition]:
    # Generations and instants of the clock belong to the process that is gone.
    states = CircuitBreakerState.__members__
    return entry["at"], Transition(
        states[entry["from_state"]],
        states[entry["to_state"]],
        Reason(entry["reason"]),
        0.0,
        0,
        entry.get("failure_count", 0),
        entry.get("retry_after"),
        dict(entry.get("details", {})),
    )
