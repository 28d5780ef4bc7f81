"""One scan that runs in the background: its task, how far it is, and who follows it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from .._explain import explain
from .._queue import Queued
from .._runner import Completed
from ..history._records import ScanState
from ..nmap import HostFinished, PhaseBegan, ScanStarted, phase_name
from ..nmap._live_ports import PortDiscovered
from ..nmap._progress import OverallProgress
from ._events import Fanout
from ._view import JobsClosedError, JobView

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from .._app import App
    from .._tool import Caller
    from ..history._scan_record import RecordKeeper
    from ..nmap import Report, ScanRequest
    from ._events import JobEvent

__all__ = ["Job"]

_log = logging.getLogger(__name__)


class Job:
    """One scan. Its task ends when its end is stored, and raises nothing but its own cancellation.

    `check` is asked before anything else; what it raises is why the scan is refused.

    Attributes:
        scan_id: its id.
        fanout: its events.
        record: its record.
    """

    def __init__(
        self,
        app: App,
        keeper: RecordKeeper,
        scan_id: str,
        request: ScanRequest,
        caller: Caller,
        schedule: str | None,
        check: Callable[[], None],
    ) -> None:
        self.scan_id = scan_id
        self.fanout = Fanout()
        self.record = keeper.record(scan_id, request, caller, schedule=schedule, admitted=self._admitted)
        self._app = app
        self._request = request
        self._caller = caller
        self._check = check
        self._state = ScanState.QUEUED
        self._progress = OverallProgress(0.0, "")
        self._hosts_up = 0
        self._ports_open = 0
        self._stopped_as: ScanState | None = None
        self._accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # The context is copied here, so the scan's spans hang below the span of who asked.
        self.task = asyncio.create_task(self._run(), name=f"scan {scan_id}")
        # Called also for a task that was cancelled before its first step.
        self.task.add_done_callback(lambda _: self._over())

    async def accepted(self) -> None:
        """Return when the scan waits or runs; raises why it was refused."""
        await asyncio.shield(self._accepted)
        if self.task.cancelled() and self.record.end is None:
            raise JobsClosedError

    async def stop(self, state: ScanState) -> None:
        """Stop nmap, keep what was found, and return when both are done; the scan ends in `state`."""
        self._stopped_as = self._stopped_as or state
        self.task.cancel()
        await asyncio.wait((self.task,))

    def view(self) -> JobView:
        """How it stands."""
        start, end, record = self.record.start, self.record.end, self.record
        return JobView(
            scan_id=self.scan_id,
            state=self._state if end is None else end.state,
            caller=start.caller,
            request=start.request,
            created=start.begun,
            started=record.started,
            ended=None if end is None else end.ended,
            percent=self._percent(),
            phase=self._progress.phase,
            hosts_up=self._hosts_up if end is None else end.hosts_up,
            ports_open=self._ports_open if end is None else end.ports_open,
            changes=None if end is None or end.changes is None else len(end.changes),
            compared_with=None if end is None else end.compared_with,
            error=None if end is None else end.error,
            trace_id=start.trace_id,
            schedule=start.schedule,
            warnings=tuple(record.warnings),
        )

    def document(self) -> Mapping[str, Any] | None:
        """The result of one that has ended."""
        return None if self.record.end is None else self.record.end.document

    def _percent(self) -> float:
        end = self.record.end
        if end is not None and end.state is ScanState.COMPLETED:
            return 100.0
        return min(self._progress.percent, 99.0)

    async def _run(self) -> None:
        stream = self._app.stream(self._request, caller=self._caller, scan_id=self.scan_id, recorder=self.record)
        try:
            self._check()
            async with stream:
                async for event in stream:
                    if not isinstance(event, Completed):
                        self._follow(event)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is how the scan ended
            await self._failed(error, stream.result)

    async def _failed(self, error: BaseException, found: Report | None) -> None:
        if isinstance(error, Exception) and explain(error) is None:
            _log.error("scan %s ended with an error that nobody expected", self.scan_id, exc_info=error)
        await self.record.failed(error, found, stopped_as=self._stopped_as or ScanState.INTERRUPTED)
        if not self._accepted.done() and isinstance(error, Exception):
            self._accepted.set_exception(error)

    def _over(self) -> None:
        self.fanout.end()
        self._accept()

    def _accept(self) -> None:
        if not self._accepted.done():
            self._accepted.set_result(None)

    def _admitted(self) -> None:
        self._state = ScanState.RUNNING
        self._accept()

    def _follow(self, event: JobEvent) -> None:
        match event:
            case Queued(reason, position):
                self._progress = OverallProgress(0.0, f"waiting, {reason}, number {position} in the queue")
                self._accept()
            case ScanStarted():
                self._hosts_up = self._ports_open = 0
            case PhaseBegan(task):
                self._progress = OverallProgress(self._progress.percent, phase_name(task))
            case OverallProgress():
                self._progress = event
            case PortDiscovered():
                self._ports_open += 1
            case HostFinished(host):
                self._hosts_up += host.is_up
            case _:
                pass
        self.fanout.put(event)
