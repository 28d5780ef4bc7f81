"""The pull reader: opentelemetry-exporter-prometheus' reader without the defects of its 0.66b2.

What is replaced, and why, so that it can shrink as upstream mends:

* `collect` of its collector: parallel scrapes race for one queue, and every `force_flush` or
  `collect()` adds a snapshot to it, which the next scrape repeats (opentelemetry-python issue 2500
  and pull request 5368). Here a lock, and the latest snapshot only.
* `force_flush`: a pull reader has nothing to push.
* The translation of points (`_families.py`): exemplars (issue 4228), exponential histograms, one
  family per name, labels of their own per series, `le` as floats.

Names, units, label sanitising, `target_info`, temporality and the reader's place in the SDK stay upstream's.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from prometheus_client import CollectorRegistry
from prometheus_client.core import InfoMetricFamily
from prometheus_client.exposition import choose_encoder

from ._exemplars import ExemplarStore
from ._families import families, label_pairs
from ._redaction import redactor

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricsData
    from opentelemetry.sdk.resources import Resource
    from prometheus_client.core import Metric as Family

__all__ = ["Exposition", "PrometheusReader", "encode"]


@dataclass(frozen=True, slots=True)
class Exposition:
    """The answer to one scrape: the body and its `Content-Type`."""

    body: bytes
    content_type: str


class PrometheusReader(PrometheusMetricReader):
    """A metric reader that answers scrapes. Opens no socket; has a registry of its own.

    >>> from opentelemetry.sdk.metrics import MeterProvider
    >>> reader = PrometheusReader()
    >>> provider = MeterProvider([reader], shutdown_on_exit=False)
    >>> provider.get_meter("doc").create_counter("calls").add(2, {"name": "nmap"})
    >>> print(reader.exposition().body.decode().splitlines()[-1])
    calls_total{name="nmap"} 2.0
    """

    def __init__(self) -> None:
        super().__init__(scope_info_enabled=False, registry=CollectorRegistry())
        self._lock = threading.RLock()
        self._latest: MetricsData | None = None
        self._exemplars = ExemplarStore()
        self._told: set[str] = set()
        self._target_info = _TargetInfo()
        self._registry.unregister(self._collector)
        self._collector: Any = _Collector(self)
        self._registry.register(self._collector)

    def scrape(self) -> list[Family]:
        """Collect now and answer the families, `target_info` first. Safe to call from many threads."""
        with self._lock:
            latest = self._collect_now()
            if latest is None:
                return []
            return [self._target_info.of(latest), *families(latest, self._exemplars, self._told)]

    def _collect_now(self) -> MetricsData | None:
        self._latest = None
        self.collect()
        return self._latest

    def exposition(self, accept: str | None = None) -> Exposition:
        """The text for an HTTP `Accept` header: OpenMetrics with exemplars, or Prometheus' classic text."""
        return encode(self._registry, accept)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """True at once: what is pulled needs no flushing."""
        return True

    def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> None:
        with self._lock:
            self._latest = metrics_data


def encode(registry: CollectorRegistry, accept: str | None) -> Exposition:
    """What `registry` holds, in the format that `accept` asks for; classic text when it asks for nothing known.

    >>> encode(CollectorRegistry(), "application/openmetrics-text; version=1.0.0").body
    b'# EOF\\n'
    """
    try:
        encoder, content_type = choose_encoder(accept if isinstance(accept, str) else "")
    except TypeError:  # a version that is not numbers
        encoder, content_type = choose_encoder("")
    return Exposition(encoder(registry), content_type)


class _Collector:
    """What the registry asks; a registry wants an object with `collect`."""

    def __init__(self, reader: PrometheusReader) -> None:
        self._reader = reader

    def collect(self) -> list[Family]:
        return self._reader.scrape()


class _TargetInfo:
    """The family `target_info`, made anew only when the resource is another one, as in the child of a fork.

    What the environment says of a resource is told to all who scrape, so what looks like a secret is left out.
    """

    def __init__(self) -> None:
        self._resources: list[Resource] = []
        self._family: Family = InfoMetricFamily("target", "Target metadata")

    def of(self, data: MetricsData) -> Family:
        resources = [part.resource for part in data.resource_metrics]
        if resources != self._resources:
            clean = redactor()
            told = {key: clean(key, value) for one in resources for key, value in one.attributes.items()}
            self._resources = resources
            self._family = InfoMetricFamily("target", "Target metadata", value=dict(label_pairs(told)))
        return self._family
