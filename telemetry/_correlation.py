"""What moved together: correlation of series over time, and the recorder that takes the series. No causes.

Method: Spearman's rank correlation, that is Pearson's coefficient of the ranks (ties share their mean
rank), between series sampled at equal steps; with `max_lag` also shifted against each other, and the
shift with the strongest coefficient is answered. Ranks, because latencies have outliers.

Limits: it says that two things moved together in the window, not that one moved the other. Few samples
say little, so below 8 the answer is "undefined"; so it is for a series that did not move. With many
pairs some will correlate by chance: of 100 pairs of noise about 5 exceed 2/sqrt(n).
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Final

from ._arguments import listed, number, of_type, require, shown
from ._manager import MetricsManager

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Correlation", "MetricHistory", "correlate", "correlation", "correlation_table"]

MINIMUM_SAMPLES: Final = 8


@dataclass(frozen=True, slots=True)
class Correlation:
    """How `left` and `right` moved together. `coefficient` from -1 to 1, None when it is undefined.

    `lag` is how many samples `right` came after `left`; negative when it came before.
    """

    left: str
    right: str
    coefficient: float | None
    lag: int
    samples: int


def correlation(left: Sequence[float], right: Sequence[float]) -> float | None:
    """Spearman's coefficient of two series of the same length; None when it is undefined.

    Raises ValueError when the lengths differ.

    >>> correlation(range(10), [x**3 for x in range(10)])
    1.0
    >>> correlation(range(10), [5.0] * 10) is None
    True
    """
    for name, series in (("left", left), ("right", right)):
        listed(name, series, Sequence, "a sequence of numbers")
    if len(left) != len(right):
        raise ValueError(f"series of {len(left)} and {len(right)} samples; expected the same number")
    if len(left) < MINIMUM_SAMPLES or not all(map(math.isfinite, (*left, *right))):
        return None
    return _pearson(_ranks(left), _ranks(right))


def _ranks(values: Sequence[float]) -> list[float]:
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end + 1 < len(order) and values[order[end + 1]] == values[order[start]]:
            end += 1
        for at in order[start : end + 1]:
            ranks[at] = (start + end) / 2
        start = end + 1
    return ranks


def _pearson(left: Sequence[float], right: Sequence[float]) -> float | None:
    mean = (len(left) - 1) / 2
    a, b = [x - mean for x in left], [y - mean for y in right]
    spread = math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))
    if spread == 0.0:
        return None
    return round(max(-1.0, min(1.0, sum(x * y for x, y in zip(a, b, strict=True)) / spread)), 12)


def correlate(
    series: Mapping[str, Sequence[float]], *, max_lag: int = 0, against: str | None = None
) -> list[Correlation]:
    """Every pair of `series`, or each with `against`; the strongest first, the undefined last.

    Raises ValueError for series of different lengths, a negative `max_lag`, or an unknown `against`.

    >>> found = correlate({"a": range(10), "b": range(10), "still": [1.0] * 10})
    >>> [(one.left, one.right, one.coefficient) for one in found]
    [('a', 'b', 1.0), ('a', 'still', None), ('b', 'still', None)]
    """
    of_type("series", series, Mapping, "series of numbers by name, for example {'a': [1.0, 2.0]}")
    of_type("max_lag", max_lag, int, "a whole number, 0 or more")
    require("max_lag", max_lag, max_lag >= 0, "0 or more")
    known = f"None, or one of {shown(sorted(series))}"
    of_type("against", against, str | None, known)
    require("against", against, against is None or against in series, known)
    names = sorted(series)
    pairs = combinations(names, 2) if against is None else ((against, name) for name in names if name != against)
    found = [_strongest(left, right, series[left], series[right], max_lag) for left, right in pairs]
    return sorted(found, key=lambda one: (-abs(one.coefficient or 0.0), one.coefficient is None, one.left, one.right))


def _strongest(left: str, right: str, ours: Sequence[float], theirs: Sequence[float], max_lag: int) -> Correlation:
    best = Correlation(left, right, correlation(ours, theirs), 0, len(ours))
    # Beyond this no shift leaves enough samples to say anything.
    furthest = min(max_lag, max(len(ours) - MINIMUM_SAMPLES, 0))
    for lag in range(-furthest, furthest + 1):
        early, late = (ours, theirs) if lag >= 0 else (theirs, ours)
        shift = abs(lag)
        value = correlation(early[: len(early) - shift], late[shift:]) if lag else None
        if value is not None and abs(value) > abs(best.coefficient or 0.0):
            best = Correlation(left, right, value, lag, len(ours) - shift)
    return best


class MetricHistory:
    """The last `capacity` samples of what tools and breakers did between one sample and the next. Thread-safe.

    Call `sample` at equal steps, for example from `AlertEngine`'s listeners or a scheduler. Each tool gives
    "<tool> errors" and "<tool> latency" (mean seconds); `counters` adds totals by name, of which the
    increase is taken, for example {"nmap trips": ...} from a breaker's statistics. Tools are bounded by
    the manager; of further series there are at most 1,000.

    >>> from tracefuse.telemetry import MetricsManager
    >>> MetricsManager.reset_for_testing()
    >>> history = MetricHistory(MetricsManager.get())
    >>> history.sample()
    >>> history.manager.record_tool_execution("nmap", success=False, execution_time=2.0)
    >>> history.sample()
    >>> history.series()
    {'nmap errors': [1.0], 'nmap latency': [2.0]}
    >>> MetricsManager.reset_for_testing()
    """

    def __init__(
        self,
        manager: MetricsManager,
        *,
        counters: Callable[[], Mapping[str, float]] | None = None,
        capacity: int = 240,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        of_type("manager", manager, MetricsManager, "a MetricsManager, for example MetricsManager.get()")
        number("capacity", capacity, f"a whole number, {MINIMUM_SAMPLES} to 1,000,000", low=MINIMUM_SAMPLES, high=1e6)
        self.manager = manager
        self._counters = counters
        self._clock = clock
        self._lock = threading.RLock()
        self._last: dict[str, tuple[float, ...]] | None = None
        self._rows: deque[tuple[float, dict[str, float]]] = deque(maxlen=int(capacity))

    def sample(self) -> None:
        """Take a sample. The first one is what the next is compared with."""
        totals = self._totals()
        with self._lock:
            last, self._last = self._last, totals
            if last is not None:
                self._rows.append((self._clock(), _increase(last, totals)))

    def _totals(self) -> dict[str, tuple[float, ...]]:
        with self.manager.reading_tools() as tools:
            totals: dict[str, tuple[float, ...]] = {
                name: (tool.failure_count, tool.total_execution_time, tool.execution_count)
                for name, tool in tools.items()
            }
        further: Mapping[str, float] = self._counters() if self._counters is not None else {}
        return totals | {name: (float(total),) for name, total in list(further.items())[:1000]}

    def series(self, since: float | None = None) -> dict[str, list[float]]:
        """All series, equally long, oldest first; with `since` of the last so many seconds. Missing values are 0."""
        if since is not None:
            number("since", since, "None, or seconds, 0 or more", low=0.0)
        with self._lock:
            newest = self._rows[-1][0] if self._rows else 0.0
            rows = [row for when, row in self._rows if since is None or when > newest - since]
        names = sorted({name for row in rows for name in row})
        return {name: [row.get(name, 0.0) for row in rows] for name in names}

    def correlate(
        self, *, since: float | None = None, max_lag: int = 0, against: str | None = None
    ) -> list[Correlation]:
        """`correlate` of the series of the last `since` seconds; see there for method and limits above."""
        return correlate(self.series(since), max_lag=max_lag, against=against)


def _increase(old: Mapping[str, tuple[float, ...]], new: Mapping[str, tuple[float, ...]]) -> dict[str, float]:
    row: dict[str, float] = {}
    for name, totals in new.items():
        before = old.get(name, (0.0,) * len(totals))
        # A total that fell was reset: what it shows now came since.
        grown = [now - then if now >= then else now for now, then in zip(totals, before, strict=True)]
        if len(grown) == 1:
            row[name] = grown[0]
        else:
            errors, seconds, count = grown
            row[f"{name} errors"] = errors
            # Rounded, because ranks would take the rounding of sums for movement.
            row[f"{name} latency"] = round(seconds / count, 6) if count else 0.0
    return row


def correlation_table(found: Sequence[Correlation]) -> str:
    """The correlations as lines of text.

    >>> print(correlation_table(correlate({"a": range(10), "b": [-x for x in range(10)]})))
    -1.00  a  ~  b
    """
    of_type("found", found, Iterable, "what `correlate` answers")
    for one in found:
        of_type("one of those found", one, Correlation, "a Correlation")
    return "\n".join(
        f"{'undefined' if one.coefficient is None else f'{one.coefficient:+.2f}'}  {one.left}  ~  {one.right}"
        f"{f'  (lag {one.lag:+d})' if one.lag else ''}"
        for one in found
    )
