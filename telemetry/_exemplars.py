"""Exemplars on their way from a recording to a scrape: the last one of each bucket, and nothing more."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry.sdk.metrics import Exemplar as SdkExemplar
from opentelemetry.sdk.metrics import ExemplarReservoir, SimpleFixedSizeExemplarReservoir
from prometheus_client.samples import Exemplar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from opentelemetry.context import Context
    from opentelemetry.util.types import Attributes

    from ._samples import Labels

__all__ = ["ExemplarStore", "LastOfEachBucket", "reservoirs"]

_NONE: Final[Mapping[int, Exemplar]] = {}


class LastOfEachBucket(ExemplarReservoir):
    """The last measurement of each histogram bucket; of what has no buckets, the last one.

    What the SDK's own reservoirs keep (specification, "Metrics SDK", ExemplarReservoir: for a histogram the
    last seen in each bucket, else any one), at a third of their cost: they look for the bucket from the
    first bound upwards, and collect empty places at every scrape. Theirs also give a value from outside of
    spans the trace of the value before it (1.45.2).

    >>> reservoir = LastOfEachBucket(boundaries=(1.0, 2.0))
    >>> for value in (0.5, 0.7, 9.0):
    ...     reservoir.offer(value, 0, {"tool": "nmap"}, trace.set_span_in_context(trace.INVALID_SPAN))
    >>> [exemplar.value for exemplar in reservoir.collect({"tool": "nmap"})], reservoir.collect({})
    ([0.7, 9.0], [])
    """

    __slots__ = ("_bounds", "_seen")

    def __init__(self, boundaries: Sequence[float] = (), **_: Any) -> None:
        self._bounds = boundaries
        self._seen: dict[int, tuple[float, int, Attributes, trace.SpanContext]] = {}

    def offer(self, value: float, time_unix_nano: int, attributes: Attributes, context: Context) -> None:
        """Take in a measurement. One assignment, so that it needs no lock beside a `collect`."""
        span = trace.get_current_span(context).get_span_context()
        self._seen[bisect_left(self._bounds, value)] = (value, time_unix_nano, attributes, span)

    def collect(self, point_attributes: Attributes) -> list[SdkExemplar]:
        """What was taken in since the last time, by rising bucket."""
        if not self._seen:
            return []
        seen, self._seen = self._seen, {}
        known = point_attributes or {}
        return [
            SdkExemplar(
                {key: text for key, text in (attributes or {}).items() if key not in known},
                value,
                time,
                span.span_id if span.is_valid else None,
                span.trace_id if span.is_valid else None,
            )
            for _, (value, time, attributes, span) in sorted(seen.items())
        ]


def reservoirs(_aggregation: type) -> Callable[..., ExemplarReservoir]:
    """What a `View` wants: the reservoir for any aggregation."""
    return _reservoir


def _reservoir(**places: Any) -> ExemplarReservoir:
    """The SDK's own for an aggregation that asks for a number of places, an exponential histogram."""
    return SimpleFixedSizeExemplarReservoir(**places) if "size" in places else LastOfEachBucket(**places)


class ExemplarStore:
    """The last exemplar of each series and bucket.

    The SDK hands an exemplar out in one collection only, so without this it would show in one scrape
    and every other scraper would miss it. Bounded: the series that was updated longest ago goes first.
    """

    def __init__(self, capacity: int = 4000) -> None:
        self._capacity = capacity
        self._series: dict[tuple[str, Labels], list[Exemplar]] = {}

    def update(
        self, name: str, labels: Labels, fresh: Sequence[Any], bounds: Sequence[float]
    ) -> Mapping[int, Exemplar]:
        """Add the SDK's `fresh` exemplars and answer the series' exemplars by bucket index."""
        key = (name, labels)
        known = self._series.get(key)
        if not fresh and not known:
            return _NONE
        new = [exemplar for exemplar in map(_exemplar, fresh) if exemplar is not None]
        placed = {bisect_left(bounds, exemplar.value): exemplar for exemplar in (*(known or ()), *new)}
        if new:
            self._series.pop(key, None)
            self._series[key] = list(placed.values())
            if len(self._series) > self._capacity:
                del self._series[next(iter(self._series))]
        return placed


def _exemplar(exemplar: Any) -> Exemplar | None:
    """The SDK's exemplar with its ids as labels; one without a trace points nowhere and is left out."""
    if not exemplar.trace_id or not exemplar.span_id:
        return None
    ids = {"trace_id": f"{exemplar.trace_id:032x}", "span_id": f"{exemplar.span_id:016x}"}
    return Exemplar(ids, exemplar.value, exemplar.time_unix_nano / 1e9)
