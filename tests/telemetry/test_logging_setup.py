"""Structured logging: context across tasks and threads, trace ids, redaction, and no floods."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import logging.handlers
import queue
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracefuse.telemetry import (
    ConfigurationError,
    ConsoleFormatter,
    JsonFormatter,
    RateLimitFilter,
    configure_logging,
    current_log_context,
    in_context,
    log_context,
    redact,
)
from tracefuse.telemetry.testing import InMemoryTelemetry

log = logging.getLogger("logging-test")


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    """What is logged as JSON below the logger of these tests."""
    text = io.StringIO()
    with configure_logging({}, style="json", stream=text, logger_name=log.name):
        yield text


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_line_says_when_who_what_and_about_what(out: io.StringIO) -> None:
    with log_context(tool="nmap", scan_id=42):
        log.info("scan %s", "done", extra={"hosts": 3})
    (line,) = lines(out)
    assert line.pop("timestamp").endswith("+00:00")
    assert line == {
        "level": "INFO",
        "logger": log.name,
        "message": "scan done",
        "tool": "nmap",
        "scan_id": "42",
        "hosts": 3,
    }


def test_a_line_inside_a_span_leads_to_its_trace(out: io.StringIO, memory: InMemoryTelemetry) -> None:
    with memory.telemetry.instrumentation.tracer.start_as_current_span("work") as span:
        log.warning("inside")
    log.warning("outside")
    inside, outside = lines(out)
    context = span.get_span_context()
    assert (inside["trace_id"], inside["span_id"]) == (f"{context.trace_id:032x}", f"{context.span_id:016x}")
    assert "trace_id" not in outside


async def test_context_goes_with_tasks_and_threads_and_never_leaks(out: io.StringIO) -> None:
    async def scan(number: int) -> None:
        with log_context(scan_id=number):
            await asyncio.sleep(0)
            log.info("in task")
            await asyncio.to_thread(log.info, "to_thread")
            await asyncio.get_running_loop().run_in_executor(None, in_context(lambda: log.info("executor")))
            thread = threading.Thread(target=in_context(log.info), args=("thread",))
            thread.start()
            thread.join()

    await asyncio.gather(*(scan(number) for number in range(2)))
    log.info("after")
    found = [(line["message"], line.get("scan_id")) for line in lines(out)]
    assert sorted(found[:-1]) == sorted(
        (where, str(number)) for where in ("in task", "to_thread", "executor", "thread") for number in range(2)
    )
    assert found[-1] == ("after", None)
    assert dict(current_log_context()) == {}


def test_a_queue_keeps_the_context_of_the_thread_that_logged() -> None:
    text, waiting = io.StringIO(), queue.SimpleQueue[logging.LogRecord]()
    with configure_logging({}, style="json", stream=text, logger_name="queued") as setup:
        handler = setup.handlers[0]
        logger = logging.getLogger("through-queue")
        logger.setLevel(logging.INFO)
        sender = logging.handlers.QueueHandler(waiting)
        sender.addFilter(handler.filters[-1])
        logger.addHandler(sender)
        with log_context(tool="nmap"):
            logger.info("queued")
        handler.handle(waiting.get())
    assert lines(text)[0]["tool"] == "nmap"


def test_context_is_bounded_and_nested() -> None:
    with log_context(**{f"f{number}": "x" * 1000 for number in range(30)}) as fields:
        assert len(fields) == 16
        assert all(len(value) == 256 for value in fields.values())
    with log_context(tool="a", gone=1), log_context(tool="b", gone=None):
        assert dict(current_log_context()) == {"tool": "b"}


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("password=hunter2", "hunter2"),
        ('{"api_key": "abc123"}', "abc123"),
        ("DB_PASSWORD: s3cr3t!", "s3cr3t!"),
        ("Authorization: Bearer abc.def.ghi", "abc.def"),
        ("curl -H 'authorization: Basic dXNlcjpwYXNz'", "dXNlcjpwYXNz"),
        ("postgres://me:pw@db:5432/x", "pw@"),
        ("token is eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "eyJ"),
        ("key AKIAIOSFODNN7EXAMPLE", "AKIA"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "MIIE"),
    ],
)
def test_secrets_are_redacted(text: str, secret: str) -> None:
    assert secret not in redact(text)
    assert "[redacted]" in redact(text)


def test_secrets_in_fields_and_tracebacks_are_redacted(out: io.StringIO) -> None:
    try:
        int("password=hunter2")
    except ValueError:
        log.exception("failed", extra={"db_password": "hunter2", "note": "token=abc", "count": 1})
    (line,) = lines(out)
    assert "hunter2" not in out.getvalue()
    assert (line["db_password"], line["note"], line["count"]) == ("[redacted]", "token=[redacted]", 1)
    assert "ValueError" in line["exception"]


@pytest.mark.parametrize("target", ["10.0.0.1", "192.168.1.0/24", "192.168.1.10-20", "fe80::1", "2001:db8::/32", "::1"])
def test_targets_are_redacted_when_asked(target: str) -> None:
    text = f"scan of {target} at 12:30:45, version 1.2.3, took 4.5 s"
    assert redact(text) == text
    assert redact(text, targets=True) == "scan of [redacted] at 12:30:45, version 1.2.3, took 4.5 s"


@given(st.text(max_size=200), st.booleans())
def test_redaction_never_raises_and_is_done_in_one_go(text: str, targets: bool) -> None:
    assert redact(redact(text, targets=targets), targets=targets) == redact(text, targets=targets)


def test_redaction_takes_no_time_on_hostile_texts() -> None:
    began = time.perf_counter()
    for text in ("password" * 2000, ":" * 16_000, "1." * 8000, "eyJ" * 5000, "a://" * 4000, "-----BEGIN " * 1500):
        redact(text, targets=True)
    assert time.perf_counter() - began < 5


def test_an_outage_makes_a_line_now_and_then_not_one_per_call() -> None:
    now, text = 0.0, io.StringIO()
    limit = RateLimitFilter(burst=3, interval=60.0, clock=lambda: now)
    with configure_logging({}, style="json", stream=text, logger_name=log.name, rate_limit=limit):
        for number in range(1200):
            now = number / 10
            log.warning("scan of host %d rejected", number)
        log.warning("another kind")
        for _ in range(20):
            log.error("errors always pass")
    found = lines(text)
    assert [line.get("suppressed") for line in found if "rejected" in line["message"]] == [
        *(None, None, None, 597, None, None)
    ]
    assert sum("errors" in line["message"] for line in found) == 20
    assert found[6]["message"] == "another kind"


def test_lines_of_a_logger_that_is_owed_whole_are_never_left_out() -> None:
    limit = RateLimitFilter(burst=1, unlimited=("audit",), clock=lambda: 0.0)

    def passed(name: str) -> int:
        record = logging.makeLogRecord({"name": name, "msg": "done", "levelno": logging.INFO})
        return sum(limit.filter(record) for _ in range(5))

    assert [passed(name) for name in ("audit", "audit.scan", "auditor")] == [5, 5, 1]


def test_the_filter_remembers_a_bounded_number_of_kinds() -> None:
    limit = RateLimitFilter(burst=1, capacity=10, clock=lambda: 0.0)
    for number in range(100):
        assert limit.filter(logging.makeLogRecord({"msg": f"kind {number}", "levelno": logging.INFO}))
    assert len(limit._kinds) == 10
    for settings in ({"burst": 0}, {"interval": 0.0}, {"capacity": 0}):
        with pytest.raises(ValueError, match=r"expected .* for example"):
            RateLimitFilter(**settings)  # type: ignore[arg-type]


def test_the_console_format_is_one_line_that_nobody_can_forge() -> None:
    record = logging.makeLogRecord(
        {
            "msg": "name=%s",
            "args": ("x\n2026 CRITICAL root: in",),
            "levelname": "INFO",
            "name": "app",
            "a": "b c",
            "n": "",
        }
    )
    text = ConsoleFormatter().format(record)
    assert "\n" not in text
    assert text.endswith('INFO     app: name=x\\n2026 CRITICAL root: in a="b c" n=""')


@pytest.mark.parametrize("formatter", [JsonFormatter(), ConsoleFormatter()], ids=["json", "console"])
@pytest.mark.parametrize(
    "fields",
    [
        {"msg": "%d", "args": ("no number",)},
        {"msg": "lone \ud800 surrogate"},
        {"msg": "x" * 1_000_000},
        {"msg": None},
        {"msg": "m", "value": {1: object()}},
        {"msg": "m", "level": "forged", "message_": "x"},
    ],
    ids=range(6),
)
def test_no_record_breaks_a_formatter(formatter: logging.Formatter, fields: dict[str, Any]) -> None:
    line = formatter.format(logging.makeLogRecord({"levelname": "INFO", "name": "app", **fields}))
    line.encode()
    assert len(line) < 20_000
    if isinstance(formatter, JsonFormatter):
        assert json.loads(line)["level"] == "INFO"


def test_level_and_format_come_from_the_environment_and_go_with_close() -> None:
    logger = logging.getLogger("from-environment")
    text = io.StringIO()
    with configure_logging({"LOG_LEVEL": "debug", "LOG_FORMAT": "CONSOLE"}, stream=text, logger_name=logger.name):
        logger.debug("seen")
    assert "DEBUG" in text.getvalue()
    assert not text.getvalue().startswith("{")
    assert (logger.handlers, logger.level) == ([], logging.NOTSET)


@pytest.mark.parametrize(("variable", "value"), [("LOG_LEVEL", "LOUD"), ("LOG_FORMAT", "xml")])
def test_a_bad_setting_is_refused(variable: str, value: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        configure_logging({variable: value}, logger_name="never")
    assert (caught.value.variable, caught.value.value) == (variable, value)
    assert logging.getLogger("never").handlers == []


def test_the_same_records_go_out_over_otlp(memory: InMemoryTelemetry) -> None:
    handler = memory.telemetry.log_handler
    with (
        configure_logging({}, stream=io.StringIO(), logger_name=log.name, otel_handler=handler),
        log_context(tool="nmap"),
    ):
        log.warning("also as a log record, without token=abc")
    (event,) = memory.events()
    assert event.body == "also as a log record, without token=[redacted]"
    assert event.attributes["tool"] == "nmap"
