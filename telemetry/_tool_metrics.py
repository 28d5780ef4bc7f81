"""One tool as its users hold it: `ToolMetrics`, a name that always finds the tracked figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._default_table import default_table
from ._sanitize import clean_name
from ._tool_execution import ToolExecutionMetrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._tool_table import ToolTable

__all__ = ["ToolMetrics"]


class ToolMetrics:
    """Records the executions of one tool, in process and for OpenTelemetry at once. Thread-safe.

    It holds the tool's name, not its figures: when the tool was evicted meanwhile, or the manager reset,
    the next recording counts for the tool that is tracked then, and none is lost.

    Raises TypeError when `tool_name` is no text.

    >>> tool = ToolMetrics("nmap-doc")
    >>> tool.increment_active()
    >>> tool.record_execution(True, 2.5)
    >>> tool.decrement_active()
    >>> tool.get_stats()["execution_count"], tool.get_active_count()
    (1, 0)
    """

    __slots__ = ("_table", "tool_name")

    def __init__(self, tool_name: str, *, table: Callable[[], ToolTable] = default_table) -> None:
        name = clean_name(tool_name)
        if name is None:
            raise TypeError(f"tool_name is {type(tool_name).__qualname__}; expected str, for example 'nmap'")
        self.tool_name = name
        self._table = table

    @property
    def metrics(self) -> ToolExecutionMetrics:
        """The tracked figures; empty ones when the tool is not tracked at the moment."""
        return self._table().find(self.tool_name) or ToolExecutionMetrics(self.tool_name)

    def record_execution(
        self, success: bool, execution_time: float, timed_out: bool = False, error_type: str | None = None
    ) -> None:
        """Take in one execution; never raises. `execution_time` in seconds is repaired when it is no such number.

        Call it inside the execution's span, so that exemplars lead to its trace.
        """
        self._table().record(self.tool_name, success, execution_time, timed_out, error_type)

    def increment_active(self) -> None:
        """An execution began. A tool with running executions is not evicted as long as another can be."""
        self._table().change_active(self.tool_name, 1)

    def decrement_active(self) -> None:
        """An execution ended. Never below 0."""
        self._table().change_active(self.tool_name, -1)

    def get_active_count(self) -> int:
        """How many executions run now."""
        return self.metrics.active

    def get_stats(self) -> dict[str, Any]:
        """The figures of `ToolExecutionMetrics.get_stats`, and `active_executions`."""
        metrics = self.metrics
        return {**metrics.get_stats(), "active_executions": metrics.active}

    def __repr__(self) -> str:
        return f"ToolMetrics({self.tool_name!r})"
