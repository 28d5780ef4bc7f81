"""A completed scan as JSON-ready data: the same for the terminal and for HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .nmap import report_to_dict

if TYPE_CHECKING:
    from ._runner import Completed
    from .nmap import Report, ScanPlan

__all__ = ["SCHEMA", "completed_to_dict", "partial_to_dict"]

SCHEMA = "tracefuse.scan/1"


def completed_to_dict(done: Completed[ScanPlan, Report]) -> dict[str, Any]:
    """`schema`, ids, attempts, seconds, the plan that was run, and the report under its own schema."""
    return {
        "schema": SCHEMA,
        "scan_id": done.scan_id,
        "trace_id": done.trace_id,
        "attempts": done.attempts,
        "duration": round(done.duration, 6),
        "plan": done.plan.to_dict(),
        "report": report_to_dict(done.result),
    }


def partial_to_dict(report: Report) -> dict[str, Any]:
    """What a scan that was cut short had found."""
    return {"schema": SCHEMA, "report": report_to_dict(report)}
