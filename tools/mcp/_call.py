"""One call as a tool sees it: the service, who calls, what that one may do, and how to tell of progress."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from starlette.requests import HTTPConnection

from .._audit import Actor, Operation, Origin
from .._tool import Caller, CallerKind
from ..http._auth import LOCAL, PRINCIPAL_KEY, Principal, Role
from ..http._visit import visit_in
from ..nmap._export_rules import visible
from ._errors import CallError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mcp.server.context import ServerRequestContext

    from ..http._visit import Visit
    from ..jobs._view import JobView
    from ..service._service import Service
    from ._output import Output

__all__ = [
    "Answer",
    "Call",
    "Context",
    "Handed",
    "caller_of",
    "job_of",
    "origin_of",
    "principal_of",
    "require",
    "stop_scan",
    "visit_behind",
]

Context: TypeAlias = "ServerRequestContext[Any, Any]"

_NAME: Final = 120
_DONE, _FORBIDDEN, _ENDED = 200, 403, 409
"""How a cancellation ended, in the numbers that the audit has for HTTP, too."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a tool.

    `progress` tells the client how many percent are done, and what is being done; nobody hears it when
    the client did not ask. `takes_tasks` is whether the client declared that it can poll a task.
    """

    service: Service
    caller: Caller
    principal: Principal
    progress: Callable[[float, str], Awaitable[None]]
    takes_tasks: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tool answers: the structured result, and the same in short words. `failed` makes it a tool error."""

    output: Output
    text: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Handed:
    """A scan that goes on as a task."""

    job: JobView


def principal_of(ctx: Context) -> Principal:
    """Who asks: whom the HTTP layer let in, else the user of this machine (standard input, loopback)."""
    request: object = ctx.request
    found: object = request.scope.get(PRINCIPAL_KEY) if isinstance(request, HTTPConnection) else None
    return found if isinstance(found, Principal) else LOCAL


def visit_behind(ctx: Context) -> Visit | None:
    """The HTTP request that the call came with, as the guard saw it; None on standard input."""
    request: object = ctx.request
    return visit_in(request.scope) if isinstance(request, HTTPConnection) else None


def origin_of(ctx: Context) -> Origin:
    """Where the call came from. A session lives in the context of its first request, so this is asked each time."""
    visit = visit_behind(ctx)
    return Origin() if visit is None else Origin(visit.address, visit.request_id)


def caller_of(ctx: Context, principal: Principal) -> Caller:
    """The client by name and version, and the user when authenticated."""
    params = ctx.session.client_params
    name = None
    if params is not None:
        info = params.client_info
        name = visible(f"{info.name}/{info.version}" if info.version else info.name)[:_NAME]
    return Caller(CallerKind.MCP, name, principal.name if principal.authenticated else None)


def require(principal: Principal, role: Role, what: str) -> None:
    """Raise CallError unless `principal` has `role`."""
    if principal.role < role:
        raise CallError("forbidden", f"{what} needs the role {role.name.lower()}, and this token has less")


async def stop_scan(service: Service, job: JobView, principal: Principal, caller: Caller) -> bool:
    """Stop the scan, and write down who did; whether it ran here.

    Raises:
        CallError: it is somebody else's, and `principal` may stop only its own.
    """
    own = principal.role >= Role.SCAN and job.caller.user == principal.name
    allowed = own or principal.role >= Role.OPERATE
    stopped = allowed and await service.jobs.cancel(job.scan_id)
    status = (_DONE if stopped else _ENDED) if allowed else _FORBIDDEN
    service.audit.operation(Operation.DELETE, "scan.cancel", job.scan_id, status, Actor.of(caller))
    if not allowed:
        require(principal, Role.OPERATE, "stopping a scan of somebody else")
    return stopped


async def job_of(service: Service, scan_id: str) -> JobView:
    """The scan `scan_id`. Raises CallError when there is none."""
    job = await service.jobs.get(scan_id)
    if job is None:
        raise CallError("not_found", f"there is no scan {scan_id}", field="scan_id")
    return job
