"""Errors of running a tool.

* ToolError
  * ToolNotFoundError        the program is missing, too old, or another one under its name
  * ToolTimeoutError         it did not end in time
  * ToolExecutionError       it ran and failed, or could not be started
  * ToolResourceError        it wrote more than it may
    * QueueFullError         too many wait already; nothing was started
* ToolDisabledError          an operator has switched the tool off; nothing was started
* MissingExtraError          a part that is installed as an extra is not there
* PolicyViolation            the request was refused (in `tracefuse.tools.nmap`); nothing was started
* CircuitBreakerOpenError    the breaker refused the call (in `tracefuse.resilience`)
"""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "MissingExtraError",
    "QueueFullError",
    "ToolDisabledError",
    "ToolError",
    "ToolErrorType",
    "ToolExecutionError",
    "ToolNotFoundError",
    "ToolResourceError",
    "ToolTimeoutError",
]


class ToolErrorType(StrEnum):
    """Why a tool gave no result; the values are known from `mcp_server.base_tool`."""

    TIMEOUT = "timeout"
    NOT_FOUND = "not_found"
    VALIDATION_ERROR = "validation_error"
    EXECUTION_ERROR = "execution_error"
    RESOURCE_EXHAUSTED = "resource_exhausted"
    CIRCUIT_BREAKER_OPEN = "circuit_breaker_open"
    UNKNOWN = "unknown"


class ToolError(Exception):
    """A tool could not do what it was asked to.

    Attributes:
        message: what happened, without targets, so that it may go into telemetry.
        hint: what to do about it, or "".
        detail: what the tool itself said (standard error); may name targets.
        result: what had been found before the failure, or None.
    """

    error_type = ToolErrorType.UNKNOWN

    def __init__(self, message: str, *, hint: str = "", detail: str = "", result: object = None) -> None:
        self.message = message
        self.hint = hint
        self.detail = detail
        self.result = result
        super().__init__(message)

    @property
    def telemetry_summary(self) -> str:
        """The text that may be exported."""
        return self.message

    def __str__(self) -> str:
        parts = (self.message, self.detail.strip().rpartition("\n")[2], self.hint)
        return "; ".join(part for part in parts if part)

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.message, self.hint, self.detail, self.result))


def _rebuild(kind: type[ToolError], message: str, hint: str, detail: str, result: object) -> ToolError:
    return kind(message, hint=hint, detail=detail, result=result)


class ToolNotFoundError(ToolError):
    """The program is missing, too old, or another one under its name."""

    error_type = ToolErrorType.NOT_FOUND


class ToolTimeoutError(ToolError):
    """The program did not end in time and was stopped."""

    error_type = ToolErrorType.TIMEOUT


class ToolExecutionError(ToolError):
    """The program ran and failed, or could not be started."""

    error_type = ToolErrorType.EXECUTION_ERROR


class ToolResourceError(ToolError):
    """A limit of ours was reached: the program wrote more than it may and was stopped."""

    error_type = ToolErrorType.RESOURCE_EXHAUSTED


class QueueFullError(ToolResourceError):
    """So many requests wait for a free place that no more are taken; nothing was started.

    Attributes:
        waiting: how many wait, which is the limit.
        retry_after: seconds after which a place may be free.

    >>> print(QueueFullError(100, 5.0))
    100 requests wait already, and no more are taken; try again in 5 s, or raise TRACEFUSE_QUEUE_LENGTH
    """

    def __init__(self, waiting: int, retry_after: float) -> None:
        self.waiting = waiting
        self.retry_after = retry_after
        super().__init__(
            f"{waiting} request{'s wait' if waiting != 1 else ' waits'} already, and no more are taken",
            hint=f"try again in {retry_after:g} s, or raise TRACEFUSE_QUEUE_LENGTH",
        )

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.waiting, self.retry_after))


class ToolDisabledError(RuntimeError):
    """An operator has switched the tool `name` off; nothing was started. No face takes requests for it.

    >>> print(ToolDisabledError("nmap"))
    an operator has disabled nmap; it takes no requests until one enables it again: POST /tools/nmap/enable
    """

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(name)

    def __str__(self) -> str:
        enable = f"POST /tools/{self.name}/enable"
        return f"an operator has disabled {self.name}; it takes no requests until one enables it again: {enable}"


class MissingExtraError(ImportError):
    """`feature` needs the optional dependencies of `extra`.

    >>> print(MissingExtraError("tracefuse serve", "serve"))
    tracefuse serve needs an extra that is not installed: pip install 'tracefuse[serve]'
    """

    def __init__(self, feature: str, extra: str) -> None:
        self.feature = feature
        self.extra = extra
        super().__init__(feature, extra)

    def __str__(self) -> str:
        return f"{self.feature} needs an extra that is not installed: pip install 'tracefuse[{self.extra}]'"
