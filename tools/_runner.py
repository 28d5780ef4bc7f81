"""The runner: every effect of a tool's operation, in one place and in one order.

    policy › queue › retry › breaker › process › streamed output › result

Each step is told in spans, events and metrics; none of them can break the operation.
"""

from __future__ import annotations

import secrets
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from opentelemetry.trace import format_trace_id

from tracefuse.telemetry import (
    Attribute,
    Instrumentation,
    ScanInstruments,
    ToolInstruments,
    error_type,
    operation_span,
)

from ._admission import Admission
from ._attempt import Attempts, Found
from ._errors import QueueFullError
from ._listeners import Callback
from ._local import spawn
from ._places import Places
from ._stream import EventStream
from ._tool import Caller
from .history._recorder import NoRecord

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator
    from concurrent.futures import Executor
    from pathlib import Path

    from opentelemetry import trace
    from opentelemetry.util.types import AttributeValue

    from tracefuse.resilience import Pipeline

    from ._listeners import Listener
    from ._process import Spawn
    from ._tool import Estimate, Installation, Observer, Tool
    from .history._recorder import Recorder

__all__ = ["Completed", "Runner", "new_scan_id"]

RequestT = TypeVar("RequestT")
PlanT = TypeVar("PlanT")
EventT = TypeVar("EventT")
ResultT = TypeVar("ResultT")


def new_scan_id() -> str:
    """A random id of 16 hex digits."""
    return secrets.token_hex(8)


@dataclass(frozen=True, slots=True)
class Completed(Generic[PlanT, ResultT]):
    """One operation that came to its end.

    `trace_id` is 32 hex digits, or None when nothing is traced; `duration` is in seconds and holds
    waiting and retries.
    """

    scan_id: str
    trace_id: str | None
    plan: PlanT
    result: ResultT
    attempts: int
    duration: float


