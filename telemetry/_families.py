"""From the SDK's data points to Prometheus families: one family per name, one series per label set.

Pure. Rules: OpenTelemetry specification, "Prometheus and OpenMetrics Compatibility"; OpenMetrics 1.0.
Names and labels are sanitised by opentelemetry-exporter-prometheus; what is added here is what its
0.66b2 lacks or gets wrong, said at each place.
"""

from __future__ import annotations

import json
import logging
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

from opentelemetry.exporter.prometheus._mapping import map_unit, sanitize_attribute, sanitize_full_name
from opentelemetry.sdk.metrics.export import ExponentialHistogram, Histogram, HistogramDataPoint, NumberDataPoint, Sum
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family

from ._samples import Labels, Samples, Series

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.sdk.metrics.export import (
        ExponentialHistogramDataPoint,
        Metric,
        MetricsData,
    )
    from prometheus_client.samples import Sample

    from ._exemplars import ExemplarStore

__all__ = ["exponential_buckets", "families", "label_pairs"]

_log = logging.getLogger(__name__)

# The sample names a family takes (OpenMetrics 1.0, "Metric Types"); no two families may share one.
_TAKEN: Final = {
    "counter": ("", "_total", "_created"),
    "gauge": ("",),
    "histogram": ("", "_bucket", "_count", "_sum", "_created"),
    "info": ("", "_info"),
}


@dataclass(slots=True)
class _Group:
    family: Family
    add: bool
    series: dict[Labels, Series] = field(default_factory=dict[Labels, Series])


def families(data: MetricsData, store: ExemplarStore, told: set[str]) -> list[Family]:
    """All families of `data`, each name once; conflicts are logged once, as long as they are not in `told`."""
    groups: dict[str, _Group] = {}
    taken: dict[str, str] = {}
    for resource in data.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                _add(metric, groups, taken, told)
    for group in groups.values():
        # What the family declares as a list, the encoders iterate, once.
        samples: object = Samples(group.family.name, group.family.type, group.series, store)
        group.family.samples = cast("list[Sample]", samples)
    return [group.family for group in groups.values()]


def _add(metric: Metric, groups: dict[str, _Group], taken: dict[str, str], told: set[str]) -> None:
    group = _group(metric, groups, taken, told)
    if group is None:
        return
    for point in metric.data.data_points:
        labels, series = label_pairs(point.attributes or {}), _series(point)
        known = group.series.setdefault(labels, series)
        if known.bounds != series.bounds:
            _tell(told, f"metric {metric.name} has one series with two sets of buckets; the first is exposed")
        elif known is not series:
            known.merge(series, add=group.add)


def _group(metric: Metric, groups: dict[str, _Group], taken: dict[str, str], told: set[str]) -> _Group | None:
    """The group that `metric` belongs to; None when a family of another type has the name."""
    family = _family(metric)
    group = groups.get(family.name)
    if group is not None and group.family.type == family.type:
        return group
    names = [family.name + suffix for suffix in _TAKEN[family.type]]
    holder = next((taken[name] for name in names if name in taken), None)
    if holder is not None:
        _tell(told, f"metric {metric.name} is not exposed as {family.type} {family.name}: {holder} has that name")
        return None
    taken |= dict.fromkeys(names, f"{family.type} {family.name}")
    group = groups[family.name] = _Group(family, add=isinstance(metric.data, Sum) or family.type == "histogram")
    return group


def _tell(told: set[str], message: str) -> None:
    if message not in told:
        told.add(message)
        _log.warning("telemetry: %s", message)


def _family(metric: Metric) -> Family:
    """One family for a name, whatever its scope and description: upstream makes one per description,
    so that a name comes with two HELP and TYPE lines, which Prometheus refuses."""
    name, help_text, unit = sanitize_full_name(metric.name), metric.description or "", map_unit(metric.unit or "")
    match metric.data:
        case Histogram() | ExponentialHistogram():
            return HistogramMetricFamily(name, help_text, unit=unit)
        case Sum(is_monotonic=True):
            return CounterMetricFamily(name, help_text, unit=unit)
        case _:
            return GaugeMetricFamily(name, help_text, unit=unit)


def label_pairs(attributes: Mapping[str, Any]) -> Labels:
    """Sorted Prometheus labels of one point.

    Each series has its own labels (upstream gives the values of one scope to the keys of another when
    two scopes share a name). Keys that become one label have their values joined by ";", as the
    specification says; upstream keeps the last. A text that is no UTF-8 would break the whole scrape.

    >>> label_pairs({"error.type": "timeout", "error_type": "x", "n": 1})
    (('error_type', 'timeout;x'), ('n', '1'))
    """
    labels: dict[str, str] = {}
    for key in sorted(attributes):
        value = attributes[key]
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        if not text.isascii():
            text = text.encode("utf-8", "replace").decode("utf-8")
        label = sanitize_attribute(key)
        labels[label] = f"{labels[label]};{text}" if label in labels else text
    return tuple(sorted(labels.items()))


def _series(point: NumberDataPoint | HistogramDataPoint | ExponentialHistogramDataPoint) -> Series:
    if isinstance(point, NumberDataPoint):
        return Series(point.value, exemplars=list(point.exemplars))
    if isinstance(point, HistogramDataPoint):
        bounds = tuple(map(float, point.explicit_bounds))
        return Series(point.sum, bounds, point.bucket_counts, list(point.exemplars))
    bounds, counts = exponential_buckets(point)
    return Series(point.sum, bounds, counts, list(point.exemplars))


def exponential_buckets(point: ExponentialHistogramDataPoint) -> tuple[tuple[float, ...], list[int]]:
    """Upper bounds and counts of an exponential histogram's own buckets, the last one up to infinity.

    Bucket i of scale s holds (base^i, base^(i+1)] with base = 2^(2^-s) (specification, "Metrics Data
    Model", ExponentialHistogram); negative buckets mirror that. When the scale drops, the new bounds
    are a subset of the old, so every `le` that remains stays exact. Upstream raises AttributeError
    on such a point, and with it every scrape fails.
    """

    def bound(index: int) -> float:
        try:
            return math.pow(2.0, index * math.pow(2.0, -point.scale))
        except OverflowError:
            return math.inf

    below, above = point.negative, point.positive
    buckets = [(-bound(below.offset + i), count) for i, count in reversed(list(enumerate(below.bucket_counts)))]
    buckets.append((0.0, point.zero_count))
    buckets += [(bound(above.offset + i + 1), count) for i, count in enumerate(above.bucket_counts)]
    filled = [i for i, (upper, count) in enumerate(buckets) if count and upper < math.inf]
    kept = buckets[filled[0] : filled[-1] + 1] if filled else []
    counts = [count for _, count in kept]
    return tuple(upper for upper, _ in kept), [*counts, point.count - sum(counts)]
