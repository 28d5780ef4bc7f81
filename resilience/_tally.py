"""What a breaker has counted and remembers: totals as plain numbers, the last errors, the history.

Instants are of the breaker's clock; they become wall time only when shown. Nothing is allocated
for errors and history until there is something to keep, so that a quiet breaker stays small.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._events import Outcome

if TYPE_CHECKING:
    from ._events import Transition

__all__ = ["ERRORS_KEPT", "HISTORY_KEPT", "RecentError", "Tally"]

ERRORS_KEPT = 10
HISTORY_KEPT = 100
_TEXT_KEPT = 500


@dataclass(frozen=True, slots=True)
class RecentError:
    """One of the last failures: when, what, and how long the call had run."""

    at: float
    error: str
    kind: str
    execution_time: float


class Tally:
    """The counts of one breaker. Not safe to share: the shell serialises writing."""

    __slots__ = (
        "errors",
        "failed",
        "history",
        "ignored",
        "last_change",
        "last_failure",
        "last_success",
        "latency",
        "reasons",
        "rejected",
        "state_changes",
        "successful",
        "unexpected",
    )

    def __init__(self) -> None:
        self.successful = self.failed = self.unexpected = self.ignored = self.rejected = self.state_changes = 0
        self.latency = 0.0
        self.last_success: float | None = None
        self.last_failure: float | None = None
        self.last_change: float | None = None
        self.reasons: dict[str, int] | None = None
        self.errors: deque[RecentError] | None = None
        self.history: deque[tuple[float, Transition]] | None = None

    def add(self, outcome: Outcome, now: float, elapsed: float) -> None:
        """Count an ended call."""
        self.latency += elapsed
        match outcome:
            case Outcome.SUCCESS:
                self.successful += 1
                self.last_success = now
            case Outcome.FAILURE:
                self.failed += 1
                self.last_failure = now
            case Outcome.UNEXPECTED:
                self.unexpected += 1
            case Outcome.IGNORED:
                self.ignored += 1

    def note_error(self, error: BaseException, now: float, elapsed: float) -> None:
        """Remember a failure by its class, and its text among the last ten."""
        kind = type(error).__name__
        if self.reasons is None or self.errors is None:
            self.reasons, self.errors = {}, deque(maxlen=ERRORS_KEPT)
        self.reasons[kind] = self.reasons.get(kind, 0) + 1
        self.errors.append(RecentError(now, _text(error), kind, elapsed))

    def note_change(self, transition: Transition, wall: float) -> None:
        """Remember a transition, at wall time `wall`, among the last hundred."""
        self.state_changes += 1
        self.last_change = transition.at
        if self.history is None:
            self.history = deque(maxlen=HISTORY_KEPT)
        self.history.append((wall, transition))


def _text(error: BaseException) -> str:
    try:
        return str(error)[:_TEXT_KEPT]
    except Exception:  # noqa: BLE001 - an exception whose text raises must not change the call's end
        return "<no text: its __str__ raised>"
