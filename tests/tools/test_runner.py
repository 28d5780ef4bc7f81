"""The runner with a toy tool and processes that do what they are told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.polling import until
from support.toy import Bench, Words
from tracefuse.resilience import CircuitBreakerOpenError, RetryPolicy
from tracefuse.telemetry.testing import InMemoryTelemetry
from tracefuse.tools import QueueFullError, QueueLimits, ToolExecutionError, ToolResourceError, ToolTimeoutError
from tracefuse.tools._places import Places
from tracefuse.tools._policy import PolicyViolation
from tracefuse.tools._process import Chunk, Stream
from tracefuse.tools._tool import Caller, CallerKind
from tracefuse.tools.testing import FakeProcess


@pytest.fixture
def bench(memory: InMemoryTelemetry, tmp_path: Path) -> Iterator[Bench]:
    yield Bench(memory, tmp_path / "runs")
    assert not list((tmp_path / "runs").glob("*")), "every run removes its working folder"


async def test_a_run_gives_its_result_and_one_trace(bench: Bench) -> None:
    events: list[str] = []
    done = await bench.runner(FakeProcess([b"a b ", b"c"], pid=7)).run(
        "hello", caller=Caller(CallerKind.HTTP, "curl/8", "ann"), on_event=events.append
    )
    assert (done.scan_id, done.plan, done.result, done.attempts) == ("id1", "hello", Words(("a", "b", "c")), 1)
    assert events == ["a", "b", "c"]
    assert bench.observer.seen == ["a", "b", "c", "ended"]
    root = bench.tree()
    assert [(node.name, node.kind) for node in root.walk()] == [
        ("toy scan", "INTERNAL"),
        ("attempt", "INTERNAL"),
        ("toy", "CLIENT"),
    ]
    assert root.trace_id == done.trace_id
    assert root.attributes == {
        "tracefuse.scan.id": "id1",
        "tracefuse.caller.kind": "http",
        "tracefuse.caller.name": "curl/8",
        "enduser.id": "ann",
        "tracefuse.policy.outcome": "allowed",
        "toy.length": 5,
        "toy.words": 3,
    }
    process = root.children[0].children[0]
    assert process.attributes == {"process.executable.name": "toy", "process.pid": 7, "process.exit.code": 0}


async def test_a_refusal_costs_nothing_and_is_told(bench: Bench) -> None:
    with pytest.raises(PolicyViolation):
        await bench.runner().run("secret")
    assert bench.spawn.commands == []
    assert bench.breaker.stats.total_calls == 0
    root = bench.tree()
    assert root.children == ()
    assert root.attributes["tracefuse.policy.outcome"] == "refused"
    assert root.attributes["tracefuse.policy.rule"] == "target.network"
    assert [event.name for event in root.events] == ["policy.refused"]
    assert bench.memory.metric("tracefuse.policy.refusals", tool="toy", rule="target.network") == 1
    assert bench.memory.metric("mcp.tool.execution") is None


async def test_a_failure_is_tried_again_and_every_span_says_what_happened(bench: Bench) -> None:
    bench.retry = RetryPolicy(attempts=2, wait=0.0, jitter=0.0)
    done = await bench.runner(FakeProcess([b"x"], exit_code=1, stderr="boom"), FakeProcess([b"y"])).run("hello")
    assert (done.result, done.attempts) == (Words(("y",)), 2)
    root = bench.tree()
    assert [event.name for event in root.events] == ["retry.scheduled"]
    first, second = root.children
    assert (first.status, second.status, root.status) == ("ERROR", "UNSET", "UNSET")
    assert first.children[0].attributes["error.type"] == "execution_error"
    assert first.children[0].status_description == "toy ended with exit code 1"
    assert second.attributes["attempt.previous_error"] == first.attributes["error.type"]
    assert bench.memory.metric("mcp.tool.execution", tool="toy", status="success", error_type="none") == 1


async def test_what_was_found_before_a_failure_is_kept_and_counted(bench: Bench) -> None:
    with pytest.raises(ToolExecutionError) as caught:
        await bench.runner(FakeProcess([b"a b"], exit_code=1)).run("hello")
    assert caught.value.result == Words(("a", "b"))
    root = bench.tree()
    assert root.status == "ERROR"
    assert root.attributes["toy.words"] == 2
    assert bench.memory.metric("mcp.tool.errors", tool="toy", error_type="execution_error") == 1
    assert bench.memory.metric("mcp.tool.active", tool="toy") == 0


async def test_a_hanging_tool_is_stopped_and_its_words_are_kept(bench: Bench) -> None:
    process = FakeProcess([b"a"], exit_code=None)
    with pytest.raises(ToolTimeoutError, match=r"did not end within 0\.05 s") as caught:
        await bench.runner(process).run("hello")
    assert process.stopped
    assert caught.value.result == Words(("a",), "timeout")
    assert bench.tree().attributes["error.type"] == "timeout"


async def test_a_cancelled_run_stops_the_process_and_no_span_is_left_unset(bench: Bench) -> None:
    process = FakeProcess([b"a"], exit_code=None)
    task = asyncio.create_task(bench.runner(process).run("hello"))
    await process.hanging.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert process.stopped
    assert {(node.name, node.status) for node in bench.tree().walk()} == {
        ("toy scan", "ERROR"),
        ("attempt", "ERROR"),
        ("toy", "ERROR"),
    }
    assert bench.tree().attributes["error.type"] == "cancelled"
    assert bench.tree().attributes["toy.words"] == 1


async def test_a_program_that_cannot_be_started_is_a_failure_of_the_tool(bench: Bench) -> None:
    with pytest.raises(ToolExecutionError, match="could not be started: No such file"):
        await bench.runner(FileNotFoundError(2, "No such file")).run("hello")
    assert bench.breaker.stats.failed_calls == 1


async def test_an_open_circuit_refuses_and_the_trace_says_so(bench: Bench) -> None:
    failing = [FakeProcess(exit_code=1), FakeProcess(exit_code=1)]
    runner = bench.runner(*failing)
    for _ in failing:
        with pytest.raises(ToolExecutionError):
            await runner.run("hello")
    with pytest.raises(CircuitBreakerOpenError) as caught:
        await runner.run("hello")
    assert caught.value.retry_after is not None
    assert len(bench.spawn.commands) == 2
    *_, tripped, refused = bench.memory.tree()
    assert [event.name for event in tripped.children[0].events] == ["circuit_breaker.transition"]
    assert [event.name for event in refused.children[0].events] == ["circuit_breaker.rejected"]
    assert bench.memory.metric("mcp.tool.errors", tool="toy", error_type="circuit_breaker_open") == 1


async def test_a_callback_that_raises_changes_nothing(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    def broken(event: str) -> None:
        raise RuntimeError(event)

    done = await bench.runner(FakeProcess([b"a b"])).run("hello", on_event=broken)
    assert done.result == Words(("a", "b"))
    assert "the scan goes on" in caplog.text


async def test_a_folder_that_cannot_be_made_is_said_with_the_setting(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    bench.workdirs = tmp_path / "file" / "runs"
    with pytest.raises(ToolExecutionError) as caught:
        await bench.runner(FakeProcess()).run("hello")
    assert "TRACEFUSE_CACHE_DIR" in caught.value.hint


async def test_what_is_overheard_and_how_far_it_is_are_told_too(bench: Bench) -> None:
    events: list[str] = []
    chunks = [Chunk(Stream.TEXT, b"x y"), Chunk(Stream.REPORT, b"1 2 3 4 5 6 7 8 9")]
    done = await bench.runner(FakeProcess(chunks)).run("hello", on_event=events.append)
    assert events == ["(x)", "(y)", "1", "2", "3", "4", "5", "6", "7", "8", "#10", "9"]
    assert len(done.result.words) == 9


async def test_too_much_output_is_a_failure_that_keeps_what_was_read(bench: Bench) -> None:
    process = FakeProcess([b"a ", b"b " * 60])
    with pytest.raises(ToolResourceError, match="wrote more than 100 bytes") as caught:
        await bench.runner(process).run("hello")
    assert process.stopped
    assert caught.value.result == Words(("a",), "output limit")
    assert bench.memory.metric("mcp.tool.errors", tool="toy", error_type="resource_exhausted") == 1


async def test_a_signal_that_ended_the_tool_is_named(bench: Bench) -> None:
    with pytest.raises(ToolExecutionError) as caught:
        await bench.runner(FakeProcess([b"a"], exit_code=-9)).run("hello")
    assert caught.value.result == Words(("a",), "SIGKILL")


async def test_of_several_failures_the_fullest_result_is_kept(bench: Bench) -> None:
    bench.retry = RetryPolicy(attempts=2, wait=0.0, jitter=0.0)
    with pytest.raises(ToolExecutionError) as caught:
        await bench.runner(FakeProcess([b"a b c"], exit_code=1), FakeProcess([b"x"], exit_code=1)).run("hello")
    assert caught.value.result == Words(("a", "b", "c"))


async def test_who_waits_is_seen_in_the_trace_the_log_and_the_metrics(bench: Bench) -> None:
    bench.places = Places(QueueLimits(per_tool=1))
    bench.timeout = 60.0
    first, second = FakeProcess([b"a"], exit_code=None), FakeProcess([b"b"])
    runner = bench.runner(first, second)
    running = asyncio.create_task(runner.run("one"))
    await first.hanging.wait()
    waiting = asyncio.create_task(runner.run("two"))
    await until(lambda: bench.places.waiting)
    assert bench.memory.metric("tracefuse.queue.length", tool="toy", reason="tool limit") == 1
    assert bench.memory.metric("mcp.tool.active", tool="toy") == 1
    running.cancel()
    assert (await waiting).result == Words(("b",))
    with pytest.raises(asyncio.CancelledError):
        await running
    assert bench.memory.metric("tracefuse.queue.length", tool="toy", reason="tool limit") == 0
    assert bench.memory.metric("tracefuse.queue.wait", tool="toy", reason="tool limit") == 1
    (span,) = [node for node in bench.memory.tree() if "tracefuse.queue.wait" in node.attributes]
    assert span.attributes["tracefuse.queue.reason"] == "tool limit"
    (event,) = span.events
    assert (event.name, dict(event.attributes or {})) == ("scan.queued", {"reason": "tool limit", "position": 1})


async def test_who_gives_up_waiting_is_out_of_the_queue(bench: Bench) -> None:
    bench.places = Places(QueueLimits(per_tool=1))
    bench.timeout = 60.0
    first = FakeProcess(exit_code=None)
    runner = bench.runner(first)
    running = asyncio.create_task(runner.run("one"))
    await first.hanging.wait()
    waiting = asyncio.create_task(runner.run("two"))
    await until(lambda: bench.places.waiting)
    for task in (waiting, running):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (bench.places.waiting, bench.places.running) == (0, 0)
    assert bench.memory.metric("tracefuse.queue.length", tool="toy", reason="tool limit") == 0


async def test_a_full_queue_is_a_failure_that_says_when_to_try_again(bench: Bench) -> None:
    bench.places = Places(QueueLimits(per_tool=1, length=0))
    bench.timeout = 60.0
    first = FakeProcess(exit_code=None)
    runner = bench.runner(first)
    running = asyncio.create_task(runner.run("one"))
    await first.hanging.wait()
    with pytest.raises(QueueFullError) as caught:
        await runner.run("two")
    assert caught.value.retry_after > 0
    assert bench.breaker.stats.total_calls == 1
    assert len(bench.spawn.commands) == 1
    assert bench.memory.metric("mcp.tool.errors", tool="toy", error_type="resource_exhausted") == 1
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert bench.memory.metric("mcp.tool.active", tool="toy") == 0
