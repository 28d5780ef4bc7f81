"""What instrumented code holds: one tracer, meter and logger, and the table's instruments made on them.

Only the OpenTelemetry API is used here. Without an SDK everything below is a no-op that costs next
to nothing; with one, it speaks to whichever providers were given or are global.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from opentelemetry import metrics, trace
from opentelemetry._logs import get_logger

from ._arguments import shown
from ._names import INSTRUMENTS, SCOPE, InstrumentKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry._logs import Logger, LoggerProvider
    from opentelemetry.metrics import (
        CallbackOptions,
        Counter,
        Histogram,
        Meter,
        MeterProvider,
        Observation,
        UpDownCounter,
    )
    from opentelemetry.trace import Tracer, TracerProvider

    from ._names import Instrument

__all__ = ["Instrumentation", "following_meter", "package_version"]


def package_version() -> str:
    """The installed version of Tracefuse, "0" when it runs from a tree that was never installed."""
    try:
        return version("tracefuse")
    except PackageNotFoundError:
        return "0"


def following_meter() -> Meter:
    """Tracefuse's meter of the global provider; while there is none, the one proxy that will follow it.

    One for all, so that a private provider can stand in for the global one until that is set.
    """
    provider = metrics.get_meter_provider()
    if type(provider).__module__.startswith("opentelemetry.metrics"):
        return _proxy_meter()
    return metrics.get_meter(SCOPE, package_version())


@functools.lru_cache(maxsize=1)
def _proxy_meter() -> Meter:
    return metrics.get_meter(SCOPE, package_version())


@dataclass(frozen=True, slots=True)
class Instrumentation:
    """The three API handles under Tracefuse's one instrumentation scope.

    Made without arguments it follows the global providers, also when those are set later.

    >>> instrumentation = Instrumentation.from_providers()
    >>> instrumentation.counter("tracefuse.policy.refusals").add(1, {"tool": "nmap", "rule": "target"})
    """

    tracer: Tracer
    meter: Meter
    logger: Logger

    @classmethod
    def from_providers(
        cls,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        logger_provider: LoggerProvider | None = None,
    ) -> Instrumentation:
        """Take the handles from these providers; a missing one means the global provider."""
        release = package_version()
        return cls(
            trace.get_tracer(SCOPE, release, tracer_provider),
            following_meter() if meter_provider is None else metrics.get_meter(SCOPE, release, meter_provider),
            get_logger(SCOPE, release, logger_provider),
        )

    def counter(self, name: str) -> Counter:
        """The counter `name` of the table. Raises KeyError for a name the table does not have."""
        row = _row(name, InstrumentKind.COUNTER)
        return self.meter.create_counter(row.name, row.unit, row.description)

    def up_down_counter(self, name: str) -> UpDownCounter:
        """The up-down counter `name` of the table."""
        row = _row(name, InstrumentKind.UP_DOWN_COUNTER)
        return self.meter.create_up_down_counter(row.name, row.unit, row.description)

    def histogram(self, name: str) -> Histogram:
        """The histogram `name` of the table, with the table's boundaries."""
        row = _row(name, InstrumentKind.HISTOGRAM)
        return self.meter.create_histogram(
            row.name, row.unit, row.description, explicit_bucket_boundaries_advisory=row.boundaries
        )

    def observe(self, name: str, callback: Callable[[CallbackOptions], Iterable[Observation]]) -> None:
        """Register `callback` as the only source of the observable instrument `name`.

        The SDK keeps the callbacks of the first registration only and drops later ones silently
        (`Meter.create_observable_*` answers the instrument that is already registered), so call this
        once per meter and let the one callback observe all series.
        """
        row = _known(name)
        match row.kind:
            case InstrumentKind.OBSERVABLE_COUNTER:
                self.meter.create_observable_counter(row.name, [callback], row.unit, row.description)
            case InstrumentKind.OBSERVABLE_GAUGE:
                self.meter.create_observable_gauge(row.name, [callback], row.unit, row.description)
            case InstrumentKind.OBSERVABLE_UP_DOWN_COUNTER:
                self.meter.create_observable_up_down_counter(row.name, [callback], row.unit, row.description)
            case _:
                raise ValueError(f"{name} is a {row.kind.value}: it is recorded, not observed")


def _known(name: object) -> Instrument:
    found = INSTRUMENTS.get(name) if isinstance(name, str) else None
    if found is None:
        raise KeyError(f"name: {shown(name)}; expected an instrument of the table, for example 'mcp.tool.errors'")
    return found


def _row(name: str, kind: InstrumentKind) -> Instrument:
    row = _known(name)
    if row.kind is not kind:
        raise ValueError(f"{name} is a {row.kind.value}, not a {kind.value}")
    return row
