"""What in-process metrics cost, as ratios within one run: `python benchmarks/bench_metrics.py`.

B1 is one `histogram.record` of the OpenTelemetry SDK with one attribute, one reader and its default
exemplars; B2 the same series in prometheus_client. Contestants take turns, in CPU time of the thread where
one thread works; the best of the rounds counts, because another program on the machine only ever adds.
Ratios travel between machines, microseconds do not.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import math
import random
import statistics
import sys
import threading
import time
import tracemalloc
from contextlib import nullcontext
from typing import TYPE_CHECKING

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from tracefuse.telemetry import DURATION_BOUNDARIES, Instrumentation, MetricsManager, PrometheusReader

if TYPE_CHECKING:
    from collections.abc import Callable

TOOLS = 1000
ERRORS = (None, "ValueError", "TimeoutError")
VALUES = [random.Random(1).lognormvariate(-1, 0.5) for _ in range(4000)]


def fresh(max_tools: int = TOOLS) -> MetricsManager:
    MetricsManager.reset_for_testing()
    gc.collect()
    return MetricsManager(max_tools=max_tools)


def in_turns(rounds: int, **contestants: Callable[[], int]) -> dict[str, float]:
    """Fewest CPU seconds for one operation of each contestant, which answers how many it did."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, contestant in contestants.items():
            begin = time.thread_time()
            count = contestant()
            times[name].append((time.thread_time() - begin) / count)
    return {name: min(seen) for name, seen in times.items()}


def row(what: str, value: float, goal: float, note: str = "") -> bool:
    """Print one figure that must not be above its goal."""
    return told(what, value, f"<= {goal:.2f}", value <= goal, note)


def told(what: str, value: float, goal: str, met: bool, note: str) -> bool:
    print(f"{what:60s}{value:8.2f}  goal {goal:8s} {'met' if met else 'MISSED':7s}{note}")
    return met


def micro(**figures: float) -> str:
    return ", ".join(f"{name} {seconds * 1e6:.2f} us" for name, seconds in figures.items())


def sdk_histogram() -> tuple[Callable[[float, str], None], object]:
    provider = MeterProvider([PrometheusReader()], shutdown_on_exit=False)
    histogram = Instrumentation.from_providers(meter_provider=provider).histogram("mcp.tool.execution.seconds")
    return lambda seconds, tool: histogram.record(seconds, {"tool": tool}), provider


def recording(rounds: int) -> bool:
    manager = fresh()
    record, _keep = sdk_histogram()

    def ours() -> int:
        for value in VALUES:
            manager.record_tool_execution("tool", True, value)
        return len(VALUES)

    def b1() -> int:
        for value in VALUES:
            record(value, "tool")
        return len(VALUES)

    met = True
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("bench")
    ours()
    found = in_turns(rounds, ours=ours, b1=b1)
    met &= row("one recording / B1, no span", found["ours"] / found["b1"], 1.5, micro(**found))
    with tracer.start_as_current_span("work"):
        found = in_turns(rounds, ours=ours, b1=b1)
    return met & row("one recording / B1, in a span: exemplars", found["ours"] / found["b1"], 1.5, micro(**found))


def round_robin(rounds: int) -> bool:
    manager = fresh()
    record, _keep = sdk_histogram()
    calls = [
        (f"tool{number % TOOLS}", number % 4 != 0, value, "timeout" if number % 4 == 0 else None)
        for number, value in enumerate(VALUES)
    ]

    def ours() -> int:
        for name, success, value, error in calls:
            manager.record_tool_execution(name, success, value, error_type=error)
        return len(calls)

    def b1() -> int:
        for value in VALUES:
            record(value, "tool")
        return len(VALUES)

    def same_series() -> int:
        for name, _, value, _ in calls:
            record(value, name)
        return len(calls)

    ours(), same_series()
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("bench")
    met = True
    for where, span in (("", nullcontext()), (", in a span", tracer.start_as_current_span("work"))):
        with span:
            found = in_turns(rounds, ours=ours, b1=b1, b1_of_1000_tools=same_series)
        what = f"round robin over 1,000 tools, a quarter failures / B1{where}"
        met &= row(what, found["ours"] / found["b1"], 1.7, micro(**found))
    return met


