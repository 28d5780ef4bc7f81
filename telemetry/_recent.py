"""The most recent executions of one tool: exact percentiles over 1,000 values, details of the last 100."""

from __future__ import annotations

import functools
import math
import sys
from array import array
from bisect import bisect_left, insort
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = [  # noqa: RUF022 - in Python's own order
    "ERROR",
    "LATE",
    "RecentExecutions",
    "RecentValues",
    "SUCCESS",
    "percentile",
    "successes",
]

SUCCESS: Final = 1
LATE: Final = 2
ERROR: Final = 4
"""What the flags of an execution say; ERROR that a failure came with an error type."""

_VALUES: Final = 1000
_EXECUTIONS: Final = 100
_FEW: Final = 64
_LOWEST: Final = 0 if sys.byteorder == "little" else 7


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile of values in rising order: the smallest that `percent` % do not exceed.

    0.0 for no values. `percent` outside of 0 to 100 is taken as the nearer end.

    >>> [percentile(range(1, 101), p) for p in (0, 50, 95, 99, 100)]
    [1, 50, 95, 99, 100]
    """
    return ordered[_places(len(ordered), (percent,))[0]] if ordered else 0.0


@functools.lru_cache(maxsize=4096)
def _places(count: int, percents: tuple[float, ...]) -> tuple[int, ...]:
    """Where among `count` ordered values the percentiles stand."""
    return tuple(max(math.ceil(min(max(percent, 0.0), 100.0) / 100.0 * count) - 1, 0) for percent in percents)


class RecentValues:
    """The last `capacity` values. Not thread-safe.

    They are sorted when percentiles are asked for; after that the few values that came and went are put in
    and taken out by binary search, and only many are sorted anew. Who needs each value once calls `take`.

    >>> recent = RecentValues(3)
    >>> for value in (9.0, 1.0, 2.0, 3.0):
    ...     recent.extend(array("d", [value]))
    >>> recent.percentiles((50.0, 100.0)), list(recent)
    ((2.0, 3.0), [1.0, 2.0, 3.0])
    """

    __slots__ = ("_answers", "_asked", "_came", "_capacity", "_few", "_next", "_ordered", "_ring", "_untaken", "_went")

    def __init__(self, capacity: int = _VALUES) -> None:
        self._capacity = capacity
        self._few = min(_FEW, capacity)
        self._ring = array("d")
        self._next = self._untaken = 0
        self._ordered: array[float] | None = None
        self._came: list[float] = []
        self._went: list[float] = []
        self._asked: tuple[float, ...] | None = None
        self._answers: tuple[float, ...] = ()

    def extend(self, values: array[float]) -> None:
        """Take in finite `values`; the oldest leave when there are more than `capacity`."""
        room = self._capacity - self._next
        if len(values) <= room:
            self._put(values)
        else:
            self._put(values[:room])
            self.extend(values[room:])

    def _put(self, values: array[float]) -> None:
        ring, at = self._ring, self._next
        end = at + len(values)
        if self._ordered is not None:
            self._note(values, ring[at:end])
        ring[at:end] = values
        self._untaken = min(self._untaken + len(values), self._capacity)
        if end < self._capacity:
            self._next = end
        else:
            # It grew with room to spare, and grows no more.
            self._ring = array("d", ring)
            self._next = 0

    def _note(self, came: array[float], went: array[float]) -> None:
        self._asked = None
        if len(self._came) + len(came) > self._few:
            self._ordered = None
            self._came.clear()
            self._went.clear()
        else:
            self._came.extend(came)
            self._went.extend(went)

    @property
    def untaken(self) -> int:
        """How many values `take` would answer."""
        return self._untaken

    def take(self) -> array[float]:
        """The values that came since this was asked last, as far as they are still here."""
        since, self._untaken = self._next - self._untaken, 0
        return self._ring[since : self._next] if since >= 0 else self._ring[since:] + self._ring[: self._next]

    def percentiles(self, percents: tuple[float, ...]) -> tuple[float, ...]:
        """The exact nearest-rank percentiles; 0.0 where there is no value."""
        if percents != self._asked:
            ordered = self._sorted()
            places = _places(len(ordered), percents)
            self._answers = tuple(map(ordered.__getitem__, places)) if ordered else (0.0,) * len(percents)
            self._asked = percents
        return self._answers

    def _sorted(self) -> array[float]:
        ordered = self._ordered
        if ordered is None:
            ordered = self._ordered = array("d", sorted(self._ring))
        elif self._came:
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


class RecentExecutions:
    """How the last 100 executions ended, and those of them that `take` has not yet answered. Not thread-safe.

    Two numbers for each, and the error types of those that have one: what a recording writes is little and
    lies together; it is counted later, many at a time.

    >>> recent = RecentExecutions()
    >>> recent.add(1_000_000, 2.5, SUCCESS, None)
    False
    >>> list(recent), recent.last, recent.take()
    ([(1000, 2.5, 1, None)], 1000, (array('d', [2.5]), b'\\x01'))
    """

    __slots__ = ("_errors", "_flags", "_next", "_rows", "_seconds", "_taken")

    def __init__(self) -> None:
        # Microseconds since the epoch, and the flags in the lowest byte.
        self._rows = array("q")
        self._seconds = array("d")
        self._flags = bytearray()
        self._errors: dict[int, str] = {}
        self._next = self._taken = 0

    def add(self, when: int, seconds: float, flags: int, error_type: str | None) -> bool:
        """Take in one execution that ended at `when`, nanoseconds since the epoch.

        True when the next one will overwrite what was not taken by then.
        """
        at = self._next
        if at == _EXECUTIONS:
            at = self._taken = 0
        row = when // 1000 << 8 | flags
        rows = self._rows
        if at < len(rows):
            rows[at] = row
            self._seconds[at] = seconds
        else:
            rows.append(row)
            self._seconds.append(seconds)
        if error_type is not None:
            self._errors[at] = error_type
        elif self._errors:
            self._errors.pop(at, None)
        self._next = at = at + 1
        return at == _EXECUTIONS

    def take(self) -> tuple[array[float], bytes]:
        """Seconds and flags of the executions that came since this was asked last."""
        since, self._taken = self._taken, self._next
        flags = self._rows[since : self._next].tobytes()[_LOWEST::8]
        self._flags[since : self._next] = flags
        return self._seconds[since : self._next], flags

    @property
    def last(self) -> int | None:
        """When the last one ended, in microseconds since the epoch; None when there was none."""
        return self._rows[self._next - 1] >> 8 if self._rows else None

    @property
    def failure_ratio(self) -> float:
        """The share of failures among those that were taken, 0.0 without any."""
        flags = self._flags
        return (len(flags) - successes(flags)) / len(flags) if flags else 0.0

    def __iter__(self) -> Iterator[tuple[int, float, int, str | None]]:
        """When in microseconds since the epoch, seconds, flags, error type; oldest first."""
        count = len(self._rows)
        for index in range(count):
            at = (self._next + index) % count
            row = self._rows[at]
            yield row >> 8, self._seconds[at], row & 0xFF, self._errors.get(at)

    def __len__(self) -> int:
        return len(self._rows)


def successes(flags: bytes | bytearray) -> int:
    """How many executions with these `flags` succeeded."""
    return flags.count(SUCCESS) + flags.count(SUCCESS | LATE)
