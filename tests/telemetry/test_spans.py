"""Spans tell how they ended, and events are told once in both shapes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tracefuse.telemetry import SeverityNumber, emit_event, error_type, log_event, operation_span
from tracefuse.telemetry.testing import InMemoryTelemetry


class RefusedError(Exception):
    error_type = "policy"
    telemetry_summary = "refused by rule target"


@pytest.mark.parametrize(
    ("error", "kind", "description"),
    [
        (ValueError("10.0.0.1 has the password hunter2"), "ValueError", "ValueError"),
        (TimeoutError(), "TimeoutError", "TimeoutError"),
        (asyncio.CancelledError(), "cancelled", "cancelled"),
        (KeyboardInterrupt(), "KeyboardInterrupt", "KeyboardInterrupt"),
        (RefusedError("10.0.0.1"), "policy", "refused by rule target"),
    ],
)
def test_whatever_ends_a_span_is_its_status_without_its_message(
    memory: InMemoryTelemetry, error: BaseException, kind: str, description: str
) -> None:
    with pytest.raises(type(error)), operation_span(memory.telemetry.instrumentation.tracer, "work"):
        raise error
    (node,) = memory.tree()
    assert (node.status, node.status_description, node.events) == ("ERROR", description, ())
    assert node.attributes["error.type"] == error_type(error) == kind


def test_a_span_that_ends_well_has_no_status(memory: InMemoryTelemetry) -> None:
    with operation_span(memory.telemetry.instrumentation.tracer, "work", attributes={"n": 1}):
        pass
    assert [(node.status, node.attributes) for node in memory.tree()] == [("UNSET", {"n": 1})]


def test_an_event_can_go_on_a_span_that_is_not_current(memory: InMemoryTelemetry) -> None:
    make = memory.telemetry.instrumentation
    with make.tracer.start_as_current_span("outer") as outer, make.tracer.start_as_current_span("inner"):
        emit_event(make.logger, "e", {"n": 1}, span=outer, severity=SeverityNumber.WARN)
    (root,) = memory.tree()
    assert [[event.name for event in node.events] for node in root.walk()] == [["e"], []]
    assert [(event.span_id, event.severity) for event in memory.events("e")] == [(root.span_id, "WARN")]


def test_events_that_come_in_numbers_stay_off_the_span(memory: InMemoryTelemetry) -> None:
    make = memory.telemetry.instrumentation
    with make.tracer.start_as_current_span("work"):
        for number in range(200):
            log_event(make.logger, "host", {"n": number})
    (root,) = memory.tree()
    assert (root.events, len(memory.events("host"))) == ((), 200)


def test_a_broken_logger_breaks_nothing() -> None:
    broken: Any = object()
    emit_event(broken, "e", {})
    log_event(broken, "e", {})
