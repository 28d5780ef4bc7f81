"""The most recent executions of one tool: exact percentiles over 1,000 values, details of the last 100."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, insort
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["RecentOutcomes", "RecentValues", "percentile"]

_VALUES: Final = 1000
_OUTCOMES: Final = 100
_FEW: Final = 64


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile of values in rising order: the smallest that `percent` % do not exceed.

    0.0 for no values. `percent` outside of 0 to 100 is taken as the nearer end.

    >>> [percentile(range(1, 101), p) for p in (0, 50, 95, 99, 100)]
    [1, 50, 95, 99, 100]
    """
    if not ordered:
        return 0.0
    rank = math.ceil(min(max(percent, 0.0), 100.0) / 100.0 * len(ordered))
    return ordered[max(rank - 1, 0)]


class RecentValues:
    """The last `capacity` values. Not thread-safe.

    A value costs a write or two. They are sorted when percentiles are asked for; after that the few
    values that came and went are put in and taken out by binary search, and only many are sorted anew.
    Who needs each value once calls `take` from time to time.

    >>> recent = RecentValues(3)
    >>> for value in (9.0, 1.0, 2.0, 3.0):
    ...     recent.add(value)
    >>> recent.percentiles((50.0, 100.0)), list(recent)
    ((2.0, 3.0), [1.0, 2.0, 3.0])
    """

    __slots__ = ("_answers", "_asked", "_came", "_capacity", "_next", "_ordered", "_ring", "_taken", "_went")

    def __init__(self, capacity: int = _VALUES) -> None:
        self._capacity = capacity
        self._ring = array("d")
        self._next = self._taken = 0
        self._ordered: array[float] | None = None
        self._came: list[float] = []
        self._went: list[float] = []
        self._asked: tuple[float, ...] | None = None
        self._answers: tuple[float, ...] = ()

    def add(self, value: float) -> bool:
        """Take in a finite `value`; the oldest leaves when there are more than `capacity`.

        True when the next one will overwrite what was not taken by then.
        """
        ring = self._ring
        at = self._next
        if at == self._capacity:
            at = self._taken = 0
        if self._ordered is not None:
            self._note(value, at)
        if at < len(ring):
            ring[at] = value
        else:
            ring.append(value)
            if at + 1 == self._capacity:
                # It grew with room to spare, and grows no more.
                self._ring = array("d", ring)
        self._next = at = at + 1
        return at == self._capacity

    @property
    def untaken(self) -> bool:
        """Whether there is something to `take`."""
        return self._taken != self._next

    def take(self) -> array[float]:
        """The values that came since this was asked last."""
        since, self._taken = self._taken, self._next
        return self._ring[since : self._next]

    def _note(self, value: float, at: int) -> None:
        self._asked = None
        if len(self._came) == min(_FEW, self._capacity):
            self._ordered = None
            return
        self._came.append(value)
        if at < len(self._ring):
            self._went.append(self._ring[at])

    def percentiles(self, percents: tuple[float, ...]) -> tuple[float, ...]:
        """The exact nearest-rank percentiles; 0.0 where there is no value."""
        if percents != self._asked:
            ordered = self._sorted()
            self._answers = tuple(percentile(ordered, percent) for percent in percents)
            self._asked = percents
        return self._answers

    def _sorted(self) -> array[float]:
        ordered = self._ordered
        if ordered is None:
            ordered = self._ordered = array("d", sorted(self._ring))
        else:
            # Those that went are older than those that came, so they are there; out first, to need no more room.
            for value in self._went:
                del ordered[bisect_left(ordered, value)]
            for value in self._came:
                insort(ordered, value)
        self._came.clear()
        self._went.clear()
        return ordered

    def __iter__(self) -> Iterator[float]:
        if len(self._ring) == self._capacity:
            yield from self._ring[self._next :]
            yield from self._ring[: self._next]
        else:
            yield from self._ring

    def __len__(self) -> int:
        return len(self._ring)


class RecentOutcomes:
    """How the last 100 executions ended: one number for each, and the error types of those that have one."""

    __slots__ = ("_errors", "_failures", "_next", "_rows")

    def __init__(self) -> None:
        # Microseconds since the epoch, times four, plus the flags: one place in memory for each execution.
        self._rows = array("q")
        self._errors: dict[int, str] = {}
        self._failures = 0
        self._next = 0

    def add(self, when: int, flags: int, error_type: str | None) -> None:
        """Take in one execution that ended at `when`, nanoseconds since the epoch.

        `flags` is 1 for a success, plus 2 when it timed out.
        """
        at = self._next
        row = when // 1000 * 4 + flags
        rows = self._rows
        if at < len(rows):
            self._failures -= not rows[at] & 1
            rows[at] = row
        else:
            rows.append(row)
        self._failures += not flags & 1
        if error_type is not None:
            self._errors[at] = error_type
        elif self._errors:
            self._errors.pop(at, None)
        at += 1
        self._next = at if at < _OUTCOMES else 0

    @property
    def last(self) -> int | None:
        """When the last one ended, in microseconds since the epoch; None when there was none."""
        return self._rows[self._next - 1] >> 2 if self._rows else None

    @property
    def failure_ratio(self) -> float:
        """The share of failures, 0.0 without executions."""
        return self._failures / len(self._rows) if self._rows else 0.0

    def __iter__(self) -> Iterator[tuple[int, bool, bool, str | None]]:
        """When in microseconds since the epoch, success, timed out, error type; oldest first."""
        count = len(self._rows)
        start = self._next if count == _OUTCOMES else 0
        for index in range(count):
            at = (start + index) % count
            row = self._rows[at]
            yield row >> 2, bool(row & 1), bool(row & 2), self._errors.get(at)

    def __len__(self) -> int:
        return len(self._rows)
