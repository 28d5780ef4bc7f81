"""The most recent executions of one tool: exact percentiles over 1,000 values, details of the last 100."""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["RecentOutcomes", "RecentValues", "percentile"]

_VALUES: Final = 1000
_OUTCOMES: Final = 100


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

    A value costs one write. They are sorted when percentiles are asked for, and then not again until
    another value came.

    >>> recent = RecentValues(3)
    >>> for value in (9.0, 1.0, 2.0, 3.0):
    ...     recent.add(value)
    >>> recent.percentiles((50.0, 100.0)), list(recent)
    ((2.0, 3.0), [1.0, 2.0, 3.0])
    """

    __slots__ = ("_answers", "_asked", "_capacity", "_next", "_ring")

    def __init__(self, capacity: int = _VALUES) -> None:
        self._capacity = capacity
        self._ring = array("d")
        self._next = 0
        self._asked: tuple[float, ...] | None = None
        self._answers: tuple[float, ...] = ()

    def add(self, value: float) -> None:
        """Take in a finite `value`; the oldest leaves when there are more than `capacity`."""
        ring = self._ring
        at = self._next
        if at < len(ring):
            ring[at] = value
        else:
            ring.append(value)
        at += 1
        self._next = at if at < self._capacity else 0
        self._asked = None

    def percentiles(self, percents: tuple[float, ...]) -> tuple[float, ...]:
        """The exact nearest-rank percentiles; 0.0 where there is no value."""
        if percents != self._asked:
            ordered = sorted(self._ring)
            self._answers = tuple(percentile(ordered, percent) for percent in percents)
            self._asked = percents
        return self._answers

    def __iter__(self) -> Iterator[float]:
        if len(self._ring) == self._capacity:
            yield from self._ring[self._next :]
            yield from self._ring[: self._next]
        else:
            yield from self._ring

    def __len__(self) -> int:
        return len(self._ring)


class RecentOutcomes:
    """How the last 100 executions ended, in parallel arrays: a tenth of the memory of as many dictionaries."""

    __slots__ = ("_errors", "_flags", "_next", "_when")

    def __init__(self) -> None:
        self._when = array("q")
        self._flags = bytearray()
        self._errors: list[str | None] = []
        self._next = 0

    def add(self, when: int, flags: int, error_type: str | None) -> None:
        """Take in one execution that ended at `when`, nanoseconds since the epoch.

        `flags` is 1 for a success, plus 2 when it timed out.
        """
        at = self._next
        if at < len(self._flags):
            self._when[at] = when
            self._flags[at] = flags
            self._errors[at] = error_type
        else:
            self._when.append(when)
            self._flags.append(flags)
            self._errors.append(error_type)
        at += 1
        self._next = at if at < _OUTCOMES else 0

    @property
    def failure_ratio(self) -> float:
        """The share of failures, 0.0 without executions."""
        flags = self._flags
        return (flags.count(0) + flags.count(2)) / len(flags) if flags else 0.0

    def __iter__(self) -> Iterator[tuple[int, bool, bool, str | None]]:
        """When, success, timed out, error type; oldest first."""
        count = len(self._flags)
        start = self._next if count == _OUTCOMES else 0
        for index in range(count):
            at = (start + index) % count
            flags = self._flags[at]
            yield self._when[at], bool(flags & 1), bool(flags & 2), self._errors[at]

    def __len__(self) -> int:
        return len(self._flags)
