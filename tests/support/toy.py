"""A toy tool that splits what it reads into words, and a runner of it over processes that do what they are told."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tracefuse.resilience import CircuitBreaker, Pipeline, RetryPolicy
from tracefuse.telemetry.testing import InMemoryTelemetry, SpanNode
from tracefuse.tools._errors import ToolError, ToolExecutionError
from tracefuse.tools._places import Places
from tracefuse.tools._policy import PolicyViolation, Rule
from tracefuse.tools._process import Command, Exit
from tracefuse.tools._runner import Runner
from tracefuse.tools._tool import Installation
from tracefuse.tools.testing import FakeProcess, FakeSpawn


@dataclass(frozen=True)
class Words:
    """What the toy found."""

    words: tuple[str, ...]
    cut: str | None = None


@dataclass
class ToyCollector:
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

    def may_block(self, request: str) -> bool:
        return request.startswith("name")

    def describe(self, plan: str) -> dict[str, int]:
        return {"toy.length": len(plan)}

    def command(self, plan: str, program: Installation, workdir: str) -> Command:
        return Command(argv=(program.path, plan), cwd=workdir, timeout=self.timeout, output_limit=100)

    def collector(self) -> ToyCollector:
        return ToyCollector()

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
class ToyObserver:
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
        self.observer = ToyObserver()
        self.workdirs = workdirs
        instrumentation = memory.telemetry.instrumentation
        self.breaker = CircuitBreaker(
            name="toy", failure_threshold=2, expected_exception=(ToolError,), instrumentation=instrumentation
        )
        self.retry: RetryPolicy | None = None
        self.timeout = 0.05
        self.places = Places()

    def runner(self, *outcomes: FakeProcess | OSError) -> Runner[str, str, str, Words]:
        self.spawn = FakeSpawn(outcomes)
        instrumentation = self.memory.telemetry.instrumentation
        return Runner(
            Toy(self.timeout),
            Pipeline("toy", retry=self.retry, breaker=self.breaker, instrumentation=instrumentation),
            locate=self.locate,
            observe=lambda: self.observer,
            workdir=self.workdirs,
            places=self.places,
            instrumentation=instrumentation,
            spawn=self.spawn,
            new_id=lambda: "id1",
        )

    async def locate(self) -> Installation:
        return Installation("/bin/toy")

    def tree(self) -> SpanNode:
        (root,) = self.memory.tree()
        return root
