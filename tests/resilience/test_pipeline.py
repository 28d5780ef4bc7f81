"""Retry and pipeline: order, timeouts, waits, budget, in sync and async."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import traceback
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from tracefuse.resilience import (
    BulkheadFullError,
    CircuitBreaker,
    CircuitBreakerOpenError,
    InvalidConfigError,
    Pipeline,
    PipelineTimeoutError,
    RetryPolicy,
)
from tracefuse.resilience.testing import FakeClock


class Flaky:
    """Fails as often as told, then succeeds."""

    def __init__(self, failures: int, error: Callable[[], Exception] = OSError) -> None:
        self.calls = 0
        self._failures = failures
        self._error = error

    def __call__(self) -> int:
        self.calls += 1
        if self.calls <= self._failures:
            raise self._error()
        return self.calls


class Sleeper:
    """Keeps the waits and moves the clock."""

    def __init__(self, clock: FakeClock) -> None:
        self.waits: list[float] = []
        self._clock = clock

    async def __call__(self, seconds: float) -> None:
        self.sync(seconds)

    def sync(self, seconds: float) -> None:
        self.waits.append(seconds)
        self._clock.advance(seconds)


@pytest.fixture
def sleeper(clock: FakeClock) -> Sleeper:
    return Sleeper(clock)


@pytest.fixture(params=["async", "sync"])
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Calls a pipeline either way; every rule holds for both."""

    def call(pipeline: Pipeline, func: Callable[..., Any], *args: Any) -> Any:
        if request.param == "sync":
            return pipeline.call_sync(func, *args)
        return asyncio.run(pipeline.call(func, *args))

    return call


def make(clock: FakeClock, sleeper: Sleeper, **options: Any) -> Pipeline:
    return Pipeline("p", clock=clock, sleep=sleeper, sleep_sync=sleeper.sync, random=lambda: 0.5, **options)


def policy(**options: Any) -> RetryPolicy:
    return RetryPolicy(**{"attempts": 4, "wait": 1.0, "max_wait": 100.0} | options)


def test_a_first_success_costs_no_retry_machinery(run, clock, sleeper, monkeypatch) -> None:
    monkeypatch.setattr("tracefuse.resilience._retry.tenacity", None)
    assert run(make(clock, sleeper, retry=policy()), Flaky(0)) == 1


def test_waits_grow_and_the_last_error_comes_out(run, clock, sleeper) -> None:
    flaky = Flaky(99)
    with pytest.raises(OSError):
        run(make(clock, sleeper, retry=policy()), flaky)
    assert flaky.calls == 4
    assert sleeper.waits == [1.0, 2.0, 4.0]


def test_it_stops_at_the_first_success(run, clock, sleeper) -> None:
    assert run(make(clock, sleeper, retry=policy()), Flaky(2)) == 3
    assert sleeper.waits == [1.0, 2.0]


def test_waits_are_spread_and_capped(run, clock, sleeper) -> None:
    draws = iter([0.0, 1.0, 1.0])
    pipeline = Pipeline(
        "p",
        retry=policy(jitter=0.5, max_wait=5.0),
        clock=clock,
        sleep=sleeper,
        sleep_sync=sleeper.sync,
        random=lambda: next(draws),
    )
    run(pipeline, Flaky(3))
    assert sleeper.waits == [0.5, 3.0, 5.0]


@pytest.mark.parametrize("retry_on", [LookupError, [LookupError], lambda error: isinstance(error, KeyError)], ids=repr)
def test_only_what_is_listed_is_tried_again(run, clock, sleeper, retry_on) -> None:
    pipeline = make(clock, sleeper, retry=policy(retry_on=retry_on))
    assert run(pipeline, Flaky(1, KeyError)) == 2
    other = Flaky(1, OSError)
    with pytest.raises(OSError):
        run(pipeline, other)
    assert other.calls == 1


class BusyError(Exception):
    def __init__(self, retry_after: float) -> None:
        self.retry_after = retry_after


