"""What happened in the last minute, 5, 15 minutes, hour: counts, rates, quantiles, in constant memory.

Time is cut into slots that get wider with age: a sixth of the shortest window first, and when a slot is
older than a window it is merged into those of the next. So one recording touches one slot, all windows
are answered from the same slots, and a slot leaves a window with the newest recording in it: a lone
recording leaves exactly on time, one of many at most a sixth of the window late.

Quantiles come from DDSketch (Masson, Rim, Lee: "DDSketch: A Fast and Fully-Mergeable Quantile Sketch with
Relative-Error Guarantees", VLDB 2019): Datadog's `ddsketch` gives the mapping, the bins and the rank
search, within 1 % of the true value. A slot that is closed keeps its bins as a packed array. Beyond 512
bins, that is values that differ by a factor of more than 25,000, the smallest share one bin.
"""

from __future__ import annotations

import math
import sys
from array import array
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from ddsketch import CollapsingLowestDenseStore, LogarithmicMapping

from ._arguments import require
from ._recent import RecentValues

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["DEFAULT_SPANS", "WindowStats", "Windows", "check_spans", "merged_stats"]

DEFAULT_SPANS: Final = (60.0, 300.0, 900.0, 3600.0)
"""The windows in seconds: 1, 5 and 15 minutes, 1 hour."""

