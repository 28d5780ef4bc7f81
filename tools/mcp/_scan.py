"""The tools that start, follow and stop scans."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import anyio

from .._process import end
from .._queue import Queued
from ..history._records import ScanState
from ..nmap import OverallProgress
from ._call import Answer, Handed, job_of, stop_scan
from ._errors import CallError, stored_error
from ._output import CancelOutput, StatusOutput
from ._view import scan_output, scan_text

if TYPE_CHECKING:
    from ..jobs._view import JobView
    from ._call import Call
    from ._input import ScanIdInput, ScanInput, StatusInput
    from ._output import ErrorOutput

__all__ = [
    "DIRECT",
    "cancel",
    "describe",
    "ended_answer",
    "error_of",
    "no_result",
    "poll_after",
    "scan",
    "start",
    "status",
]

DIRECT: Final = 1.0
"""Seconds in which a scan may end to be answered at once, also to a client that takes tasks."""
_TOLD_WITHIN: Final = 1.0
"""Seconds that a client gets to take one progress notification; a slower one misses it."""


async def scan(call: Call, arguments: ScanInput) -> Answer | Handed:
    """Run a scan to its end; hand it over as a task when the client takes one and it lasts.

    A call that is cancelled stops its scan.
    """
    job = await call.service.jobs.start(arguments.request(), call.caller)
    try:
        job = await _followed(call, job.scan_id)
    except BaseException:
        with anyio.CancelScope(shield=True):
            await call.service.jobs.cancel(job.scan_id)
        raise
    return await ended_answer(call, job) if job.is_final else Handed(job)


async def start(call: Call, arguments: ScanInput) -> Answer:
    """Begin a scan and answer at once."""
    return _status(await call.service.jobs.start(arguments.request(), call.caller))


async def status(call: Call, arguments: StatusInput) -> Answer:
    """How far a scan is, after waiting for its end for some time."""
    job = await job_of(call.service, arguments.scan_id)
    if not job.is_final and arguments.wait_sec > 0:
        job = await call.service.jobs.wait(job.scan_id, arguments.wait_sec)
    return _status(job)


async def cancel(call: Call, arguments: ScanIdInput) -> Answer:
    """Stop a scan and keep what it had found."""
    job = await job_of(call.service, arguments.scan_id)
    cancelled = await stop_scan(call.service, job, call.principal, call.caller)
    job = await job_of(call.service, arguments.scan_id)
    output = CancelOutput(scan_id=job.scan_id, cancelled=cancelled, state=job.state.value)
    if cancelled:
        told = "was stopped; scan_result has what it had found"
    elif job.is_final:
        told = f"had ended before: {job.state}"
    else:
        told = "runs in another process of this machine, and is not stopped from here"
    return Answer(output, f"Scan {job.scan_id} {told}.")


async def _followed(call: Call, scan_id: str) -> JobView:
    telling = asyncio.create_task(_tell(call, scan_id))
    try:
        return await call.service.jobs.wait(scan_id, DIRECT if call.takes_tasks else None)
    finally:
        await end(telling)


async def _tell(call: Call, scan_id: str) -> None:
    """Pass on how far the scan is; a percentage that did not grow is no progress (it must increase)."""
    last = -1.0
    async for event in call.service.jobs.events(scan_id):
        match event:
            case OverallProgress(percent, phase):
                message = phase
            case Queued(reason, position):
                percent, message = 0.0, f"waiting, {reason}, number {position} in the queue"
            case _:
                continue
        if percent > last:
            last = percent
            with anyio.move_on_after(_TOLD_WITHIN):
                await call.progress(percent, message)


async def ended_answer(call: Call, job: JobView) -> Answer:
    """What an ended scan found, whole or in part."""
    document = await call.service.jobs.result(job.scan_id)
    error = error_of(job)
    output = await asyncio.to_thread(scan_output, job.scan_id, job.state.value, document, error=error)
    return Answer(output, scan_text(output), failed=job.state is not ScanState.COMPLETED)


def error_of(job: JobView) -> ErrorOutput | None:
    """Why it failed."""
    return None if job.error is None else stored_error(job.error)


def _status(job: JobView) -> Answer:
    over = job.is_final
    if over:
        following = f'scan_result(scan_id="{job.scan_id}") has what it found'
    else:
        following = f'scan_status(scan_id="{job.scan_id}", wait_sec=20) waits for its end'
    output = StatusOutput(
        scan_id=job.scan_id,
        state=job.state.value,
        percent=round(job.percent, 1),
        phase=job.phase or None,
        created=job.created.isoformat(),
        started=None if job.started is None else job.started.isoformat(),
        ended=None if job.ended is None else job.ended.isoformat(),
        hosts_up=job.hosts_up,
        ports_open=job.ports_open,
        trace_id=job.trace_id,
        error=error_of(job),
        poll_after=None if over else poll_after(job.percent),
        next_step=following,
    )
    return Answer(output, f"Scan {job.scan_id}: {describe(job)}. Next: {following}.")


def describe(job: JobView) -> str:
    """How far a scan is, in a few words."""
    if job.error is not None:
        return f"{job.state} ({stored_error(job.error).message})"
    told = f"{job.state}, about {job.percent:.0f} %" if job.state is ScanState.RUNNING else str(job.state)
    return f"{told}, {job.phase}" if job.phase and not job.is_final else told


def poll_after(percent: float) -> float:
    """Seconds after which asking again makes sense: soon at the beginning and near the end.

    >>> poll_after(0.0), poll_after(50.0), poll_after(97.0)
    (1.0, 5.0, 2.0)
    """
    if percent < 5.0:
        return 1.0
    return 2.0 if percent > 90.0 else 5.0


def no_result(job: JobView) -> CallError:
    """The error for who wants the result of a scan that has not ended."""
    return CallError(
        "not_ended",
        f"scan {job.scan_id} has not ended: {describe(job)}",
        suggestion=f'scan_status(scan_id="{job.scan_id}", wait_sec=20) waits for its end',
        retry_after=poll_after(job.percent),
    )
