"""What breakers and pipelines tell OpenTelemetry, seen through a real SDK with in-memory readers."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import weakref
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from tracefuse.resilience import CircuitBreaker, CircuitBreakerOpenError, Pipeline, RetryPolicy
from tracefuse.resilience.testing import FakeClock
from tracefuse.telemetry import Instrumentation

Series = dict[tuple[str, ...], float]


@dataclass
class Seen:
    instrumentation: Instrumentation
    reader: InMemoryMetricReader
    spans: InMemorySpanExporter
    logs: InMemoryLogRecordExporter
    meters: MeterProvider

    def series(self, name: str) -> Series:
        """Values of the metric `name` by its attribute values, sorted by key."""
        data = self.reader.get_metrics_data()
        metrics = [
            metric
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        ]
        return {
            tuple(str(value) for _, value in sorted(point.attributes.items())): getattr(point, "value", None)
            or getattr(point, "count", 0)
            for metric in metrics
            if metric.name == name
            for point in metric.data.data_points
        }

    def span(self, name: str) -> ReadableSpan:
        (found,) = [span for span in self.spans.get_finished_spans() if span.name == name]
        return found

    def log_events(self) -> list[str | None]:
        return [data.log_record.event_name for data in self.logs.get_finished_logs()]


@pytest.fixture
def seen() -> Iterator[Seen]:
    reader, spans, logs = InMemoryMetricReader(), InMemorySpanExporter(), InMemoryLogRecordExporter()
    meters, tracers, loggers = MeterProvider([reader]), TracerProvider(), LoggerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    loggers.add_log_record_processor(SimpleLogRecordProcessor(logs))
    instrumentation = Instrumentation.from_providers(
        tracer_provider=tracers, meter_provider=meters, logger_provider=loggers
    )
    yield Seen(instrumentation, reader, spans, logs, meters)
    meters.shutdown()
    tracers.shutdown()
    loggers.shutdown()


def fine() -> int:
    return 1


def fail() -> None:
    raise OSError("secret target 10.0.0.9")


def make(seen: Seen, clock: FakeClock, name: str = "db", **options: object) -> CircuitBreaker:
    return CircuitBreaker(
        2, 10.0, name=name, enable_jitter=False, clock=clock, instrumentation=seen.instrumentation, **options
    )


def trip(breaker: CircuitBreaker) -> None:
    for _ in range(2):
        with pytest.raises(OSError):
            breaker.call_sync(fail)


def test_series_exist_from_birth_and_go_with_the_breaker(seen: Seen, clock: FakeClock) -> None:
    breaker = make(seen, clock)
    assert seen.series("circuit_breaker.state") == {("db",): 0}
    results = ("success", "failure", "rejected", "unexpected_failure", "ignored")
    assert seen.series("circuit_breaker.calls") == {("db", result): 0 for result in results}
    assert seen.series("circuit_breaker.status")[("db", "closed")] == 1
    assert sum(seen.series("circuit_breaker.status").values()) == 1
    del breaker
    gc.collect()
    assert seen.series("circuit_breaker.state") == {}
    assert seen.series("circuit_breaker.calls") == {}


def test_a_provider_that_is_done_with_is_let_go(clock: FakeClock) -> None:
    provider = MeterProvider([InMemoryMetricReader()])
    instrumentation = Instrumentation.from_providers(meter_provider=provider)
    meter = weakref.ref(instrumentation.meter)
    CircuitBreaker(name="db", instrumentation=instrumentation).force_open_nowait()
    provider.shutdown()
    del provider, instrumentation
    gc.collect()
    assert meter() is None


def test_every_breaker_of_a_meter_is_observed(seen: Seen, clock: FakeClock) -> None:
    first, second = make(seen, clock, "a"), make(seen, clock, "b")
    again = Instrumentation.from_providers(meter_provider=seen.meters)
    third = CircuitBreaker(name="c", instrumentation=again)
    trip(second)
    assert seen.series("circuit_breaker.state") == {("a",): 0, ("b",): 1, ("c",): 0}
    assert {first.state.name, third.state.name} == {"CLOSED"}


def test_calls_are_counted_by_result(seen: Seen, clock: FakeClock) -> None:
    breaker = make(seen, clock, expected_exception=OSError, ignored_exception=KeyError)
    breaker.call_sync(fine)
    for error in (LookupError, KeyError):
        with pytest.raises(error):
            breaker.call_sync(_raising(error))
    trip(breaker)
    with pytest.raises(CircuitBreakerOpenError):
        breaker.call_sync(fine)
    counts = {key[1]: value for key, value in seen.series("circuit_breaker.calls").items()}
    assert counts == {"success": 1, "failure": 2, "rejected": 1, "unexpected_failure": 1, "ignored": 1}


def _raising(error: type[Exception]):
    def raising() -> None:
        raise error

    return raising


def test_every_transition_is_counted_exactly_once_forced_ones_too(seen: Seen, clock: FakeClock) -> None:
    breaker = make(seen, clock)
    trip(breaker)
    clock.advance(10)
    breaker.call_sync(fine)
    breaker.force_open_nowait()
    breaker.force_open_nowait()
    asyncio.run(breaker.force_close())
    assert seen.series("circuit_breaker.transitions") == {
        ("CLOSED", "db", "OPEN"): 2,
        ("OPEN", "db", "HALF_OPEN"): 1,
        ("HALF_OPEN", "db", "CLOSED"): 1,
        ("HALF_OPEN", "db", "OPEN"): 0,
        ("OPEN", "db", "CLOSED"): 1,
    }
    assert seen.log_events() == ["circuit_breaker.transition"] * 5


def test_the_series_of_transitions_begin_at_zero_with_the_breaker(seen: Seen, clock: FakeClock) -> None:
    make(seen, clock)
    assert set(seen.series("circuit_breaker.transitions").values()) == {0}


def test_the_transition_lands_on_the_span_of_the_call_that_caused_it(seen: Seen, clock: FakeClock) -> None:
    breaker = make(seen, clock)
    tracer = seen.instrumentation.tracer
    with tracer.start_as_current_span("first"), pytest.raises(OSError):
        breaker.call_sync(fail)
    with tracer.start_as_current_span("second"), pytest.raises(OSError):
        breaker.call_sync(fail)
    assert seen.span("first").events == ()
    (event,) = seen.span("second").events
    assert event.name == "circuit_breaker.transition"
    assert dict(event.attributes or {}) == {
        "name": "db",
        "from_state": "CLOSED",
        "to_state": "OPEN",
        "reason": "failure_threshold_exceeded",
        "retry_after": 10.0,
        "failure_count": 2,
    }
    record = seen.logs.get_finished_logs()[0].log_record
    assert record.trace_id == seen.span("second").context.trace_id


def test_each_rejection_is_on_its_span_but_only_the_first_of_a_spell_is_logged(seen: Seen, clock: FakeClock) -> None:
    breaker = make(seen, clock)
    trip(breaker)
    for _ in range(2):
        with seen.instrumentation.tracer.start_as_current_span("caller"), pytest.raises(CircuitBreakerOpenError):
            breaker.call_sync(fine)
    events = [span.events[0] for span in seen.spans.get_finished_spans()]
    assert [event.name for event in events] == ["circuit_breaker.rejected"] * 2
    assert dict(events[1].attributes or {}) == {"name": "db", "state": "OPEN", "reason": "open", "retry_after": 10.0}
    assert seen.log_events() == ["circuit_breaker.transition", "circuit_breaker.rejected"]
    clock.advance(10)
    with pytest.raises(OSError):
        breaker.call_sync(fail)
    with pytest.raises(CircuitBreakerOpenError):
        breaker.call_sync(fine)
    assert seen.log_events().count("circuit_breaker.rejected") == 2


def test_operator_modes_are_seen(seen: Seen, clock: FakeClock) -> None:
    breaker = make(seen, clock)
    breaker.isolate()
    status = {key[1] for key, value in seen.series("circuit_breaker.status").items() if value}
    assert status == {"isolated"}
    breaker.disable()
    status = {key[1] for key, value in seen.series("circuit_breaker.status").items() if value}
    assert status == {"disabled"}


def test_breakers_of_one_name_are_added_up_with_a_warning(
    seen: Seen, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = make(seen, clock), make(seen, clock)
    assert "circuit_breaker.duplicate_name name=db" in caplog.text
    one.call_sync(fine)
    two.call_sync(fine)
    trip(one)
    assert seen.series("circuit_breaker.calls")[("db", "success")] == 2
    assert seen.series("circuit_breaker.state") == {("db",): 1}


def test_durations_are_recorded_only_when_asked_for(seen: Seen, clock: FakeClock) -> None:
    make(seen, clock, "quiet").call_sync(fine)
    make(seen, clock, "measured", measure_duration=True).call_sync(fine)
    assert seen.series("circuit_breaker.call.duration") == {("measured", "success"): 1}


async def test_each_try_has_a_span_and_what_happens_lands_on_the_right_one(seen: Seen, clock: FakeClock) -> None:
    breaker = make(seen, clock)
    pipeline = Pipeline(
        "db",
        retry=RetryPolicy(attempts=4, wait=1.0, jitter=0.0, max_wait=20.0),
        breaker=breaker,
        instrumentation=seen.instrumentation,
        clock=clock,
        sleep=clock.sleep,
    )
    with seen.instrumentation.tracer.start_as_current_span("parent"), pytest.raises(OSError):
        await pipeline.call(fail)
    attempts = [span for span in seen.spans.get_finished_spans() if span.name == "attempt"]
    parent = seen.span("parent")
    assert [
        (number, wait, previous)
        for span in attempts
        for number, wait, previous in [
            [(span.attributes or {}).get(f"attempt.{key}") for key in ("number", "wait", "previous_error")]
        ]
    ] == [(1, None, None), (2, 1.0, "OSError"), (3, 2.0, "OSError"), (4, 8.0, "circuit_breaker_open")]
    events = [[event.name.removeprefix("circuit_breaker.") for event in span.events] for span in attempts]
    assert events == [[], ["transition"], ["rejected"], ["transition", "transition"]]
    assert [span.status.status_code for span in attempts] == [StatusCode.ERROR] * 4
    assert all(span.parent and span.parent.span_id == parent.context.span_id for span in attempts)
    scheduled = [event for event in parent.events if event.name == "retry.scheduled"]
    assert len(scheduled) == 3
    assert dict(scheduled[0].attributes or {}) == {
        "name": "db",
        "attempt.number": 2,
        "wait": 1.0,
        "error.type": "OSError",
    }
    assert seen.series("tracefuse.retry.attempts") == {("db", "failure"): 3, ("db", "rejected"): 1}
    assert not any("secret" in str(span.to_json()) for span in attempts)


async def test_a_cancelled_try_does_not_leave_its_span_unset(seen: Seen) -> None:
    pipeline = Pipeline("db", instrumentation=seen.instrumentation)
    started = asyncio.Event()

    async def hang() -> None:
        started.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(pipeline.call(hang))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen.span("attempt").status.status_code is StatusCode.ERROR
    assert seen.series("tracefuse.retry.attempts") == {("db", "cancelled"): 1}


SET_UP_LATER = """
import gc
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from tracefuse.resilience import CircuitBreaker, Pipeline
from tracefuse.telemetry import Instrumentation