def eviction() -> bool:
    names = (f"tool{number}" for number in itertools.count())
    manager = fresh(10_000)

    def some(count: int = 1000) -> int:
        for name in itertools.islice(names, count):
            manager.record_tool_execution(name, True, 0.5)
        return count

    some(500)
    below = in_turns(7, below=some)["below"]
    some(10_000)
    gc.collect()
    at = in_turns(7, at=some)["at"]
    assert len(manager.tool_metrics) == 10_000
    return row("a new tool at capacity 10,000 / below capacity", at / below, 2.0, micro(at=at, below=below))


def filled(values_per_tool: int) -> MetricsManager:
    manager = fresh()
    values = itertools.cycle(VALUES)
    for number in range(TOOLS):
        for _ in range(values_per_tool):
            for error in ERRORS:
                manager.record_tool_execution(f"tool{number}", error is None, next(values), error_type=error)
    return manager


def statistics_of_all(rounds: int) -> bool:
    manager = filled(40)
    result = manager.get_all_stats()

    def dumps() -> int:
        json.dumps(result)
        return 1

    def unchanged() -> int:
        manager.get_all_stats()
        return 1

    def changed() -> int:
        manager.get_all_stats()
        return 1

    found = in_turns(rounds, dumps=dumps, unchanged=unchanged)
    met = row("get_all_stats, 1,000 tools / json.dumps of it", found["unchanged"] / found["dumps"], 2.0, micro(**found))
    best = {"changed": math.inf, "dumps": math.inf}
    for _ in range(rounds):
        for number in range(TOOLS):
            manager.record_tool_execution(f"tool{number}", True, 0.5)
        turn = in_turns(1, changed=changed, dumps=dumps)
        best = {name: min(seconds, turn[name]) for name, seconds in best.items()}
    return met & row("  the same after each tool recorded", best["changed"] / best["dumps"], 2.0, micro(**best))


def prometheus_client_series() -> CollectorRegistry:
    registry = CollectorRegistry()
    executions = Counter(
        "mcp_tool_execution_total", "Total tool executions", ("tool", "status", "error_type"), registry=registry
    )
    seconds = Histogram(
        "mcp_tool_execution_seconds", "Tool execution time", ("tool",), registry=registry, buckets=DURATION_BOUNDARIES
    )
    active = Gauge("mcp_tool_active", "Currently active", ("tool",), registry=registry)
    errors = Counter("mcp_tool_errors_total", "Total tool errors", ("tool", "error_type"), registry=registry)
    for number in range(TOOLS):
        tool = f"tool{number}"
        active.labels(tool).set(0)
        for error in ERRORS:
            executions.labels(tool, "failure" if error else "success", error or "none").inc()
            seconds.labels(tool).observe(0.5)
            if error:
                errors.labels(tool, error).inc()
    return registry


def exposition(rounds: int) -> bool:
    manager = filled(1)
    registry = prometheus_client_series()

    def ours() -> int:
        manager.get_prometheus_metrics()
        return 1

    def b2() -> int:
        generate_latest(registry)
        return 1

    found = in_turns(rounds, ours=ours, b2=b2)
    lines = [text.count("\n") for text in (manager.get_prometheus_metrics() or "", generate_latest(registry).decode())]
    note = f"{micro(**found)}; lines {lines[0]} to {lines[1]}"
    return row("exposition, 1,000 tools, 3 outcomes / B2", found["ours"] / found["b2"], 1.0, note)


def memory() -> bool:
    manager = fresh()
    manager.record_tool_execution("first", True, 0.5)
    manager.get_prometheus_metrics()
    tools = 20
    met = True
    now = time.monotonic()
    manager._table.clock = lambda: now
    for what, seconds_each in (("", 0.0), (", spread over one hour", 0.36)):
        gc.collect()
        tracemalloc.start()
        for number in range(10_000):
            now += seconds_each
            for tool in range(tools):
                value = VALUES[(number + tool) % len(VALUES)] * 1.0001
                manager.record_tool_execution(f"memory{what}{tool}", number % 4 != 0, value, error_type="timeout")
        json.dumps(manager.get_all_stats())
        manager.get_window_stats()
        gc.collect()
        used = tracemalloc.get_traced_memory()[0] / tools / 1024
        tracemalloc.stop()
        met &= row(f"KiB for a tool after 10,000 recordings{what}", used, 32.0)
    return met


