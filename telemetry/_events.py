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
    from collections.abc import Callable, Mapping

    from opentelemetry._logs import Logger
    from opentelemetry.trace import Span
    from opentelemetry.util.types import AttributeValue

__all__ = ["SeverityNumber", "emit_event", "log_event"]

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
    _safely(_emit_both, logger, name, attributes, severity, trace.get_current_span() if span is None else span)


def log_event(
    logger: Logger,
    name: str,
    attributes: Mapping[str, AttributeValue],
    *,
    severity: SeverityNumber = SeverityNumber.INFO,
) -> None:
    """Emit the event `name` as a log record alone, tied to the current span.

    For what comes in numbers: a span keeps 128 events and drops the oldest. Never raises.
    """
    _safely(_emit_log, logger, name, attributes, severity, trace.get_current_span())


def _safely(
    emit: Callable[[Logger, str, Mapping[str, AttributeValue], SeverityNumber, Span], None],
    logger: Logger,
    name: str,
    attributes: Mapping[str, AttributeValue],
    severity: SeverityNumber,
    span: Span,
) -> None:
    try:
        emit(logger, name, attributes, severity, span)
    except Exception:  # noqa: BLE001 - telemetry never breaks the operation
        _log.debug("event %s could not be emitted", name, exc_info=True)


def _emit_both(
    logger: Logger, name: str, attributes: Mapping[str, AttributeValue], severity: SeverityNumber, span: Span
) -> None:
    if span.is_recording():
        span.add_event(name, attributes)
    _emit_log(logger, name, attributes, severity, span)


def _emit_log(
    logger: Logger, name: str, attributes: Mapping[str, AttributeValue], severity: SeverityNumber, span: Span
) -> None:
    logger.emit(
        LogRecord(
            timestamp=time_ns(),
            context=trace.set_span_in_context(span, context_api.get_current()),
            severity_number=severity,
            severity_text=severity.name,
            event_name=name,
            attributes=dict(attributes),
        )
    )
