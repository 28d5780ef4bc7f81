"""Who may call a tool, and over HTTP how often: at the same rate, and for scans by the same count, as elsewhere."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from .._audit import Actor
from ..http._auth import Role
from ..http._route import SCANS
from ._call import require
from ._errors import CallError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..http._attempts import ClientLimits
    from ..http._limits import RateLimiter
    from ..http._visit import Visit
    from ._call import Call
    from ._tools import McpTool

__all__ = ["admit"]

_REFUSED_AS: Final[Mapping[str, int]] = {"forbidden": 403, "rate_limited": 429}
"""The HTTP status with which the other paths refuse the same."""


def admit(call: Call, tool: McpTool[Any], visit: Visit | None, limits: ClientLimits | None) -> None:
    """Let the call in, or raise CallError for who may not, or not so often; that is then in the audit.

    `visit` and `limits` are None on standard input: its one client has no rate, and may do all.
    """
    try:
        require(call.principal, tool.role, tool.name)
        if visit is not None and limits is not None:
            _take(limits.limiter, visit.client, tool)
    except CallError as error:
        if visit is not None and limits is not None:
            kind, resource = f"request.{error.output.type}", f"tools/call {tool.name}"
            status = _REFUSED_AS[error.output.type]
            limits.attempts.refused(visit.client, kind, resource, status, Actor.of(call.caller))
        raise


def _take(limiter: RateLimiter, client: str, tool: McpTool[Any]) -> None:
    taken = limiter.take(client, _counted_as(tool))
    if not taken.allowed:
        wait = max(1, math.ceil(taken.retry_after))
        detail = f"too many calls of {tool.name}; try again in {wait} s"
        raise CallError("rate_limited", detail, retry_after=float(wait))


def _counted_as(tool: McpTool[Any]) -> str:
    """Tools that start scans share one count with each other and with `POST /scans`."""
    return SCANS if tool.role is Role.SCAN and not tool.annotations.destructive_hint else tool.name
