"""What users of `mcp_server.circuit_breaker` rely on, item by item (the CB-... numbers)."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import pickle
import subprocess
import sys
import threading
from datetime import datetime
from typing import Any

import pytest

import tracefuse.resilience as known
from tracefuse.resilience import (
    CircuitBreaker,
    CircuitBreakerContext,
    CircuitBreakerOpenError,
    CircuitBreakerState,
    CircuitBreakerStats,
    ConfigAdjustedWarning,
    InvalidConfigError,
    StateTransition,
)
from tracefuse.resilience.testing import FakeClock, force_state

CLOSED, OPEN, HALF_OPEN = CircuitBreakerState


def fail(message: str = "down") -> None:
    raise OSError(message)


def make(clock: FakeClock, **options: Any) -> CircuitBreaker:
    wall = options.pop("wall_clock", lambda: 1_700_000_000.0 + clock())
    options = {"failure_threshold": 2, "recovery_timeout": 10.0, "enable_jitter": False, "name": "known"} | options
    return CircuitBreaker(clock=clock, wall_clock=wall, **options)


def trip(breaker: CircuitBreaker) -> None:
    while breaker.state is CLOSED:
        with pytest.raises(OSError):
            breaker.call_sync(fail)


def test_constructor_parameters_and_defaults() -> None:  # CB-048
    parameters = list(inspect.signature(CircuitBreaker).parameters.values())[:9]
    assert [(parameter.name, parameter.default) for parameter in parameters] == [
        ("failure_threshold", 5),
        ("recovery_timeout", 60.0),
        ("expected_exception", (Exception,)),
        ("name", "tool"),
        ("success_threshold", 1),
        ("timeout_multiplier", 1.5),
        ("max_timeout", 300.0),
        ("enable_jitter", True),
        ("state_transition_callback", None),
    ]
    assert all(parameter.kind is parameter.POSITIONAL_OR_KEYWORD for parameter in parameters)


@pytest.mark.parametrize(  # CB-049 to CB-054
    ("given", "field", "used"),
    [
        ({"failure_threshold": 0}, "failure_threshold", 1),
        ({"failure_threshold": 2.9}, "failure_threshold", 2),
        ({"recovery_timeout": 0.05}, "initial_recovery_timeout", 1.0),
        ({"max_timeout": 5, "recovery_timeout": 60}, "max_timeout", 60.0),
        ({"timeout_multiplier": 0.1}, "timeout_multiplier", 1.0),
        ({"success_threshold": -3}, "success_threshold", 1),
    ],
)
def test_numbers_out_of_range_are_coerced_with_a_warning(given: dict[str, Any], field: str, used: float) -> None:
    name, value = next(iter(given.items()))
    with pytest.warns(ConfigAdjustedWarning, match=f"{name}={value!r} is out of range, using {used!r}") as caught:
        breaker = CircuitBreaker(**given)
    assert getattr(breaker, field) == used
    assert caught[0].filename == __file__


def test_the_default_maximum_follows_a_longer_recovery_timeout_silently() -> None:
    assert CircuitBreaker(recovery_timeout=600).max_timeout == 600


@pytest.mark.parametrize("field", ["failure_threshold", "recovery_timeout", "max_timeout", "timeout_multiplier"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, "3", None], ids=repr)
def test_what_is_no_number_is_refused_by_name(field: str, value: object) -> None:  # CB-137
    with pytest.raises(InvalidConfigError, match=f"{field} is {value!r}"):
        CircuitBreaker(**{field: value})


@pytest.mark.parametrize("given", [OSError, (OSError,), [OSError], {OSError}], ids=repr)
def test_exception_types_in_any_form(given: Any) -> None:  # CB-055
    assert CircuitBreaker(expected_exception=given).expected_exception == (OSError,)


def test_a_new_breaker(caplog: pytest.LogCaptureFixture) -> None:  # CB-051, CB-056, CB-062, CB-063
    with caplog.at_level(logging.INFO):
        breaker = CircuitBreaker(3, 30.0, OSError, "nmap", 2)
    assert breaker.state is CLOSED
    assert breaker.current_recovery_timeout == breaker.initial_recovery_timeout == 30.0
    assert "circuit_breaker.created name=nmap threshold=3 timeout=30.0 success_threshold=2" in caplog.text


def test_names_and_types() -> None:  # CB-037 to CB-043
    assert known.METRICS_AVAILABLE is True
    assert known.CB_STATE_GAUGE.prometheus == "circuit_breaker_state"
    assert known.CB_CALLS_COUNTER.description == "Total circuit breaker calls"
    assert known.CB_STATE_TRANSITIONS.attributes == ("name", "from_state", "to_state")
    assert [(state.name, state.value) for state in CircuitBreakerState] == [
        ("CLOSED", 0),
        ("OPEN", 1),
        ("HALF_OPEN", 2),
    ]
    entry = StateTransition(datetime.fromtimestamp(0).astimezone(), CLOSED, OPEN, "why")
    assert entry.metadata == {}
    assert CircuitBreakerStats() == CircuitBreakerStats(0, 0, 0, 0, 0, 0, None, None, 0, None, {}, 0.0)
    assert CircuitBreakerStats().get_average_latency() == 0.0
    error = CircuitBreakerOpenError("no", breaker_name="db")
    assert (str(error), error.retry_after, error.breaker_name) == ("no", None, "db")
    again = pickle.loads(pickle.dumps(CircuitBreakerOpenError("no", 1.5, "db")))
    assert (str(again), again.retry_after, again.breaker_name) == ("no", 1.5, "db")


def test_coroutine_functions() -> None:  # CB-067
    for name in ("call", "force_open", "force_close", "cleanup"):
        assert inspect.iscoroutinefunction(getattr(CircuitBreaker, name))


async def test_sync_async_awaitable_and_future_results(clock: FakeClock) -> None:  # CB-068
    breaker = make(clock)

    async def coroutine() -> int:
        return 2

    class Awaitable:
        def __await__(self):
            yield
            return 3

    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    future.set_result(4)
    assert await breaker.call(lambda: 1) == 1
    assert await breaker.call(coroutine) == 2
    assert await breaker.call(Awaitable) == 3
    assert await breaker.call(lambda: future) == 4
    assert breaker.stats.successful_calls == 4


async def test_open_refuses(clock: FakeClock) -> None:  # CB-069, CB-072, CB-114
    breaker = make(clock)
    trip(breaker)
    clock.advance(4)
    called: list[int] = []
    with pytest.raises(CircuitBreakerOpenError, match=r"^Circuit breaker is open for known$") as caught:
        await breaker.call(called.append, 1)
    assert called == []
    assert (caught.value.retry_after, caught.value.breaker_name) == (6.0, "known")
    assert (breaker.stats.rejected_calls, breaker.stats.total_calls) == (1, 2)
    assert breaker.get_stats()["timing"]["retry_after"] == 6.0


async def test_half_open_refuses_beyond_its_limit(clock: FakeClock) -> None:  # CB-059, CB-073
    breaker = make(clock, recovery_timeout=60.0)
    trip(breaker)
    clock.advance(60)
    with breaker.permit(), pytest.raises(CircuitBreakerOpenError, match="is testing recovery for known") as caught:
        await breaker.call(int)
    assert caught.value.retry_after == 5.0


def test_exceptions_pass_unchanged(clock: FakeClock) -> None:  # CB-070
    error = OSError("mine")

    def boom() -> None:
        raise error

    with pytest.raises(OSError) as caught:
        make(clock).call_sync(boom)
    assert caught.value is error


def test_an_unexpected_exception(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:  # CB-081, D29
    breaker = make(clock, expected_exception=KeyError)
    for _ in range(5):
        with pytest.raises(OSError):
            breaker.call_sync(fail)
    assert breaker.state is CLOSED
    assert breaker.stats.failed_calls == 0
    assert "circuit_breaker.unexpected_error name=known error_type=OSError" in caplog.text
    force_state(breaker, HALF_OPEN)
    with pytest.raises(OSError):
        breaker.call_sync(fail)
    assert breaker.state is OPEN


def test_statistics_of_calls(clock: FakeClock) -> None:  # CB-075 to CB-079
    breaker = make(clock, failure_threshold=50)
    breaker.call_sync(clock.advance, 2.0)
    for number in range(12):
        with pytest.raises(OSError):
            breaker.call_sync(fail, f"error {number}")
    stats = breaker.stats
    assert (stats.total_calls, stats.successful_calls, stats.failed_calls) == (13, 1, 12)
    assert (stats.consecutive_failures, stats.consecutive_successes) == (12, 0)
    assert stats.total_latency == 2.0
    assert stats.get_average_latency() == 2.0 / 13
    assert stats.failure_reasons == {"OSError": 12}
    assert stats.last_success_time == stats.last_failure_time == 1_700_001_002.0
    errors = breaker.get_stats()["recent_errors"]
    assert [error["error"] for error in errors] == [f"error {number}" for number in range(2, 12)]
    assert set(errors[0]) == {"timestamp", "error", "type", "execution_time"}
    assert errors[0]["type"] == "OSError"


def test_a_success_that_ends_a_streak_is_logged(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:  # CB-091
    caplog.set_level(logging.DEBUG)
    breaker = make(clock)
    breaker.call_failed()
    breaker.call_sync(int)
    breaker.call_sync(int)
    assert caplog.text.count("circuit_breaker.failure_count_reset name=known failures=1") == 1


def test_the_whole_story_in_the_history(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    # CB-086, CB-089, CB-095, CB-097, CB-101, CB-102
    caplog.set_level(logging.INFO)
    breaker = make(clock)
    trip(breaker)
    clock.advance(10)
    with pytest.raises(OSError):
        breaker.call_sync(fail)
    clock.advance(15)
    breaker.call_sync(int)
    breaker.force_open_nowait()
    breaker.force_close_nowait()
    story = [
        (entry["from_state"], entry["to_state"], entry["reason"], entry["metadata"])
        for entry in breaker.get_state_history(100)
    ]
    assert story == [
        (
            "CLOSED",
            "OPEN",
            "failure_threshold_exceeded",
            {"failure_count": 2, "consecutive_failures": 2, "new_timeout": 10.0},
        ),
        ("OPEN", "HALF_OPEN", "recovery_timeout_elapsed", {"recovery_timeout": 10.0}),
        (
            "HALF_OPEN",
            "OPEN",
            "recovery_attempt_failed",
            {"failure_count": 3, "consecutive_failures": 3, "new_timeout": 15.0},
        ),
        ("OPEN", "HALF_OPEN", "recovery_timeout_elapsed", {"recovery_timeout": 15.0}),
        ("HALF_OPEN", "CLOSED", "success_threshold_reached", {"success_count": 1}),
        ("CLOSED", "OPEN", "forced_open", {"failure_count": 2, "consecutive_failures": 2, "new_timeout": 10.0}),
        ("OPEN", "CLOSED", "forced_close", {"failure_count": 2, "consecutive_failures": 2}),
    ]
    for line in ("open", "half_open", "reopened", "closed", "force_open", "force_close"):
        assert f"circuit_breaker.{line} name=known" in caplog.text
    assert breaker.stats.state_changes == 7
    assert breaker.current_recovery_timeout == 10.0


def test_history_is_bounded_and_newest_last(clock: FakeClock) -> None:  # CB-017, CB-110
    breaker = make(clock)
    for _ in range(60):
        breaker.force_open_nowait()
        breaker.force_close_nowait()
    assert len(breaker.get_state_history(1000)) == 100
    assert len(breaker.get_state_history()) == 10
    assert len(breaker.get_state_history(-5)) == 1
    (last,) = breaker.get_state_history(0)
    assert last["to_state"] == "CLOSED"
    assert datetime.fromisoformat(last["timestamp"]).tzinfo is not None
    assert breaker.stats.state_changes == 120


def test_get_stats_is_plain_data_and_a_copy(clock: FakeClock) -> None:  # CB-111 to CB-116, CB-129, CB-130
    breaker = make(clock)
    trip(breaker)
    stats = breaker.get_stats()
    assert json.loads(json.dumps(stats)) == stats
    assert {"name", "state", "stats", "config", "timing", "recent_errors", "state_history"} <= set(stats)
    assert set(stats["stats"]) == {
        *("total_calls", "successful_calls", "failed_calls", "rejected_calls", "success_rate", "average_latency"),
        *("consecutive_failures", "consecutive_successes", "state_changes", "failure_reasons"),
    }
    assert set(stats["config"]) == {
        *("failure_threshold", "current_timeout", "initial_timeout", "max_timeout", "success_threshold"),
        *("timeout_multiplier", "jitter_enabled"),
    }
    assert set(stats["timing"]) == {"last_failure", "last_success", "last_state_change", "retry_after"}
    stats["stats"]["failure_reasons"]["OSError"] = 999
    stats["state_history"][0]["metadata"].clear()
    breaker.stats.failure_reasons.clear()
    again = breaker.get_stats()
    assert again["stats"]["failure_reasons"] == {"OSError": 2}
    assert again["state_history"][0]["metadata"] != {}


async def test_forcing_without_waiting_waits_for_no_listener_that_is_not_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    breaker = make(FakeClock())
    tasks = [breaker.force_open_nowait(), breaker.force_close_nowait(), breaker.force_open_nowait()]
    async with asyncio.timeout(1):
        await asyncio.gather(*(task for task in tasks if task is not None))
        await breaker.force_close()
    assert "callback_slow" not in caplog.text


async def test_forms_without_waiting_have_taken_effect_when_they_return(clock: FakeClock) -> None:  # CB-103 to CB-109
    breaker = make(clock, failure_threshold=1)
    task = breaker.force_open_nowait()
    assert breaker.state is OPEN
    assert isinstance(task, asyncio.Task)
    await task
    breaker.force_close_nowait()
    assert breaker.state is CLOSED
    breaker.call_failed()
    assert breaker.state is OPEN
    await breaker.cleanup()


def test_forms_without_waiting_outside_a_loop_and_from_any_thread(clock: FakeClock) -> None:
    breaker = make(clock, failure_threshold=1)
    assert breaker.force_open_nowait() is None
    assert breaker.force_close_nowait() is None
    thread = threading.Thread(target=breaker.call_failed)
    thread.start()
    thread.join(5)
    assert breaker.state is OPEN
    force_state(breaker, HALF_OPEN)
    breaker.call_succeeded()
    assert breaker.state is CLOSED
    stats = breaker.stats
    assert (stats.total_calls, stats.successful_calls, stats.failed_calls) == (2, 1, 1)


async def test_an_async_callback_is_done_when_the_call_returns(clock: FakeClock) -> None:  # CB-040, CB-090, CB-100
    heard: list[tuple[str, str, str]] = []

    async def callback(from_state: CircuitBreakerState, to_state: CircuitBreakerState, name: str) -> None:
        await asyncio.sleep(0)
        heard.append((from_state.name, to_state.name, name))
        if to_state is OPEN:
            with pytest.raises(CircuitBreakerOpenError):
                await breaker.call(int)

    breaker = make(clock, state_transition_callback=callback)
    for _ in range(2):
        with pytest.raises(OSError):
            await breaker.call(fail)
    assert heard == [("CLOSED", "OPEN", "known")]
    clock.advance(10)
    await breaker.call(int)
    await breaker.force_open()
    assert heard[1:] == [
        ("OPEN", "HALF_OPEN", "known"),
        ("HALF_OPEN", "CLOSED", "known"),
        ("CLOSED", "OPEN", "known"),
    ]


def test_an_async_callback_runs_without_a_loop_too(clock: FakeClock) -> None:
    heard: list[str] = []

    async def callback(_: CircuitBreakerState, to_state: CircuitBreakerState, name: str) -> None:
        await asyncio.sleep(0)
        heard.append(to_state.name)

    breaker = make(clock, state_transition_callback=callback)
    trip(breaker)
    assert heard == ["OPEN"]


async def test_a_hanging_callback_holds_up_nobody_for_ever(
    clock: FakeClock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracefuse.resilience._notify.PATIENCE", 0.02)

    async def callback(*_: object) -> None:
        await asyncio.Event().wait()

    breaker = make(clock, state_transition_callback=callback)
    await breaker.force_open()
    assert "circuit_breaker.callback_slow name=known" in caplog.text
    caplog.set_level(logging.INFO)
    await breaker.cleanup()  # CB-117, CB-135
    assert breaker.state is OPEN
    assert "circuit_breaker.cleanup_completed name=known tasks_cleaned=1" in caplog.text


def test_callbacks_come_and_go(clock: FakeClock) -> None:
    heard: list[str] = []

    def callback(_: CircuitBreakerState, to_state: CircuitBreakerState, name: str) -> None:
        heard.append(to_state.name)

    breaker = make(clock)
    breaker.add_callback(callback)
    breaker.force_open_nowait()
    breaker.remove_callback(callback)
    breaker.force_close_nowait()
    assert heard == ["OPEN"]
    with pytest.raises(ValueError):
        breaker.remove_callback(callback)
    with pytest.raises(InvalidConfigError, match="state_transition_callback is 3"):
        make(clock, state_transition_callback=3)


async def test_the_context_object(clock: FakeClock) -> None:  # CB-118 to CB-125
    breaker = make(clock, expected_exception=OSError)
    context = CircuitBreakerContext(breaker)
    async with context as entered:
        assert entered is context
        assert context.circuit_breaker is breaker
        assert context.start_time is not None
    assert context.exception_occurred is False
    with pytest.raises(OSError), context:
        fail()
    assert context.exception_occurred is True
    with pytest.raises(asyncio.CancelledError):
        async with context:
            raise asyncio.CancelledError
    with pytest.raises(LookupError):
        async with context:
            raise LookupError
    stats = breaker.stats
    assert (stats.total_calls, stats.successful_calls, stats.failed_calls) == (4, 1, 1)
    assert stats.consecutive_failures == 1


def test_nested_breakers_and_a_context_round_a_call(clock: FakeClock) -> None:  # D40, D46
    inner, outer = make(clock, name="inner"), make(clock, name="outer")
    trip(inner)
    for _ in range(5):
        with pytest.raises(CircuitBreakerOpenError), CircuitBreakerContext(outer):
            inner.call_sync(int)
    assert outer.state is CLOSED
    assert outer.stats.failed_calls == 0


def test_reset_for_testing(clock: FakeClock) -> None:  # CB-022
    breaker = make(clock)
    trip(breaker)
    breaker.isolate()
    breaker.reset_for_testing()
    assert (breaker.state, breaker.mode, breaker.stats) == (CLOSED, "normal", CircuitBreakerStats())
    assert breaker.get_state_history() == []


def test_jitter_is_drawn_once_per_opening() -> None:  # CB-084, CB-085, CB-127
    clock, draws = FakeClock(), iter([0.5, 1.0, 0.0, 0.5])
    breaker = CircuitBreaker(1, 100.0, name="jitter", clock=clock, random=lambda: next(draws))
    breaker.force_open_nowait()
    assert {breaker.retry_after for _ in range(20)} == {100.0}
    breaker.force_close_nowait()
    breaker.force_open_nowait()
    assert breaker.retry_after == pytest.approx(110.0)
    clock.advance(110.1)
    assert breaker.call_sync(int) == 0


def test_importing_twice_does_not_fail() -> None:  # CB-131
    script = (
        "import sys, tracefuse.resilience as first; old = first.CircuitBreaker(name='a')\n"
        "for name in [name for name in sys.modules if name.startswith('tracefuse')]: del sys.modules[name]\n"
        "import tracefuse.resilience as second; assert second is not first\n"
        "second.CircuitBreaker(name='a').call_sync(int)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
