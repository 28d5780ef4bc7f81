"""A completed scan as JSON-ready data: the same for the terminal and for HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .nmap import report_to_dict

if TYPE_CHECKING:
    from ._runner import Completed
    from .nmap import Report, ScanPlan

__all__ = ["SCHEMA", "completed_to_dict", "partial_to_dict", "plan_to_dict"]

SCHEMA = "tracefuse.scan/1"


def completed_to_dict(done: Completed[ScanPlan, Report]) -> dict[str, Any]:
    """`schema`, ids, attempts, seconds, the plan that was run, and the report under its own schema."""
    return {
        "schema": SCHEMA,
        "scan_id": done.scan_id,
        "trace_id": done.trace_id,
        "attempts": done.attempts,
        "duration": round(done.duration, 6),
        "plan": plan_to_dict(done.plan),
        "report": report_to_dict(done.result),
    }


def plan_to_dict(plan: ScanPlan) -> dict[str, Any]:
    """What would be run: template, targets, the number of addresses, nmap's arguments, and the rules applied."""
    return {
        "template": plan.template,
        "targets": list(plan.targets),
        "address_count": plan.address_count,
        "argv": list(plan.argv),
        "rules": list(plan.rules),
        "notes": list(plan.notes),
    }


def partial_to_dict(report: Report) -> dict[str, Any]:
    """What a scan that was cut short had found."""
    return {"schema": SCHEMA, "report": report_to_dict(report)}
