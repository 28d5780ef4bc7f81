"""Exit codes, and what a known error says at the terminal: one line, one code, and its fields as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from tracefuse.resilience import CircuitBreakerOpenError
from tracefuse.telemetry import ConfigurationError

from ._errors import MissingExtraError, ToolError
from ._policy import PolicyError, PolicyViolation
from ._settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ExitCode", "Explained", "explain"]


class ExitCode(IntEnum):
    """What the process says to the shell."""

    DONE = 0
    FAILED = 1
    REFUSED = 2
    CIRCUIT_OPEN = 3
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Explained:
    """A known error in words."""

    code: ExitCode
    line: str
    fields: Mapping[str, object]


def explain(error: BaseException) -> Explained | None:
    """Explain `error`, or return None when it is none of those a user can act on.

    >>> explain(SettingsError("TRACEFUSE_RETRY_ATTEMPTS", "0", "it should be at least 1")).code.name
    'REFUSED'
    """
    match error:
        case PolicyViolation():
            names = ("rule", "token", "position", "example", "suggestion")
            return _explained(ExitCode.REFUSED, "policy_violation", error, f"refused: {error}", names)
        case CircuitBreakerOpenError():
            names = ("breaker_name", "retry_after")
            return _explained(ExitCode.CIRCUIT_OPEN, "circuit_open", error, _refused_by_breaker(error), names)
        case SettingsError() | ConfigurationError():
            return _explained(ExitCode.REFUSED, "bad_setting", error, str(error), ("variable", "value", "expected"))
        case PolicyError():
            return _explained(ExitCode.REFUSED, "bad_setting", error, str(error), ("field", "value", "expected"))
        case MissingExtraError():
            return _explained(ExitCode.REFUSED, "missing_extra", error, str(error), ("feature", "extra"))
        case ToolError():
            return _explained(ExitCode.FAILED, error.error_type.value, error, str(error), ("hint", "detail"))
        case _:
            return None


def _refused_by_breaker(error: CircuitBreakerOpenError) -> str:
    when = "later" if error.retry_after is None else f"in {error.retry_after:.3g} s"
    before = f" (before that: {error.__cause__})" if isinstance(error.__cause__, ToolError) else ""
    return f"{error}; try again {when}{before}"


def _explained(code: ExitCode, kind: str, error: Exception, line: str, names: tuple[str, ...]) -> Explained:
    fields = {name: getattr(error, name) for name in names}
    return Explained(code, line, {"type": kind, "message": str(error), **fields})