def in_threads(count: int, total: int, work: Callable[[int], None]) -> float:
    """Wall seconds for `total` operations spread over `count` threads."""
    barrier = threading.Barrier(count + 1)

    def run() -> None:
        barrier.wait()
        work(total // count)

    workers = [threading.Thread(target=run) for _ in range(count)]
    for worker in workers:
        worker.start()
    barrier.wait()
    begin = time.perf_counter()
    for worker in workers:
        worker.join()
    return time.perf_counter() - begin


def threads(rounds: int) -> bool:
    manager = fresh()
    record, _keep = sdk_histogram()
    total = 20_000
    counted = {"n": 0}

    def floor(count: int) -> None:
        for _ in range(count * 30):
            counted["n"] = counted.get("n", 0) + 1

    def b1(count: int) -> None:
        for number in range(count):
            record(VALUES[number % len(VALUES)], "tool")

    def one_tool(count: int) -> None:
        for number in range(count):
            manager.record_tool_execution("tool", True, VALUES[number % len(VALUES)])

    def own_tool(count: int) -> None:
        name = threading.current_thread().name
        for number in range(count):
            manager.record_tool_execution(name, True, VALUES[number % len(VALUES)])

    works = {"floor": floor, "b1": b1, "one tool": one_tool, "four tools": own_tool}
    best: dict[tuple[str, int], float] = {}
    for _ in range(rounds):
        for (name, work), count in itertools.product(works.items(), (4, 1)):
            seconds = in_threads(count, total, work)
            best[name, count] = min(seconds, best.get((name, count), math.inf))
    recorded = manager.get_system_stats()["request_count"]
    assert recorded == rounds * 4 * total, f"lost {rounds * 4 * total - recorded}"
    gain = {name: best[name, 1] / best[name, 4] for name in works}
    note = f"plain Python without a lock {gain['floor']:.2f}, B1 {gain['b1']:.2f}; none lost"
    met = [
        told(f"recordings per second of 4 threads / of 1, {name}", gain[name], ">= 1.00", gain[name] >= 1.0, note)
        for name in ("one tool", "four tools")
    ]
    return all(met)


def scraping(rounds: int) -> bool:
    manager = filled(1)
    record, _keep = sdk_histogram()
    stop = threading.Event()

    def scrape() -> None:
        while not stop.is_set():
            manager.get_prometheus_metrics()

    scraper = threading.Thread(target=scrape)
    scraper.start()
    try:
        found = [_tails(manager, record) for _ in range(rounds)]
    finally:
        stop.set()
        scraper.join()
    p50, p99 = min((ours for ours, _ in found), key=lambda tail: tail[1] / tail[0])
    b50, b99 = min((b1 for _, b1 in found), key=lambda tail: tail[1] / tail[0])
    note = f"{micro(p50=p50, p99=p99)}; B1 {b99 / b50:.2f}: {micro(p50=b50, p99=b99)}"
    return row("p99 of a recording during scraping / its p50", p99 / p50, 2.0, note)


def _tails(
    manager: MetricsManager, record: Callable[[float, str], None]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """p50 and p99 of 1,500 recordings, ours and B1's."""
    times: dict[str, list[float]] = {"ours": [], "b1": []}
    for number in range(1500):
        for name in times:
            begin = time.perf_counter()
            if name == "ours":
                manager.record_tool_execution(f"tool{number % TOOLS}", True, 0.5)
            else:
                record(0.5, "tool")
            times[name].append(time.perf_counter() - begin)
            time.sleep(0.0003)
    ours, b1 = (statistics.quantiles(seen, n=100) for seen in times.values())
    return (ours[49], ours[98]), (b1[49], b1[98])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    met = [
        *(recording(rounds), round_robin(rounds), eviction(), statistics_of_all(rounds), exposition(min(rounds, 7))),
        *(memory(), threads(min(rounds, 7)), scraping(min(rounds, 5))),
    ]
    MetricsManager.reset_for_testing()
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