def test_an_error_that_says_when_to_come_back_is_believed(run, clock, sleeper) -> None:
    pipeline = make(clock, sleeper, retry=policy())
    run(pipeline, Flaky(1, lambda: BusyError(17.0)))
    assert sleeper.waits == [17.0]
    too_long = Flaky(1, lambda: BusyError(101.0))
    with pytest.raises(BusyError):
        run(pipeline, too_long)
    assert too_long.calls == 1


def test_a_refusal_is_not_tried_again_before_its_time(run, clock, sleeper) -> None:
    breaker = CircuitBreaker(2, 30.0, name="db", enable_jitter=False, clock=clock)
    flaky = Flaky(2)
    assert run(make(clock, sleeper, retry=policy(), breaker=breaker), flaky) == 3
    assert sleeper.waits == [1.0, 2.0, 28.0]
    breaker.isolate()
    with pytest.raises(CircuitBreakerOpenError):
        run(make(clock, sleeper, retry=policy(), breaker=breaker), flaky)
    assert len(sleeper.waits) == 3


def test_a_refusal_at_the_end_names_the_failure_before_it(run, clock, sleeper) -> None:
    breaker = CircuitBreaker(1, 300.0, name="db", clock=clock)
    with pytest.raises(CircuitBreakerOpenError) as caught:
        run(make(clock, sleeper, retry=policy(), breaker=breaker), Flaky(1))
    assert isinstance(caught.value.__cause__, OSError)


def test_no_try_starts_after_the_deadline(run, clock, sleeper) -> None:
    flaky = Flaky(99)
    with pytest.raises(OSError):
        run(make(clock, sleeper, retry=policy(attempts=9, deadline=4.0)), flaky)
    assert sleeper.waits == [1.0, 2.0]


def test_a_wait_that_would_pass_the_total_timeout_is_not_begun(run, clock, sleeper) -> None:
    with pytest.raises(OSError):
        run(make(clock, sleeper, retry=policy(attempts=9), timeout=3.0), Flaky(99))
    assert sleeper.waits == [1.0]


def test_the_budget_is_shared_and_successes_refill_it(run, clock, sleeper) -> None:
    pipeline = make(clock, sleeper, retry=policy(attempts=3, budget=3.0, budget_refill=0.5))
    calls = []
    for _ in range(3):
        flaky = Flaky(99)
        with pytest.raises(OSError):
            run(pipeline, flaky)
        calls.append(flaky.calls)
    assert calls == [3, 2, 1]
    for _ in range(2):
        run(pipeline, Flaky(0))
    flaky = Flaky(99)
    with pytest.raises(OSError):
        run(pipeline, flaky)
    assert flaky.calls == 2


def test_each_try_asks_the_breaker(run, clock, sleeper) -> None:
    breaker = CircuitBreaker(10, name="db", clock=clock)
    run(make(clock, sleeper, retry=policy(), breaker=breaker), Flaky(3))
    stats = breaker.stats
    assert (stats.total_calls, stats.failed_calls, stats.successful_calls) == (4, 3, 1)


async def hang() -> None:
    await asyncio.Event().wait()


async def test_an_attempt_that_takes_too_long_is_a_failure_for_the_breaker() -> None:
    breaker = CircuitBreaker(1, name="db")
    pipeline = Pipeline("p", breaker=breaker, attempt_timeout=0.01)
    with pytest.raises(PipelineTimeoutError, match=r"'p' did not finish within its attempt timeout of 0.01 s"):
        await pipeline.call(hang)
    assert breaker.state.name == "OPEN"


async def test_the_total_timeout_covers_everything() -> None:
    pipeline = Pipeline("p", retry=RetryPolicy(attempts=100, wait=0.0), timeout=0.05, attempt_timeout=0.02)
    with pytest.raises(PipelineTimeoutError) as caught:
        await pipeline.call(hang)
    assert caught.value.scope in {"total", "attempt"}


async def test_a_timeout_error_of_the_function_stays_its_own() -> None:
    async def slow() -> None:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine") as caught:
        await Pipeline("p", timeout=5, attempt_timeout=5).call(slow)
    assert type(caught.value) is TimeoutError


