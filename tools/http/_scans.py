"""Scans over HTTP: run one and wait, or start one and come back; list, result, changes, stop."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import JSONResponse, Response

from .._threads import in_thread
from ..history._records import Query, ScanState
from ..nmap import ScanRequest, diff, report_from_dict
from ._auth import Role
from ._input import parse_query, read_body
from ._models import ChangesBody, DiffQuery, ResultBody, ScanBody, ScansBody, ScansQuery, ScanView
from ._problem import CLIENT_GONE, ProblemError, from_fields
from ._result_cache import ResultCache
from ._route import SCANS, Answer, Endpoint
from ._visit import visit_of

if TYPE_CHECKING:
    from starlette.requests import Request

    from ..jobs._view import JobView
    from ..service._service import Service
    from ._starting import Starting
    from ._visit import Visit

__all__ = ["ScanFace", "known_scan"]

_PREFER_WAIT: Final = re.compile(r"\bwait\s*=\s*(\d{1,5})\b")


@dataclass(frozen=True, slots=True)
class ScanFace:
    """The handlers, around one service."""

    service: Service
    starting: Starting
    cache: ResultCache = field(default_factory=ResultCache)

    def endpoints(self) -> list[Endpoint]:
        """What can be asked about scans."""
        one = "/scans/{scan_id}"
        result = Answer("the result", ResultBody)
        return [
            Endpoint(method="POST", path="/scans", handle=self.start, role=Role.SCAN, body=ScanBody, tag="scans",
                     summary="Run a scan and wait for it; with wait false, or Prefer: respond-async, start it",
                     answers={200: result, 202: Answer("it runs; Location says where to find it", ScanView)},
                     problems=(403, 429, 502), patient=True, tool=SCANS),
            Endpoint(method="GET", path="/scans", handle=self.list, query=ScansQuery, tag="scans",
                     summary="Scans that run or ran, the newest first",
                     answers={200: Answer("a page of scans", ScansBody)}),
            Endpoint(method="GET", path=one, handle=self.show, tag="scans", summary="How a scan stands",
                     answers={200: Answer("the scan", ScanView)}, problems=(404,)),
            Endpoint(method="DELETE", path=one, handle=self.cancel, role=Role.SCAN, tag="scans", patient=True,
                     summary="Stop a scan; what it had found is kept", audited="scan.cancel",
                     answers={200: Answer("the scan, stopped", ScanView)}, problems=(403, 404, 409)),
            Endpoint(method="GET", path=f"{one}/result", handle=self.result, tag="scans",
                     summary="The result of a scan, partial ones included",
                     answers={200: result, 304: Answer("it is the one you have", None)}, problems=(404, 409)),
            Endpoint(method="GET", path=f"{one}/diff", handle=self.diff, query=DiffQuery, tag="scans",
                     summary="What changed since the last comparable scan, or since the one named",
                     answers={200: Answer("the changes", ChangesBody)}, problems=(404, 409)),
        ]  # fmt: skip

    async def start(self, request: Request) -> Response:
        """Run one scan and answer with its result, or with where it will be."""
        body = await read_body(request, ScanBody, self.service.settings.serve.request_timeout)
        wanted = ScanRequest(
            targets=tuple(body.targets),
            template=body.template,
            extra_args=body.extra_args,
            exclude=tuple(body.exclude),
            timeout=body.timeout,
            correlation_id=body.correlation_id,
        )
        prefer = request.headers.get("prefer", "")
        if not body.wait or "respond-async" in prefer:
            return await self._started(wanted, request, prefer)
        view = await self.starting.run(wanted, request)
        if view is None:
            return Response(status_code=CLIENT_GONE)
        if view.state is not ScanState.COMPLETED:
            raise ended_badly(view)
        return await self._document(view.scan_id, request)

    async def list(self, request: Request) -> Response:
        """A page of the history."""
        asked = parse_query(request, ScansQuery)
        wanted = Query(
            state=None if asked.state is None else ScanState(asked.state),
            template=asked.template,
            target=asked.target,
            caller=asked.caller,
            schedule=asked.schedule,
            since=asked.since,
            until=asked.until,
            limit=asked.limit,
            before=asked.before,
        )
        try:
            page = await in_thread(partial(self.service.history.find, wanted))
        except ValueError as error:
            raise ProblemError(422, "bad_request", str(error)) from error
        return JSONResponse({"scans": [scan.to_dict() for scan in page.scans], "next": page.next})

    async def show(self, request: Request) -> Response:
        """One scan, running or ended."""
        view = await known_scan(self.service, request)
        return JSONResponse(view.to_dict())

    async def cancel(self, request: Request) -> Response:
        """Stop one: one's own, or as an operator anybody's."""
        view = await known_scan(self.service, request)
        _check_owner(view, visit_of(request))
        if not await self.service.jobs.cancel(view.scan_id):
            raise ProblemError(409, "already_ended", f"the scan does not run here; it is {view.state}")
        return JSONResponse((await self.service.jobs.wait(view.scan_id, None)).to_dict())

    async def result(self, request: Request) -> Response:
        """What a scan found."""
        scan_id: str = request.path_params["scan_id"]
        if (kept := self.cache.get(scan_id)) is not None:
            return _cached(scan_id, kept, request)
        view = await known_scan(self.service, request)
        if not view.is_final:
            detail = (
                f"the scan is {view.state}, {view.percent:.0f} % done; ask again, or follow /scans/{scan_id}/events"
            )
            raise ProblemError(409, "not_finished", detail, {"percent": view.percent}, {"retry-after": "1"})
        return await self._document(scan_id, request)

    async def diff(self, request: Request) -> Response:
        """What changed from one scan to another."""
        asked = parse_query(request, DiffQuery)
        view = await known_scan(self.service, request)
        old = asked.other or await self._comparable(view.scan_id)
        before, after = await self._report_of(old), await self._report_of(view.scan_id)
        found = await in_thread(lambda: diff(report_from_dict(before), report_from_dict(after)).to_dict())
        return JSONResponse({**found, "old": old, "new": view.scan_id})

    async def _started(self, wanted: ScanRequest, request: Request, prefer: str) -> Response:
        visit, jobs = visit_of(request), self.service.jobs
        view = await self.starting.start(wanted, visit.caller)
        headers = {"location": f"/scans/{view.scan_id}"}
        if "respond-async" in prefer:
            headers["preference-applied"] = "respond-async"
            if (seconds := _PREFER_WAIT.search(prefer)) is not None:
                view = await jobs.wait(view.scan_id, float(seconds[1]))
        return JSONResponse(view.to_dict(), status_code=HTTPStatus.ACCEPTED, headers=headers)

    async def _document(self, scan_id: str, request: Request) -> Response:
        body = await in_thread(partial(self.service.history.document_json, scan_id))
        if body is not None:
            self.cache.put(scan_id, body)
            return _cached(scan_id, body, request)
        # One that the history could not take.
        document = await self.service.jobs.result(scan_id)
        if document is None:
            raise ProblemError(404, "no_result", f"the scan {scan_id!r} ended without a result; see /scans/{scan_id}")
        return JSONResponse(document)

    async def _comparable(self, scan_id: str) -> str:
        last = await in_thread(partial(self.service.history.last_comparable, scan_id))
        if last is None:
            detail = "there is no earlier scan that asked the same; name one with ?with=SCAN_ID"
            raise ProblemError(404, "nothing_to_compare", detail)
        return last.scan_id

    async def _report_of(self, scan_id: str) -> dict[str, Any]:
        document = await self.service.jobs.result(scan_id)
        if document is None:
            raise ProblemError(404, "no_result", f"there is no result of scan {scan_id!r}; see GET /scans")
        report: dict[str, Any] = document["report"]
        return report


async def known_scan(service: Service, request: Request) -> JobView:
    """The scan that the path names. Raises ProblemError for one that nobody knows."""
    scan_id = request.path_params["scan_id"]
    view = await service.jobs.get(scan_id)
    if view is None:
        raise ProblemError(404, "no_such_scan", f"there is no scan {scan_id[:64]!r}, or not any more; see GET /scans")
    return view


def ended_badly(view: JobView) -> ProblemError:
    """The problem that a scan which was not completed ended in, with where to find what it had found."""
    if view.error is not None and view.state in {ScanState.FAILED, ScanState.REFUSED}:
        problem = from_fields(view.error)
    else:
        problem = ProblemError(503, str(view.state), f"the scan was {view.state} before its end")
    problem.fields |= {"scan_id": view.scan_id, "trace_id": view.trace_id}
    return problem


def _check_owner(view: JobView, visit: Visit) -> None:
    who = visit.principal
    if who is None or (who.role < Role.OPERATE and view.caller.user != who.name):
        raise ProblemError(403, "forbidden", "it is somebody else's scan; an operator may stop it")


def _cached(scan_id: str, body: bytes, request: Request) -> Response:
    """The result; it never changes, so a client that has it need not get it again."""
    tag = f'"{scan_id}"'
    headers = {"etag": tag, "cache-control": "private, no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(body, media_type="application/json", headers=headers)
