"""What a breaker has counted and remembers: totals as plain numbers, the last errors, the history.

Instants are of the breaker's clock; they become wall time only when shown. Nothing is allocated
for errors and history until there is something to keep, so that a quiet breaker stays small.
"""

from __future__ import annotations

import itertools
from collections import deque
from typing import TYPE_CHECKING, TypeAlias

from ._events import Outcome

if TYPE_CHECKING:
    from ._events import Transition

__all__ = ["ERRORS_KEPT", "HISTORY_KEPT", "RecentError", "Tally"]

ERRORS_KEPT = 10
HISTORY_KEPT = 100
SUCCESS, FAILURE, UNEXPECTED = Outcome.SUCCESS, Outcome.FAILURE, Outcome.UNEXPECTED


RecentError: TypeAlias = tuple[float, str, str, float]
"""One of the last failures: the instant, its text, its class, how long the call had run."""


class Tally:
    """The counts of one breaker. Not safe to share: the shell serialises access.

    Except two: `next(tally.admissions)` and `next(tally.rejections)` count a call without a lock, for
    `next` on an itertools.count is one step for the interpreter. Reading takes a number, too, which
    is deducted.
    """

    __slots__ = (
        "_read",
        "admissions",
        "errors",
        "failed",
        "history",
        "ignored",
        "last_change",
        "last_failure",
        "last_success",
        "latency",
        "reasons",
        "rejections",
        "state_changes",
        "successful",
        "unexpected",
    )

    def __init__(self) -> None:
        self.successful = self.failed = self.unexpected = self.ignored = self.state_changes = 0
        self.resume(0, 0)
        self.latency = 0.0
        self.last_success: float | None = None
        self.last_failure: float | None = None
        self.last_change: float | None = None
        self.reasons: dict[str, int] | None = None
        self.errors: deque[RecentError] | None = None
        self.history: deque[tuple[float, Transition]] | None = None

    def resume(self, admitted: int, rejected: int) -> None:
        """Count calls on from these numbers."""
        self.admissions, self.rejections = itertools.count(admitted), itertools.count(rejected)
        self._read = 0

    def asked(self) -> tuple[int, int]:
        """How many calls were admitted and how many rejected."""
        counts = next(self.admissions) - self._read, next(self.rejections) - self._read
        self._read += 1
        return counts

    def add(self, outcome: Outcome, now: float, elapsed: float) -> None:
        """Count a call that ended without an error to remember."""
        self.latency += elapsed
        if outcome is FAILURE:
            self.failed += 1
            self.last_failure = now
        elif outcome is SUCCESS:
            self.successful += 1
            self.last_success = now
        elif outcome is UNEXPECTED:
            self.unexpected += 1
        else:
            self.ignored += 1

    def add_error(self, outcome: Outcome, now: float, elapsed: float, kind: str, text: str) -> None:
        """Count a call that ended with an error, by its class, and keep it among the last ten."""
        self.latency += elapsed
        if outcome is FAILURE:
            self.failed += 1
            self.last_failure = now
        else:
            self.unexpected += 1
        reasons, errors = self.reasons, self.errors
        if reasons is None or errors is None:
            reasons = self.reasons = {}
            errors = self.errors = deque(maxlen=ERRORS_KEPT)
        reasons[kind] = reasons.get(kind, 0) + 1
        errors.append((now, text, kind, elapsed))

    def note_change(self, transition: Transition, wall: float) -> None:
        """Remember a transition, at wall time `wall`, among the last hundred."""
        self.state_changes += 1
        self.last_change = transition.at
        if self.history is None:
            self.history = deque(maxlen=HISTORY_KEPT)
        self.history.append((wall, transition))
