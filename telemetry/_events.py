"""Events: one call gives a log record with an event name and, inside a recording span, a span event.

OpenTelemetry is moving span events to log records that carry an event name (OTEP 4430). Emitting
both from one place serves the trace views of today and the log-based events to come.
"""

from __future__ import annotations

import logging
from time import time_ns
from typing import TYPE_CHECKING

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry._logs import Logger
    from opentelemetry.trace import Span
    from opentelemetry.util.types import AttributeValue

__all__ = ["SeverityNumber", "emit_event"]

_log = logging.getLogger(__name__)


def emit_event(
    logger: Logger,
    name: str,
    attributes: Mapping[str, AttributeValue],
    *,
    severity: SeverityNumber = SeverityNumber.INFO,
    span: Span | None = None,
) -> None:
    """Emit the event `name` as a log record and, on `span` (the current one), as a span event.

    Never raises: whoever reports what happened must not be broken by the report.
    """
    try:
        _emit(logger, name, attributes, severity, trace.get_current_span() if span is None else span)
    except Exception:
        _log.debug("event %s could not be emitted", name, exc_info=True)


def _emit(
    logger: Logger, name: str, attributes: Mapping[str, AttributeValue], severity: SeverityNumber, span: Span
) -> None:
    now = time_ns()
    if span.is_recording():
        span.add_event(name, attributes, timestamp=now)
    logger.emit(
        LogRecord(
            timestamp=now,
            context=trace.set_span_in_context(span, context_api.get_current()),
            severity_number=severity,
            severity_text=severity.name,
            event_name=name,
            attributes=dict(attributes),
        )
    )
