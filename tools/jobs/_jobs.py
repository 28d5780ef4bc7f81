"""Scans that outlive the request that asked for them: started, followed, stopped, and found again later."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Final

from tracefuse.telemetry import Instrumentation, ScanInstruments

from .._errors import ToolDisabledError
from .._listeners import call_safely
from .._runner import new_scan_id
from .._threads import in_thread
from ..history._breakers import BreakerLog
from ..history._records import ScanState, UnknownScanError
from ..history._scan_record import RecordKeeper, utc_now
from ._job import Job
from ._switch import TOOL_DISABLED, ToolSwitch
from ._view import JobsClosedError, JobView, view_of_stored

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from datetime import datetime
    from typing import Any

    from .._app import App
    from .._tool import Caller
    from ..history._history import History
    from ..nmap import ScanRequest
    from ._events import JobEvent

__all__ = ["JobView", "Jobs", "JobsClosedError", "UnknownScanError"]

_UNSTORED: Final = 20
"""Ended scans that are kept in memory because the history could not take them."""
_POLL: Final = 0.25
"""Seconds between two looks at a scan that another process runs."""


class Jobs:
    """The scans of one service. All methods belong to one event loop.

    Args:
        app: what runs them.
        history: where they are kept.
        instrumentation: where changes are told; by default the global providers.
        clock: the time, with a zone.
        new_id: makes scan ids.

    Attributes:
        switch: whether scans are taken at all, whoever asks.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from tracefuse.tools import Caller, ScanRequest
    >>> from tracefuse.tools.history._history import History
    >>> from tracefuse.tools.nmap.testing import fake_app
    >>> async def main(folder: str) -> None:
    ...     history = History.open(Path(folder) / "history.sqlite3", max_age=86_400.0, max_bytes=10_000_000)
    ...     jobs = Jobs(fake_app()[0], history)
    ...     job = await jobs.start(ScanRequest("10.0.0.7", "-p 22"), Caller())
    ...     ended = await jobs.wait(job.scan_id, timeout=10.0)
    ...     print(ended.state, ended.ports_open, (await jobs.result(job.scan_id))["schema"])
    ...     await jobs.close(grace=1.0)
    ...     history.close()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     asyncio.run(main(folder))
    completed 1 tracefuse.scan/1
    """

    def __init__(
        self,
        app: App,
        history: History,
        *,
        instrumentation: Instrumentation | None = None,
        clock: Callable[[], datetime] = utc_now,
        new_id: Callable[[], str] = new_scan_id,
    ) -> None:
        self._app = app
        self._history = history
        self._keeper = RecordKeeper(
            history,
            instrumentation=instrumentation,
            redacts=lambda: app.settings.telemetry.redact_targets,
            clock=clock,
        )
        self._breakers = BreakerLog(app.breakers.registry, history, clock=clock)
        self._new_id = new_id
        self._refusals = ScanInstruments(instrumentation or Instrumentation.from_providers())
        self.switch = ToolSwitch(app.tool.name)
        self._running: dict[str, Job] = {}
        self._unstored: OrderedDict[str, Job] = OrderedDict()
        self._closed = False
        self._listeners: list[Callable[[JobView], None]] = []

    def add_listener(self, listener: Callable[[JobView], None]) -> None:
        """Call `listener` when a scan was accepted and when one has ended, refused ones included.

        It is called in the context of who asked. One that raises is logged and changes nothing.
        """
        self._listeners.append(listener)

    @property
    def running(self) -> int:
        """How many wait or run."""
        return len(self._running)

    async def start(self, request: ScanRequest, caller: Caller, *, schedule: str | None = None) -> JobView:
        """Start a scan, and return when it waits or runs; that it does is stored then.

        Its spans hang below the current one. A refusal is stored, too.

        Raises:
            PolicyViolation: the policy refuses it.
            ToolDisabledError: an operator has switched the tool off.
            QueueFullError: too many wait already.
            CircuitBreakerOpenError: the tool failed too often lately.
            JobsClosedError: the service goes down.
        """
        if self._closed:
            raise JobsClosedError
        job = Job(self._app, self._keeper, self._new_id(), request, caller, schedule, self._check)
        self._running[job.scan_id] = job
        job.task.add_done_callback(lambda _: self._settle(job))
        try:
            await job.accepted()
        except asyncio.CancelledError:
            # Nobody knows its id.
            await job.stop(ScanState.CANCELLED)
            raise
        view = job.view()
        if not view.is_final:  # else its end was told already
            self._tell(view)
        return view

    async def get(self, scan_id: str) -> JobView | None:
        """How the scan stands, wherever it runs or ran; None for one that nobody knows."""
        job = self._job(scan_id)
        if job is not None:
            return job.view()
        scan = await in_thread(partial(self._history.get, scan_id))
        return None if scan is None else view_of_stored(scan)

    async def result(self, scan_id: str) -> dict[str, Any] | None:
        """What the scan found (schema `tracefuse.scan/1`), partial results included; None while there is none."""
        job = self._job(scan_id)
        if job is not None:
            document = job.document()
            return None if document is None else dict(document)
        return await in_thread(partial(self._history.document, scan_id))

    async def wait(self, scan_id: str, timeout: float | None) -> JobView:
        """How the scan stands when it has ended, or after `timeout` seconds.

        Raises:
            UnknownScanError: there is no such scan.
        """
        try:
            async with asyncio.timeout(timeout):
                return await self._ended(scan_id)
        except TimeoutError:
            return await self._known(scan_id)

    async def cancel(self, scan_id: str) -> bool:
        """Stop the scan; nmap is gone and what was found is stored when this returns.

        False when it does not run here.
        """
        job = self._running.get(scan_id)
        if job is None:
            return False
        await job.stop(ScanState.CANCELLED)
        return True

    async def events(self, scan_id: str, *, buffer: int = 1000) -> AsyncGenerator[JobEvent]:
        """What happens in the scan from now on, up to its end; nothing for one that does not run here.

        The first event is how far it is. At most `buffer` wait to be taken: who is slower gets the
        latest percentage only, and then loses the oldest events; the scan never waits for a reader.
        """
        job = self._running.get(scan_id)
        if job is None:
            return
        with job.fanout.reader(buffer) as reader:
            while (event := await reader.take()) is not None:
                yield event

    async def close(self, grace: float) -> None:
        """Take no more scans, let those that run finish for `grace` seconds, then stop them. Idempotent.

        What a stopped one had found is kept; its state is `interrupted`.
        """
        self._closed = True
        if self._running:
            await asyncio.wait([job.task for job in self._running.values()], timeout=grace)
        await asyncio.gather(*(job.stop(ScanState.INTERRUPTED) for job in tuple(self._running.values())))
        await in_thread(self._breakers.close)

    def _check(self) -> None:
        try:
            self.switch.check()
        except ToolDisabledError:
            self._refusals.refused(self.switch.name, TOOL_DISABLED)
            raise

    def _job(self, scan_id: str) -> Job | None:
        return self._running.get(scan_id) or self._unstored.get(scan_id)

    def _settle(self, job: Job) -> None:
        """The scan has ended: from now on the history answers for it, if it can."""
        del self._running[job.scan_id]
        self._tell(job.view())
        if not job.record.stored:
            self._unstored[job.scan_id] = job
            if len(self._unstored) > _UNSTORED:
                self._unstored.popitem(last=False)

    def _tell(self, view: JobView) -> None:
        for listener in self._listeners:
            call_safely(listener, view)

    async def _ended(self, scan_id: str) -> JobView:
        job = self._running.get(scan_id)
        if job is not None:
            await asyncio.wait((job.task,))
            return job.view()
        view = await self._known(scan_id)
        while not view.is_final:
            # Nobody tells one process of another's scan.
            await asyncio.sleep(_POLL)
            view = await self._known(scan_id)
        return view

    async def _known(self, scan_id: str) -> JobView:
        view = await self.get(scan_id)
        if view is None:
            raise UnknownScanError(scan_id)
        return view
