"""Starting scans for clients, a few at a time, and waiting with them for the end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

from .._process import end
from ._visit import visit_of

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from starlette.requests import Request

    from .._tool import Caller
    from ..jobs._jobs import Jobs
    from ..jobs._view import JobView
    from ..nmap import ScanRequest

__all__ = ["Starting"]

T = TypeVar("T")

_STARTING: Final = 32
"""Scans that are checked and put into the queue at once; each has tasks, spans and a record of its own."""


class Starting:
    """Starts scans, a few at a time. A crowd waits as what it is, requests, before each becomes a scan."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._places = asyncio.Semaphore(_STARTING)

    async def start(self, wanted: ScanRequest, caller: Caller) -> JobView:
        """Start one; see `Jobs.start` for what it raises."""
        async with self._places:
            return await self._jobs.start(wanted, caller)

    async def run(self, wanted: ScanRequest, request: Request) -> JobView | None:
        """How the scan ended; None when the client hung up before, and then the scan is stopped."""
        view = await self.start(wanted, visit_of(request).caller)
        try:
            return await _while_connected(request, self._jobs.wait(view.scan_id, None))
        finally:
            # Nobody else was told its id. One that has ended takes no harm.
            await self._jobs.cancel(view.scan_id)


async def _while_connected(request: Request, work: Coroutine[object, object, T]) -> T | None:
    """What `work` comes to; None when the client hangs up before, and then `work` is cancelled."""
    task, gone = asyncio.create_task(work), asyncio.create_task(_gone(request))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        return await task if task.done() else None
    finally:
        await end(gone)
        await end(task)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
