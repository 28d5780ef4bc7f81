"""Keeps one scan in the history, from its plan to its end. A history that fails never fails the scan."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

from opentelemetry import trace

from tracefuse.resilience import CircuitBreakerOpenError
from tracefuse.telemetry import Attribute, Event, Instrumentation, SeverityNumber, emit_event

from .._errors import QueueFullError, ToolDisabledError, ToolError
from .._explain import explain
from .._policy import PolicyViolation
from .._result import completed_to_dict, partial_to_dict
from .._threads import in_thread
from ..nmap import Report
from ._records import HistoryError, ScanEnd, ScanStart, ScanState, request_to_dict
from ._scan_changes import ChangeTeller, compare
from ._signature import plan_signature

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from opentelemetry.util.types import AttributeValue

    from .._app import CompletedScan
    from .._tool import Caller
    from ..nmap import ScanPlan, ScanRequest
    from ._history import History
    from ._scan_changes import Comparison

__all__ = ["RecordKeeper", "ScanRecord", "end_state", "utc_now"]

_log = logging.getLogger(__name__)

_MOST_TARGETS: Final = 1024
"""Targets of a refused request that are kept: nobody has counted them."""
_REFUSALS: Final = (PolicyViolation, QueueFullError, CircuitBreakerOpenError, ToolDisabledError)


def utc_now() -> datetime:
    """The time in UTC."""
    return datetime.now(UTC)


class RecordKeeper:
    """What all records share.

    Args:
        history: where they go.
        instrumentation: where changes, and what could not be stored, are told.
        redacts: whether addresses are left out of these events.
        clock: the time, with a zone.
    """

    def __init__(
        self,
        history: History,
        *,
        instrumentation: Instrumentation | None = None,
        redacts: Callable[[], bool] = lambda: False,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.history = history
        self.clock = clock
        self._instrumentation = instrumentation or Instrumentation.from_providers()
        self.teller = ChangeTeller(self._instrumentation, redacts=redacts)

    def record(
        self,
        scan_id: str,
        request: ScanRequest,
        caller: Caller,
        *,
        schedule: str | None = None,
        admitted: Callable[[], object] = lambda: None,
    ) -> ScanRecord:
        """A record for one scan; `admitted` is called when the scan may run."""
        return ScanRecord(self, scan_id, request, caller, schedule, admitted)

    def failed(self, scan_id: str, error: HistoryError) -> None:
        """Say that something about a scan could not be stored."""
        _log.warning("scan %s is not in the history as it should be: %s", scan_id, error)
        attributes = {Attribute.REASON: error.reason, Attribute.SCAN_ID: scan_id}
        emit_event(self._instrumentation.logger, Event.HISTORY_FAILED, attributes, severity=SeverityNumber.ERROR)


class ScanRecord:
    """The record of one scan, and what it says so far. It is the `recorder` of the scan's run.

    Attributes:
        start: what was stored when it began; before that, what is known without a plan.
        end: how it ended; None while it goes on.
        stored: whether its end is in the history.
        warnings: what could not be stored, in words.
    """

    def __init__(
        self,
        keeper: RecordKeeper,
        scan_id: str,
        request: ScanRequest,
        caller: Caller,
        schedule: str | None,
        admitted: Callable[[], object],
    ) -> None:
        self._keeper = keeper
        self._admitted = admitted
        self.start = ScanStart(
            scan_id=scan_id,
            request=request_to_dict(request),
            caller=caller,
            begun=keeper.clock(),
            schedule=schedule,
            trace_id=_current_trace(),
            targets=_targets(request),
        )
        self.started: datetime | None = None
        self.end: ScanEnd | None = None
        self.stored = False
        self.warnings: list[str] = []
        self._planned = False
        self._begun = False

    async def planned(self, plan: ScanPlan, trace_id: str | None, /) -> None:
        """Store that the scan begins."""
        names = (name for name, _ in plan.scope.names)
        self.start = replace(
            self.start, trace_id=trace_id, signature=plan_signature(plan), targets=(*plan.targets, *names)
        )
        self._planned = True
        await in_thread(self._begin)

    def admitted(self) -> None:
        """Note when it was let through for the first time."""
        self.started = self.started or self._keeper.clock()
        self._admitted()

    async def completed(self, done: CompletedScan, /) -> Mapping[str, AttributeValue]:
        """Compare it, tell the changes on its span, and store its result."""
        compared = await in_thread(partial(self._complete, done))
        return {} if compared is None else {Attribute.CHANGES_COUNT: len(compared.changes)}

    async def failed(self, error: BaseException, found: object, *, stopped_as: ScanState) -> None:
        """Store that `error` ended it, with what it had found; one that was cancelled ends in `stopped_as`."""
        if self.end is not None:
            return
        stopped = isinstance(error, asyncio.CancelledError)
        state = stopped_as if stopped else end_state(error, ran=self.started is not None)
        found = found or getattr(error, "result", None)
        report = found if isinstance(found, Report) else None
        fields = _fields(error)
        if self._planned:
            await in_thread(lambda: self._finish(self._end(state, report, _partial(report), None, fields)))
        else:
            await in_thread(lambda: self._refuse(ScanEnd(state=state, error=fields, ended=self._keeper.clock())))

    def _end(
        self,
        state: ScanState,
        report: Report | None,
        document: Mapping[str, Any] | None,
        compared: Comparison | None,
        error: Mapping[str, Any] | None = None,
    ) -> ScanEnd:
        return ScanEnd(
            state=state,
            document=document,
            error=error,
            hosts_up=None if report is None else report.hosts_up,
            ports_open=None if report is None else sum(len(host.open_ports) for host in report.hosts),
            changes=None if compared is None else compared.changes,
            compared_with=None if compared is None else compared.scan_id,
            started=self.started,
            ended=self._keeper.clock(),
            report=report if state is ScanState.COMPLETED else None,
        )

    def _begin(self) -> None:
        self._begun = self._safely(lambda: self._keeper.history.begin(self.start))

    def _finish(self, end: ScanEnd) -> None:
        self.end = end
        if not self._begun:
            self._begin()
        self.stored = self._begun and self._safely(lambda: self._keeper.history.finish(self.start.scan_id, end))

    def _refuse(self, end: ScanEnd) -> None:
        self.end = end
        self.stored = self._safely(lambda: self._keeper.history.refuse(self.start, end))

    def _complete(self, done: CompletedScan) -> Comparison | None:
        compared: Comparison | None = None

        def ask() -> None:
            nonlocal compared
            compared = compare(self._keeper.history, self.start.scan_id, done.result)

        if self._safely(ask) and compared is not None:
            self._keeper.teller.tell(self.start.scan_id, compared)
        self._finish(self._end(ScanState.COMPLETED, done.result, completed_to_dict(done), compared))
        return compared

    def _safely(self, work: Callable[[], None]) -> bool:
        """Whether `work` was done; where it was not, that is said."""
        try:
            work()
        except HistoryError as error:
            self.warnings.append(str(error))
            self._keeper.failed(self.start.scan_id, error)
            return False
        return True


def end_state(error: BaseException, *, ran: bool) -> ScanState:
    """What a scan is that ended with `error`: refused only when nothing of it `ran`."""
    return ScanState.REFUSED if isinstance(error, _REFUSALS) and not ran else ScanState.FAILED


def _current_trace() -> str | None:
    """The caller's trace: that of the scan, too, also of one that is refused before it has a span of its own."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else None


def _targets(request: ScanRequest) -> tuple[str, ...]:
    """As asked for; nothing of it has been checked."""
    several: object = getattr(request, "targets", ())
    given: list[object] = [
        request.target,
        *cast("Sequence[object]", several if isinstance(several, tuple | list) else ()),
    ]
    return tuple(target for target in given if isinstance(target, str) and target)[:_MOST_TARGETS]


def _partial(report: Report | None) -> Mapping[str, Any] | None:
    return None if report is None else partial_to_dict(report)


def _fields(error: BaseException) -> dict[str, Any]:
    explained = explain(error)
    if explained is not None:
        return dict(explained.fields)
    if isinstance(error, Exception) and not isinstance(error, ToolError):
        return {"type": "internal_error", "message": f"an unexpected {type(error).__name__}; see the service's log"}
    return {"type": "stopped", "message": "it was stopped before its end"}
