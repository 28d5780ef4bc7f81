"""What a guarded call costs, as a ratio to a bare call: `python benchmarks/bench_breaker.py`.

All rows run interleaved in one process, shuffled anew each round, in CPU time of the thread; figures
are medians over the rounds. Ratios travel between machines, nanoseconds do not. `floor` is a
hand-written breaker of forty lines with lock, counts and latency: what plain Python can reach.
Breakers have a real SDK behind them: state, calls by result, transitions and events. Libraries of
the field join in when they are installed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import logging
import random
import statistics
import threading
import time
import tracemalloc
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from breaker_peers import PEERS
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider

from tracefuse.resilience import CircuitBreaker, CircuitBreakerOpenError, Pipeline, RetryPolicy
from tracefuse.telemetry import Instrumentation

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

NEVER = 10**6
GOALS = {
    ("success", "sync"): 30,
    ("success", "async"): 13,
    ("rejection", "sync"): 45,
    ("rejection", "async"): 16,
    ("failure", "sync"): 65,
    ("failure", "async"): 24,
}


def fine() -> int:
    return 1


def fail() -> None:
    raise OSError


async def fine_async() -> int:
    return 1


async def fail_async() -> None:
    raise OSError


class Floor:
    """Lock, generation, streak, counts and latency, and nothing else."""

    def __init__(self, threshold: int = NEVER) -> None:
        self.lock = threading.Lock()
        self.threshold = threshold
        self.generation = self.streak = self.total = self.good = self.bad = self.rejected = 0
        self.latency = 0.0
        self.until = 0.0

    def enter(self) -> tuple[int, float]:
        with self.lock:
            now = time.monotonic()
            if now < self.until:
                self.rejected += 1
                raise CircuitBreakerOpenError("open", self.until - now, "floor")
            self.total += 1
            return self.generation, now

    def leave(self, generation: int, began: float, good: bool) -> None:
        with self.lock:
            self.latency += time.monotonic() - began
            if good:
                self.good += 1
            else:
                self.bad += 1
            if generation == self.generation:
                self.streak = 0 if good else self.streak + 1
                if self.streak >= self.threshold:
                    self.generation += 1
                    self.until = time.monotonic() + 60

    def call_sync(self, func: Callable[[], Any]) -> Any:
        generation, began = self.enter()
        try:
            result = func()
        except Exception:
            self.leave(generation, began, False)
            raise
        self.leave(generation, began, True)
        return result

    async def call(self, func: Callable[[], Awaitable[Any]]) -> Any:
        generation, began = self.enter()
        try:
            result = await func()
        except Exception:
            self.leave(generation, began, False)
            raise
        self.leave(generation, began, True)
        return result


@dataclass
class Subject:
    """One library: the call methods of a breaker that never trips and of one that is open."""

    name: str
    closed: Callable[..., Any] | None = None
    opened: Callable[..., Any] | None = None
    closed_async: Callable[..., Any] | None = None
    opened_async: Callable[..., Any] | None = None
    times: dict[tuple[str, str], list[float]] = field(default_factory=dict)

    def method(self, case: str, kind: str) -> Callable[..., Any] | None:
        name = ("opened" if case == "rejection" else "closed") + ("_async" if kind == "async" else "")
        return getattr(self, name)


BARE = Subject("bare call")


def tracefuse_subject(name: str, instrumentation: Instrumentation | None, **options: Any) -> Subject:
    def make(threshold: int) -> CircuitBreaker:
        return CircuitBreaker(threshold, 3600.0, name=f"{name} {threshold}", instrumentation=instrumentation, **options)

    closed, opened = make(NEVER), make(1)
    opened.force_open_nowait()
    return Subject(name, closed.call_sync, opened.call_sync, closed.call, opened.call)


def floor_subject() -> Subject:
    closed, opened = Floor(), Floor(1)
    with contextlib.suppress(OSError):
        opened.call_sync(fail)
    return Subject("floor", closed.call_sync, opened.call_sync, closed.call, opened.call)


def measure(subjects: list[Subject], rounds: int, calls: int) -> None:
    """Fill every subject's times, all cases interleaved."""
    kinds = [(case, kind) for case in ("success", "rejection", "failure") for kind in ("sync", "async")]
    cases = [(subject, case, kind) for subject in subjects for case, kind in kinds]
    for _ in range(rounds):
        random.shuffle(cases)
        for subject, case, kind in cases:
            method = subject.method(case, kind)
            if method is None and (subject is not BARE or case == "rejection"):
                continue
            if kind == "sync":
                spent = sync_round(method, fail if case == "failure" else fine, calls)
            else:
                spent = asyncio.run(async_round(method, fail_async if case == "failure" else fine_async, calls))
            subject.times.setdefault((case, kind), []).append(spent)


