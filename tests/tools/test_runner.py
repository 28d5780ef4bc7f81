"""The runner with a toy tool and processes that do what they are told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tracefuse.resilience import CircuitBreaker, CircuitBreakerOpenError, Pipeline, RetryPolicy
from tracefuse.telemetry.testing import InMemoryTelemetry, SpanNode
from tracefuse.tools._errors import ToolError, ToolExecutionError, ToolTimeoutError
from tracefuse.tools._policy import PolicyViolation, Rule
from tracefuse.tools._process import Command, Exit
from tracefuse.tools._runner import Runner
from tracefuse.tools._tool import Caller, CallerKind, Installation
from tracefuse.tools.testing import FakeProcess, FakeSpawn


@dataclass(frozen=True)
class Words:
    """What the toy found."""

    words: tuple[str, ...]
    cut: str | None = None


@dataclass
class Collector:
    """Splits the output into words."""

    words: list[str] = field(default_factory=list)

    def feed(self, data: bytes) -> list[str]:
        fresh = data.decode().split()
        self.words += fresh
        return fresh

    def overhear(self, data: bytes) -> list[str]:
        return [f"({word})" for word in data.decode().split()]

    def close(self, reason: str | None = None) -> Words:
        return Words(tuple(self.words), reason)


@dataclass
class Counting:
    """Tells how many words there were, over all attempts."""

    seen: int = 0

    def event(self, event: str) -> str | None:
        self.seen += 1
        return f"#{self.seen}" if self.seen % 10 == 0 else None


class Toy:
    """Says words; refuses the request "secret"."""

    name = "toy"

    def __init__(self, timeout: float = 0.05) -> None:
        self.timeout = timeout

    def plan(self, request: str) -> str:
        if request == "secret":
            raise PolicyViolation(Rule.TARGET_NETWORK, request, 0, "public", "ask for something else", problem="no")
        return request

    def describe(self, plan: str) -> dict[str, int]:
        return {"toy.length": len(plan)}

    def command(self, plan: str, program: Installation, workdir: str) -> Command:
        return Command(argv=(program.path, plan), cwd=workdir, timeout=self.timeout, output_limit=100)

    def collector(self) -> Collector:
        return Collector()

    def estimate(self, plan: str) -> Counting:
        return Counting()

    def supersedes(self, event: str, earlier: str) -> bool:
        return event.startswith("#") and earlier.startswith("#")

    def fuller(self, result: Words, earlier: Words) -> Words:
        return max(result, earlier, key=lambda words: len(words.words))

    def judge(self, ended: Exit, result: Words) -> ToolError | None:
        failure = ToolExecutionError(f"toy ended with exit code {ended.code}", detail=ended.stderr, result=result)
        return failure if ended.code else None


@dataclass
class Observer:
    """Notes what it is told."""

    seen: list[str] = field(default_factory=list)

    def event(self, event: str) -> None:
        self.seen.append(event)

    def ended(self) -> None:
        self.seen.append("ended")

    def result(self, result: Words) -> dict[str, int]:
        return {"toy.words": len(result.words)}


class Bench:
    """A runner over fake processes, with telemetry in memory."""

    def __init__(self, memory: InMemoryTelemetry, workdirs: Path) -> None:
        self.memory = memory
        self.observer = Observer()
        self.workdirs = workdirs
        instrumentation = memory.telemetry.instrumentation
        self.breaker = CircuitBreaker(
            name="toy", failure_threshold=2, expected_exception=(ToolError,), instrumentation=instrumentation
        )
        self.retry: RetryPolicy | None = None

    def runner(self, *outcomes: FakeProcess | OSError) -> Runner[str, str, str, Words]:
        self.spawn = FakeSpawn(outcomes)
        instrumentation = self.memory.telemetry.instrumentation
        return Runner(
            Toy(),
            Pipeline("toy", retry=self.retry, breaker=self.breaker, instrumentation=instrumentation),
            locate=self.locate,
            observe=lambda: self.observer,
            workdir=self.workdirs,
            instrumentation=instrumentation,
            spawn=self.spawn,
            new_id=lambda: "id1",
        )

    async def locate(self) -> Installation:
        return Installation("/bin/toy")

    def tree(self) -> SpanNode:
        (root,) = self.memory.tree()
        return root


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
