"""Spans that tell how they ended: error, timeout and cancellation alike, without leaking messages.

The SDK's own context manager leaves a cancelled span unset (CancelledError is no Exception) and puts
the text of every exception, with targets and secrets in it, into the status and an event. Here the
span gets `error.type` and a status; the description is the error's class name, or what the error
itself offers as `telemetry_summary` because it knows that this text is safe to export.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry.trace import SpanKind, Status, StatusCode

from ._names import Attribute

if TYPE_CHECKING:
    from collections.abc import Generator

    from opentelemetry.trace import Span, Tracer
    from opentelemetry.util.types import AttributeValue

__all__ = ["error_type", "fail_span", "operation_span"]


def error_type(error: BaseException) -> str:
    """The low-cardinality `error.type` of `error`: its own `error_type`, "cancelled", or its class name.

    >>> error_type(TimeoutError()), error_type(asyncio.CancelledError())
    ('TimeoutError', 'cancelled')
    """
    if isinstance(error, asyncio.CancelledError):
        return "cancelled"
    return str(getattr(error, "error_type", type(error).__qualname__))


def fail_span(span: Span, error: BaseException) -> None:
    """Mark `span` as failed by `error`."""
    if span.is_recording():
        span.set_attribute(Attribute.ERROR_TYPE, error_type(error))
        summary = getattr(error, "telemetry_summary", None) or error_type(error)
        span.set_status(Status(StatusCode.ERROR, str(summary)))


@contextmanager
def operation_span(
    tracer: Tracer,
    name: str,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Mapping[str, AttributeValue] | None = None,
) -> Generator[Span]:
    """A current span around a block; whatever ends the block is told by the span's status.

    >>> from tracefuse.telemetry import Instrumentation
    >>> with operation_span(Instrumentation.from_providers().tracer, "work") as span:
    ...     span.set_attribute("items", 3)
    """
    # The SDK raises for anything else, and telemetry breaks nothing.
    kept = attributes if isinstance(attributes, Mapping) else None
    with tracer.start_as_current_span(
        name, kind=kind, attributes=kept, record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield span
        except BaseException as error:
            fail_span(span, error)
            raise
