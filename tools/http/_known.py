"""The tools under the paths that users of the earlier server know: list, execute, enable, disable."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from starlette.responses import JSONResponse, Response

from tracefuse.resilience import CircuitBreakerOpenError

from .._errors import (
    ToolDisabledError,
    ToolError,
    ToolErrorType,
    ToolExecutionError,
    ToolNotFoundError,
    ToolResourceError,
    ToolTimeoutError,
)
from .._known_io import ToolOutput
from .._known_output import Asked, completed_output, failed_output
from .._runner import Completed
from .._threads import in_thread
from ..history._records import ScanState
from ..nmap import ScanRequest, report_from_dict
from ..nmap._known_tool import NmapTool
from ._auth import Role
from ._input import read_body
from ._models import ExecuteBody, ToolsBody, ToolSwitched
from ._operate import refuse_other_types
from ._problem import CLIENT_GONE, ProblemError
from ._route import SCANS, Answer, Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request

    from .._app import CompletedScan
    from ..jobs._view import JobView
    from ..service._service import Service
    from ._starting import Starting

__all__ = ["ToolFace"]

_ERRORS: Final[Mapping[str, type[ToolError]]] = {
    ToolErrorType.NOT_FOUND: ToolNotFoundError,
    ToolErrorType.TIMEOUT: ToolTimeoutError,
    ToolErrorType.RESOURCE_EXHAUSTED: ToolResourceError,
    ToolErrorType.EXECUTION_ERROR: ToolExecutionError,
}


@dataclass(frozen=True, slots=True)
class ToolFace:
    """The handlers, around one service and its one tool."""

    service: Service
    starting: Starting
    clock: Callable[[], float] = time.monotonic
    wall_clock: Callable[[], float] = time.time  # noqa: TID251 (shown as an id, never compared)

    def endpoints(self) -> list[Endpoint]:
        """The known paths."""
        switched = {200: Answer("how it is now", ToolSwitched)}
        return [
            Endpoint(method="GET", path="/tools", handle=self.list, tag="tools", summary="The tools and their limits",
                     answers={200: Answer("the tools", ToolsBody)}),
            Endpoint(method="POST", path="/tools/{name}/execute", handle=self.execute, role=Role.SCAN,
                     body=ExecuteBody, tag="tools", patient=True, tool=SCANS,
                     summary="Run a tool; failures and refusals by the policy come back as outputs",
                     answers={200: Answer("the tool's output", ToolOutput)}, problems=(403, 404, 429)),
            Endpoint(method="POST", path="/tools/{name}/enable", handle=self.enable, role=Role.OPERATE, tag="tools",
                     audited="tool.enable", summary="Let a tool take requests", answers=switched, problems=(404, 415)),
            Endpoint(method="POST", path="/tools/{name}/disable", handle=self.disable, role=Role.OPERATE, tag="tools",
                     audited="tool.disable", summary="Let a tool take no requests", answers=switched,
                     problems=(404, 415)),
        ]  # fmt: skip

    async def list(self, request: Request) -> Response:
        """What the known `get_tool_info` says, and whether it is enabled."""
        del request
        info = NmapTool(self.service.app).get_tool_info()
        return JSONResponse({"tools": [{**info, "enabled": self.service.jobs.switch.on}]})

    async def execute(self, request: Request) -> Response:
        """The known answer: the tool's output, whatever became of it."""
        self._known(request)
        body = await read_body(request, ExecuteBody, self.service.settings.serve.request_timeout)
        output = await self._output(body, request)
        return Response(status_code=CLIENT_GONE) if output is None else JSONResponse(output.model_dump(mode="json"))

    async def enable(self, request: Request) -> Response:
        """From now on it takes requests."""
        return self._turn(request, on=True)

    async def disable(self, request: Request) -> Response:
        """From now on it takes none; what runs goes on."""
        return self._turn(request, on=False)

    def _turn(self, request: Request, *, on: bool) -> Response:
        refuse_other_types(request)
        name = self._known(request)
        self.service.jobs.switch.on = on
        return JSONResponse({"name": name, "enabled": on, "status": "enabled" if on else "disabled"})

    def _known(self, request: Request) -> str:
        """The tool that the path names: by its class, as known, or by its program."""
        name: str = request.path_params["name"]
        known = (NmapTool.__name__, self.service.app.tool.name)
        if name not in known:
            raise ProblemError(404, "no_such_tool", f"there is no tool {name[:64]!r}; there is {known[0]}")
        return known[0]

    async def _output(self, body: ExecuteBody, request: Request) -> ToolOutput | None:
        began, tool = self.clock(), NmapTool(self.service.app)
        identifier = body.correlation_id or str(int(self.wall_clock() * 1000))
        wanted = ScanRequest(
            body.target,
            tool._with_defaults(body.extra_args),
            timeout=body.timeout_sec,
            correlation_id=identifier,
        )

        def asked() -> Asked:
            limit = tool.default_timeout_sec if body.timeout_sec is None else body.timeout_sec
            return Asked(self.service.app.tool.name, body.target, identifier, limit, self.clock() - began)

        try:
            view = await self.starting.run(wanted, request)
            if view is None:
                return None
            done = await self._completed(view)
            return await in_thread(lambda: completed_output(done, asked()))
        except (ProblemError, ToolDisabledError):
            raise
        except Exception as error:  # noqa: BLE001 - the known contract: a failure is an output
            return failed_output(error, asked(), tool._advice)

    async def _completed(self, view: JobView) -> CompletedScan:
        """The scan as the known output wants it. Raises what the scan ended in."""
        document = await self.service.jobs.result(view.scan_id)
        report = None if document is None else await in_thread(lambda: report_from_dict(document["report"]))
        if view.state is not ScanState.COMPLETED or document is None or report is None:
            raise _failure(view, report)
        plan = _Plan(document["plan"]["template"], tuple(document["plan"]["argv"]), tuple(document["plan"]["notes"]))
        completed = Completed(
            view.scan_id, view.trace_id, plan, report, int(document["attempts"]), float(document["duration"])
        )
        return cast("CompletedScan", completed)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the known output tells of a plan."""

    template: str | None
    argv: tuple[str, ...]
    notes: tuple[str, ...]


def _failure(view: JobView, report: object) -> Exception:
    """The error that a stored failure was."""
    fields: Mapping[str, Any] = view.error or {}
    message = str(fields.get("message", f"the scan was {view.state} before its end"))
    if fields.get("type") == "circuit_open":
        return CircuitBreakerOpenError(message, fields.get("retry_after"), fields.get("breaker_name"))
    kind = _ERRORS.get(str(fields.get("error_type")), ToolExecutionError)
    hint, detail = str(fields.get("hint") or ""), str(fields.get("detail") or "")
    return kind(message.partition("; ")[0], hint=hint, detail=detail, result=report)
