"""The correctness cases T01 to T21: each has broken a breaker of this field."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tracefuse.resilience import CircuitBreaker, CircuitBreakerContext, CircuitBreakerOpenError, CircuitBreakerState
from tracefuse.resilience.testing import FakeClock, Recorder, force_state

CLOSED, OPEN, HALF_OPEN = CircuitBreakerState


def fine() -> int:
    return 1


def fail() -> None:
    raise OSError("down")


async def fail_async() -> None:
    raise OSError("down")


def trip(breaker: CircuitBreaker) -> None:
    while breaker.state is CLOSED:
        with pytest.raises(OSError):
            breaker.call_sync(fail)


def make(clock: Callable[[], float], **options: Any) -> CircuitBreaker:
    options = {"failure_threshold": 2, "recovery_timeout": 10.0, "enable_jitter": False, "name": "case"} | options
    return CircuitBreaker(clock=clock, **options)


def ready_to_probe(clock: FakeClock, **options: Any) -> CircuitBreaker:
    breaker = make(clock, **options)
    trip(breaker)
    clock.advance(10)
    return breaker


@pytest.mark.parametrize("limit", [1, 3])
async def test_t01_a_hundred_tasks_in_half_open_reach_the_function_as_often_as_permitted(
    clock: FakeClock, limit: int
) -> None:
    breaker = ready_to_probe(clock, half_open_max_calls=limit)
    reached = 0
    go = asyncio.Event()

    async def probe() -> None:
        nonlocal reached
        reached += 1
        await go.wait()

    tasks = [asyncio.create_task(breaker.call(probe)) for _ in range(100)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    go.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert reached == limit
    assert sum(isinstance(result, CircuitBreakerOpenError) for result in results) == 100 - limit
    assert breaker.state is CLOSED


def test_t02_a_hundred_threads_in_half_open_reach_the_function_as_often_as_permitted(clock: FakeClock) -> None:
    breaker = ready_to_probe(clock, half_open_max_calls=2)
    reached = []
    start, others_are_done = threading.Barrier(100), threading.Event()
    refused = threading.Semaphore(0)

    def probe() -> None:
        reached.append(1)
        others_are_done.wait(10)

    def attempt() -> None:
        start.wait(10)
        try:
            breaker.call_sync(probe)
        except CircuitBreakerOpenError:
            refused.release()

    threads = [threading.Thread(target=attempt) for _ in range(100)]
    for thread in threads:
        thread.start()
    for _ in range(98):
        assert refused.acquire(timeout=10)
    others_are_done.set()
    for thread in threads:
        thread.join(10)
    assert len(reached) == 2


async def cancelled_probe(breaker: CircuitBreaker) -> None:
    started = asyncio.Event()

    async def hang() -> None:
        started.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(breaker.call(hang))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_t03_a_cancelled_probe_does_not_wedge_the_breaker(clock: FakeClock) -> None:
    breaker = ready_to_probe(clock)
    await cancelled_probe(breaker)
    assert await breaker.call(fine) == 1
    assert breaker.state is CLOSED


async def test_t04_a_cancelled_probe_is_not_a_success(clock: FakeClock) -> None:
    breaker = ready_to_probe(clock)
    await cancelled_probe(breaker)
    assert breaker.state is HALF_OPEN
    assert breaker.stats.successful_calls == 0


async def test_t05_a_cancellation_while_closed_leaves_the_streak(clock: FakeClock) -> None:
    breaker = make(clock)
    with pytest.raises(OSError):
        await breaker.call(fail_async)
    await cancelled_probe(breaker)
    assert breaker.stats.consecutive_failures == 1
    with pytest.raises(OSError):
        await breaker.call(fail_async)
    assert breaker.state is OPEN


async def test_t06_a_dependency_that_hangs_behind_an_outer_timeout_opens_the_breaker() -> None:
    breaker = make(time.monotonic, cancel_counts_after=0.01)
    for _ in range(2):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await breaker.call(asyncio.Event().wait)
    assert breaker.state is OPEN
    assert breaker.stats.failure_reasons == {"CancelledError": 2}


@pytest.mark.parametrize("step", [-3600.0, 3600.0], ids=["t07_back", "t08_forward"])
def test_t07_t08_setting_the_wall_clock_changes_nothing(clock: FakeClock, step: float) -> None:
    wall = FakeClock(1_700_000_000.0)
    breaker = make(clock, wall_clock=wall)
    trip(breaker)
    wall._now += step
    clock.advance(9)
    with pytest.raises(CircuitBreakerOpenError) as caught:
        breaker.call_sync(fine)
    assert caught.value.retry_after == 1.0
    clock.advance(1)
    assert breaker.call_sync(fine) == 1


def late_permit(clock: FakeClock) -> tuple[CircuitBreaker, Any]:
    breaker = make(clock)
    return breaker, breaker.permit()


def test_t09_a_late_success_changes_nothing_while_open(clock: FakeClock) -> None:
    breaker, late = late_permit(clock)
    trip(breaker)
    late.success()
    assert breaker.state is OPEN
    assert breaker.stats.consecutive_failures == 2


def test_t10_a_late_success_does_not_close_a_half_open_breaker(clock: FakeClock) -> None:
    breaker, late = late_permit(clock)
    trip(breaker)
    clock.advance(10)
    probe = breaker.permit()
    late.success()
    assert breaker.state is HALF_OPEN
    with pytest.raises(CircuitBreakerOpenError):
        breaker.permit()
    probe.failure(OSError())
    assert breaker.state is OPEN


def test_t11_a_late_failure_does_not_lengthen_the_wait(clock: FakeClock) -> None:
    breaker, late = late_permit(clock)
    trip(breaker)
    clock.advance(9)
    late.failure(OSError())
    assert breaker.retry_after == 1.0
    assert breaker.stats.consecutive_failures == 2
    assert breaker.stats.failed_calls == 3


@pytest.mark.parametrize("enter", [lambda breaker: breaker, CircuitBreakerContext], ids=["breaker", "context"])
async def test_t12_a_context_manager_refuses_to_enter_while_open(
    clock: FakeClock, enter: Callable[[CircuitBreaker], Any]
) -> None:
    breaker = make(clock)
    trip(breaker)
    entered = []
    with pytest.raises(CircuitBreakerOpenError):
        async with enter(breaker):
            entered.append("async")
    with pytest.raises(CircuitBreakerOpenError), enter(breaker):
        entered.append("sync")
    assert entered == []
    assert breaker.stats.rejected_calls == 2


async def test_t13_an_error_while_iterating_an_async_generator_counts(clock: FakeClock) -> None:
    breaker = make(clock)

    @breaker
    async def rows() -> AsyncIterator[int]:
        yield 1
        raise OSError("connection lost")

    for _ in range(2):
        with pytest.raises(OSError):
            async for _ in rows():
                pass
    assert breaker.state is OPEN
    assert breaker.stats.successful_calls == 0


def test_t14_rejections_leak_no_memory_and_no_frames(clock: FakeClock) -> None:
    breaker = make(clock)
    trip(breaker)

    def depth() -> int:
        try:
            breaker.call_sync(fine)
        except CircuitBreakerOpenError as error:
            frames, trace = 0, error.__traceback__
            while trace is not None:
                frames, trace = frames + 1, trace.tb_next
            return frames
        return -1

    first = depth()
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(2000):
        depth()
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert depth() == first
    assert grown < 20_000


def test_t15_a_raising_listener_changes_nothing(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("listener bug")

    recorder = Recorder()
    breaker = make(clock, listeners=[broken, recorder], state_transition_callback=broken)
    trip(breaker)
    clock.advance(10)
    assert breaker.call_sync(fine) == 1
    assert recorder.moves == [("CLOSED", "OPEN"), ("OPEN", "HALF_OPEN"), ("HALF_OPEN", "CLOSED")]
    assert "circuit_breaker.callback_failed name=case error=listener bug" in caplog.text


def test_t16_two_event_loops_in_two_threads(clock: FakeClock) -> None:
    breaker = make(clock, half_open_max_calls=5)
    errors: list[Exception] = []

    async def work() -> None:
        for _ in range(200):
            await asyncio.gather(*(breaker.call(asyncio.sleep, 0) for _ in range(5)))

    def loop() -> None:
        try:
            asyncio.run(work())
        except Exception as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=loop) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []
    assert breaker.stats.successful_calls == 2000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_t17_forking_while_another_thread_is_inside_a_call(clock: FakeClock) -> None:
    breaker = make(clock)
    inside, leave = threading.Event(), threading.Event()

    def slow() -> None:
        inside.set()
        leave.wait(10)

    thread = threading.Thread(target=breaker.call_sync, args=(slow,))
    thread.start()
    inside.wait(10)
    child = os.fork()
    if child == 0:
        signal.alarm(5)
        try:
            trip(breaker)
            os._exit(0 if breaker.state is OPEN else 1)
        finally:
            os._exit(2)
    leave.set()
    thread.join(10)
    assert os.waitpid(child, 0)[1] == 0
    assert breaker.state is CLOSED


def test_t18_sync_callables_run_in_parallel(clock: FakeClock) -> None:
    breaker = make(clock)
    all_inside = threading.Barrier(4)
    threads = [threading.Thread(target=breaker.call_sync, args=(all_inside.wait, 10)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert breaker.stats.successful_calls == 4


class Stop(BaseException):
    pass


def test_t19_a_base_exception_neither_wedges_nor_counts_as_success(clock: FakeClock) -> None:
    breaker = ready_to_probe(clock)

    def stop() -> None:
        raise Stop

    with pytest.raises(Stop):
        breaker.call_sync(stop)
    assert breaker.state is HALF_OPEN
    assert breaker.stats.successful_calls == 0
    assert breaker.call_sync(fine) == 1
    assert breaker.state is CLOSED


async def test_t20_threads_and_tasks_share_one_breaker(clock: FakeClock) -> None:
    breaker = make(clock, failure_threshold=10_000)

    def in_thread() -> None:
        for _ in range(500):
            breaker.call_sync(fine)

    threads = [asyncio.to_thread(in_thread) for _ in range(3)]
    tasks = [breaker.call(asyncio.sleep, 0) for _ in range(500)]
    await asyncio.gather(*threads, *tasks)
    assert breaker.stats.total_calls == breaker.stats.successful_calls == 2000


def test_t21_an_abandoned_probe_coroutine_does_not_wedge(clock: FakeClock) -> None:
    breaker = ready_to_probe(clock)
    # A future that is never done: the coroutine is left hanging and then collected.
    loop = asyncio.new_event_loop()
    coroutine = breaker.call(loop.create_future)
    coroutine.send(None)
    with pytest.raises(CircuitBreakerOpenError):
        breaker.call_sync(fine)
    coroutine.close()
    loop.close()
    assert breaker.call_sync(fine) == 1
    assert breaker.state is CLOSED


def test_an_abandoned_probe_in_a_cycle_is_freed_by_the_collector_without_deadlock(clock: FakeClock) -> None:
    breaker = ready_to_probe(clock)

    def abandon() -> None:
        permit = breaker.permit()
        cycle: list[object] = [permit]
        cycle.append(cycle)

    abandon()
    gc.collect()
    assert breaker.call_sync(fine) == 1


def test_a_listener_may_call_the_breaker_and_sees_events_in_order(clock: FakeClock) -> None:
    seen: list[str] = []

    def heal(from_state: CircuitBreakerState, to_state: CircuitBreakerState, name: str) -> None:
        seen.append(to_state.name)
        if to_state is OPEN:
            breaker.force_close_nowait()

    breaker = make(clock, state_transition_callback=heal)
    with pytest.raises(OSError):
        breaker.call_sync(fail)
    with pytest.raises(OSError):
        breaker.call_sync(fail)
    assert seen == ["OPEN", "CLOSED"]
    assert breaker.state is CLOSED


def test_a_lost_probe_does_not_block_for_ever(clock: FakeClock) -> None:
    breaker = ready_to_probe(clock, half_open_timeout=30.0)
    lost = breaker.permit()
    clock.advance(29)
    with pytest.raises(CircuitBreakerOpenError):
        breaker.permit()
    clock.advance(1)
    with pytest.raises(CircuitBreakerOpenError):
        breaker.permit()
    assert breaker.state is OPEN
    clock.advance(15)
    assert breaker.call_sync(fine) == 1
    lost.failure(OSError())
    assert breaker.state is CLOSED


def test_force_state_reaches_every_state(clock: FakeClock) -> None:
    for start in CircuitBreakerState:
        for goal in CircuitBreakerState:
            breaker = make(clock)
            force_state(breaker, start)
            force_state(breaker, goal)
            assert breaker.state is goal
