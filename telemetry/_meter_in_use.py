"""Which meter provider is in use: the global one when there is one, else a private one of ours.

A private provider serves Tracefuse's own meter only and is not made global, so a host application may
still set its own; from then on everything is recorded there.
"""

from __future__ import annotations

import functools
import threading
import weakref
from typing import TYPE_CHECKING, Any

from opentelemetry import metrics

from ._instrumentation import following_meter, package_version

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider

    from ._prometheus import PrometheusReader

__all__ = ["reader_in_use", "remember_reader"]

# Readers are owned by their providers; here they are only found again.
_readers: weakref.WeakKeyDictionary[MeterProvider, weakref.ref[PrometheusReader]] = weakref.WeakKeyDictionary()
_lock = threading.RLock()


def remember_reader(provider: MeterProvider, reader: PrometheusReader) -> None:
    """`reader` reads `provider`; no second one is needed."""
    with _lock:
        _readers[provider] = weakref.ref(reader)


def reader_in_use() -> PrometheusReader | None:
    """The reader of the provider in use, attached when it has none; None when it takes no readers."""
    provider = metrics.get_meter_provider()
    with _lock:
        if type(provider).__module__.startswith("opentelemetry.metrics"):
            return _private_reader()
        known = _readers.get(provider)
        reader = known() if known is not None else None
        return reader if reader is not None else _attach(provider)


def _attach(provider: MeterProvider) -> PrometheusReader | None:
    from ._prometheus import PrometheusReader

    add: Any = getattr(provider, "add_metric_reader", None)
    if add is None:
        return None
    reader = PrometheusReader()
    add(reader)
    _readers[provider] = weakref.ref(reader)
    return reader


def _private_reader() -> PrometheusReader | None:
    """The reader of the private provider, which is put behind Tracefuse's proxy meter at the first asking."""
    bind: Any = getattr(following_meter(), "on_set_meter_provider", None)
    if bind is None:
        return None
    provider, reader, bound = _private()
    if not bound:
        bind(provider)
        bound.append(True)
    return reader


@functools.lru_cache(maxsize=1)
def _private() -> tuple[MeterProvider, PrometheusReader, list[bool]]:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.resources import Resource

    from ._prometheus import PrometheusReader
    from ._views import tool_views

    reader = PrometheusReader()
    resource = Resource.create({"service.name": "tracefuse", "service.version": package_version()})
    return MeterProvider([reader], resource, shutdown_on_exit=False, views=tool_views()), reader, []
