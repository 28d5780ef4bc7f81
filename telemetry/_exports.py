"""Figures as text: strict JSON, and CSV that a spreadsheet cannot take for formulas. Pure."""

from __future__ import annotations

import csv
import io
import json
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["CSV_HEADER", "MetricExportFormat", "to_csv", "to_json"]


class MetricExportFormat(Enum):
    """What `MetricsManager.export` can write."""

    PROMETHEUS = "prometheus"
    JSON = "json"
    CSV = "csv"


CSV_HEADER: Final = (
    *("tool_name", "execution_count", "success_count", "failure_count", "success_rate", "avg_time", "min_time"),
    *("max_time", "p50", "p95", "p99", "timeout_count", "error_count"),
)
_FIELDS: Final = (
    *("tool_name", "execution_count", "success_count", "failure_count", "success_rate", "average_execution_time"),
    *("min_execution_time", "max_execution_time", "p50_execution_time", "p95_execution_time", "p99_execution_time"),
    *("timeout_count", "error_count"),
)
# What makes a spreadsheet read a cell as a formula (OWASP, "CSV Injection").
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def to_json(stats: Mapping[str, Any], *, pretty: bool = True) -> str:
    """`stats` as JSON, indented by 2 or compact.

    >>> to_json({"a": 1}, pretty=False)
    '{"a":1}'
    """
    separators = None if pretty else (",", ":")
    return json.dumps(stats, indent=2 if pretty else None, separators=separators, allow_nan=False, default=str)


def to_csv(tools: Iterable[Mapping[str, Any]]) -> str:
    """One row for each tool's statistics, below the known header.

    >>> from tracefuse.telemetry import ToolExecutionMetrics
    >>> print(to_csv([ToolExecutionMetrics("=1+1").get_stats()]).splitlines()[1])
    '=1+1,0,0,0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0,0
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_HEADER)
    for stats in tools:
        writer.writerow([_cell(stats[field]) for field in _FIELDS])
    return out.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