class Runner(Generic[RequestT, PlanT, EventT, ResultT]):
    """Runs one tool's requests.

    Args:
        tool: the pure part.
        pipeline: retry and circuit breaker around each run.
        locate: finds the tool's program; called in each attempt, so that its absence is a failure like others.
        observe: makes the tool's observer for one attempt.
        workdir: the empty folder to run in.
        places: how many run at once, and who is next; by default some.
        planning: the threads for plans that may block; by default those of the event loop.
        instrumentation: where to tell it; by default the global providers.
        spawn: starts a command.
        grace: seconds between asking a child to end and killing it.
        record_arguments: put the command line, targets included, on the process span.
        clock: monotonic seconds.
        new_id: makes scan ids.
    """

    def __init__(
        self,
        tool: Tool[RequestT, PlanT, EventT, ResultT],
        pipeline: Pipeline,
        *,
        locate: Callable[[], Awaitable[Installation]],
        observe: Callable[[], Observer[EventT, ResultT]],
        workdir: Path,
        places: Places | None = None,
        planning: Executor | None = None,
        instrumentation: Instrumentation | None = None,
        spawn: Spawn = spawn,
        grace: float = 2.0,
        record_arguments: bool = False,
        clock: Callable[[], float] = time.monotonic,
        new_id: Callable[[], str] = new_scan_id,
    ) -> None:
        instrumentation = instrumentation or Instrumentation.from_providers()
        self._tool = tool
        self._pipeline = pipeline
        self._clock = clock
        self._new_id = new_id
        self._tracer = instrumentation.tracer
        self._executions = ToolInstruments(instrumentation)
        self._scans = ScanInstruments(instrumentation)
        self._admission = Admission(tool, places or Places(), instrumentation, self._scans, clock, planning)
        self._attempts = Attempts(
            tool=tool,
            locate=locate,
            observe=observe,
            workdir=workdir,
            tracer=self._tracer,
            spawn=spawn,
            grace=grace,
            record_arguments=record_arguments,
        )

    async def run(
        self,
        request: RequestT,
        *,
        caller: Caller | None = None,
        on_event: Callable[[EventT], None] | None = None,
        scan_id: str | None = None,
        recorder: Recorder[PlanT, Completed[PlanT, ResultT]] | None = None,
    ) -> Completed[PlanT, ResultT]:
        """Check `request`, run it, and return its result.

        `scan_id` is a new one by default; `recorder` keeps the run. `on_event` gets every event of the tool
        as it happens, in the event loop's thread: be quick. One that raises is logged and changes nothing.

        Raises:
            PolicyViolation: refused; nothing was started.
            QueueFullError: too many wait already; nothing was started.
            CircuitBreakerOpenError: the tool failed too often lately; see its `retry_after`.
            ToolError: it failed; `result` holds what had been found.
        """
        kept = _Kept(scan_id or self._new_id(), recorder or NoRecord())
        return await self._run(request, caller or Caller(), kept, Found(), Callback(on_event))

    def stream(
        self,
        request: RequestT,
        *,
        caller: Caller | None = None,
        buffer: int = 1000,
        scan_id: str | None = None,
        recorder: Recorder[PlanT, Completed[PlanT, ResultT]] | None = None,
    ) -> EventStream[EventT, Completed[PlanT, ResultT], ResultT]:
        """Check `request` and run it while `async for` takes its events; the last one is the `Completed`.

        At most `buffer` events wait to be taken; see `EventStream` for what happens then, and when the
        stream is left early. While it is iterated it raises what `run` raises, after the events that
        came before; its `result` holds what had been found, however it ended.
        """
        found = Found[EventT, ResultT]()
        kept = _Kept(scan_id or self._new_id(), recorder or NoRecord())
        return EventStream(
            partial(self._run, request, caller or Caller(), kept, found),
            lambda: found.result,
            size=buffer,
            supersedes=self._tool.supersedes,
        )

    async def _run(
        self,
        request: RequestT,
        caller: Caller,
        kept: _Kept[PlanT, ResultT],
        found: Found[EventT, ResultT],
        listener: Listener[EventT],
    ) -> Completed[PlanT, ResultT]:
        began = self._clock()
        with operation_span(self._tracer, f"{self._tool.name} scan", attributes=_who(kept.scan_id, caller)) as span:
            plan = await self._admission.plan(request, span)
            trace_id = _trace_id(span)
            await kept.recorder.planned(plan, trace_id)
            with self._full_queue_counted():
                async with self._admission.place(caller, span, listener):
                    with self._measured(began, span, found):
                        attempt = partial(self._attempt, kept.recorder)
                        estimate = self._tool.estimate(plan)
                        result = await self._pipeline.call(attempt, plan, found, listener, estimate)
            done = Completed(kept.scan_id, trace_id, plan, result, found.attempts, self._clock() - began)
            span.set_attributes(await kept.recorder.completed(done))
            return done

    async def _attempt(
        self,
        recorder: Recorder[PlanT, Completed[PlanT, ResultT]],
        plan: PlanT,
        found: Found[EventT, ResultT],
        listener: Listener[EventT],
        estimate: Estimate[EventT],
    ) -> ResultT:
        recorder.admitted()
        return await self._attempts.run(plan, found, listener, estimate)

    @contextmanager
    def _full_queue_counted(self) -> Generator[None]:
        """A request that finds the queue full never runs, and is a failure of its execution all the same."""
        try:
            yield
        except QueueFullError as error:
            self._executions.start(self._tool.name)
            self._executions.finish(self._tool.name, "failure", error_type(error), seconds=0.0)
            raise

    @contextmanager
    def _measured(self, began: float, span: trace.Span, found: Found[EventT, ResultT]) -> Generator[None]:
        """Count the execution, and what it found, however it ends."""
        name, failure = self._tool.name, None
        self._executions.start(name)
        try:
            yield
        except BaseException as error:
            failure = error_type(error)
            raise
        finally:
            seconds = self._clock() - began
            status: Literal["success", "failure"] = "failure" if failure else "success"
            self._executions.finish(name, status, failure, seconds=seconds)
            self._scans.ended(name, status, seconds=seconds)
            if found.observer is not None and found.result is not None:
                span.set_attributes(found.observer.result(found.result))


@dataclass(frozen=True, slots=True)
class _Kept(Generic[PlanT, ResultT]):
    """Under which id a run is kept, and by whom."""

    scan_id: str
    recorder: Recorder[PlanT, Completed[PlanT, ResultT]]


def _who(scan_id: str, caller: Caller) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {Attribute.SCAN_ID: scan_id, Attribute.CALLER_KIND: caller.kind.value}
    if caller.name:
        attributes[Attribute.CALLER_NAME] = caller.name
    if caller.user:
        attributes[Attribute.ENDUSER_ID] = caller.user
    return attributes


def _trace_id(span: trace.Span) -> str | None:
    context = span.get_span_context()
    return format_trace_id(context.trace_id) if context.is_valid else None