def test_a_synchronous_call_can_be_left_behind() -> None:
    release, done = threading.Event(), threading.Event()
    variable = contextvars.ContextVar("variable", default="lost")
    variable.set("kept")
    seen: list[str] = []

    def slow() -> None:
        seen.append(variable.get())
        release.wait(10)
        done.set()

    pipeline = Pipeline("p", attempt_timeout=0.02, bulkhead=1)
    with pytest.raises(PipelineTimeoutError, match=r"attempt timeout of 0.02"):
        pipeline.call_sync(slow)
    with pytest.raises(BulkheadFullError, match="all 1 places of 'p' are taken"):
        pipeline.call_sync(int)
    release.set()
    assert done.wait(10)
    assert seen == ["kept"]
    with pytest.raises(ZeroDivisionError):
        Pipeline("q", timeout=5).call_sync(lambda: 1 / 0)


def test_the_total_timeout_limits_a_synchronous_call() -> None:
    release = threading.Event()
    with pytest.raises(PipelineTimeoutError, match=r"total timeout of 0.02"):
        Pipeline("p", timeout=0.02, attempt_timeout=5).call_sync(release.wait, 10)
    release.set()


async def test_a_full_bulkhead_is_no_failure_for_the_breaker() -> None:
    breaker = CircuitBreaker(1, name="db")
    pipeline = Pipeline("p", breaker=breaker, bulkhead=2)
    go = asyncio.Event()
    busy = [asyncio.create_task(pipeline.call(go.wait)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(BulkheadFullError):
        await pipeline.call(go.wait)
    go.set()
    await asyncio.gather(*busy)
    assert breaker.state.name == "CLOSED"
    assert await pipeline.call(int) == 0


async def test_cancellation_is_never_retried(clock: FakeClock, sleeper: Sleeper) -> None:
    started = asyncio.Event()
    calls = 0

    async def work() -> None:
        nonlocal calls
        calls += 1
        started.set()
        await hang()

    task = asyncio.create_task(make(clock, sleeper, retry=policy()).call(work))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert calls == 1


async def test_decorators_keep_name_and_kind(clock: FakeClock, sleeper: Sleeper) -> None:
    pipeline = make(clock, sleeper, retry=policy())
    flaky = Flaky(2)

    @pipeline
    async def fetch(number: int) -> int:
        """Fetch."""
        return flaky() + number

    @pipeline
    def read() -> str:
        return "read"

    assert (fetch.__name__, fetch.__doc__) == ("fetch", "Fetch.")
    assert asyncio.iscoroutinefunction(fetch)
    assert await fetch(10) == 13
    assert read() == "read"
    with pytest.raises(TypeError, match="generator"):

        @pipeline
        def rows():
            yield 1


@pytest.mark.parametrize("failures", [2, 99])
def test_errors_leave_no_cycle_and_no_foreign_frames_behind(clock, sleeper, failures: int) -> None:
    pipeline = make(clock, sleeper, retry=policy())
    flaky = Flaky(failures)
    kept: list[weakref.ref[object]] = []
    files: set[str] = set()

    def work() -> int:
        local = Flaky(0)
        kept.append(weakref.ref(local))
        return flaky()

    gc.disable()
    try:
        try:
            pipeline.call_sync(work)
        except OSError as error:
            files = {frame.filename for frame in traceback.extract_tb(error.__traceback__)}
        assert [ref() for ref in kept] == [None] * len(kept)
    finally:
        gc.enable()
    assert not any("tenacity" in file for file in files)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("attempts", 0),
        ("attempts", 2.5),
        ("wait", -1),
        ("multiplier", 0.5),
        ("max_wait", float("inf")),
        ("jitter", 1.5),
        ("deadline", 0),
        ("budget", "all"),
        ("retry_on", 3),
        ("retry_on", ("OSError",)),
    ],
)
def test_a_policy_refuses_by_name(field: str, value: Any) -> None:
    with pytest.raises(InvalidConfigError, match=f"{field} is"):
        RetryPolicy(**{field: value})


@pytest.mark.parametrize("field", ["timeout", "attempt_timeout", "bulkhead"])
def test_a_pipeline_refuses_by_name(field: str) -> None:
    with pytest.raises(InvalidConfigError, match=f"{field} is -1"):
        Pipeline("p", **{field: -1})
