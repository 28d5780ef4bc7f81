"""The four `mcp.tool.*` metrics on a meter: counters read from the tool table, times recorded as they come.

Counters and the active count are observed at collection from the same cells that answer `get_stats`, so
the exposition and the dictionaries cannot disagree, and a recording pays for one SDK call instead of
four. On the wire they are what the table of names says: monotonic sums and an up-down counter.
"""

from __future__ import annotations

import logging
import weakref
from typing import TYPE_CHECKING, Any, Protocol

from opentelemetry.metrics import Observation

from ._names import INSTRUMENTS, Attribute

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from opentelemetry.context import Context
    from opentelemetry.metrics import CallbackOptions, Meter

    from ._instrumentation import Instrumentation
    from ._tool_execution import ToolExecutionMetrics
    from ._tool_table import ToolTable

__all__ = ["ToolSeries", "observed_tables"]

_log = logging.getLogger(__name__)

_EXECUTIONS, _SECONDS, _ACTIVE, _ERRORS = (
    *("mcp.tool.execution", "mcp.tool.execution.seconds"),
    *("mcp.tool.active", "mcp.tool.errors"),
)


class _Recorder(Protocol):
    def record(self, amount: float, attributes: Mapping[str, str], context: Context | None) -> None: ...


# The SDK keeps the callbacks of an instrument's first registration only, so whichever it kept reads all
# tables of the meter from here. The meter's callbacks own the list; this only finds it again.
_observed: weakref.WeakKeyDictionary[Meter, weakref.ref[_Tables]] = weakref.WeakKeyDictionary()


class _Tables(list["ToolTable"]):
    """The tables of one meter."""


def observed_tables(meter: Meter) -> list[ToolTable]:
    """The tables that report to `meter`."""
    known = _observed.get(meter)
    return list((known and known()) or ())


class ToolSeries:
    """What one table reports to one meter, from construction until `close`."""

    def __init__(self, instrumentation: Instrumentation, table: ToolTable) -> None:
        self._table = table
        self._meter = instrumentation.meter
        histogram: Any = instrumentation.histogram(_SECONDS)
        # Behind a proxy of the API there is another instrument as soon as there is a provider.
        self._proxy: Any = histogram if hasattr(histogram, "_real_instrument") else None
        self.real: _Recorder | None = histogram if self._proxy is None else histogram._real_instrument
        """What times are recorded on, inside the table's lock; None while there is no provider."""
        known = _observed.get(self._meter)
        tables = known() if known is not None else None
        if tables is None:
            tables = _Tables()
            _observed[self._meter] = weakref.ref(tables)
            _register(instrumentation, tables)
        self._tables = tables
        tables.append(table)

    def switched(self) -> bool:
        """Whether another provider took over since `hand_on` was called last."""
        proxy = self._proxy
        return proxy is not None and proxy._real_instrument is not self.real

    def hand_on(self) -> None:
        """When another provider took over, give it the times that it missed; the caller holds the table's lock.

        These are the most recent 1,000 of each tool. Counters need nothing: they are read, not recorded.
        """
        if not self.switched():
            return
        self.real = self._proxy._real_instrument
        if self.real is not None:
            for tool in self._table.tools.values():
                for seconds in tool.recent_values():
                    self.real.record(seconds, tool.attributes, None)

    def forget(self, tool: ToolExecutionMetrics) -> None:
        """Take the series of `tool` out of the SDK, where they would stay and use up the cardinality limit."""
        keys = {
            _EXECUTIONS: [_execution_attributes(tool, outcome) for outcome in tool.outcomes],
            _ERRORS: [_error_attributes(tool, error) for _, error in tool.outcomes],
            _SECONDS: [tool.attributes],
            _ACTIVE: [tool.attributes],
        }
        try:
            _forget_series(_real_meter(self._meter), keys)
        except Exception:  # noqa: BLE001 - a provider of another make, or an SDK that changed inside
            _log.debug("metrics.forget_failed tool=%s", tool.tool_name, exc_info=True)

    def close(self) -> None:
        """Report no more."""
        with self._table.reading() as tools:
            for tool in tools.values():
                self.forget(tool)
        if self._table in self._tables:
            self._tables.remove(self._table)