# The loops are spelled out: a helper or a context manager in them would cost as much as what is measured.


def sync_round(method: Callable[..., Any] | None, func: Callable[[], Any], calls: int) -> float:
    began = time.thread_time_ns()
    if method is None:
        for _ in range(calls):
            try:  # noqa: SIM105
                func()
            except Exception:  # noqa: BLE001
                pass
    else:
        for _ in range(calls):
            try:  # noqa: SIM105
                method(func)
            except Exception:  # noqa: BLE001
                pass
    return (time.thread_time_ns() - began) / calls


async def async_round(method: Callable[..., Any] | None, func: Callable[[], Any], calls: int) -> float:
    began = time.thread_time_ns()
    if method is None:
        for _ in range(calls):
            try:  # noqa: SIM105
                await func()
            except Exception:  # noqa: BLE001
                pass
    else:
        for _ in range(calls):
            try:  # noqa: SIM105
                await method(func)
            except Exception:  # noqa: BLE001
                pass
    return (time.thread_time_ns() - began) / calls


def report(subjects: list[Subject]) -> None:
    for case in ("success", "rejection", "failure"):
        print(f"\n{case}: ns per call and ratio to a bare successful call (goal in brackets)")
        for subject in subjects:
            cells = []
            for kind in ("sync", "async"):
                times = subject.times.get((case, kind))
                if times is None:
                    cells.append(f"{'-':>24}")
                    continue
                bare = BARE.times["success", kind]
                ratio = statistics.median(mine / base for mine, base in zip(times, bare, strict=True))
                cells.append(f"{kind} {statistics.median(times):7.0f} ns {ratio:6.1f}x [{GOALS[case, kind]}x]")
            print(f"  {subject.name:<28} {'   '.join(cells)}")


def memory(instances: int = 5000) -> float:
    """Bytes per breaker, history empty, its name not counted."""
    names = [f"b{number}" for number in range(instances)]
    kept = [CircuitBreaker(name=f"warm {number}") for number in range(10)]
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept += [CircuitBreaker(name=name) for name in names]
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(kept) > instances
    return (after - before) / instances


def threads(method: Callable[..., Any], calls: int) -> float:
    """CPU time per call with four threads, as a ratio to one."""

    def work(times: list[float]) -> None:
        began = time.thread_time_ns()
        for _ in range(calls):
            method(fine)
        times.append((time.thread_time_ns() - began) / calls)

    ratios = []
    for _ in range(7):
        alone: list[float] = []
        work(alone)
        together: list[float] = []
        workers = [threading.Thread(target=work, args=(together,)) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        ratios.append(statistics.mean(together) / alone[0])
    return statistics.median(ratios)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=5000)
    options = parser.parse_args()
    logging.getLogger("tracefuse").setLevel(logging.CRITICAL)

    reader = InMemoryMetricReader()
    instrumentation = Instrumentation.from_providers(
        meter_provider=MeterProvider([reader]), tracer_provider=TracerProvider()
    )
    subjects = [
        BARE,
        floor_subject(),
        tracefuse_subject("tracefuse, no SDK", None),
        tracefuse_subject("tracefuse, SDK", instrumentation),
        tracefuse_subject("tracefuse, SDK + durations", instrumentation, measure_duration=True),
        *(Subject(name, **methods) for name, methods in PEERS.items()),
    ]
    measure(subjects, options.rounds, options.calls)
    report(subjects)
    print(f"\nmemory per breaker, history empty: {memory():.0f} bytes [1000]")
    for subject in (subjects[1], subjects[3]):
        assert subject.closed is not None
        ratio = threads(subject.closed, options.calls * 4)
        print(f"4 threads, CPU per call against 1 thread, {subject.name}: {ratio:.2f} [1.3]")
    pipeline = Pipeline("p", retry=RetryPolicy(), breaker=CircuitBreaker(name="in pipeline"))
    spent = sync_round(pipeline.call_sync, fine, options.calls)
    print(f"pipeline with retry and breaker, no SDK, sync success: {spent:.0f} ns")
    assert reader.get_metrics_data() is not None


if __name__ == "__main__":
    main()