_SLOTS_PER_SPAN: Final = 6
_BINS: Final = 512
_WAITING: Final = 900
_MAPPING: Final[Any] = LogarithmicMapping(0.01)
_PER_BIN: Final = 1 / math.log(_MAPPING.gamma)
_QUANTILES: Final = (0.5, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class WindowStats:
    """What one window saw. Times in seconds; `rate` in executions per second over the whole window.

    `error_ratio` goes from 0 to 1. Without executions the ratio, the mean and the quantiles are 0.0.
    """

    span: float
    count: int
    failures: int
    rate: float
    error_ratio: float
    mean: float
    p50: float
    p95: float
    p99: float


class _Sketch:
    """DDSketch's bins for values of zero and above."""

    __slots__ = ("bins", "zeros")

    def __init__(self) -> None:
        self.bins: Any = CollapsingLowestDenseStore(_BINS)
        self.zeros = 0

    def add(self, values: array[float]) -> None:
        # The mapping's `key`, ceil(log(value) / log(gamma)), for all values in one go.
        logarithms = map(math.log, filter(_MAPPING.min_possible.__lt__, values))
        keys: Counter[int] = Counter(map(math.ceil, map(_PER_BIN.__mul__, logarithms)))
        for key, count in keys.items():
            self.bins.add(key, count)
            self.zeros -= count
        self.zeros += len(values)

    def quantile(self, q: float) -> float:
        """The value of the nearest rank, as for the exact percentiles."""
        rank = max(math.ceil(q * (self.zeros + self.bins.count)) - 1, 0)
        if rank < self.zeros:
            return 0.0
        return float(_MAPPING.value(self.bins.key_at_rank(rank - self.zeros)))


@dataclass(slots=True)
class _Slot:
    """Recordings from `start` to `last` on the clock's time; bins as small as their counts allow."""

    start: float
    last: float
    count: int
    failures: int
    total: float
    zeros: int
    offset: int
    bins: array[int]

    def pour_into(self, sketch: _Sketch) -> None:
        sketch.zeros += self.zeros
        add = sketch.bins.add
        for key, count in enumerate(self.bins, self.offset):
            if count:
                add(key, count)

    def merge(self, newer: _Slot) -> None:
        both = _Sketch()
        self.pour_into(both)
        newer.pour_into(both)
        self.last = newer.last
        self.count += newer.count
        self.failures += newer.failures
        self.total += newer.total
        self.zeros, self.offset, self.bins = _packed(both)


def _packed(sketch: _Sketch) -> tuple[int, int, array[int]]:
    store = sketch.bins
    if not store.count:
        return sketch.zeros, 0, array("B")
    counts = list(map(int, store.bins[store.min_key - store.offset : store.max_key - store.offset + 1]))
    code = next(code for code, limit in (("B", 1 << 8), ("H", 1 << 16), ("Q", 1 << 64)) if max(counts) < limit)
    return sketch.zeros, int(store.min_key), array(code, counts)


def check_spans(spans: Sequence[float]) -> tuple[float, ...]:
    """`spans` as they can be used. Raises ValueError unless there are 1 to 8, rising, of a second or more."""
    try:
        checked = [float(span) for span in spans]
    except (TypeError, ValueError, OverflowError):
        checked = []
    rising = all(a < b for a, b in pairwise(checked))
    fits = 1 <= len(checked) <= 8 and rising and checked[0] >= 1.0 and checked[-1] < 1e7
    require("windows", spans, fits, "1 to 8 rising lengths in seconds, for example (60, 300, 3600)")
    return tuple(checked)


class Windows:
    """The windows of one tool. Not thread-safe; `now` never goes back.

    What is recorded goes into `values`, the most recent ones, and is sorted into bins later, together with
    what follows, which is cheaper than one by one.

    >>> windows = Windows()
    >>> for second in range(120):
    ...     windows.add(float(second), 0.2, failed=second % 2 == 0)
    >>> minute = windows.stats(60.0, now=119.0)
    >>> minute.error_ratio, abs(minute.p95 - 0.2) < 0.002, 60 <= minute.count <= 70
    (0.5, True, True)
    """

    __slots__ = ("_closed", "_failures", "_last", "_live", "_spans", "_start", "_total", "_values", "until")

    def __init__(self, spans: tuple[float, ...] = DEFAULT_SPANS, values: RecentValues | None = None) -> None:
        self._spans = spans
        self._values = RecentValues() if values is None else values
        # Lists, not deques: an empty deque takes more than ten slots' references.
        self._closed: tuple[list[_Slot], ...] = tuple([] for _ in spans)
        self._live: _Sketch | None = None
        self._start = self._last = 0.0
        self.until = -math.inf
        """When the slot that is filling ends."""
        self._failures = 0
        self._total = 0.0

    def add(self, now: float, seconds: float, failed: bool) -> None:
        """Take in an execution that ended `now` after `seconds`."""
        if now >= self.until:
            self.open(now)
        self.take(array("d", (seconds,)), int(failed), now)

    def take(self, seconds: array[float], failures: int, last: float) -> None:
        """Take in executions, at most 100 at a time, that all ended before `until`, the `last` one then."""
        if self._values.untaken + len(seconds) > _WAITING:
            self._settle()
        self._values.extend(seconds)
        self._failures += failures
        self._last = last

    def _settle(self) -> _Sketch:
        """Sort what waits into its bins."""
        live = self._live = self._live or _Sketch()
        waiting = self._values.take()
        live.add(waiting)
        self._total = min(self._total + sum(waiting), sys.float_info.max)
        return live

    def open(self, now: float) -> None:
        """Close the slot that is filling; the next one begins `now`."""
        if self._live is not None or self._values.untaken:
            self._closed[0].append(self._filling())
            self._promote(now)
        self._live, self._start, self._last = None, now, now
        self.until = now + self._spans[0] / _SLOTS_PER_SPAN
        self._failures = 0
        self._total = 0.0

    def _promote(self, now: float) -> None:
        """Hand what is too old for a window to the slots of the next one; drop what is too old for all."""
        for level, slots in enumerate(self._closed):
            while slots and slots[0].last <= now - self._spans[level]:
                old = slots.pop(0)
                if level + 1 == len(self._spans):
                    continue
                wider = self._closed[level + 1]
                if wider and old.last - wider[-1].start < self._spans[level + 1] / _SLOTS_PER_SPAN:
                    wider[-1].merge(old)
                else:
                    wider.append(old)

    def slots(self, span: float, now: float) -> list[_Slot]:
        """The slots of the last `span` seconds, the one that is filling included."""
        since = now - span
        found = [slot for slots in self._closed for slot in slots if slot.last > since]
        if (self._live is not None or self._values.untaken) and self._last > since:
            found.append(self._filling())
        return found

    def _filling(self) -> _Slot:
        live = self._settle()
        count = live.zeros + int(live.bins.count)
        return _Slot(self._start, self._last, count, self._failures, self._total, *_packed(live))

    def stats(self, span: float, now: float) -> WindowStats:
        """What happened in the last `span` seconds before `now`."""
        return merged_stats(span, self.slots(span, now))


def merged_stats(span: float, slots: Iterable[_Slot]) -> WindowStats:
    """The figures of all `slots` together, also those of several tools."""
    sketch = _Sketch()
    count = failures = 0
    total = 0.0
    for slot in slots:
        slot.pour_into(sketch)
        count += slot.count
        failures += slot.failures
        total += slot.total
    if not count:
        return WindowStats(span, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    p50, p95, p99 = (sketch.quantile(q) for q in _QUANTILES)
    mean = min(total, sys.float_info.max) / count
    return WindowStats(span, count, failures, count / span, failures / count, mean, p50, p95, p99)