def _real_meter(meter: Meter) -> Any:
    return getattr(meter, "_real_meter", None) or meter


def _register(instrumentation: Instrumentation, tables: _Tables) -> None:
    meter = instrumentation.meter

    def callback(read: Callable[[ToolExecutionMetrics], Iterable[Observation]]) -> Any:
        def observe(_: CallbackOptions) -> Iterator[Observation]:
            for table in list(tables):
                with table.reading() as tools:
                    if table.series is not None:
                        table.series.hand_on()
                    found = [observation for tool in tools.values() for observation in read(tool)]
                yield from found

        return [observe]

    executions, active, errors = (INSTRUMENTS[name] for name in (_EXECUTIONS, _ACTIVE, _ERRORS))
    meter.create_observable_counter(
        executions.name, callback(_read_executions), executions.unit, executions.description
    )
    meter.create_observable_counter(errors.name, callback(_read_errors), errors.unit, errors.description)
    meter.create_observable_up_down_counter(active.name, callback(_read_active), active.unit, active.description)
    instrumentation.observe("tracefuse.metrics.repaired", lambda _: _read_reasons(_repairs(tables)))
    instrumentation.observe("tracefuse.metrics.evictions", lambda _: _read_reasons(_evictions(tables)))


def _read_executions(tool: ToolExecutionMetrics) -> Iterator[Observation]:
    for outcome, count in tool.outcomes.items():
        yield Observation(count, _execution_attributes(tool, outcome))


def _read_errors(tool: ToolExecutionMetrics) -> Iterator[Observation]:
    for (status, error), count in tool.outcomes.items():
        if status == "failure":
            yield Observation(count, _error_attributes(tool, error))


def _read_active(tool: ToolExecutionMetrics) -> Iterator[Observation]:
    yield Observation(tool.active, tool.attributes)


def _execution_attributes(tool: ToolExecutionMetrics, outcome: tuple[str, str]) -> dict[str, str]:
    status, error = outcome
    return {Attribute.TOOL: tool.tool_name, Attribute.STATUS: status, Attribute.ERROR_TYPE: error}


def _error_attributes(tool: ToolExecutionMetrics, error: str) -> dict[str, str]:
    return {Attribute.TOOL: tool.tool_name, Attribute.ERROR_TYPE: error}


def _repairs(tables: _Tables) -> dict[str, int]:
    totals: dict[str, int] = {}
    for repairs in {table.repairs for table in tables}:
        for reason, count in repairs.counts().items():
            totals[reason] = totals.get(reason, 0) + count
    return totals


def _evictions(tables: _Tables) -> dict[str, int]:
    return {reason: sum(table.evictions[reason] for table in tables) for reason in ("capacity", "retention")}


def _read_reasons(counts: Mapping[str, int]) -> list[Observation]:
    return [Observation(count, {Attribute.REASON: reason}) for reason, count in counts.items()]


def _forget_series(meter: Any, keys: Mapping[str, list[dict[str, str]]]) -> None:
    """Reach into the SDK: it has no way to end a series (specification issue 2711, "Remove" of instruments)."""
    from opentelemetry.sdk.metrics._internal._view_instrument_match import _hash_attributes

    storages: Any = getattr(getattr(meter, "_measurement_consumer", None), "_reader_storages", {})
    for storage in storages.values():
        matched: Any = storage._instrument_view_instrument_matches
        for instrument in [one for one in list(matched) if one.instrumentation_scope is meter._instrumentation_scope]:
            gone = [_hash_attributes(attributes) for attributes in keys.get(instrument.name, ())]
            for match in matched[instrument]:
                for key in gone:
                    match._attributes_aggregation.pop(key, None)
