"""What a known error says to a caller: one line, one exit code, and its fields as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tracefuse.resilience import CircuitBreakerOpenError
from tracefuse.telemetry import ConfigurationError

from ._breaker_sources import UnknownBreakerError
from ._errors import MissingExtraError, QueueFullError, ToolDisabledError, ToolError
from ._exit import ExitCode
from ._policy import PolicyError, PolicyViolation
from ._sqlite import StoreError
from .config._settings import SettingsError
from .history._records import UnknownScanError
from .nmap import ParseError, TemplateError
from .schedule._schedule import ScheduleError
from .schedule._view import UnknownScheduleError
from .sidecar._plan import CollectorConfigError, CollectorNotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Explained", "explain"]


@dataclass(frozen=True, slots=True)
class Explained:
    """A known error in words."""

    code: ExitCode
    line: str
    fields: Mapping[str, object]


_KNOWN: Final[tuple[tuple[type[Exception], ExitCode, str, tuple[str, ...]], ...]] = (
    (PolicyViolation, ExitCode.REFUSED, "policy_violation", ("rule", "token", "position", "example", "suggestion")),
    (CircuitBreakerOpenError, ExitCode.CIRCUIT_OPEN, "circuit_open", ("breaker_name", "retry_after")),
    (SettingsError, ExitCode.REFUSED, "bad_setting", ("variable", "value", "expected", "problems")),
    (ConfigurationError, ExitCode.REFUSED, "bad_setting", ("variable", "value", "expected")),
    (TemplateError, ExitCode.REFUSED, "bad_setting", ("name", "problem", "example")),
    (PolicyError, ExitCode.REFUSED, "bad_setting", ("field", "value", "expected")),
    (UnknownScheduleError, ExitCode.REFUSED, "no_such_schedule", ("name", "known")),
    (ScheduleError, ExitCode.REFUSED, "bad_schedule", ("field", "value", "expected", "example")),
    (UnknownBreakerError, ExitCode.REFUSED, "no_such_breaker", ("name", "known")),
    (StoreError, ExitCode.FAILED, "store_error", ("path", "reason", "advice")),
    (ToolDisabledError, ExitCode.REFUSED, "tool_disabled", ("name",)),
    (MissingExtraError, ExitCode.REFUSED, "missing_extra", ("feature", "extra")),
    (UnknownScanError, ExitCode.REFUSED, "no_such_scan", ("scan_id",)),
    (ParseError, ExitCode.REFUSED, "unreadable_result", ()),
    (CollectorNotFoundError, ExitCode.REFUSED, "no_collector", ("hint",)),
    (CollectorConfigError, ExitCode.REFUSED, "bad_collector_config", ("detail",)),
    (QueueFullError, ExitCode.FAILED, "queue_full", ("error_type", "waiting", "retry_after")),
    (ToolError, ExitCode.FAILED, "tool_error", ("error_type", "hint", "detail")),
)
"""Each known error: its exit code, its name as data, and the attributes that a program can act on."""


def explain(error: BaseException) -> Explained | None:
    """Explain `error`, or return None when it is none of those a user can act on.

    >>> explain(SettingsError("TRACEFUSE_RETRY_ATTEMPTS", "0", "it should be at least 1")).code.name
    'REFUSED'
    """
    for kind, code, name, attributes in _KNOWN:
        if isinstance(error, kind):
            fields = {attribute: getattr(error, attribute) for attribute in attributes}
            return Explained(code, _line(error), {"type": name, "message": str(error), **fields})
    return None


def _line(error: BaseException) -> str:
    match error:
        case PolicyViolation():
            return f"refused: {error}"
        case CircuitBreakerOpenError():
            return _refused_by_breaker(error)
        case _:
            return str(error)


def _refused_by_breaker(error: CircuitBreakerOpenError) -> str:
    when = "later" if error.retry_after is None else f"in {error.retry_after:.3g} s"
    before = f" (before that: {error.__cause__})" if isinstance(error.__cause__, ToolError) else ""
    return f"{error}; try again {when}{before}"
