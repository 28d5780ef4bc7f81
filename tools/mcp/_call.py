"""One call as a tool sees it: the service, who calls, what that one may do, and how to tell of progress."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from starlette.requests import HTTPConnection

from .._tool import Caller, CallerKind
from ..http._auth import LOCAL, Principal, Role
from ..nmap._export_rules import visible
from ._errors import CallError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mcp.server.context import ServerRequestContext

    from ..jobs._view import JobView
    from ..service._service import Service
    from ._output import Output

__all__ = [
    "PRINCIPAL_KEY",
    "Answer",
    "Call",
    "Context",
    "Handed",
    "caller_of",
    "job_of",
    "may_stop",
    "principal_of",
    "require",
]

Context: TypeAlias = "ServerRequestContext[Any, Any]"

PRINCIPAL_KEY: Final = "tracefuse.principal"
"""Where in the ASGI scope the HTTP layer puts who asks."""
_NAME: Final = 120


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


def may_stop(principal: Principal, caller: Caller) -> bool:
    """Whether `principal` may stop what `caller` asked for: its own, or with the role operate anybody's."""
    return principal.role >= Role.OPERATE or caller.user == principal.name


async def job_of(service: Service, scan_id: str) -> JobView:
    """The scan `scan_id`. Raises CallError when there is none."""
    job = await service.jobs.get(scan_id)
    if job is None:
        raise CallError("not_found", f"there is no scan {scan_id}", field="scan_id")
    return job
