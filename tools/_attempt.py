"""One try: an empty folder, the process and its span, streamed output, and the verdict on it."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from opentelemetry.trace import SpanKind

from tracefuse.telemetry import Attribute, error_type, operation_span

from ._errors import ToolError, ToolExecutionError, ToolResourceError, ToolTimeoutError
from ._process import OutputLimitError, Stream, run
from ._workdir import empty_folder

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator
    from pathlib import Path

    from opentelemetry import trace
    from opentelemetry.util.types import AttributeValue

    from ._listeners import Listener
    from ._process import Chunk, Command, Exit, Spawn
    from ._tool import Collector, Estimate, Installation, Observer, Tool

__all__ = ["Attempts", "Found"]

RequestT = TypeVar("RequestT")
PlanT = TypeVar("PlanT")
EventT = TypeVar("EventT")
ResultT = TypeVar("ResultT")


@dataclass(slots=True)
class Found(Generic[EventT, ResultT]):
    """What one request has come to so far, whichever way it ends."""

    attempts: int = 0
    observer: Observer[EventT, ResultT] | None = None
    result: ResultT | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts(Generic[RequestT, PlanT, EventT, ResultT]):
    """Runs a tool's plans, once for each call.

    Attributes:
        tool: the pure part.
        locate: finds the tool's program; asked each time, so that its absence is a failure like others.
        observe: makes the tool's observer for one attempt.
        workdir: the empty folder to run in.
        tracer: makes the process spans.
        spawn: starts a command.
        grace: seconds between asking a child to end and killing it.
        record_arguments: put the command line, targets included, on the process span.
    """

    tool: Tool[RequestT, PlanT, EventT, ResultT]
    locate: Callable[[], Awaitable[Installation]]
    observe: Callable[[], Observer[EventT, ResultT]]
    workdir: Path
    tracer: trace.Tracer
    spawn: Spawn
    grace: float
    record_arguments: bool

    async def run(
        self, plan: PlanT, found: Found[EventT, ResultT], listener: Listener[EventT], estimate: Estimate[EventT]
    ) -> ResultT:
        """Run `plan` once, tell `listener` of it, and keep in `found` what it gave."""
        found.attempts += 1
        program = await self.locate()
        collector, observer = self.tool.collector(), self.observe()
        found.observer = observer

        def consume(chunk: Chunk) -> None:
            feed = collector.feed if chunk.stream is Stream.REPORT else collector.overhear
            for event in feed(chunk.data):
                observer.event(event)
                listener.event(event)
                if (overall := estimate.event(event)) is not None:
                    listener.event(overall)

        with empty_folder(self.workdir) as workdir:
            command = self.tool.command(plan, program, workdir)
            with operation_span(
                self.tracer, self.tool.name, kind=SpanKind.CLIENT, attributes=self._process_attributes(command)
            ) as span:
                try:
                    with self._translated(command, collector, found):
                        ended = await self._run(command, consume, listener, span)
                finally:
                    observer.ended()
                return self._judged(ended, collector, found)

    async def _run(
        self, command: Command, consume: Callable[[Chunk], None], listener: Listener[EventT], span: trace.Span
    ) -> Exit:
        def started(pid: int) -> None:
            span.set_attribute(Attribute.PROCESS_PID, pid)

        ended = await run(command, consume, spawn=self.spawn, started=started, ready=listener.ready, grace=self.grace)
        span.set_attribute(Attribute.PROCESS_EXIT_CODE, ended.code)
        return ended

    def _judged(self, ended: Exit, collector: Collector[EventT, ResultT], found: Found[EventT, ResultT]) -> ResultT:
        result = collector.close(_signal_name(ended.code) if ended.code < 0 else None)
        if (failure := self.tool.judge(ended, result)) is not None:
            failure.result = self._keep(result, found)
            raise failure
        found.result = result
        return result

    def _keep(self, result: ResultT, found: Found[EventT, ResultT]) -> ResultT:
        """Remember what a failed run gave, unless the one before it gave more."""
        found.result = result if found.result is None else self.tool.fuller(result, found.result)
        return found.result

    @contextmanager
    def _translated(
        self, command: Command, collector: Collector[EventT, ResultT], found: Found[EventT, ResultT]
    ) -> Generator[None]:
        """Keep what was found when a run is cut short, and say in the tool's terms what cut it."""
        name = self.tool.name
        try:
            yield
        except TimeoutError as error:
            raise ToolTimeoutError(
                f"{name} did not end within {command.timeout:g} s and was stopped",
                hint="scan fewer ports or hosts, or allow more time",
                result=self._keep(collector.close("timeout"), found),
            ) from error
        except OutputLimitError as error:
            raise ToolResourceError(
                f"{name} wrote more than {error.limit:,} bytes and was stopped",
                hint="scan fewer ports or hosts, or raise TRACEFUSE_NMAP_OUTPUT_LIMIT",
                result=self._keep(collector.close("output limit"), found),
            ) from error
        except OSError as error:
            raise ToolExecutionError(f"{name} could not be started: {error.strerror}") from error
        except BaseException as error:
            kept = self._keep(collector.close(error_type(error)), found)
            if isinstance(error, ToolError):
                error.result = kept
            raise

    def _process_attributes(self, command: Command) -> dict[str, AttributeValue]:
        attributes: dict[str, AttributeValue] = {Attribute.PROCESS_EXECUTABLE_NAME: self.tool.name}
        if self.record_arguments:
            attributes[Attribute.PROCESS_COMMAND_ARGS] = command.argv
        return attributes


def _signal_name(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
