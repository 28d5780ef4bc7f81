"""Into a run or not: the policy's word, then a place in the queue, both told as they happen."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from tracefuse.telemetry import Attribute, Event, SeverityNumber, emit_event

from ._policy import PolicyViolation
from ._threads import beside

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from concurrent.futures import Executor

    from opentelemetry import trace

    from tracefuse.telemetry import Instrumentation, ScanInstruments

    from ._listeners import Listener
    from ._places import Places
    from ._queue import Queued
    from ._tool import Caller, Tool

__all__ = ["Admission"]

RequestT = TypeVar("RequestT")
PlanT = TypeVar("PlanT")
EventT = TypeVar("EventT")
ResultT = TypeVar("ResultT")


class Admission(Generic[RequestT, PlanT, EventT, ResultT]):
    """Admits the requests of one tool; `planning` has the threads for plans that may block."""

    def __init__(
        self,
        tool: Tool[RequestT, PlanT, EventT, ResultT],
        places: Places,
        instrumentation: Instrumentation,
        scans: ScanInstruments,
        clock: Callable[[], float],
        planning: Executor | None = None,
    ) -> None:
        self._tool = tool
        self._planning = planning
        self._places = places
        self._logger = instrumentation.logger
        self._scans = scans
        self._clock = clock

    async def plan(self, request: RequestT, span: trace.Span) -> PlanT:
        """Plan here, or in a thread where that may block; slow names then hold up nobody but those who gave some."""
        try:
            if self._tool.may_block(request):
                plan = await beside(self._planning, partial(self._tool.plan, request))
            else:
                plan = self._tool.plan(request)
        except PolicyViolation as violation:
            span.set_attributes({Attribute.POLICY_OUTCOME: "refused", Attribute.POLICY_RULE: violation.rule})
            self._scans.refused(self._tool.name, violation.rule)
            emit_event(
                self._logger, Event.POLICY_REFUSED, {Attribute.RULE: violation.rule}, severity=SeverityNumber.WARN
            )
            raise
        span.set_attributes({Attribute.POLICY_OUTCOME: "allowed", **self._tool.describe(plan)})
        return plan

    @asynccontextmanager
    async def place(self, caller: Caller, span: trace.Span, listener: Listener[EventT]) -> AsyncGenerator[None]:
        """Hold a place during the block; raises QueueFullError when there is not even one to wait in."""
        wait = _Wait(self._tool.name, self._scans, self._clock)

        def queued(queued: Queued) -> None:
            wait.begin(queued)
            attributes = {Attribute.REASON: queued.reason.value, Attribute.POSITION: queued.position}
            emit_event(self._logger, Event.SCAN_QUEUED, attributes)
            listener.queued(queued)

        try:
            async with self._places.take(self._tool.name, caller.turn, queued=queued):
                wait.end(span)
                yield
        finally:
            # Also for who gave up waiting.
            wait.end(span)


class _Wait:
    """One wait in the queue, if there is one."""

    def __init__(self, tool: str, scans: ScanInstruments, clock: Callable[[], float]) -> None:
        self._tool = tool
        self._scans = scans
        self._clock = clock
        self._queued: Queued | None = None
        self._began = 0.0

    def begin(self, queued: Queued) -> None:
        self._queued, self._began = queued, self._clock()
        self._scans.queued(self._tool, queued.reason.value)

    def end(self, span: trace.Span) -> None:
        if self._queued is None:
            return
        reason, waited = self._queued.reason.value, self._clock() - self._began
        self._queued = None
        self._scans.admitted(self._tool, reason, waited=waited)
        span.set_attributes({Attribute.QUEUE_WAIT: waited, Attribute.QUEUE_REASON: reason})
