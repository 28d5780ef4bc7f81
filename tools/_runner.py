"""The runner: every effect of a tool's operation, in one place and in one order.

    policy › retry › breaker › process › streamed output › result

Each step is told in spans, events and metrics; none of them can break the operation.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import shutil
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from opentelemetry.trace import SpanKind, format_trace_id

from tracefuse.telemetry import (
    Attribute,
    Event,
    Instrumentation,
    ScanInstruments,
    SeverityNumber,
    ToolInstruments,
    emit_event,
    error_type,
    operation_span,
)

from ._errors import ToolExecutionError, ToolTimeoutError
from ._policy import PolicyViolation
from ._process import run, spawn
from ._tool import Caller

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator
    from pathlib import Path

    from opentelemetry import trace
    from opentelemetry.util.types import AttributeValue

    from tracefuse.resilience import Pipeline

    from ._process import Command, Exit, Spawn
    from ._tool import Collector, Observer, Tool

__all__ = ["Completed", "Runner", "new_scan_id"]

_log = logging.getLogger(__name__)

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


@dataclass(slots=True)
class _Progress(Generic[EventT, ResultT]):
    """What one operation has come to so far, whichever way it ends."""

    attempts: int = 0
    observer: Observer[EventT, ResultT] | None = None
    result: ResultT | None = None


class Runner(Generic[RequestT, PlanT, EventT, ResultT]):
    """Runs one tool's requests.

    Args:
        tool: the pure part.
        pipeline: retry and circuit breaker around each run.
        locate: finds the tool's executable; called in each attempt, so that its absence is a failure like others.
        observe: makes the tool's observer for one attempt.
        workdirs: the folder in which each run gets an empty working folder of its own.
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
        locate: Callable[[], Awaitable[str]],
        observe: Callable[[], Observer[EventT, ResultT]],
        workdirs: Path,
        instrumentation: Instrumentation | None = None,
        spawn: Spawn = spawn,
        grace: float = 2.0,
        record_arguments: bool = False,
        clock: Callable[[], float] = time.monotonic,
        new_id: Callable[[], str] = new_scan_id,
    ) -> None:
        self._tool = tool
        self._pipeline = pipeline
        self._locate = locate
        self._observe = observe
        self._workdirs = workdirs
        self._spawn = spawn
        self._grace = grace
        self._record_arguments = record_arguments
        self._clock = clock
        self._new_id = new_id
        self._instrumentation = instrumentation or Instrumentation.from_providers()
        self._tracer = self._instrumentation.tracer
        self._executions = ToolInstruments(self._instrumentation)
        self._scans = ScanInstruments(self._instrumentation)

    async def run(
        self, request: RequestT, *, caller: Caller | None = None, on_event: Callable[[EventT], None] | None = None
    ) -> Completed[PlanT, ResultT]:
        """Check `request`, run it, and return its result.

        `on_event` gets every event of the tool as it happens, in the event loop's thread: be quick. One
        that raises is logged and changes nothing.

        Raises:
            PolicyViolation: refused; nothing was started.
            CircuitBreakerOpenError: the tool failed too often lately; see its `retry_after`.
            ToolError: it failed; `result` holds what had been found.
        """
        scan_id, began = self._new_id(), self._clock()
        with operation_span(
            self._tracer, f"{self._tool.name} scan", attributes=_who(scan_id, caller or Caller())
        ) as span:
            plan = await self._admit(request, span)
            progress = _Progress[EventT, ResultT]()
            with self._measured(began, span, progress):
                result = await self._pipeline.call(self._attempt, plan, progress, on_event)
            return Completed(scan_id, _trace_id(span), plan, result, progress.attempts, self._clock() - began)

    async def _admit(self, request: RequestT, span: trace.Span) -> PlanT:
        """Plan in a thread, because resolving a name blocks."""
        try:
            plan = await asyncio.to_thread(self._tool.plan, request)
        except PolicyViolation as violation:
            span.set_attributes({Attribute.POLICY_OUTCOME: "refused", Attribute.POLICY_RULE: violation.rule})
            self._scans.refused(self._tool.name, violation.rule)
            self._emit(Event.POLICY_REFUSED, {Attribute.RULE: violation.rule}, SeverityNumber.WARN)
            raise
        span.set_attributes({Attribute.POLICY_OUTCOME: "allowed", **self._tool.describe(plan)})
        return plan

    @contextmanager
    def _measured(self, began: float, span: trace.Span, progress: _Progress[EventT, ResultT]) -> Generator[None]:
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
            if progress.observer is not None and progress.result is not None:
                span.set_attributes(progress.observer.result(progress.result))

    async def _attempt(
        self, plan: PlanT, progress: _Progress[EventT, ResultT], on_event: Callable[[EventT], None] | None
    ) -> ResultT:
        progress.attempts += 1
        executable = await self._locate()
        collector, observer = self._tool.collector(), self._observe()
        progress.observer = observer

        def consume(chunk: bytes) -> None:
            for event in collector.feed(chunk):
                observer.event(event)
                _tell(on_event, event)

        with self._workdir() as workdir:
            command = self._tool.command(plan, executable, workdir)
            with operation_span(
                self._tracer, self._tool.name, kind=SpanKind.CLIENT, attributes=self._process_attributes(command)
            ) as span:
                try:
                    with self._translated(command, collector, progress):
                        ended = await self._run(command, consume, span)
                finally:
                    observer.ended()
                return self._judge(ended, collector, progress)

    async def _run(self, command: Command, consume: Callable[[bytes], None], span: trace.Span) -> Exit:
        def started(pid: int) -> None:
            span.set_attribute(Attribute.PROCESS_PID, pid)

        ended = await run(command, consume, spawn=self._spawn, started=started, grace=self._grace)
        span.set_attribute(Attribute.PROCESS_EXIT_CODE, ended.code)
        return ended

    def _judge(
        self, ended: Exit, collector: Collector[EventT, ResultT], progress: _Progress[EventT, ResultT]
    ) -> ResultT:
        result = progress.result = collector.close()
        if (failure := self._tool.judge(ended, result)) is not None:
            raise failure
        return result

    @contextmanager
    def _translated(
        self, command: Command, collector: Collector[EventT, ResultT], progress: _Progress[EventT, ResultT]
    ) -> Generator[None]:
        """Keep what was found when a run is cut short, and say in the tool's terms what cut it."""
        name = self._tool.name
        try:
            yield
        except TimeoutError as error:
            progress.result = collector.close("timeout")
            raise ToolTimeoutError(
                f"{name} did not end within {command.timeout:g} s and was stopped",
                hint="scan fewer ports or hosts, or allow more time",
                result=progress.result,
            ) from error
        except OSError as error:
            raise ToolExecutionError(f"{name} could not be started: {error.strerror}") from error
        except BaseException as error:
            progress.result = collector.close(error_type(error))
            raise

    @contextmanager
    def _workdir(self) -> Generator[str]:
        """An empty folder, because nmap takes scripts and data files from the one it is started in."""
        try:
            self._workdirs.mkdir(parents=True, exist_ok=True)
            folder = tempfile.mkdtemp(prefix=f"{self._tool.name}-", dir=self._workdirs)
        except OSError as error:
            raise ToolExecutionError(
                f"no working folder could be made in {self._workdirs}: {error.strerror}",
                hint="set TRACEFUSE_CACHE_DIR to a folder that can be written to",
            ) from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _process_attributes(self, command: Command) -> dict[str, AttributeValue]:
        attributes: dict[str, AttributeValue] = {Attribute.PROCESS_EXECUTABLE_NAME: self._tool.name}
        if self._record_arguments:
            attributes[Attribute.PROCESS_COMMAND_ARGS] = command.argv
        return attributes

    def _emit(self, name: str, attributes: dict[str, AttributeValue], severity: SeverityNumber) -> None:
        emit_event(self._instrumentation.logger, name, attributes, severity=severity)


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


def _tell(listener: Callable[[EventT], None] | None, event: EventT) -> None:
    if listener is None:
        return
    try:
        listener(event)
    except Exception:  # noqa: BLE001 - a caller's display must not end the scan
        _log.exception("an on_event callback failed; the scan goes on")
