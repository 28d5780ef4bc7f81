"""What an HTTP client is told when something cannot be done: problem details (RFC 9457)."""

from __future__ import annotations

import json
import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response

from .._exit import ExitCode
from .._explain import explain
from ..jobs._view import JobsClosedError, UnknownScanError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CLIENT_GONE", "ProblemError", "from_fields", "problem_of", "problem_response", "seconds"]

CLIENT_GONE: Final = 499
"""The client hung up, so nobody reads it; the number that others log for this."""

_BY_CODE: Final = {
    ExitCode.FAILED: HTTPStatus.BAD_GATEWAY,
    ExitCode.REFUSED: HTTPStatus.UNPROCESSABLE_ENTITY,
    ExitCode.CIRCUIT_OPEN: HTTPStatus.SERVICE_UNAVAILABLE,
}
_BY_KIND: Final = {
    "policy_violation": HTTPStatus.UNPROCESSABLE_ENTITY,
    "circuit_open": HTTPStatus.SERVICE_UNAVAILABLE,
    "tool_disabled": HTTPStatus.FORBIDDEN,
    "queue_full": HTTPStatus.SERVICE_UNAVAILABLE,
    "tool_error": HTTPStatus.BAD_GATEWAY,
    "no_such_breaker": HTTPStatus.NOT_FOUND,
    "store_error": HTTPStatus.SERVICE_UNAVAILABLE,
}
_MEMBERS: Final = frozenset({"type", "title", "status", "detail", "instance"})


class ProblemError(Exception):
    """A request that cannot be answered as asked.

    Attributes:
        status: the HTTP status.
        kind: what it is, as a program reads it; the last part of the problem's `type`.
        detail: what was wrong and what would be right.
        fields: more members of the problem, such as `retry_after`.
        headers: headers to send with it.

    >>> error = ProblemError(404, "no_such_scan", "there is no scan 'x'; see GET /scans")
    >>> error.status, str(error)
    (404, "there is no scan 'x'; see GET /scans")
    """

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        fields: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status = int(status)
        self.kind = kind
        self.detail = detail
        self.fields = dict(fields or {})
        self.headers = dict(headers or {})
        super().__init__(status, kind, detail, self.fields, self.headers)

    def __str__(self) -> str:
        return self.detail


def problem_of(error: BaseException) -> ProblemError | None:
    """A known error as a problem; None for one that nobody foresaw.

    >>> from tracefuse.tools import QueueFullError
    >>> problem = problem_of(QueueFullError(100, 5.0))
    >>> problem.status, problem.headers["retry-after"]
    (503, '5')
    """
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, JobsClosedError):
        return ProblemError(503, "stopping", str(error), {"retry_after": 5}, {"retry-after": "5"})
    if isinstance(error, UnknownScanError):
        return ProblemError(404, "no_such_scan", str(error))
    if (explained := explain(error)) is None:
        return None
    return from_fields(explained.fields, _BY_CODE[explained.code])


def from_fields(fields: Mapping[str, Any], otherwise: int = HTTPStatus.BAD_GATEWAY) -> ProblemError:
    """A problem from the fields by which a known error is told, and a failed scan is kept."""
    kind, message = str(fields.get("type", "failed")), str(fields.get("message", "it failed"))
    # `detail` is the explanation itself here; what a tool wrote on standard error goes under its own name.
    more = {
        ("stderr" if key == "detail" else key): value for key, value in fields.items() if key not in {"type", "message"}
    }
    retry_after = fields.get("retry_after")
    headers = {"retry-after": seconds(retry_after)} if isinstance(retry_after, int | float) else {}
    return ProblemError(_BY_KIND.get(kind, otherwise), kind, message, more, headers)


def seconds(value: float) -> str:
    """Seconds as a header has them: whole, and never too few.

    >>> seconds(0.2), seconds(59.5)
    ('1', '60')
    """
    return str(max(1, math.ceil(value)))


def problem_response(problem: ProblemError, request_id: str) -> Response:
    """The answer: `type`, `title`, `status`, `detail`, `instance`, `request_id`, and the problem's own fields."""
    body = {
        "type": f"urn:tracefuse:{problem.kind}",
        "title": problem.kind.replace("_", " "),
        "status": problem.status,
        "detail": problem.detail,
        "instance": f"urn:tracefuse:request:{request_id}",
        "request_id": request_id,
    }
    more = {key: value for key, value in problem.fields.items() if key not in _MEMBERS}
    return Response(
        json.dumps({**body, **more}, default=str),
        status_code=problem.status,
        media_type="application/problem+json",
        headers=problem.headers,
    )
