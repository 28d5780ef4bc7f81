"""The samples of one family, made one by one while the text is written.

A scrape of 1,000 tools has 30,000 samples. Each is needed for one line only: kept in a list, they cost
more in memory and in garbage collection than all the formatting does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString  # pyright: ignore[reportUnknownVariableType]

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from prometheus_client.samples import Exemplar

    from ._exemplars import ExemplarStore

__all__ = ["Labels", "Samples", "Series"]

Labels = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Series:
    """Values of one label set: one number, or the counts of buckets whose last bound is infinity."""

    total: float
    bounds: tuple[float, ...] = ()
    counts: Sequence[int] = ()
    exemplars: list[Any] = field(default_factory=list[Any])

    def merge(self, other: Series, *, add: bool) -> None:
        """Take in a second point of the same labels: sums add up, of gauges the later counts."""
        self.total = self.total + other.total if add else other.total
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        self.exemplars += other.exemplars


class Samples:
    """The samples of the family `name`, which is a counter, a histogram or a gauge, anew at each iteration.

    >>> from tracefuse.telemetry._exemplars import ExemplarStore
    >>> [sample.value for sample in Samples("h", "histogram", {(): Series(3.0, (1.0,), (1, 1))}, ExemplarStore())]
    [1, 2, 2, 3.0]
    """

    def __init__(self, name: str, kind: str, series: Mapping[Labels, Series], store: ExemplarStore) -> None:
        self._name = name
        self._kind = kind
        self._series = series
        self._exemplars = {
            labels: exemplars
            for labels, one in (series.items() if kind != "gauge" else ())
            if (exemplars := store.update(name, labels, one.exemplars, one.bounds))
        }

    def __iter__(self) -> Iterator[Sample]:
        match self._kind:
            case "counter":
                return self._counter()
            case "histogram":
                return self._histogram()
            case _:
                return (Sample(self._name, dict(labels), one.total) for labels, one in self._series.items())

    def _counter(self) -> Iterator[Sample]:
        name = f"{self._name}_total"
        for labels, one in self._series.items():
            exemplar = self._exemplars[labels].get(0) if labels in self._exemplars else None
            yield Sample(name, dict(labels), one.total, None, exemplar)

    def _histogram(self) -> Iterator[Sample]:
        bucket, count, total = (f"{self._name}_{suffix}" for suffix in ("bucket", "count", "sum"))
        texts: dict[tuple[float, ...], list[str]] = {}
        none: Mapping[int, Exemplar] = {}
        for labels, one in self._series.items():
            bounds = texts.get(one.bounds) or texts.setdefault(one.bounds, _texts(one.bounds))
            exemplars = self._exemplars.get(labels, none)
            base = dict(labels)
            below = 0
            for index, (le, below) in enumerate(zip(bounds, accumulate(one.counts), strict=True)):
                yield Sample(bucket, {**base, "le": le}, below, None, exemplars.get(index))
            # OpenMetrics 1.0: with negative buckets a sum may fall, so there must be none, nor a count without it.
            if not one.bounds or one.bounds[0] >= 0:
                yield Sample(count, base, below)
                yield Sample(total, base, one.total)


def _texts(bounds: Sequence[float]) -> list[str]:
    """The values of `le`. floatToGoString: "1.0" also for an int bound, where upstream writes "1" and breaks the
    series."""
    return [str(floatToGoString(bound)) for bound in (*bounds, math.inf)]  # type: ignore[no-untyped-call]
