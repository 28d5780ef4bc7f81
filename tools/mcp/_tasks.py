"""The Tasks extension `io.modelcontextprotocol/tasks` for scans: the scan's id is the durable handle.

After its specification of 2026-07-28 (modelcontextprotocol/ext-tasks, SEP-2663): a server may answer
`tools/call` with `resultType: "task"` to a client that declares the extension on the request; the client
then polls `tasks/get`. The SDK carries such results and methods, and leaves the extension to us. The
2025-11-25 form of tasks is another protocol and is not spoken.

A scan that failed, or that a restart of the service interrupted, is a task that is `completed` with a
tool error: `failed` is for JSON-RPC errors only.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, MISSING_REQUIRED_CLIENT_CAPABILITY, RequestParams
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import Field

from .._audit import ORIGIN
from ..history._records import ScanState
from ..history._scan_record import utc_now
from ._call import caller_of, origin_of, principal_of, stop_scan
from ._errors import CallError
from ._scan import describe, poll_after

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from mcp.server.context import HandlerResult
    from mcp.server.lowlevel import Server

    from ..jobs._view import JobView
    from ..service._service import Service
    from ._call import Context

__all__ = ["EXTENSION", "Tasks", "takes_tasks", "task_of"]

EXTENSION: Final = "io.modelcontextprotocol/tasks"

_STATUS: Final = {ScanState.QUEUED: "working", ScanState.RUNNING: "working", ScanState.CANCELLED: "cancelled"}
_LONGEST: Final = 128
_DAY: Final = 86_400.0


class _TaskParams(RequestParams):
    task_id: str


class _UpdateParams(_TaskParams):
    input_responses: dict[str, Any] = Field(default_factory=dict[str, Any])


def takes_tasks(ctx: Context) -> bool:
    """Whether the client declared the extension for this request."""
    declared = ctx.session.client_capabilities
    extensions = (declared.extensions if declared else None) or {}
    return ctx.protocol_version in MODERN_PROTOCOL_VERSIONS and EXTENSION in extensions


def task_of(job: JobView, now: datetime, kept_for: float) -> dict[str, Any]:
    """A scan as the extension's `Task`; `kept_for` is the seconds that the history keeps it."""
    return {
        "taskId": job.scan_id,
        "status": _STATUS.get(job.state, "completed"),
        "statusMessage": _message(job),
        "createdAt": _stamp(job.created),
        "lastUpdatedAt": _stamp(job.ended or now),
        "ttlMs": int(kept_for * 1000),
        "pollIntervalMs": int(poll_after(job.percent) * 1000),
    }


def _message(job: JobView) -> str:
    told = f"scan {describe(job)}"
    return f"{told}; scan_result has what it had found" if job.state is ScanState.CANCELLED else told


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Tasks:
    """The three methods of the extension.

    Args:
        service: whose scans they are.
        answer: gives the tool result of an ended scan, as the call that began it would have given it.
        clock: the time, with a zone.
    """

    def __init__(
        self,
        service: Service,
        answer: Callable[[Context, JobView], Awaitable[dict[str, Any]]],
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._service = service
        self._answer = answer
        self._clock = clock

    def register(self, server: Server[Any]) -> None:
        """Serve `tasks/get`, `tasks/update` and `tasks/cancel`."""
        server.add_request_handler("tasks/get", _TaskParams, self._get)
        server.add_request_handler("tasks/update", _UpdateParams, self._update)
        server.add_request_handler("tasks/cancel", _TaskParams, self._cancel)

    def handed_over(self, job: JobView) -> dict[str, Any]:
        """The result of the call that became a task."""
        return {"resultType": "task", **self._task(job)}

    def _task(self, job: JobView) -> dict[str, Any]:
        return task_of(job, self._clock(), self._service.settings.history.max_age * _DAY)

    async def _get(self, ctx: Context, params: _TaskParams) -> HandlerResult:
        job = await self._job(ctx, params.task_id)
        task = self._task(job)
        if task["status"] == "completed":
            task["result"] = await self._answer(ctx, job)
        return task

    async def _update(self, ctx: Context, params: _UpdateParams) -> HandlerResult:
        """Acknowledged; a scan asks for nothing, so no response is ever outstanding."""
        await self._job(ctx, params.task_id)
        return {}

    async def _cancel(self, ctx: Context, params: _TaskParams) -> HandlerResult:
        job = await self._job(ctx, params.task_id)
        principal = principal_of(ctx)
        ORIGIN.set(origin_of(ctx))
        try:
            await stop_scan(self._service, job, principal, caller_of(ctx, principal))
        except CallError as error:
            raise MCPError(INVALID_PARAMS, "This token may not cancel this task") from error
        return {}

    async def _job(self, ctx: Context, task_id: str) -> JobView:
        if not takes_tasks(ctx):
            raise MCPError(
                MISSING_REQUIRED_CLIENT_CAPABILITY,
                f"Missing required client capability: declare the extension {EXTENSION}",
                {"requiredCapabilities": {"extensions": {EXTENSION: {}}}},
            )
        job = await self._service.jobs.get(task_id) if len(task_id) <= _LONGEST else None
        if job is None:
            raise MCPError(INVALID_PARAMS, "Task not found: it never was, or it was kept for its time")
        return job
