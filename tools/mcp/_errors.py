"""From an error to a tool result with `isError`: fields for a program, and words that let a model correct itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mcp_types import CallToolResult, TextContent

from .._explain import explain
from .._policy import PolicyViolation
from .._sqlite import StoreError
from ..jobs._view import JobsClosedError
from ..nmap._export_rules import visible
from ._input import ArgumentError
from ._output import ErrorOutput

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CallError", "error_output", "error_result", "error_text", "stored_error"]

_LONGEST: Final = 1_000
"""Characters of one text in an error; nmap's own words may be many."""

_BACK_AFTER: Final = 10.0
"""Seconds after which a service that goes down may be back."""

_ADVICE: Final = {
    "policy_violation": "Nothing was run. Correct the request as suggested and call again; explain_policy checks a "
    "request without running it, and tells the whole policy.",
    "invalid_arguments": "Nothing was run. Correct the arguments and call again.",
    "circuit_open": "Nothing was run: nmap failed too often lately. Wait, then call again; breaker_status tells more.",
    "tool_disabled": "Nothing was run. Only an operator can change that; do not call again before one has.",
    "queue_full": "Nothing was run. Wait, then call again.",
    "rate_limited": "Nothing was run. Wait, then call again; scan_status with wait_sec 20 replaces many calls.",
    "not_found": "scan_history lists the scans there are.",
    "forbidden": "The access token does not allow this tool.",
}

_ARGUMENT: Final = {"timeout": "timeout_sec", "targets": "target"}
"""Where a tool's argument has another name than the field of the request."""


class CallError(Exception):
    """A call that cannot be answered, for a reason that only the MCP tools have; `output` is what is said of it."""

    def __init__(self, kind: str, message: str, **fields: Any) -> None:
        self.output = ErrorOutput(type=kind, message=message, **fields)
        super().__init__(message)


def error_output(error: BaseException) -> ErrorOutput | None:
    """What a model is told of `error`; None when it is not one that a caller can act on.

    >>> error_output(ArgumentError("target", "Field required", {"target": "10.0.0.7"})).field
    'target'
    """
    match error:
        case CallError():
            return error.output
        case ArgumentError(field=field, example=example):
            return ErrorOutput(
                type="invalid_arguments", message=_clean(str(error)), field=_clean(field) or None, example=example
            )
        case JobsClosedError():
            return ErrorOutput(type="stopping", message=str(error), retry_after=_BACK_AFTER)
        case StoreError():
            # Where the file lies is the operator's business, and in the log.
            return ErrorOutput(type="store_error", message=f"the history cannot be used: {error.reason}")
        case _:
            return _explained(error)


def _explained(error: BaseException) -> ErrorOutput | None:
    explained = explain(error)
    if explained is None:
        return None
    fields = {**explained.fields, "message": explained.line}
    if isinstance(error, PolicyViolation):
        fields["field"] = _ARGUMENT.get(error.field, error.field)
    return stored_error(fields)


def stored_error(fields: Mapping[str, Any]) -> ErrorOutput:
    """The error that is kept with a scan, bounded and safe to show.

    >>> stored_error({"type": "tool_error", "message": "out of luck", "detail": ""}).message
    'out of luck'
    """
    known = {key: _clean(value) if isinstance(value, str) else value for key, value in fields.items()}
    return ErrorOutput.model_validate({"type": "tool_error", "message": "it failed", **known})


def _clean(text: str) -> str:
    shown = "\n".join(map(visible, text.splitlines()))
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 3]}..."


def error_text(error: ErrorOutput) -> str:
    """The error in words: what, the fields that matter, and what to do now.

    >>> print(error_text(ErrorOutput(type="queue_full", message="100 requests wait already", retry_after=5.0)))
    100 requests wait already
    type: queue_full; retry_after: 5.0
    Nothing was run. Wait, then call again.
    """
    fields = error.model_dump(exclude_none=True, exclude={"message", "position", "detail"})
    told = [f"{name}: {value}" for name, value in fields.items() if str(value) not in error.message]
    lines = [error.message, "; ".join(told)]
    if error.type in _ADVICE:
        lines.append(_ADVICE[error.type])
    return "\n".join(lines)


def error_result(error: ErrorOutput) -> CallToolResult:
    """The result of a call that failed."""
    return CallToolResult(
        content=[TextContent(text=error_text(error))],
        structured_content={"error": error.model_dump(mode="json", exclude_none=True)},
        is_error=True,
    )
