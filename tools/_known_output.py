"""Results and failures of a scan as `ToolOutput`: nothing is raised, everything is said."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tracefuse.resilience import BulkheadFullError, CircuitBreakerOpenError, PipelineTimeoutError

from ._errors import QueueFullError, ToolError, ToolErrorType
from ._known_io import ErrorContext, ToolOutput
from ._policy import PolicyViolation
from .nmap import Report, report_to_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._app import CompletedScan

__all__ = ["MAX_STDERR_BYTES", "MAX_STDOUT_BYTES", "Asked", "completed_output", "failed_output"]

MAX_STDOUT_BYTES: Final = 1 << 20
"""Bytes of text in one output; the report beside it is whole."""

MAX_STDERR_BYTES: Final = 1 << 16
"""Bytes that are kept of a child's standard error; more was cut before it came here."""

_log = logging.getLogger(__name__)

_RETURN_CODES: Final = {ToolErrorType.TIMEOUT: 124, ToolErrorType.NOT_FOUND: 127}


@dataclass(frozen=True, slots=True)
class Asked:
    """What an output has to tell of its request: `timeout` and `took` are in seconds."""

    tool_name: str
    target: str
    correlation_id: str
    timeout: float
    took: float


def completed_output(done: CompletedScan, asked: Asked) -> ToolOutput:
    """The output of a scan that succeeded."""
    report = done.result
    text, cut = _capped(report_to_text(report))
    return ToolOutput(
        stdout=text,
        returncode=0,
        truncated_stdout=cut,
        execution_time=asked.took,
        correlation_id=asked.correlation_id,
        report=report,
        metadata={
            "scan_id": done.scan_id,
            "trace_id": done.trace_id,
            "attempts": done.attempts,
            "template": done.plan.template,
            "arguments": list(done.plan.argv),
            "notes": list(done.plan.notes),
            "hosts_up": report.hosts_up,
            "hosts_down": report.hosts_down,
            "open_ports": sum(1 for _ in report.open_ports()),
            "outcome": str(report.outcome),
        },
    )


def failed_output(error: Exception, asked: Asked, advise: Callable[[str], str] = lambda _stderr: "") -> ToolOutput:
    """The output of a scan that failed or was refused, with what had been found before.

    `advise` turns the tool's standard error into advice, where the error has none of its own.
    """
    context = _context(error, asked, advise)
    report = error.result if isinstance(error, ToolError) and isinstance(error.result, Report) else None
    text, cut = _capped(report_to_text(report)) if report and report.hosts else ("", False)
    timed_out = context.error_type is ToolErrorType.TIMEOUT
    stderr = error.detail if isinstance(error, ToolError) else ""
    return ToolOutput(
        stdout=text,
        stderr=f"Process timed out after {asked.timeout:g}s" if timed_out else stderr or context.message,
        returncode=_RETURN_CODES.get(context.error_type, 1),
        truncated_stdout=cut,
        truncated_stderr=len(stderr.encode()) >= MAX_STDERR_BYTES,
        timed_out=timed_out,
        error=context.message,
        error_type=context.error_type.value,
        execution_time=asked.took,
        correlation_id=asked.correlation_id,
        report=report,
        metadata={
            **context.metadata,
            "recovery_suggestion": context.recovery_suggestion,
            "timestamp": context.timestamp.isoformat(),
        },
    )


def _context(error: Exception, asked: Asked, advise: Callable[[str], str]) -> ErrorContext:
    kind, suggestion, metadata = _explained(error, advise)
    return ErrorContext(
        error_type=kind,
        message=str(error) or type(error).__name__,
        recovery_suggestion=suggestion,
        tool_name=asked.tool_name,
        target=asked.target,
        metadata=metadata,
    )


def _explained(error: Exception, advise: Callable[[str], str]) -> tuple[ToolErrorType, str, dict[str, Any]]:
    match error:
        case PolicyViolation():
            return ToolErrorType.VALIDATION_ERROR, _suggestion(error), _violation(error)
        case CircuitBreakerOpenError():
            wait = "" if error.retry_after is None else f" in {error.retry_after:.3g} s"
            fields = {"retry_after": error.retry_after, "breaker_name": error.breaker_name}
            return ToolErrorType.CIRCUIT_BREAKER_OPEN, f"the tool failed too often lately; try again{wait}", fields
        case BulkheadFullError():
            return ToolErrorType.RESOURCE_EXHAUSTED, "all places are taken; try again when a scan has ended", {}
        case PipelineTimeoutError():
            return ToolErrorType.TIMEOUT, "scan fewer ports or hosts, or allow more time", {}
        case ToolError():
            hint = error.hint or advise(error.detail) or "see the tool's own message in stderr"
            return (
                error.error_type,
                hint,
                {"retry_after": error.retry_after} if isinstance(error, QueueFullError) else {},
            )
        case _:
            _log.error("a scan ended in an unexpected error", exc_info=error)
            return ToolErrorType.UNKNOWN, "this is a defect; the log has the details", {}


def _suggestion(violation: PolicyViolation) -> str:
    said = f"{violation.suggestion}. " if violation.suggestion else ""
    return f"{said}Example: {violation.example}"


def _violation(violation: PolicyViolation) -> dict[str, Any]:
    return {
        "rule": violation.rule.value,
        "token": violation.token,
        "position": violation.position,
        "problem": violation.problem,
        "field": violation.field,
        "example": violation.example,
        "suggestion": violation.suggestion,
        "details": list(violation.details),
    }


def _capped(text: str) -> tuple[str, bool]:
    """The text up to the last line that fits, and whether that is less than all."""
    data = text.encode()
    if len(data) <= MAX_STDOUT_BYTES:
        return text, False
    return data[: data.rindex(b"\n", 0, MAX_STDOUT_BYTES) + 1].decode(), True
