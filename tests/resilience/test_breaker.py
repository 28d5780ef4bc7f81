"""The shell's own promises beyond the known surface: forms of a call, modes, listeners, settings."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tracefuse.resilience import (
    BreakerConfig,
    CallFinished,
    CallRejected,
    CircuitBreaker,
    CircuitBreakerOpenError,
    CircuitBreakerState,
    InvalidConfigError,
    ModeChanged,
    Outcome,
    Transition,
)
from tracefuse.resilience.testing import FakeClock, InjectedFailureError, Recorder, force_state, inject_failure


def make(clock: FakeClock, **options: Any) -> CircuitBreaker:
    options = {"failure_threshold": 2, "recovery_timeout": 10.0, "enable_jitter": False, "name": "db"} | options
    return CircuitBreaker(clock=clock, **options)


def fail() -> None:
    raise OSError


def test_decorators_keep_the_kind_of_a_function(clock: FakeClock) -> None:
    breaker = make(clock)

    @breaker
    def plain(a: int, *, b: int = 2) -> int:
        """Plain."""
        return a + b

    @breaker
    async def coroutine() -> int:
        return 1

    @breaker
    def generator() -> Iterator[int]:
        yield 1

    @breaker
    async def async_generator() -> AsyncIterator[int]:
        yield 1

    assert (plain.__name__, plain.__doc__, plain(1, b=3)) == ("plain", "Plain.", 4)
    assert list(inspect.signature(plain).parameters) == ["a", "b"]
    assert inspect.iscoroutinefunction(coroutine)
    assert list(generator()) == [1]
    assert inspect.isasyncgen(async_generator())
    with pytest.raises(TypeError, match="decorates callables, not 3"):
        breaker(3)  # type: ignore[arg-type]


def test_methods_can_be_decorated(clock: FakeClock) -> None:
    breaker = make(clock)

    class Client:
        @breaker
        def get(self, key: str) -> str:
            return key.upper()

    assert Client().get("a") == "A"


def test_a_generator_is_under_the_breaker_from_first_to_last_item(clock: FakeClock) -> None:
    breaker = make(clock)

    @breaker
    def rows(limit: int) -> Iterator[int]:
        sent = yield 0
        assert sent == "more"
        yield from range(1, limit)
        raise OSError

    never_started = rows(3)
    assert breaker.stats.total_calls == 0
    never_started.close()
    started = rows(3)
    assert next(started) == 0
    assert started.send("more") == 1  # type: ignore[attr-defined]
    started.close()
    counts = breaker.call_counts()
    assert (counts["ignored"], counts["failure"], counts["success"]) == (1, 0, 0)
    broken = rows(1)
    next(broken)
    with pytest.raises(OSError):
        broken.send("more")  # type: ignore[attr-defined]
    assert breaker.stats.failed_calls == 1


async def test_an_async_generator_takes_what_is_sent_and_thrown(clock: FakeClock) -> None:
    breaker = make(clock)
    cleaned: list[str] = []

    @breaker
    async def echo() -> AsyncIterator[Any]:
        try:
            sent = yield "ready"
            try:
                yield sent
            except KeyError:
                yield "caught"
        finally:
            cleaned.append("up")

    stream: Any = echo()
    assert await anext(stream) == "ready"
    assert await stream.asend("hello") == "hello"
    assert await stream.athrow(KeyError()) == "caught"
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    assert breaker.stats.successful_calls == 1
    early: Any = echo()
    await anext(early)
    await early.aclose()
    assert cleaned == ["up", "up"]
    assert breaker.call_counts()["ignored"] == 1


async def test_generators_given_to_call_stay_under_the_breaker(clock: FakeClock) -> None:
    breaker = make(clock)

    def rows() -> Iterator[int]:
        yield 1
        raise OSError

    async def stream() -> AsyncIterator[int]:
        yield 1
        raise OSError

    with pytest.raises(OSError):
        list(breaker.call_sync(rows))
    with pytest.raises(OSError):
        async for _ in await breaker.call(stream):  # type: ignore[attr-defined]
            pass
    assert breaker.state.name == "OPEN"


async def test_blocks_nest_and_interleave(clock: FakeClock) -> None:
    one, two = make(clock, name="one"), make(clock, name="two")

    async def task() -> None:
        async with one:
            await asyncio.sleep(0)
            with two, one:
                await asyncio.sleep(0)

    await asyncio.gather(*(task() for _ in range(5)))
    assert (one.stats.successful_calls, two.stats.successful_calls) == (10, 5)


def test_only_the_first_word_about_a_permit_counts(clock: FakeClock) -> None:
    breaker = make(clock)
    permit = breaker.permit()
    permit.release()
    permit.success()
    permit.failure(OSError())
    assert dict(breaker.call_counts()) == {
        "success": 0,
        "failure": 0,
        "rejected": 0,
        "unexpected_failure": 0,
        "ignored": 1,
    }


async def test_a_blocking_callable_may_go_to_a_thread_with_its_context(clock: FakeClock) -> None:
    breaker = make(clock, run_sync_in="thread")
    variable = contextvars.ContextVar("variable", default="lost")
    variable.set("kept")

    def blocking() -> tuple[str, bool]:
        return variable.get(), threading.current_thread() is threading.main_thread()

    async def coroutine() -> bool:
        return threading.current_thread() is threading.main_thread()

    assert await breaker.call(blocking) == ("kept", False)
    assert await breaker.call(coroutine) is True


def test_isolation_is_sticky_and_disabling_only_counts(clock: FakeClock) -> None:
    recorder = Recorder()
    breaker = make(clock, listeners=[recorder])
    breaker.isolate()
    clock.advance(1e6)
    with pytest.raises(CircuitBreakerOpenError, match="is isolated for db") as caught:
        breaker.call_sync(int)
    assert caught.value.retry_after is None
    breaker.disable()
    for _ in range(5):
        with pytest.raises(OSError):
            breaker.call_sync(fail)
    assert (breaker.state.name, breaker.stats.failed_calls) == ("CLOSED", 5)
    breaker.release()
    breaker.release()
    modes = [(event.old, event.new) for event in recorder.events if isinstance(event, ModeChanged)]
    assert modes == [("normal", "isolated"), ("isolated", "disabled"), ("disabled", "normal")]
    assert repr(breaker) == "<CircuitBreaker 'db' CLOSED>"


def test_shadow_lets_through_what_it_would_refuse(clock: FakeClock) -> None:
    breaker = make(clock)
    breaker.shadow()
    for _ in range(3):
        with pytest.raises(OSError):
            breaker.call_sync(fail)
    assert breaker.state.name == "OPEN"
    assert breaker.stats.rejected_calls == 0
    assert repr(breaker) == "<CircuitBreaker 'db' OPEN shadow>"


def test_listeners_hear_everything_in_order(clock: FakeClock) -> None:
    recorder = Recorder()
    breaker = make(clock, failure_threshold=1)
    breaker.add_listener(recorder)
    breaker.call_sync(clock.advance, 2.0)
    with pytest.raises(OSError):
        breaker.call_sync(fail)
    with pytest.raises(CircuitBreakerOpenError):
        breaker.call_sync(fail)
    first, second, third, fourth = recorder.events
    assert first == CallFinished(Outcome.SUCCESS, 2.0, None)
    assert isinstance(second, Transition)
    assert isinstance(third, CallFinished)
    assert isinstance(third.error, OSError)
    assert isinstance(fourth, CallRejected)
    assert (fourth.retry_after, fourth.first) == (10.0, True)
    breaker.remove_listener(recorder)
    breaker.force_close_nowait()
    assert len(recorder.events) == 4


async def test_a_slow_listener_holds_up_only_its_own_call(clock: FakeClock) -> None:
    entered, leave = threading.Event(), threading.Event()

    def slow(name: str, event: object) -> None:
        if isinstance(event, Transition):
            entered.set()
            leave.wait(10)

    breaker = make(clock, failure_threshold=1, listeners=[slow])
    thread = threading.Thread(target=breaker.call_failed)
    thread.start()
    assert entered.wait(10)
    began = time.perf_counter()
    with pytest.raises(CircuitBreakerOpenError):
        breaker.call_sync(int)
    assert time.perf_counter() - began < 5
    leave.set()
    thread.join(10)


@pytest.mark.parametrize(
    ("options", "error", "result"),
    [
        ({"expected_exception": [OSError]}, OSError, "failure"),
        ({"expected_exception": lambda error: "x" in str(error)}, OSError, "unexpected_failure"),
        ({"expected_exception": lambda error: 1 / 0}, OSError, "failure"),
        ({"ignored_exception": OSError}, FileNotFoundError, "ignored"),
        ({"ignored_exception": lambda error: isinstance(error, OSError)}, OSError, "ignored"),
        ({"ignored_exception": lambda error: 1 / 0}, OSError, "failure"),
        ({"expected_exception": BaseException}, KeyboardInterrupt, "failure"),
        ({}, KeyboardInterrupt, "ignored"),
    ],
)
def test_what_counts_as_what(
    clock: FakeClock, options: dict[str, Any], error: type[BaseException], result: str
) -> None:
    breaker = make(clock, **options)

    def raises() -> None:
        raise error

    with pytest.raises(error):
        breaker.call_sync(raises)
    assert [name for name, count in breaker.call_counts().items() if count] == [result]


def test_results_may_be_failures(clock: FakeClock) -> None:
    breaker = make(clock, failed_result=lambda result: result["status"] >= 500)
    for _ in range(2):
        assert breaker.call_sync(dict, status=503) == {"status": 503}
    assert breaker.state.name == "OPEN"
    force_state(breaker, CircuitBreakerState.CLOSED)
    breaker.call_sync(dict, nothing=1)
    assert breaker.stats.successful_calls == 1


def test_an_exception_that_says_when_to_come_back_lengthens_the_wait(clock: FakeClock) -> None:
    class BusyError(Exception):
        retry_after = 120

    def busy() -> None:
        raise BusyError

    breaker = make(clock, failure_threshold=1)
    with pytest.raises(BusyError):
        breaker.call_sync(busy)
    assert breaker.retry_after == 120.0


def test_an_exception_that_cannot_speak_is_still_a_failure(clock: FakeClock) -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

        @property
        def retry_after(self) -> float:
            raise RuntimeError

    def mute() -> None:
        raise MuteError

    breaker = make(clock, failure_threshold=1)
    with pytest.raises(MuteError):
        breaker.call_sync(mute)
    assert breaker.state.name == "OPEN"
    assert breaker.get_stats()["recent_errors"][0]["error"] == "<no text: its __str__ raised>"


def test_rates_over_a_window(clock: FakeClock) -> None:
    breaker = make(clock, failure_rate=0.5, minimum_calls=4, window=10)
    for _ in range(2):
        with pytest.raises(OSError):
            breaker.call_sync(fail)
        breaker.call_sync(int)
    assert breaker.get_state_history()[0]["reason"] == "failure_rate_exceeded"


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("failure_threshold", 0, "a whole number from 1"),
        ("failure_threshold", True, "a whole number"),
        ("recovery_timeout", 0, "greater than 0"),
        ("recovery_timeout", float("nan"), "a finite number"),
        ("recovery_timeout", "60", "a finite number"),
        ("max_timeout", 5.0, "at least recovery_timeout"),
        ("timeout_multiplier", 0.9, "from 1"),
        ("jitter", 1.0, "from 0"),
        ("failure_rate", 1.5, "up to 1"),
        ("slow_call_rate", 0.0, "greater than 0"),
        ("cancel_counts_after", -1.0, "from 0"),
        ("window_seconds", float("inf"), "a finite number"),
        ("half_open_max_calls", 0, "a whole number from 1"),
        ("expected_exception", "OSError", "exception classes"),
        ("ignored_exception", [3], "exception classes"),
        ("failed_result", 3, "a predicate"),
    ],
)
def test_a_config_refuses_with_field_and_range(field: str, value: Any, expected: str) -> None:
    with pytest.raises(InvalidConfigError, match=f"{field} is .* expected .*{expected}") as caught:
        BreakerConfig(**{field: value})
    assert (caught.value.field, isinstance(caught.value, ValueError)) == (field, True)


def test_a_broken_listener_is_refused_at_construction(clock: FakeClock) -> None:
    with pytest.raises(InvalidConfigError, match="listeners is 3"):
        make(clock, listeners=[3])


def test_failures_can_be_injected(clock: FakeClock) -> None:
    breaker = make(clock, failure_threshold=100)
    guarded = breaker(lambda: "real")
    with inject_failure(breaker, count=2, error=lambda: OSError("injected")):
        for _ in range(2):
            with pytest.raises(OSError, match="injected"):
                guarded()
        assert guarded() == "real"
    draws = iter([0.1, 0.9])
    with inject_failure(breaker, rate=0.5, random=lambda: next(draws)):
        with pytest.raises(InjectedFailureError):
            breaker.call_sync(int)
        assert breaker.call_sync(int) == 0
    with inject_failure(breaker, when=lambda func: func is str):
        with pytest.raises(InjectedFailureError):
            asyncio.run(breaker.call(str))
        assert asyncio.run(breaker.call(int)) == 0
    assert guarded() == "real"
    assert type(breaker) is CircuitBreaker
    with pytest.raises(ValueError), inject_failure(breaker, count=1, rate=0.5):
        pass


async def test_an_async_listener_runs_in_the_loop_of_the_call_whoever_delivers(clock: FakeClock) -> None:
    """A thread that is delivering takes over the loop's event, and hands its coroutine back to the loop."""
    entered, leave, heard = threading.Event(), threading.Event(), asyncio.Event()
    home = asyncio.get_running_loop()

    def slow(name: str, event: object) -> None:
        if isinstance(event, ModeChanged):
            entered.set()
            leave.wait(10)

    async def later(name: str, event: object) -> None:
        if isinstance(event, Transition):
            assert asyncio.get_running_loop() is home
            heard.set()

    breaker = make(clock, listeners=[slow, later])
    thread = threading.Thread(target=breaker.isolate)
    thread.start()
    assert await asyncio.to_thread(entered.wait, 10)
    breaker.force_open_nowait()
    assert not heard.is_set()
    leave.set()
    async with asyncio.timeout(10):
        await heard.wait()
    await asyncio.to_thread(thread.join, 10)
    await breaker.cleanup()


def test_an_ignored_base_exception_stays_ignored(clock: FakeClock) -> None:
    breaker = make(clock, failure_threshold=1, ignored_exception=KeyboardInterrupt, expected_exception=BaseException)

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        breaker.call_sync(interrupted)
    assert breaker.state.name == "CLOSED"
    forced = make(clock, failure_threshold=1, cancel_counts_after=None)
    force_state(forced, CircuitBreakerState.HALF_OPEN)
    with pytest.raises(CircuitBreakerOpenError), forced.permit():
        raise CircuitBreakerOpenError("inner", 1.0, "inner")
    assert forced.state.name == "HALF_OPEN"
