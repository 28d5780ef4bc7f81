"""What a pipeline tells of its tries: a span for each, an event for each wait, one counter.

Nothing of an exception leaves here but its type and what it offers as safe: messages may carry targets.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Self

from opentelemetry import context as context_api
from opentelemetry import trace

from tracefuse.telemetry import (
    Attribute,
    Event,
    Instrumentation,
    SeverityNumber,
    Span,
    emit_event,
    error_type,
    fail_span,
)

from ._errors import RefusedError

if TYPE_CHECKING:
    from contextvars import Token
    from types import TracebackType

__all__ = ["AttemptSpan", "RetryTelemetry"]

_log = logging.getLogger("tracefuse.resilience")


class RetryTelemetry:
    """The telemetry of one pipeline's tries."""

    __slots__ = ("_attempts", "_logger", "_name", "tracer")

    def __init__(self, name: str, instrumentation: Instrumentation | None) -> None:
        instrumentation = instrumentation or Instrumentation.from_providers()
        self._name = name
        self._logger = instrumentation.logger
        self._attempts = instrumentation.counter("tracefuse.retry.attempts")
        self.tracer = instrumentation.tracer

    def attempt(self, number: int, wait: float | None, previous: str | None) -> AttemptSpan:
        """The span of one try, `wait` seconds after one that said `previous`."""
        return AttemptSpan(self, number, wait, previous)

    def count(self, error: BaseException | None) -> None:
        """Count a try by how it ended."""
        try:
            self._attempts.add(1, {Attribute.NAME: self._name, Attribute.RESULT: _result(error)})
        except Exception as failure:  # noqa: BLE001 - telemetry never breaks the operation
            _log.warning("metrics.record_failed name=%s error=%s", self._name, failure)

    def scheduled(self, number: int, wait: float, error: BaseException) -> None:
        """Say on the span round the tries that try `number` will follow."""
        attributes: dict[str, str | int | float] = {
            Attribute.NAME: self._name,
            Attribute.ATTEMPT_NUMBER: number,
            Attribute.WAIT: wait,
            Attribute.ERROR_TYPE: error_type(error),
        }
        emit_event(self._logger, Event.RETRY_SCHEDULED, attributes, severity=SeverityNumber.WARN)


class AttemptSpan:
    """One try: a current span while it runs, when there is anyone to record it."""

    __slots__ = ("_span", "_telemetry", "_token")

    def __init__(self, telemetry: RetryTelemetry, number: int, wait: float | None, previous: str | None) -> None:
        self._telemetry = telemetry
        self._token: Token[context_api.Context] | None = None
        attributes: dict[str, str | int | float] = {Attribute.ATTEMPT_NUMBER: number}
        if wait is not None:
            attributes[Attribute.ATTEMPT_WAIT] = wait
        if previous is not None:
            attributes[Attribute.ATTEMPT_PREVIOUS] = previous
        self._span: trace.Span = trace.INVALID_SPAN
        try:
            self._span = telemetry.tracer.start_span(Span.ATTEMPT, attributes=attributes)
        except Exception:  # noqa: BLE001 - telemetry never breaks the operation
            _log.debug("the attempt span could not be started", exc_info=True)

    def __enter__(self) -> Self:
        # A span nobody records need not become current: what is below keeps the caller's context.
        if self._span.is_recording():
            self._token = context_api.attach(trace.set_span_in_context(self._span))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace_: TracebackType | None, /
    ) -> None:
        if self._token is not None:
            context_api.detach(self._token)
            self._end(error)
        self._telemetry.count(error)

    def _end(self, error: BaseException | None) -> None:
        """End the span; a cancelled one is not left without a status."""
        try:
            if error is not None:
                fail_span(self._span, error)
            self._span.end()
        except Exception:  # noqa: BLE001 - telemetry never breaks the operation
            _log.debug("the attempt span could not be ended", exc_info=True)


def _result(error: BaseException | None) -> str:
    if error is None:
        return "success"
    if isinstance(error, RefusedError):
        return "rejected"
    return "failure" if isinstance(error, Exception) else "cancelled"
