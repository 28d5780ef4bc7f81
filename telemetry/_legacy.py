"""`PrometheusRegistry` and `PrometheusMetrics` as users of `mcp_server.metrics` hold them: faces of what there is.

Nothing is registered in prometheus_client's global registry, so a second import or a second server in the
process has nothing to collide with; the metrics themselves come from OpenTelemetry.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, ClassVar, Self

from prometheus_client import CollectorRegistry
from prometheus_client import generate_latest as _generate_latest

from ._manager import MetricsManager
from ._meter_in_use import reader_in_use
from ._names import INSTRUMENTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.core import Metric

__all__ = ["PrometheusMetrics", "PrometheusRegistry"]

_log = logging.getLogger(__name__)


class _Current:
    """Collects from the provider that is in use at the time."""

    def collect(self) -> Iterator[Metric]:
        reader = reader_in_use()
        if reader is not None:
            yield from reader.scrape()


class PrometheusRegistry:
    """The Prometheus side in one place. `PrometheusRegistry()` always answers the same object.

    `registry` is a `prometheus_client.CollectorRegistry` that answers what `/metrics` answers, with
    `generate_latest(registry)` its text; both are None while `available` is False.

    >>> prometheus = PrometheusRegistry()
    >>> prometheus is PrometheusRegistry(), prometheus.available
    (True, True)
    >>> prometheus.generate_latest(prometheus.registry).startswith(b"# HELP target_info")
    True
    """

    _instance: ClassVar[PrometheusRegistry | None] = None
    _lock: ClassVar = threading.RLock()

    available: bool
    registry: CollectorRegistry | None
    generate_latest: Callable[[Any], bytes] | None

    def __new__(cls) -> Self:
        """The one registry, initialised."""
        with PrometheusRegistry._lock:
            known = PrometheusRegistry._instance
            if isinstance(known, cls):
                return known
            made = super().__new__(cls)
            made.available, made.registry, made.generate_latest = False, None, None
            made.initialize()
            PrometheusRegistry._instance = made
            return made

    def initialize(self) -> None:
        """Make the registry once; after a failure the next call tries again. Never raises."""
        with PrometheusRegistry._lock:
            if self.available:
                return
            try:
                registry = CollectorRegistry()
                registry.register(_Current())  # pyright: ignore[reportArgumentType]
                self.registry, self.generate_latest = registry, _generate_latest
                self.available = reader_in_use() is not None
            except Exception as error:  # noqa: BLE001 - metrics must not break who asks for them
                _log.error("prometheus.initialization_failed error=%r", error)
                return
        kept = sum(row.kept for row in INSTRUMENTS.values())
        _log.info("prometheus.initialized metrics_count=%d", kept)


class PrometheusMetrics:
    """What `/metrics` answers, for code that knows this class.

    >>> PrometheusMetrics().get_metrics().startswith("# HELP")
    True
    """

    def __init__(self) -> None:
        self.registry = PrometheusRegistry().registry

    def get_metrics(self) -> str | None:
        """The Prometheus text, None when there is none."""
        return MetricsManager.get().get_prometheus_metrics()
