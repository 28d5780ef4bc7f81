"""The client's half of the Tasks extension: it declares it, understands a task handle, and polls."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Literal

from mcp import Client
from mcp.client import ClaimContext, ClientExtension, ClientSession, ResultClaim
from mcp_types import CallToolResult, Request, RequestParams, Result
from pydantic import ConfigDict

__all__ = ["EXTENSION", "Task", "TaskExtension", "ask", "handed_over"]

EXTENSION = "io.modelcontextprotocol/tasks"


class Task(Result):
    """A task as `tools/call` hands it over and as `tasks/get` tells it."""

    model_config = ConfigDict(extra="allow")

    task_id: str
    status: Literal["working", "input_required", "completed", "failed", "cancelled"]
    status_message: str
    created_at: str
    last_updated_at: str
    ttl_ms: int | None
    poll_interval_ms: int
    result: dict[str, Any] | None = None


class Handle(Task):
    """The result of a call that became a task."""

    result_type: Literal["task"]


class TaskParams(RequestParams):
    task_id: str
    input_responses: dict[str, Any] | None = None


class TaskRequest(Request[TaskParams, str]):
    name_param = "taskId"


class Answer(Result):
    model_config = ConfigDict(extra="allow")


class TaskExtension(ClientExtension):
    """Takes a handle and polls until the result is there, ten times as fast as it is told to."""

    identifier = EXTENSION

    def claims(self) -> Sequence[ResultClaim[Any]]:
        return (ResultClaim(result_type="task", model=Handle, resolve=self._resolve),)

    async def _resolve(self, handle: Handle, context: ClaimContext) -> CallToolResult:
        task: Task = handle
        while task.status == "working":
            await asyncio.sleep(task.poll_interval_ms / 10_000)
            task = Task.model_validate(await ask(context.session, "tasks/get", task.task_id), by_name=False)
        return CallToolResult.model_validate(task.result, by_name=False)


async def ask(session: ClientSession, method: str, task_id: str, **more: Any) -> dict[str, Any]:
    """One of the extension's methods; the result as it came."""
    request = TaskRequest(method=method, params=TaskParams(task_id=task_id, **more))
    answer = await session.send_request(request, Answer)
    return answer.model_dump(by_alias=True, exclude_none=True)


async def handed_over(client: Client, **arguments: Any) -> Task:
    """Call `nmap_scan`, which must become a task."""
    result = await client.session.call_tool("nmap_scan", arguments, allow_claimed=True)
    assert isinstance(result, Task)
    return result
