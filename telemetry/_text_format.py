"""Prometheus' classic text, byte for byte what prometheus_client writes, in a third of its time.

prometheus_client makes a sample with a dictionary for every line, and checks and escapes every name of
it anew; most of the time of a large scrape goes there and into the garbage collector. Here a line is
written from the point itself, whose names are already clean. A test compares the two.
(Prometheus, "Exposition formats", text format 0.0.4.)
"""

from __future__ import annotations

import math
from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from prometheus_client.utils import floatToGoString  # pyright: ignore[reportUnknownVariableType]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prometheus_client.core import Metric as Family

    from ._families import ExemplarStore, FamilyGroup, Labels, PointSeries

__all__ = ["family_text", "points_text"]

_SUFFIXES: Final = {"counter": "_total", "info": "_info"}


def family_text(family: Family) -> str:
    """The text of one family that has samples.

    >>> from prometheus_client.core import GaugeMetricFamily
    >>> print(family_text(GaugeMetricFamily("up", "Whether it is up", value=1)), end="")
    # HELP up Whether it is up
    # TYPE up gauge
    up 1.0
    """
    lines = _head(family)
    for sample in family.samples:
        labels = _pairs(tuple(sorted(sample.labels.items())))
        lines.append(f"{sample.name}{{{labels}}} {_number(sample.value)}" if labels else
                     f"{sample.name} {_number(sample.value)}")  # fmt: skip
    return "\n".join([*lines, ""])


def points_text(groups: Iterable[FamilyGroup], store: ExemplarStore) -> str:
    """The text of all points; their exemplars, which this format has no place for, go into `store` for one that has."""
    lines: list[str] = []
    number = _Numbers()
    for group in groups:
        family = group.family
        lines += _head(family)
        name = f"{family.name}{_SUFFIXES.get(family.type, '')}"
        for labels, series in group.series.items():
            if series.exemplars:
                bounds = series.bounds if family.type == "histogram" else ()
                store.update(family.name, labels, series.exemplars, bounds)
            if family.type == "histogram":
                lines += _histogram(family.name, labels, series, number.__getitem__)
            else:
                pairs, total = _pairs(labels), _total(series, number.__getitem__)
                lines.append(f"{name}{{{pairs}}} {total}" if pairs else f"{name} {total}")
    return "\n".join([*lines, ""]) if lines else ""


def _head(family: Family) -> list[str]:
    name = f"{family.name}{_SUFFIXES.get(family.type, '')}"
    documentation = family.documentation.replace("\\", r"\\").replace("\n", r"\n")
    kind = "gauge" if family.type == "info" else family.type
    return [f"# HELP {name} {documentation}", f"# TYPE {name} {kind}"]


def _histogram(name: str, labels: Labels, series: PointSeries, number: Callable[[float], str]) -> list[str]:
    # Labels are written in the order of their names, also `le`, which wins over an attribute called so.
    at = bisect_left(labels, ("le", ""))
    before, after = _pairs(labels[:at]), _pairs(tuple(pair for pair in labels[at:] if pair[0] != "le"))
    head = f'{name}_bucket{{{before}{"," if before else ""}le="'
    tail = f'"{"," if after else ""}{after}}} '
    counts = list(accumulate(series.counts))
    bounds = (*series.bounds, math.inf)
    lines = [f"{head}{number(bound)}{tail}{number(count)}" for bound, count in zip(bounds, counts, strict=True)]
    # As in `_families.py`: with negative buckets a sum may fall, so there is none, nor a count without it.
    if not series.bounds or series.bounds[0] >= 0:
        pairs = f"{{{_pairs(labels)}}}" if labels else ""
        lines += [f"{name}_count{pairs} {number(counts[-1])}", f"{name}_sum{pairs} {_total(series, number)}"]
    return lines


def _total(series: PointSeries, number: Callable[[float], str]) -> str:
    """The one number that may be -0.0, which equals 0.0 as a key."""
    return number(series.total) if series.total else _number(series.total)


def _pairs(labels: Labels) -> str:
    return ",".join([f'{key}="{_escaped(value)}"' for key, value in labels])


def _escaped(value: str) -> str:
    if value.isalnum():
        return value
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    return str(floatToGoString(value))  # type: ignore[no-untyped-call]


class _Numbers(dict[float, str]):
    """Numbers as text, each written once: bounds and small counts come again and again."""

    def __missing__(self, value: float) -> str:
        text = self[value] = _number(value)
        return text
