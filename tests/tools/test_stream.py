"""A run as an asynchronous iterator: in order, bounded, and nothing left behind whichever way it is left."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from pathlib import Path

import pytest

from support.polling import until
from support.toy import Bench, Words
from tracefuse.resilience import RetryPolicy
from tracefuse.telemetry.testing import InMemoryTelemetry
from tracefuse.tools import (
    Completed,
    Places,
    PolicyViolation,
    Queued,
    QueueLimits,
    ToolExecutionError,
    ToolTimeoutError,
)
from tracefuse.tools._stream import Buffer
from tracefuse.tools.testing import FakeProcess


@pytest.fixture
def bench(memory: InMemoryTelemetry, tmp_path: Path) -> Bench:
    bench = Bench(memory, tmp_path / "runs")
    bench.timeout = 60.0
    return bench


async def test_events_come_in_order_and_the_end_is_the_completed_run(bench: Bench) -> None:
    stream = bench.runner(FakeProcess([b"a b", b"c"])).stream("hello")
    *events, end = [event async for event in stream]
    assert events == ["a", "b", "c"]
    assert isinstance(end, Completed)
    assert end.result == stream.result == Words(("a", "b", "c"))


async def test_nothing_is_started_before_it_is_asked_for(bench: Bench) -> None:
    stream = bench.runner(FakeProcess()).stream("hello")
    await asyncio.sleep(0)
    assert bench.spawn.commands == []
    await stream.aclose()
    assert bench.spawn.commands == []
    assert stream.result is None


async def test_a_refusal_is_raised_as_by_run(bench: Bench) -> None:
    with pytest.raises(PolicyViolation):
        async for _ in bench.runner().stream("secret"):
            pass


async def test_a_failure_comes_after_the_events_and_what_was_found_is_there(bench: Bench) -> None:
    stream = bench.runner(FakeProcess([b"a b"], exit_code=1)).stream("hello")
    events: list[object] = []
    with pytest.raises(ToolExecutionError):
        async for event in stream:
            events.append(event)  # noqa: PERF401 - a comprehension would lose them
    assert events == ["a", "b"]
    assert stream.result == Words(("a", "b"))


async def test_a_timeout_keeps_what_was_found(bench: Bench) -> None:
    bench.timeout = 0.05
    stream = bench.runner(FakeProcess([b"a"], exit_code=None)).stream("hello")
    with pytest.raises(ToolTimeoutError):
        async for _ in stream:
            pass
    assert stream.result == Words(("a",), "timeout")


async def test_a_second_attempt_goes_on_in_the_same_stream(bench: Bench) -> None:
    bench.retry = RetryPolicy(attempts=2, wait=0.0, jitter=0.0)
    stream = bench.runner(FakeProcess([b"a"], exit_code=1), FakeProcess([b"b"])).stream("hello")
    *events, end = [event async for event in stream]
    assert events == ["a", "b"]
    assert isinstance(end, Completed)
    assert end.attempts == 2


async def test_leaving_the_block_early_stops_the_process(bench: Bench) -> None:
    process = FakeProcess([b"a b"], exit_code=None)
    async with bench.runner(process).stream("hello") as stream:
        async for _ in stream:
            break
    assert process.stopped
    assert stream.result == Words(("a", "b"), "cancelled")
    assert bench.tree().attributes["error.type"] == "cancelled"


async def test_a_break_alone_stops_the_process_when_nobody_holds_the_stream(bench: Bench) -> None:
    process = FakeProcess([b"a b"], exit_code=None)
    gc.disable()
    try:
        async for _ in bench.runner(process).stream("hello"):
            break
        await until(lambda: process.stopped)
    finally:
        gc.enable()


async def test_closing_twice_and_after_the_end_is_nothing(bench: Bench) -> None:
    stream = bench.runner(FakeProcess([b"a"])).stream("hello")
    assert len([event async for event in stream]) == 2
    await stream.aclose()
    await stream.aclose()


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_cancelling_who_follows_however_often_stops_the_process(bench: Bench, times: int) -> None:
    process = FakeProcess([b"a b"], exit_code=None)
    stream = bench.runner(process).stream("hello")

    async def follow() -> None:
        async for _ in stream:
            pass

    task = asyncio.create_task(follow())
    await process.hanging.wait()
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert process.stopped
    assert stream.result == Words(("a", "b"), "cancelled")


async def test_an_error_of_who_follows_stops_the_process(bench: Bench) -> None:
    process = FakeProcess([b"a b"], exit_code=None)
    with pytest.raises(ZeroDivisionError):
        async with bench.runner(process).stream("hello") as stream:
            async for _ in stream:
                raise ZeroDivisionError
    assert process.stopped


async def test_who_has_to_wait_is_told_so(bench: Bench) -> None:
    bench.places = Places(QueueLimits(per_tool=1))
    first = FakeProcess(exit_code=None)
    runner = bench.runner(first, FakeProcess([b"b"]))
    running = asyncio.create_task(runner.run("one"))
    await first.hanging.wait()
    events: list[object] = []
    async for event in runner.stream("two"):
        events.append(event)
        running.cancel()
    assert events[:2] == [Queued("tool limit", 1), "b"]
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_a_slow_reader_holds_the_tool_up_and_misses_nothing(bench: Bench) -> None:
    reads: list[int] = []

    class Counted(FakeProcess):
        async def read(self) -> object:
            reads.append(1)
            return await super().read()

    stream = bench.runner(Counted([b"%d " % number for number in range(30)])).stream("hello", buffer=3)
    events: list[object] = []
    async for event in stream:
        events.append(event)
        for _ in range(10):
            await asyncio.sleep(0)
        # What was read: what was taken, what fits, and the end.
        assert len(reads) <= len([seen for seen in events if "#" not in str(seen)]) + 4
    assert [event for event in events[:-1] if "#" not in str(event)] == [str(number) for number in range(30)]


async def test_of_percentages_that_nobody_took_the_latest_is_kept() -> None:
    buffer: Buffer[str] = Buffer(100, lambda event, earlier: event.startswith("#") and earlier.startswith("#"))
    for event in ("a", "#1", "b", "#2", "c", "#3"):
        buffer.event(event)
    buffer.end()
    taken: list[object] = []
    while (event := await buffer.take()) is not None:
        taken.append(event)
    assert taken == ["a", "b", "c", "#3"]


async def test_the_span_of_the_run_is_never_current_for_who_follows(bench: Bench) -> None:
    from opentelemetry import trace

    async for _ in bench.runner(FakeProcess([b"a b"])).stream("hello"):
        assert not trace.get_current_span().get_span_context().is_valid
