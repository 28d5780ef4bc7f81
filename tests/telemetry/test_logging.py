"""Standard log records as OpenTelemetry log records."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry._logs import SeverityNumber

from tracefuse.telemetry._logging import severity
from tracefuse.telemetry.testing import InMemoryTelemetry


@pytest.fixture
def logger(memory: InMemoryTelemetry) -> Iterator[logging.Logger]:
    logger = logging.getLogger("test.bridge")
    logger.addHandler(memory.telemetry.log_handler)
    logger.setLevel(logging.DEBUG)
    yield logger
    logger.removeHandler(memory.telemetry.log_handler)


def test_a_record_carries_its_text_severity_place_and_trace(memory: InMemoryTelemetry, logger: logging.Logger) -> None:
    with memory.telemetry.instrumentation.tracer.start_as_current_span("work") as span:
        logger.warning("%d hosts", 3)
    (record,) = memory.events()
    context = span.get_span_context()
    assert (record.name, record.body, record.severity) == (None, "3 hosts", "WARN")
    assert record.attributes["code.function.name"].startswith("test_a_record")  # type: ignore[union-attr]
    assert (record.trace_id, record.span_id) == (f"{context.trace_id:032x}", f"{context.span_id:016x}")


def test_an_exception_comes_with_type_and_trace(memory: InMemoryTelemetry, logger: logging.Logger) -> None:
    try:
        {}["lost"]
    except KeyError:
        logger.exception("failed")
    (record,) = memory.events()
    assert record.attributes["exception.type"] == "KeyError"
    assert "Traceback" in str(record.attributes["exception.stacktrace"])


def test_what_opentelemetry_logs_is_left_out(memory: InMemoryTelemetry) -> None:
    record = logging.makeLogRecord({"name": "opentelemetry.sdk", "msg": "export failed"})
    memory.telemetry.log_handler.handle(record)
    assert memory.events() == ()


def test_a_broken_record_goes_to_loggings_own_error_handling(
    memory: InMemoryTelemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    handled: list[logging.LogRecord] = []
    monkeypatch.setattr(memory.telemetry.log_handler, "handleError", handled.append)
    memory.telemetry.log_handler.handle(logging.makeLogRecord({"name": "x", "msg": "%d hosts", "args": ("three",)}))
    assert len(handled) == 1


@given(st.integers(-5, 200))
def test_severities_rise_with_levels(level: int) -> None:
    assert severity(level).value <= severity(level + 1).value
    assert (severity(level) is SeverityNumber.UNSPECIFIED) == (level <= 0)


@pytest.mark.parametrize(
    ("level", "number"), [(10, 5), (20, 9), (30, 13), (40, 17), (50, 21), (11, 6), (19, 8), (53, 24), (1000, 24)]
)
def test_severities_are_the_specifications(level: int, number: int) -> None:
    assert severity(level).value == number
