"""The tools that read scans: results, differences, history."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

from ..history._records import Query, ScanState
from ..nmap import diff
from ._call import Answer, job_of
from ._errors import CallError
from ._input import ArgumentError
from ._output import ChangeOutput, DiffOutput, HistoryOutput, ScanRow
from ._paging import cut, read_place
from ._scan import error_of, no_result
from ._view import one_line, report_of, scan_output, scan_text

if TYPE_CHECKING:
    from ..history._records import StoredScan
    from ..nmap import ReportDiff
    from ._call import Call
    from ._input import DiffInput, HistoryInput, ResultInput

__all__ = ["changes", "history", "result"]


async def result(call: Call, arguments: ResultInput) -> Answer:
    """One page of what an ended scan found."""
    place = read_place(arguments.cursor)
    job = await job_of(call.service, arguments.scan_id)
    if not job.is_final:
        raise no_result(job)
    document = await call.service.jobs.result(job.scan_id)
    output = await asyncio.to_thread(
        scan_output,
        job.scan_id,
        job.state.value,
        document,
        place=place,
        rows=arguments.limit,
        everything=arguments.all_ports,
        only=arguments.host,
        error=error_of(job),
    )
    return Answer(output, scan_text(output))


async def changes(call: Call, arguments: DiffInput) -> Answer:
    """What changed between two scans."""
    old_id = arguments.old_scan_id or await _last_comparable(call, arguments.new_scan_id)
    old, new = [await _document(call, scan_id) for scan_id in (old_id, arguments.new_scan_id)]
    found = await asyncio.to_thread(lambda: diff(report_of(old), report_of(new)))
    output = _diff_output(old_id, arguments, found)
    lines = [output.summary, *(f"{change.host}: {change.summary}" for change in output.changes)]
    if output.next_cursor:
        lines.append(f'More: the same call with cursor="{output.next_cursor}"')
    return Answer(output, "\n".join(lines))


async def _last_comparable(call: Call, scan_id: str) -> str:
    await job_of(call.service, scan_id)
    found = await asyncio.to_thread(call.service.history.last_comparable, scan_id)
    if found is None:
        raise CallError(
            "not_found",
            f"no earlier completed scan asked for the same as {scan_id}",
            suggestion="give old_scan_id; scan_history lists the scans there are",
            field="old_scan_id",
        )
    return found.scan_id


async def _document(call: Call, scan_id: str) -> dict[str, Any]:
    job = await job_of(call.service, scan_id)
    if not job.is_final:
        raise no_result(job)
    document = await call.service.jobs.result(scan_id)
    if document is None:
        raise CallError("not_found", f"scan {scan_id} found nothing: {job.state}", field="scan_id")
    return document


def _diff_output(old_id: str, arguments: DiffInput, found: ReportDiff) -> DiffOutput:
    page, following = cut(found.changes, arguments.cursor, arguments.limit)
    return DiffOutput(
        old_scan_id=old_id,
        new_scan_id=arguments.new_scan_id,
        summary=str(found).partition("\n")[0].rstrip(":"),
        changes_total=len(found.changes),
        by_kind=dict(Counter(str(change.kind) for change in found.changes)),
        hosts_compared=found.hosts_compared,
        not_compared=len(found.not_compared),
        changes=[
            ChangeOutput(
                kind=str(change.kind),
                host=change.host,
                port=change.port,
                protocol=change.protocol,
                summary=one_line(change.summary),
            )
            for change in page
        ],
        next_cursor=following,
    )


async def history(call: Call, arguments: HistoryInput) -> Answer:
    """Earlier scans, newest first."""
    query = Query(
        state=None if arguments.state is None else ScanState(arguments.state),
        template=arguments.template,
        target=arguments.target,
        since=arguments.since,
        until=arguments.until,
        limit=arguments.limit,
        before=_before(arguments.cursor),
    )
    page = await asyncio.to_thread(call.service.history.find, query)
    output = HistoryOutput(
        scans=[_row(scan) for scan in page.scans], next_cursor=None if page.next is None else str(page.next)
    )
    lines = [_row_text(row) for row in output.scans] or ["No scan fits."]
    return Answer(output, "\n".join(lines))


def _before(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 16):
        raise ArgumentError("cursor", "not a next_cursor of this tool; leave it out for the first page", {})
    return int(cursor)


def _row(scan: StoredScan) -> ScanRow:
    request = scan.request
    targets = [request.get("target", ""), *request.get("targets", ())]
    return ScanRow(
        scan_id=scan.scan_id,
        state=scan.state.value,
        target=one_line(" ".join(str(target) for target in targets if target)),
        template=one_line(str(request["template"])) if request.get("template") else None,
        extra_args=one_line(str(request.get("extra_args", ""))),
        begun=scan.begun.isoformat(),
        caller=" ".join(part for part in (str(scan.caller.kind), scan.caller.name, scan.caller.user) if part),
        schedule=scan.schedule,
        hosts_up=scan.hosts_up,
        ports_open=scan.ports_open,
        changes=scan.changes,
    )


def _row_text(row: ScanRow) -> str:
    asked = " ".join(part for part in (row.target, row.template, row.extra_args) if part)
    found = "" if row.hosts_up is None else f", {row.hosts_up} up, {row.ports_open} open ports"
    return f"{row.scan_id} {row.begun[:19]}Z {row.state}: {asked}{found}"
