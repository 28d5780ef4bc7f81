"""Which tool table a recording goes to: the one behind `MetricsManager.get()`, or one of its own for its own meter."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from ._instrumentation import Instrumentation, following_meter
from ._tool_series import ToolSeries, observed_tables
from ._tool_table import ToolTable

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["default_table", "drop_default_table", "table_for"]

_lock = threading.RLock()
_default: list[ToolTable] = []


def default_table(make: Callable[[], ToolTable] = ToolTable) -> ToolTable:
    """The table of what follows the global providers; made by `make` at the first asking."""
    if _default:
        return _default[0]
    with _lock:
        if not _default:
            _default.append(_reporting(make(), Instrumentation.from_providers()))
        return _default[0]


def drop_default_table() -> None:
    """Let the next asking make a new one; the old one keeps its figures but is no longer exposed."""
    with _lock:
        dropped = [_default.pop()] if _default else []
    for table in dropped:
        if table.series is not None:
            table.series.close()
            table.series = None


def table_for(instrumentation: Instrumentation | None) -> Callable[[], ToolTable]:
    """What answers the table for `instrumentation`, now and later.

    A function, because the default table is another one after `MetricsManager.reset_for_testing()`.
    """
    if instrumentation is None or _real(instrumentation.meter) is _real(following_meter()):
        return default_table
    with _lock:
        known = observed_tables(instrumentation.meter)
        table = known[0] if known else _reporting(ToolTable(), instrumentation)
    return lambda: table


def _reporting(table: ToolTable, instrumentation: Instrumentation) -> ToolTable:
    table.series = ToolSeries(instrumentation, table)
    return table


def _real(meter: Any) -> Any:
    # A meter taken before the global provider was set is a proxy of the one that the SDK collects.
    return getattr(meter, "_real_meter", None) or meter
