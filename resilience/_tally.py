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

__all__ = ["ERRORS_KEPT", "HISTORY_KEPT", "AtomicCount", "RecentError", "Tally", "text_of"]

ERRORS_KEPT = 10
HISTORY_KEPT = 100
_TEXT_KEPT = 500
SUCCESS, FAILURE, UNEXPECTED = Outcome.SUCCESS, Outcome.FAILURE, Outcome.UNEXPECTED


RecentError: TypeAlias = tuple[float, str, str, float]
"""One of the last failures: the instant, its text, its class, how long the call had run."""


class AtomicCount:
    """A number that any thread may count up without a lock: `next(count.numbers)`.

    `next` on an itertools.count is one step for the interpreter. Reading takes a number, too, and
    deducts it, so `value` is for readers that exclude one another.
    """

    __slots__ = ("_read", "numbers")

    def __init__(self) -> None:
        self.numbers = itertools.count()
        self._read = 0

    def set(self, value: int) -> None:
        """Go on from `value`."""
        self.numbers, self._read = itertools.count(value), 0

    def value(self) -> int:
        """How often it was counted up."""
        value = next(self.numbers) - self._read
        self._read += 1
        return value


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
        "state_changes",
        "successful",
        "unexpected",
    )

    def __init__(self) -> None:
        self.successful = self.failed = self.unexpected = self.ignored = self.state_changes = 0
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

    def note_error(self, recent: RecentError) -> None:
        """Remember a failure by its class, and its text among the last ten."""
        if self.reasons is None or self.errors is None:
            self.reasons, self.errors = {}, deque(maxlen=ERRORS_KEPT)
        kind = recent[2]
        self.reasons[kind] = self.reasons.get(kind, 0) + 1
        self.errors.append(recent)

    def note_change(self, transition: Transition, wall: float) -> None:
        """Remember a transition, at wall time `wall`, among the last hundred."""
        self.state_changes += 1
        self.last_change = transition.at
        if self.history is None:
            self.history = deque(maxlen=HISTORY_KEPT)
        self.history.append((wall, transition))


def text_of(error: BaseException) -> str:
    """The text of an exception, cut; not to be asked for under a lock, for it is a user's code."""
    try:
        return str(error)[:_TEXT_KEPT]
    except Exception:  # noqa: BLE001 - an exception whose text raises must not change the call's end
        return "<no text: its __str__ raised>"