early = CircuitBreaker(name="early")
apart = CircuitBreaker(name="apart", instrumentation=Instrumentation.from_providers())
reader = InMemoryMetricReader()
provider = MeterProvider([reader])
metrics.set_meter_provider(provider)
late = CircuitBreaker(name="late")
given = CircuitBreaker(name="given", instrumentation=Instrumentation.from_providers(meter_provider=provider))
for breaker in (early, apart, late, given):
    breaker.call_sync(int)
    breaker.force_open_nowait()
found = {
    (metric.name, point.attributes["name"]): point.value
    for resource in reader.get_metrics_data().resource_metrics
    for scope in resource.scope_metrics
    for metric in scope.metrics
    for point in metric.data.data_points
    if point.attributes.get("result") == "success" or metric.name == "circuit_breaker.state"
    or metric.name == "circuit_breaker.transitions" and point.value
}
assert len(found) == 12 and set(found.values()) == {1}, found
"""


def test_breakers_made_before_and_after_the_global_provider_are_all_observed() -> None:
    # In a process of its own: the global providers are set once.
    subprocess.run([sys.executable, "-c", SET_UP_LATER], check=True, timeout=60)


def test_importing_loads_no_sdk_and_no_exporter() -> None:
    script = "import sys, tracefuse.resilience; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], check=True, timeout=60, capture_output=True, text=True)
    heavy = ("opentelemetry.sdk", "opentelemetry.exporter")
    assert [name for name in loaded.stdout.split() if name.startswith(heavy)] == []


def test_broken_telemetry_never_breaks_a_call(
    seen: Seen, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    breaker = make(seen, clock, measure_duration=True)

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("exporter bug")

    telemetry = breaker._telemetry
    monkeypatch.setattr(telemetry._transitions, "add", broken)
    monkeypatch.setattr(telemetry._duration, "record", broken)
    trip(breaker)
    assert breaker.state.name == "OPEN"
    assert "metrics.transition_failed name=db error=exporter bug" in caplog.text
    assert "metrics.record_failed name=db error=exporter bug" in caplog.text
    monkeypatch.undo()
    clock.advance(10)
    breaker.call_sync(fine)
    counted = {change: count for change, count in seen.series("circuit_breaker.transitions").items() if count}
    assert counted == {("OPEN", "db", "HALF_OPEN"): 1, ("HALF_OPEN", "db", "CLOSED"): 1}
