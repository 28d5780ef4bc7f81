"""Sliding windows over the last calls or seconds: a ring and running totals, O(1) per call.

The shape is that of resilience4j's FixedSizeSlidingWindowMetrics and SlidingTimeWindowMetrics:
what leaves the ring is subtracted from the totals, so reading them never walks the ring.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor
from typing import Protocol

__all__ = ["CountWindow", "TimeWindow", "Totals", "Window"]


@dataclass(slots=True)
class Totals:
    """What a window holds: calls, and how many of them failed or were slow."""

    calls: int = 0
    failures: int = 0
    slow: int = 0

    def add(self, *, failed: bool, slow: bool) -> None:
        """Count one call."""
        self.calls += 1
        self.failures += failed
        self.slow += slow

    def subtract(self, other: Totals) -> None:
        """Forget what has left the window."""
        self.calls -= other.calls
        self.failures -= other.failures
        self.slow -= other.slow


class Window(Protocol):
    """The last calls, by count or by time."""

    @property
    def totals(self) -> Totals:
        """The totals as of the last `record`."""
        ...

    def record(self, now: float, *, failed: bool, slow: bool) -> None:
        """Take in one call that ended at `now`."""
        ...


class CountWindow:
    """The last `size` calls.

    >>> window = CountWindow(2)
    >>> for failed in (True, False, False):
    ...     window.record(0.0, failed=failed, slow=False)
    >>> window.totals
    Totals(calls=2, failures=0, slow=0)
    """

    __slots__ = ("_next", "_ring", "_size", "totals")

    def __init__(self, size: int) -> None:
        self._size = size
        self._ring = bytearray()
        self._next = 0
        self.totals = Totals()

    def record(self, now: float, *, failed: bool, slow: bool) -> None:
        """Take in one call; the oldest one leaves when the window is full."""
        entry = failed | slow << 1
        if len(self._ring) < self._size:
            self._ring.append(entry)
        else:
            old = self._ring[self._next]
            self.totals.subtract(Totals(1, old & 1, old >> 1))
            self._ring[self._next] = entry
            self._next = (self._next + 1) % self._size
        self.totals.add(failed=failed, slow=slow)


class TimeWindow:
    """The last `seconds`, in `slices` equal slices that leave the window one by one.

    >>> window = TimeWindow(10.0)
    >>> window.record(0.0, failed=True, slow=False)
    >>> window.record(11.0, failed=False, slow=False)
    >>> window.totals
    Totals(calls=1, failures=0, slow=0)
    """

    __slots__ = ("_ring", "_slice", "_width", "totals")

    def __init__(self, seconds: float, slices: int = 10) -> None:
        self._width = seconds / slices
        self._ring = [Totals() for _ in range(slices)]
        self._slice: int | None = None
        self.totals = Totals()

    def record(self, now: float, *, failed: bool, slow: bool) -> None:
        """Take in one call that ended at `now`, after forgetting the slices that are too old."""
        current = self._turn_to(floor(now / self._width))
        current.add(failed=failed, slow=slow)
        self.totals.add(failed=failed, slow=slow)

    def _turn_to(self, number: int) -> Totals:
        """Empty every slice between the last one used and `number`, and return that one."""
        if self._slice is None:
            self._slice = number
        ring = self._ring
        # A late reading of the clock by another thread belongs to the current slice.
        for stale in range(self._slice + 1, min(number, self._slice + len(ring)) + 1):
            old = ring[stale % len(ring)]
            self.totals.subtract(old)
            ring[stale % len(ring)] = Totals()
        if number > self._slice + len(ring):
            ring[:] = [Totals() for _ in ring]
        self._slice = max(self._slice, number)
        return ring[self._slice % len(ring)]
